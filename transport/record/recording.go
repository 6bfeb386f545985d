package record

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm"
)

// maxGaps bounds what a recording lists; what comes after lengthens the last.
const maxGaps = 500

// keyFrameEvery is how often a key frame is asked for again, by the room's time.
const keyFrameEvery = time.Second

// recording is one recording, running or over.
type recording struct {
	m   *Manager
	dir string // {room}/{recording}, below the root

	// Of a running one; done is nil for one that was read from disk.
	room     room
	sub      subscription
	queue    *webm.Queue
	channels int
	segment  time.Duration
	first    chan struct{} // closed when the first frame was taken
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}

	// Owned by the goroutine of run.
	line  *webm.Timeline
	seg   *segment
	files []File        // those that are closed
	next  int           // number of the next file, from 1
	asked time.Duration // PTS at which a key frame was asked for
	left  bool          // unsubscribed

	// Of one that goes on from another node: what was before, and why it moved.
	before    time.Duration // the 0 of line on the recording's timeline
	continued string        // reason of the gap; empty for one that began here
	since     time.Time     // when it came
	earlier   []File        // those that were here before
	// cutElsewhere is how much was cut out before, in seconds, that the index does
	// not list.
	cutElsewhere float64

	abandoned atomic.Bool // nothing is written any more
	handed    atomic.Bool // it goes on elsewhere

	mu   sync.Mutex
	info Info
}

func newRecording(m *Manager, rm room, o Options, stereo bool) *recording {
	id := newID(time.Now())
	settings, _ := rm.Settings()
	r := &recording{
		m: m, dir: path.Join(rm.ID(), id), room: rm,
		queue:    webm.NewQueue(m.cfg.QueueBytes, !o.AudioOnly, webm.DropVideo),
		channels: 1, next: 1,
		segment: time.Duration(o.SegmentS) * time.Second,
		first:   make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
		line: webm.NewTimeline(!o.AudioOnly, 0),
		info: Info{
			ID: id, Room: rm.ID(), Tenant: settings.Tenant, State: Starting, Format: o.Format, Rendition: o.Rendition,
			AudioOnly: o.AudioOnly, Files: []File{}, Gaps: []Gap{}, Node: m.cfg.Node,
		},
	}
	if stereo {
		r.channels = 2
	}
	return r
}

// Info answers the recording as it is now; the caller may keep it.
func (r *recording) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info.clone()
}

func (i Info) clone() Info {
	i.Files, i.Gaps = slices.Clone(i.Files), slices.Clone(i.Gaps)
	return i
}

func (r *recording) update(fn func(*Info)) {
	r.mu.Lock()
	fn(&r.info)
	r.mu.Unlock()
}

// awaitFirst waits until the recording has begun, or takes it back.
func (r *recording) awaitFirst(ctx context.Context) (Info, error) {
	timer := time.NewTimer(r.m.cfg.StartTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-r.first:
		return r.Info(), nil
	case <-r.done:
		if i := r.Info(); i.Error != "" {
			return Info{}, failed(i.Error, nil)
		}
		return Info{}, mixer.ErrRoomClosed
	case <-timer.C:
		err = failed("no picture came in time", nil)
	case <-ctx.Done():
		err = failed("start was given up", ctx.Err())
	}
	r.stopNow()
	return Info{}, err
}

func (r *recording) stopNow() { r.stopOnce.Do(func() { close(r.stop) }) }

func (r *recording) setPaused(s State) (Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.info.State == s:
	case s == Paused && r.info.State == Active && r.queue.Pause(),
		s == Active && r.info.State == Paused && r.queue.Resume():
		r.info.State = s
	default:
		return Info{}, ErrInvalidState
	}
	return r.info.clone(), nil
}

// end ends the recording and waits until its file is complete.
func (r *recording) end(ctx context.Context) (Info, error) {
	if r.done == nil || isClosed(r.done) {
		return Info{}, ErrInvalidState
	}
	r.stopNow()
	select {
	case <-r.done:
	case <-ctx.Done():
		return Info{}, failed("the disk did not take the rest in time", ctx.Err())
	}
	i := r.Info()
	if i.State == Failed {
		return i, failed(i.Error, nil)
	}
	return i, nil
}

