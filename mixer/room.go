package mixer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/mixer/layout"
)

// Room is one mix: who is in it, what it is set to, who takes its output.
type Room struct {
	rooms   *Rooms
	id      string
	tenant  string    // of the settings that it was made with
	created time.Time // the epoch of all PTS
	count   counters
	scene   atomic.Pointer[scene]
	speaker atomic.Pointer[string] // written by the audio loop
	canvas  lastCanvas             // written by the video loop
	done    chan struct{}
	wake    chan struct{} // the audio loop shall rest no longer

	mu            sync.Mutex // control state; never held while media is touched or anybody is called
	settings      Settings
	settingsVer   uint64
	version       uint64 // of the scene
	order         []*Participant
	subs          []*Subscription
	announcements []*Announcement
	watchers      int // snapshots under way: they need the canvas but no encoder
	closed        bool
	audio         *audioLoop // nil while there is nobody to hear
	video         *videoLoop // nil while there is nobody to see it
	audioEnded    <-chan struct{}
	videoEnded    <-chan struct{}
	emptyTimer    *time.Timer

	outbox outbox
}

func newRoom(rs *Rooms, id string, s Settings) *Room {
	r := &Room{rooms: rs, id: id, tenant: s.Tenant, created: time.Now(), done: make(chan struct{}), wake: make(chan struct{}, 1), settings: s, settingsVer: 1}
	r.scene.Store(&scene{})
	return r
}

// open announces the room and starts the time that it may stay empty.
func (r *Room) open() {
	r.change(func() { r.post(Event{Type: RoomStarted}) })
}

// ID answers the room's identifier.
func (r *Room) ID() string { return r.id }

// CreatedAt is when the room was created; the PTS of its packets count from it.
func (r *Room) CreatedAt() time.Time { return r.created }

// Done is closed when the room has been closed.
func (r *Room) Done() <-chan struct{} { return r.done }

// Settings answers the settings and their version, which rises with each
// change. The metadata must not be written.
func (r *Room) Settings() (Settings, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings, r.settingsVer
}

// Update replaces the settings by what fn makes of them, while the room runs.
// ifVersion, if not 0, must be the version that is changed: else ErrVersion.
// An error of fn or of Validate changes nothing.
func (r *Room) Update(ifVersion uint64, fn func(Settings) (Settings, error)) error {
	for {
		old, version := r.Settings()
		if ifVersion != 0 && version != ifVersion {
			return ErrVersion
		}
		next, err := fn(old)
		if err != nil {
			return err
		}
		if err := next.Validate(); err != nil {
			return err
		}
		if done, err := r.apply(next, version); done || err != nil {
			return err
		}
	}
}

// apply sets the settings unless they were changed since version.
func (r *Room) apply(next Settings, version uint64) (done bool, err error) {
	r.change(func() {
		switch {
		case r.closed:
			err = ErrRoomClosed
		case r.settingsVer == version:
			if next.Layout != r.settings.Layout {
				l := next.Layout
				r.post(Event{Type: LayoutChanged, Layout: &l})
			}
			r.settings = next
			r.settingsVer++
			done = true
		}
	})
	return done, err
}

// change runs fn with the control state locked, swaps in the scene that
// follows from it, starts and stops loops as that needs, and then tells the
// events that fn has posted. It answers a fence, which returns when no loop
// sees an older scene any more.
func (r *Room) change(fn func()) (fence func()) {
	r.mu.Lock()
	audio, video, audioEnded, videoEnded := r.audio, r.video, r.audioEnded, r.videoEnded
	fn()
	r.scene.Store(r.buildScene())
	r.reconcile()
	r.wakeAudio()
	r.mu.Unlock()
	r.outbox.flush(r.rooms.cfg.OnEvent)
	return func() {
		if audio != nil {
			audio.fence.pass()
		}
		if video != nil {
			video.fence.pass()
		}
		wait(audioEnded) // a loop that was told to stop before may still be in its last tick
		wait(videoEnded)
	}
}

