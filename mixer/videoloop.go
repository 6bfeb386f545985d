package mixer

import (
	"context"
	"image"
	"slices"
	"time"

	"tutti/mixer/layout"
	"tutti/mixer/video"
)

// The video loop's times.
const (
	// stillEvery is how often a canvas that does not change is encoded again, so
	// that what was lost is repaired and players see that the stream lives.
	stillEvery = time.Second
	// settleAfter is how long a snapshot waits for the cameras' first pictures.
	settleAfter = time.Second
)

// size answers the canvas in pixels.
func (v videoConfig) size() image.Point { return image.Pt(v.Width, v.Height) }

// frameTime answers when frame n is due, since the room's epoch. Counting
// frames and not adding durations keeps the clock from drifting.
func (v videoConfig) frameTime(n int64) time.Duration {
	return time.Duration(n * int64(time.Second) / int64(v.FPS))
}

// videoLoop is the shell around videoCore: it owns the timer.
type videoLoop struct {
	cfg     videoConfig
	fence   fence
	stop    context.CancelFunc
	ended   chan struct{}
	settled chan struct{} // closed when every visible camera has given its first picture, or was waited for
}

// startVideo starts a loop as soon as the one before has ended.
func startVideo(r *Room, cfg videoConfig, before <-chan struct{}) *videoLoop {
	ctx, stop := context.WithCancel(context.Background())
	l := &videoLoop{cfg: cfg, stop: stop, ended: make(chan struct{}), settled: make(chan struct{})}
	go func() {
		defer close(l.ended)
		wait(before)
		l.run(ctx, r)
	}()
	return l
}

func (l *videoLoop) run(ctx context.Context, r *Room) {
	core := newVideoCore(r, l.cfg)
	defer func() {
		l.fence.mu.Lock()
		defer l.fence.mu.Unlock()
		core.close(r.scene.Load())
	}()
	frame := int64(time.Since(r.created))*int64(l.cfg.FPS)/int64(time.Second) + 1
	timer := time.NewTimer(0)
	defer timer.Stop()
	started := time.Now()
	settled := false
	for {
		timer.Reset(time.Until(r.created.Add(l.cfg.frameTime(frame))))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		l.fence.mu.Lock()
		core.tick(now, r.scene.Load(), l.cfg.frameTime(frame))
		l.fence.mu.Unlock()
		if !settled && (core.complete() || now.Sub(started) > settleAfter) {
			settled = true
			close(l.settled)
		}
		// What was missed is skipped, never caught up.
		frame = max(frame, int64(time.Since(r.created))*int64(l.cfg.FPS)/int64(time.Second)) + 1
	}
}

// camera is the video loop's own state of one participant.
type camera struct {
	in      VideoIn
	shown   layout.Tile // as last asked of in; the zero value: hidden
	picture bool        // the tile shows a picture, not the placeholder
	newest  time.Time   // when the last picture came
}

// show asks the camera for pictures of its tile, or hides it.
func (c *camera) show(t layout.Tile) {
	size := t.Rect.Size()
	if c.shown.Rect.Size() == size && c.shown.Fit == t.Fit {
		return
	}
	c.shown = t
	c.in.Show(size.X, size.Y, t.Fit)
}

// videoCore composes; owned by the video loop.
type videoCore struct {
	room    *Room
	cfg     videoConfig
	canvas  *video.Compositor
	rung    *rung
	version uint64 // of the scene last seen
	speaker string // as last placed
	seats   []layout.Seat
	tiles   []video.Tile
	visible []*camera     // in the order of tiles; nil without a picture to show
	voices  []*voice      // likewise; nil without sound
	encoded time.Duration // PTS of the last frame given to the rung
}

func newVideoCore(r *Room, cfg videoConfig) *videoCore {
	return &videoCore{
		room: r, cfg: cfg,
		canvas: video.New(video.Config{
			Canvas: cfg.size(), Background: cfg.background,
			Painter: r.rooms.painter, Scale: r.rooms.cfg.Scale, Pool: &r.rooms.frames,
		}),
		encoded: -stillEvery,
	}
}