// run writes until the room closes, the recording is ended or the disk fails.
func (r *recording) run() {
	defer close(r.done)
	err := r.loop()
	r.unsubscribe()
	if r.abandoned.Load() {
		r.desert()
		return
	}
	r.finish(err)
}

func (r *recording) unsubscribe() {
	if !r.left {
		r.left = true
		r.sub.Close()
	}
}

func (r *recording) loop() error {
	roomDone, stop := r.room.Done(), r.stop
	for ending := false; ; {
		select {
		case <-stop:
			ending = true
		case <-roomDone:
			ending = true
		default:
		}
		if ending && stop != nil {
			stop, roomDone = nil, nil
			r.update(func(i *Info) { i.State = Ending })
			r.unsubscribe() // what was written until now is still taken
		}
		e, ok := r.queue.Pop()
		switch {
		case r.abandoned.Load():
			return nil
		case ok:
			if err := r.take(e); err != nil {
				return err
			}
		case ending:
			return nil
		default:
			select {
			case <-r.queue.Ready():
			case <-stop:
			case <-roomDone:
			}
		}
	}
}

// take puts an entry of the queue on the timeline and writes what is due.
func (r *recording) take(e webm.Entry) error {
	changed := r.lost(e)
	switch {
	case e.Mark == webm.Paused:
		r.line.Pause()
		if err := r.drain(); err != nil {
			return err
		}
		changed = true
	case e.Mark == webm.Resumed:
		r.sub.RequestKeyFrame()
		changed = true
	case e.Packet != nil:
		if err := r.supported(e.Packet); err != nil {
			return err
		}
		offset := r.line.End()
		if cut := r.line.Push(e.Packet); cut > 0 {
			r.gap(offset, cut, GapPaused)
			changed = true
		}
		if err := r.drain(); err != nil {
			return err
		}
		r.askKeyFrame(e.Packet.PTS)
	}
	if changed && r.begun() {
		r.saveIndex()
		r.m.tell(mixer.RecordingUpdated, r.Info())
	}
	return nil
}

func (r *recording) supported(p *codec.Packet) error {
	if p.Kind == codec.Video && p.Codec != codec.VP8 || p.Kind == codec.Audio && p.Codec != codec.Opus {
		return &Error{code: ErrFormat.code, text: "no " + string(p.Codec) + " in a " + r.info.Format + " file"}
	}
	return nil
}

// lost lists what the queue had to drop.
func (r *recording) lost(e webm.Entry) bool {
	if e.Lost <= 0 || !r.begun() {
		return false
	}
	reason := GapVideo
	if r.info.AudioOnly || e.Packet != nil && e.Packet.Kind == codec.Audio {
		reason = GapAudio
	}
	r.gap(r.line.At(e.LostFrom), e.Lost, reason)
	return true
}

func (r *recording) gap(offset, d time.Duration, reason string) {
	r.update(func(i *Info) {
		if n := len(i.Gaps); n >= maxGaps {
			last := &i.Gaps[n-1]
			last.DurationS += d.Seconds()
			return
		}
		i.Gaps = append(i.Gaps, Gap{(r.before + offset).Seconds(), d.Seconds(), reason})
	})
	if reason == GapPaused {
		return // as it was asked for
	}
	r.m.cfg.Logger.Warn("recording has a gap", "room", r.info.Room, "recording", r.info.ID,
		"reason", reason, "offset", offset, "duration", d)
}

// askKeyFrame asks for one, once a second, where there is need: pictures were
// dropped, the next file is due, or a pause is over.
func (r *recording) askKeyFrame(pts time.Duration) {
	if r.info.AudioOnly {
		return
	}
	due := r.seg != nil && r.segment > 0 && r.line.End()-r.seg.from >= r.segment
	if !due && !r.queue.WantsKeyFrame() && !r.line.Joining() {
		return
	}
	if r.asked == 0 || pts-r.asked >= keyFrameEvery {
		r.asked = pts
		r.sub.RequestKeyFrame()
	}
}