// wakeAudio ends the audio loop's rest. It never blocks.
func (r *Room) wakeAudio() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// wait waits for a loop to end, if there was one.
func wait(ended <-chan struct{}) {
	if ended != nil {
		<-ended
	}
}

// reconcile starts and stops the loops so that they run where somebody hears
// or sees them, with the configuration that the settings ask for, and the
// timer of an empty room. r.mu is held.
func (r *Room) reconcile() {
	sc := r.scene.Load()
	continuous := slices.ContainsFunc(r.subs, func(s *Subscription) bool { return s.cfg.Continuous })
	sounding := slices.ContainsFunc(sc.seats, func(s seat) bool { return s.voice != nil })
	wantAudio := !r.closed && (len(sc.audience) > 0 && (sounding || continuous) || len(sc.announcements) > 0)
	wantVideo := !r.closed && (len(sc.videoSubs) > 0 || r.watchers > 0)

	if r.audio != nil && (!wantAudio || r.audio.cfg != r.audioConfig()) {
		r.audio.stop()
		r.audioEnded, r.audio = r.audio.ended, nil
	}
	if r.video != nil && (!wantVideo || r.video.cfg != r.videoConfig()) {
		r.video.stop()
		r.videoEnded, r.video = r.video.ended, nil
	}
	if wantAudio && r.audio == nil {
		r.audio = startAudio(r, r.audioConfig(), r.audioEnded)
	}
	if wantVideo && r.video == nil {
		r.video = startVideo(r, r.videoConfig(), r.videoEnded)
	}
	r.watchEmpty()
}

// watchEmpty runs the empty timeout while nobody is in the room. r.mu is held.
func (r *Room) watchEmpty() {
	timeout := time.Duration(r.settings.EmptyTimeoutS) * time.Second
	switch {
	case r.closed || len(r.order) > 0 || timeout == 0:
		if r.emptyTimer != nil {
			r.emptyTimer.Stop()
			r.emptyTimer = nil
		}
	case r.emptyTimer == nil:
		r.emptyTimer = time.AfterFunc(timeout, r.closeIfEmpty)
	}
}

func (r *Room) closeIfEmpty() {
	r.mu.Lock()
	empty := len(r.order) == 0 && r.settings.EmptyTimeoutS > 0
	r.mu.Unlock()
	if empty {
		r.Close("empty")
	}
}

func (r *Room) audioConfig() audioConfig {
	channels := 1
	if r.settings.Audio.Stereo {
		channels = 2
	}
	return audioConfig{AudioEncoderConfig{Channels: channels, BitrateBPS: r.settings.Audio.BitrateBPS}}
}

func (r *Room) videoConfig() videoConfig {
	c, rung := r.settings.Canvas, r.settings.Renditions[0]
	background, _ := parseColour(c.Background)
	return videoConfig{
		VideoEncoderConfig{Codec: codec.VP8, Width: c.Width, Height: c.Height, FPS: c.FPS, BitrateBPS: rung.BitrateBPS},
		background,
	}
}

// Layout answers the layout and the tiles that it has now.
func (r *Room) Layout() (layout.Layout, []layout.Tile) {
	r.mu.Lock()
	cfg := r.videoConfig()
	r.mu.Unlock()
	sc := r.scene.Load()
	tiles, _ := sc.place(cfg, r.activeSpeaker(), nil)
	return sc.layout, tiles
}

// activeSpeaker answers who has the floor, or "".
func (r *Room) activeSpeaker() string {
	if p := r.speaker.Load(); p != nil {
		return *p
	}
	return ""
}

// Stats answers counters of the room since it began.
func (r *Room) Stats() Stats {
	s := r.count.stats()
	s.ActiveSpeaker = r.activeSpeaker()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Participants, s.Subscribers = len(r.order), len(r.subs)
	return s
}

// Close ends the room: everybody leaves, subscriptions end, room_finished.
// When it returns all of that has happened; it may be called again.
func (r *Room) Close(reason string) { r.end(reason, finish) }

