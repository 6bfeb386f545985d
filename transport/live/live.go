// Package live streams a room's mix over one progressive response: an endless
// WebM of short clusters that any player opens by its address.
//
// A reader is a subscriber like any other and hurts only itself: what it does
// not take waits in a bounded queue; when that is full all of it is thrown
// away and the stream goes on with the next key frame, at the present; its
// clock stands still meanwhile. While nobody publishes the empty canvas and
// silence are sent, since a player would wait through a hole. Who takes nothing for StallTimeout is ended. The stream begins with a key frame,
// so that it can be shown at once.
//
// A change of the picture's size goes on in the same stream: each VP8 key
// frame carries its own (RFC 6386, section 9.1).
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm"
)

// Clusters of a stream are short, and pictures are waited for less long than
// in a file: what a viewer waits for grows by both.
const (
	cluster = 200 * time.Millisecond
	window  = 150 * time.Millisecond
	// piece is what must be taken within StallTimeout.
	piece = 16 << 10
	// keyFrameEvery is how often a key frame is asked for again.
	keyFrameEvery = time.Second
)

// ErrStalled ends a stream whose reader takes nothing.
var ErrStalled = errors.New("live: the reader takes nothing")

// Config is how streams are sent. Zero values stand for the defaults.
type Config struct {
	// QueueBytes bounds what waits for a slow reader; 0 for 2 MiB, which is some
	// 10 s at 1.5 Mbit/s. More bridges longer stalls, and lags more after them.
	QueueBytes int
	// StallTimeout is how long a reader may take nothing; 0 for 8 s.
	StallTimeout time.Duration
}

// Streams serves live streams. It may be used from any goroutine.
type Streams struct{ cfg Config }

// New answers a server of live streams.
func New(cfg Config) *Streams {
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 2 << 20
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = 8 * time.Second
	}
	return &Streams{cfg}
}

// room is what a stream needs of a room.
type room interface {
	Settings() (mixer.Settings, uint64)
	Done() <-chan struct{}
	subscribe(mixer.SubscribeConfig) (subscription, error)
}

// subscription is what a stream needs of its place in a room.
type subscription interface {
	RequestKeyFrame()
	Close()
}

// mixed is a mixer's room.
type mixed struct{ *mixer.Room }

func (m mixed) subscribe(c mixer.SubscribeConfig) (subscription, error) {
	s, err := m.Subscribe(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stream writes the room's mix to w and calls flush, which may be nil, after
// every cluster. It answers nil when the room was closed, the context's error
// when that ended, and the write's error or ErrStalled when the reader went
// away or stood still. Nothing is written before the first key frame.
//
// A reader that stands still can be ended only where w takes a deadline: an
// http.ResponseWriter that http.ResponseController understands, or a writer
// with SetWriteDeadline. Any other must return from Write by itself.
func (s *Streams) Stream(ctx context.Context, r *mixer.Room, w io.Writer, flush func()) error {
	return s.stream(ctx, mixed{r}, w, flush)
}

func (s *Streams) stream(ctx context.Context, r room, w io.Writer, flush func()) error {
	settings, _ := r.Settings()
	t := &stream{
		queue:    webm.NewQueue(s.cfg.QueueBytes, true, webm.DropAll),
		line:     webm.NewTimeline(true, window),
		out:      &patient{w: w, deadline: deadlineOf(w), timeout: s.cfg.StallTimeout},
		flush:    flush,
		channels: 1,
	}
	if settings.Audio.Stereo {
		t.channels = 2
	}
	sub, err := r.subscribe(mixer.SubscribeConfig{Sink: t.queue, Audio: true, Video: true, Continuous: true})
	if err != nil {
		return fmt.Errorf("live: subscribe: %w", err)
	}
	defer sub.Close()
	defer t.out.done()
	t.sub = sub
	if err := t.run(ctx, r.Done()); err != nil {
		return fmt.Errorf("live: %w", err)
	}
	return nil
}

// stream is one stream; it belongs to the goroutine of its request.
type stream struct {
	queue    *webm.Queue
	line     *webm.Timeline
	sub      subscription
	out      *patient
	w        *webm.Writer // nil before the first key frame
	flush    func()
	channels int
	asked    time.Duration
}

func (t *stream) run(ctx context.Context, roomDone <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-roomDone:
			return t.finish()
		default:
		}
		e, ok := t.queue.Pop()
		if !ok {
			select {
			case <-t.queue.Ready():
			case <-ctx.Done():
			case <-roomDone:
			}
			continue
		}
		if err := t.take(e); err != nil {
			return err
		}
	}
}

// take puts an entry of the queue on the timeline and writes what is due. What
// was thrown away is cut out: a player would wait for as long as the hole is.
func (t *stream) take(e webm.Entry) error {
	if e.Mark == webm.Cleared {
		t.line.Pause()
		return t.drain()
	}
	t.line.Push(e.Packet)
	if err := t.drain(); err != nil {
		return err
	}
	t.askKeyFrame(e.Packet.PTS)
	return nil
}

// askKeyFrame asks for one, once a second, where the stream waits for one.
func (t *stream) askKeyFrame(pts time.Duration) {
	if !t.queue.WantsKeyFrame() && !t.line.Joining() {
		return
	}
	if t.asked == 0 || pts-t.asked >= keyFrameEvery {
		t.asked = pts
		t.sub.RequestKeyFrame()
	}
}

func (t *stream) drain() error {
	for {
		p, at, ok := t.line.Next()
		if !ok {
			return nil
		}
		if err := t.write(p, at); err != nil {
			return err
		}
	}
}

func (t *stream) write(p *codec.Packet, at time.Duration) error {
	if t.w == nil {
		var err error
		t.w, err = webm.NewStream(t.out, webm.Config{
			Width: p.Width, Height: p.Height, Channels: t.channels, MaxCluster: cluster,
		})
		if err != nil {
			return err
		}
	}
	had := t.w.Bytes()
	if err := t.w.Write(p, at); err != nil {
		return err
	}
	if t.w.Bytes() != had {
		t.flushed()
	}
	return nil
}

// finish writes what waits: the room has been closed.
func (t *stream) finish() error {
	for {
		e, ok := t.queue.Pop()
		if !ok {
			break
		}
		if err := t.take(e); err != nil {
			return err
		}
	}
	t.line.Pause()
	if err := t.drain(); err != nil || t.w == nil {
		return err
	}
	err := t.w.Close()
	t.flushed()
	return err
}

func (t *stream) flushed() {
	if t.flush != nil {
		t.out.extend()
		t.flush()
	}
}

// patient writes in pieces and gives each its own deadline, so that only who
// stands still is ended, and not who is slow.
type patient struct {
	w        io.Writer
	deadline func(time.Time) error // nil where w takes none
	timeout  time.Duration
}

func deadlineOf(w io.Writer) func(time.Time) error {
	switch v := w.(type) {
	case interface{ SetWriteDeadline(time.Time) error }:
		return v.SetWriteDeadline
	case http.ResponseWriter:
		return http.NewResponseController(v).SetWriteDeadline
	}
	return nil
}

func (p *patient) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		p.extend()
		m, err := p.w.Write(b[n:min(n+piece, len(b))])
		n += m
		if err != nil {
			return n, stalled(err)
		}
	}
	return n, nil
}

func (p *patient) extend() {
	if p.deadline != nil {
		_ = p.deadline(time.Now().Add(p.timeout)) // one that takes none has none
	}
}

func (p *patient) done() {
	if p.deadline != nil {
		_ = p.deadline(time.Time{})
	}
}

func stalled(err error) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return err
}