func (r *recording) begun() bool { return isClosed(r.first) }

// drain writes what the timeline hands out.
func (r *recording) drain() error {
	for {
		p, at, ok := r.line.Next()
		if !ok {
			return nil
		}
		if err := r.write(p, at); err != nil {
			return err
		}
	}
}

func (r *recording) write(p *codec.Packet, at time.Duration) error {
	if r.seg == nil || r.nextFile(p, at) {
		if err := r.openSegment(p, at); err != nil {
			return err
		}
	}
	if at < r.seg.from {
		return nil // came too late for its file
	}
	grown, err := r.seg.write(p, at, r.m.cfg.SyncEvery)
	if err != nil {
		return err
	}
	if grown {
		r.publish()
	}
	if !r.begun() {
		r.begin(p)
	}
	return nil
}

// nextFile reports whether p begins a new file.
func (r *recording) nextFile(p *codec.Packet, at time.Duration) bool {
	if r.info.AudioOnly {
		return r.segment > 0 && at-r.seg.from >= r.segment
	}
	if p.Kind != codec.Video || !p.KeyFrame {
		return false
	}
	return p.Width != r.seg.width || p.Height != r.seg.height ||
		r.segment > 0 && at-r.seg.from >= r.segment
}

func (r *recording) openSegment(p *codec.Packet, at time.Duration) error {
	if err := r.closeSegment(); err != nil {
		return err
	}
	s, err := r.newSegment(p, at)
	if err != nil {
		return err
	}
	next := r.seg != nil
	r.seg = s
	r.publish()
	if next {
		r.saveIndex()
		r.m.tell(mixer.RecordingUpdated, r.Info())
	}
	return nil
}

// begin is called with the first packet that was taken.
func (r *recording) begin(p *codec.Packet) {
	if r.continued != "" {
		r.resumed(r.room.CreatedAt().Add(p.PTS))
		return
	}
	r.update(func(i *Info) {
		i.StartedAt = r.room.CreatedAt().Add(p.PTS)
		if i.State == Starting {
			i.State = Active
		}
	})
	r.saveIndex()
	r.m.tell(mixer.RecordingStarted, r.Info())
	close(r.first)
}

// publish brings the sizes in info up to date.
func (r *recording) publish() {
	files := slices.Concat(r.earlier, r.files)
	if r.seg != nil && !r.seg.closed {
		files = append(files, r.seg.info())
	}
	r.update(func(i *Info) { i.setFiles(files) })
}

func (i *Info) setFiles(files []File) {
	i.Files, i.Bytes, i.DurationS = files, 0, i.EarlierS
	for _, f := range files {
		i.Bytes += f.Bytes
		i.DurationS += f.DurationS
	}
}

// finish completes the file, the index and the state.
func (r *recording) finish(err error) {
	if err == nil {
		r.line.Pause()
		err = r.drain()
	}
	if cerr := r.closeSegment(); err == nil {
		err = cerr
	}
	r.publish()
	r.settle()
	if !r.begun() && len(r.earlier) == 0 {
		r.update(func(i *Info) { i.State, i.Error = Failed, text(err) })
		r.m.forget(r)
		return
	}
	if r.handed.Load() && err == nil {
		r.handOver()
		return
	}
	now := time.Now()
	r.update(func(i *Info) {
		i.State, i.EndedAt = Complete, &now
		if err != nil {
			i.State, i.Error = Failed, text(err)
		}
	})
	if err != nil {
		r.m.cfg.Logger.Error("recording failed", "room", r.info.Room, "recording", r.info.ID, "error", text(err))
	}
	r.saveIndex()
	r.m.tell(mixer.RecordingEnded, r.Info())
}

func (r *recording) saveIndex() {
	if r.abandoned.Load() {
		return
	}
	if err := saveIndex(r.m.root, r.dir, r.Info()); err != nil {
		r.m.cfg.Logger.Error("recording index not written", "room", r.info.Room, "recording", r.info.ID, "error", plain(err))
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.text
	}
	return plain(err).Error()
}