// Drop is Close for a room that may not go on for a moment: nobody is waited
// for who has something to finish.
func (r *Room) Drop(reason string) { r.end(reason, closeAll) }

// Moved tells the room's clients that it goes on elsewhere.
func (r *Room) Moved(m Move) { r.emit(Event{Type: RoomMoved, Move: &m}) }

// end closes the room, and its subscriptions by how.
func (r *Room) end(reason string, how func([]*Subscription)) {
	var people []*Participant
	var subs []*Subscription
	first := false
	r.change(func() {
		first = !r.closed
		r.closed = true
		people, subs = slices.Clone(r.order), slices.Clone(r.subs)
	})
	if !first {
		<-r.done
		return
	}
	for _, p := range people {
		p.Leave(reason)
	}
	how(subs)
	r.mu.Lock()
	audioEnded, videoEnded := r.audioEnded, r.videoEnded
	r.mu.Unlock()
	wait(audioEnded)
	wait(videoEnded)
	r.endAnnouncements()
	r.canvas.set(nil)
	r.rooms.remove(r, r.Stats())
	r.emit(Event{Type: RoomFinished, Reason: reason})
	close(r.done)
}

func closeAll(subs []*Subscription) {
	for _, s := range subs {
		s.Close()
	}
}

// finishWithin is how long a room's end waits for those who finish.
const finishWithin = 5 * time.Second

// finish closes subscriptions and waits a while for those who have something
// to finish.
func finish(subs []*Subscription) {
	var wg sync.WaitGroup
	for _, s := range subs {
		s.Close()
		if s.cfg.Finish != nil {
			wg.Go(s.cfg.Finish)
		}
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	timer := time.NewTimer(finishWithin)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	}
}

// Snapshot answers the canvas as it is now; the caller releases it. In a room
// that nobody watches it lets the cameras decode for a moment.
func (r *Room) Snapshot(ctx context.Context) (*i420.Frame, error) {
	r.change(func() { r.watchers++ })
	defer func() { r.change(func() { r.watchers-- }) }()
	r.mu.Lock()
	loop := r.video
	r.mu.Unlock()
	if loop == nil {
		return nil, ErrRoomClosed
	}
	select {
	case <-loop.settled:
	case <-loop.ended:
		return nil, ErrRoomClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f := r.canvas.get(); f != nil {
		return f, nil
	}
	return nil, ErrRoomClosed
}

// post notes an event that change will tell. r.mu is held.
func (r *Room) post(e Event) {
	e.Room, e.Tenant, e.Time = r.id, r.tenant, time.Now()
	r.outbox.add(e)
}

// emit tells an event at once, after those that were posted before.
func (r *Room) emit(e Event) {
	r.post(e)
	r.outbox.flush(r.rooms.cfg.OnEvent)
}

// outbox keeps a room's events in order between the lock under which they
// happen and the call that tells them.
type outbox struct {
	mu      sync.Mutex
	pending []Event
	telling sync.Mutex // one teller at a time, so that the order holds
}

func (o *outbox) add(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending = append(o.pending, e)
}

func (o *outbox) flush(tell func(Event)) {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.mu.Lock()
	events := o.pending
	o.pending = nil
	o.mu.Unlock()
	if tell == nil {
		return
	}
	for _, e := range events {
		tell(e)
	}
}

// lastCanvas holds the newest composed canvas for snapshots.
type lastCanvas struct {
	mu    sync.Mutex
	frame *i420.Frame
}

// set takes over a reference to f, or none if it is nil.
func (l *lastCanvas) set(f *i420.Frame) {
	l.mu.Lock()
	old := l.frame
	l.frame = f
	l.mu.Unlock()
	if old != nil {
		old.Release()
	}
}

// get answers the canvas with a reference for the caller, or nil.
func (l *lastCanvas) get() *i420.Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frame == nil {
		return nil
	}
	return l.frame.Retain()
}