func (c *videoCore) close(sc *scene) {
	if c.rung != nil {
		c.rung.close()
	}
	c.hide(sc, c.visible, nil)
	c.canvas.Close()
	c.room.canvas.set(nil)
}

// tick composes the canvas of pts from what the cameras have at now.
func (c *videoCore) tick(now time.Time, sc *scene, pts time.Duration) {
	if speaker := c.room.activeSpeaker(); sc.version != c.version || speaker != c.speaker {
		c.version, c.speaker = sc.version, speaker
		c.place(sc)
		c.adjust(sc)
	}
	c.mark()
	c.take(now)
	frame, changed := c.canvas.Compose()
	c.room.canvas.set(frame.Retain())
	if changed {
		c.room.count.videoFrames.Add(1)
	}
	if c.rung != nil && (changed || c.rung.wanted(sc) || pts-c.encoded >= stillEvery) {
		c.encoded = pts
		c.rung.offer(frame, pts)
		return
	}
	frame.Release()
}

// place puts the seats on the canvas, and tells the cameras.
func (c *videoCore) place(sc *scene) {
	tiles, seats := sc.place(c.cfg, c.speaker, c.seats)
	c.seats = seats
	before := c.visible
	c.tiles, c.visible, c.voices = c.tiles[:0], nil, c.voices[:0]
	for _, t := range tiles {
		s := &sc.seats[slices.IndexFunc(sc.seats, func(s seat) bool { return s.id == t.Seat })]
		c.tiles = append(c.tiles, video.Tile{Tile: t, Name: s.name, Muted: s.muted})
		c.voices = append(c.voices, s.voice)
		var cam *camera
		if s.camera != nil && !s.dark {
			cam = s.camera
			cam.show(t)
		}
		c.visible = append(c.visible, cam)
	}
	c.hide(sc, before, c.visible)
}

// hide hides those of before that are not in now. Who has left the scene is
// not touched: after Leave its input belongs to its transport alone.
func (c *videoCore) hide(sc *scene, before, now []*camera) {
	for _, cam := range before {
		if cam == nil || slices.Contains(now, cam) {
			continue
		}
		cam.picture = false
		if slices.ContainsFunc(sc.seats, func(s seat) bool { return s.camera == cam }) {
			cam.show(layout.Tile{})
		}
	}
}

// adjust starts and stops the encoder with its first and last subscriber.
func (c *videoCore) adjust(sc *scene) {
	switch {
	case c.rung == nil && len(sc.videoSubs) > 0:
		c.rung = startRung(c.room, c.cfg)
	case c.rung != nil && len(sc.videoSubs) == 0:
		c.rung.close()
		c.rung = nil
	}
}

// mark gives whoever speaks a border.
func (c *videoCore) mark() {
	for i, v := range c.voices {
		c.tiles[i].Speaking = v != nil && v.speaking.Load()
	}
	c.canvas.SetTiles(c.tiles)
}

// take moves the cameras' newest pictures to the canvas. A camera that has
// sent none for a while gives way to the name.
func (c *videoCore) take(now time.Time) {
	for i, cam := range c.visible {
		seat := c.tiles[i].Seat
		if cam == nil {
			c.canvas.Update(seat, nil)
			continue
		}
		if f := cam.in.Latest(now); f != nil {
			cam.newest, cam.picture = now, true
			c.room.count.pictures.Add(1)
			c.canvas.Update(seat, f)
			continue
		}
		if cam.picture && now.Sub(cam.newest) >= c.room.rooms.cfg.StaleAfter {
			cam.picture = false
			c.canvas.Update(seat, nil)
		}
	}
}

// complete reports whether every visible camera has given a picture.
func (c *videoCore) complete() bool {
	return !slices.ContainsFunc(c.visible, func(cam *camera) bool { return cam != nil && !cam.picture })
}
