package rtc

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/transport/jitter"
)

const (
	// frameQueue is how many whole frames wait for the decoder.
	frameQueue = 4
	// askEvery is the least time between two requests for a key frame.
	askEvery = 500 * time.Millisecond
	// redrawAfter is how long a change of the tile's size waits for a new frame
	// before the last picture is drawn again.
	redrawAfter = 50 * time.Millisecond
)

// videoIn is a camera: frames are assembled as packets come, the decode
// goroutine turns them into pictures of the tile's size, the video loop takes
// the newest.
type videoIn struct {
	newDecoder func() (VideoDecoder, error)
	pool       *i420.Pool
	ask        func() // sends a request for a key frame

	target atomic.Uint64 // the tile, see packTile; 0: hidden
	wake   chan struct{} // the tile has changed
	mail   atomic.Pointer[i420.Frame]
	size   atomic.Uint64 // of the newest key frame, width<<32 | height
	rate   meter         // frames

	refused, asked atomic.Uint64
	askMu          sync.Mutex
	askedAt        time.Time

	frames chan *frameCopy // closed when nothing is pushed any more
	free   chan *frameCopy

	// owned by push
	asm   *jitter.Assembler
	stale bool // frames are missing until the next key frame

	// owned by the decode goroutine
	dec   VideoDecoder // nil while hidden
	keyed bool         // dec has had a key frame
	drawn uint64       // the tile of the newest picture
}

// frameCopy is one frame on its way to the decoder.
type frameCopy struct {
	data []byte
	key  bool
}

func newVideoIn(cfg Config, ask func()) *videoIn {
	v := &videoIn{
		newDecoder: func() (VideoDecoder, error) {
			return cfg.Codecs.NewVideoDecoder(cfg.MaxVideoWidth, cfg.MaxVideoHeight)
		},
		pool: cfg.Pool, ask: ask, wake: make(chan struct{}, 1),
		frames: make(chan *frameCopy, frameQueue), free: make(chan *frameCopy, frameQueue+1),
		asm: jitter.NewAssembler(jitter.AssemblerConfig{}),
	}
	for range frameQueue + 1 { // one more is at the decoder
		v.free <- new(frameCopy)
	}
	return v
}

// packTile puts a tile's size and fit in one word, 0 for none.
func packTile(width, height int, fit i420.Fit) uint64 {
	if width <= 0 || height <= 0 {
		return 0
	}
	return uint64(width)<<32 | uint64(height)<<8 | uint64(fit)
}

func unpackTile(t uint64) (width, height int, fit i420.Fit) {
	return int(t >> 32), int(t >> 8 & 0xffffff), i420.Fit(t & 0xff)
}

// Show asks for pictures of that size from now on.
func (v *videoIn) Show(width, height int, fit i420.Fit) {
	t := packTile(width, height, fit)
	if v.target.Swap(t) == t {
		return
	}
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Latest answers the newest picture not yet taken.
func (v *videoIn) Latest(time.Time) *i420.Frame { return v.mail.Swap(nil) }

// Info describes what comes in.
func (v *videoIn) Info() mixer.VideoInfo {
	s := v.size.Load()
	if s == 0 {
		return mixer.VideoInfo{}
	}
	fps := v.rate.perSecond(time.Now())
	return mixer.VideoInfo{Codec: codec.VP8, Width: int(s >> 32), Height: int(s & 0xffffffff), FPS: float64(fps)}
}

// push takes a packet as it comes, one at a time.
func (v *videoIn) push(now time.Time, p *rtp.Packet) {
	if len(p.Payload) == 0 {
		return // padding alone, a probe
	}
	v.asm.Push(now, p)
	for f, ok := v.asm.Pop(now); ok; f, ok = v.asm.Pop(now) {
		v.deliver(now, f)
	}
	if v.asm.NeedKeyFrame() || v.stale && v.target.Load() != 0 {
		v.requestKeyFrame(now)
	}
}

// deliver queues a whole frame for the decoder, if anybody looks.
func (v *videoIn) deliver(now time.Time, f jitter.Frame) {
	v.rate.add(now, 1)
	if f.KeyFrame && len(f.Data) >= 10 { // RFC 6386, section 9.1
		w := uint64(f.Data[6]) | uint64(f.Data[7]&0x3f)<<8
		h := uint64(f.Data[8]) | uint64(f.Data[9]&0x3f)<<8
		v.size.Store(w<<32 | h)
	}
	if v.target.Load() == 0 {
		v.stale = true
		return
	}
	if v.stale && !f.KeyFrame {
		return
	}
	select {
	case c := <-v.free:
		c.data, c.key = append(c.data[:0], f.Data...), f.KeyFrame
		v.stale = false
		v.frames <- c // never blocks: there are only as many copies as it holds
	default:
		v.stale = true
	}
}

// requestKeyFrame asks the sender, at most once in askEvery.
func (v *videoIn) requestKeyFrame(now time.Time) {
	v.askMu.Lock()
	early := !v.askedAt.IsZero() && now.Sub(v.askedAt) < askEvery
	if !early {
		v.askedAt = now
	}
	v.askMu.Unlock()
	if !early {
		v.asked.Add(1)
		v.ask()
	}
}

// decodeAll is the decode goroutine: it ends when frames is closed.
func (v *videoIn) decodeAll() {
	redraw := time.NewTimer(time.Hour)
	redraw.Stop()
	defer redraw.Stop()
	defer v.hide()
	v.retarget(redraw) // the room may have asked before the track came
	for {
		select {
		case c, ok := <-v.frames:
			if !ok {
				return
			}
			v.decode(c)
			v.free <- c
		case <-v.wake:
			v.retarget(redraw)
		case <-redraw.C:
			v.redraw()
		}
	}
}

// retarget follows a change of the tile.
func (v *videoIn) retarget(redraw *time.Timer) {
	switch t := v.target.Load(); {
	case t == 0:
		v.hide()
	case v.dec == nil:
		v.requestKeyFrame(time.Now())
	case t != v.drawn:
		redraw.Reset(redrawAfter)
	}
}

// hide gives up the decoder and the picture that nobody took.
func (v *videoIn) hide() {
	if v.dec != nil {
		v.dec.Close()
	}
	v.dec, v.keyed, v.drawn = nil, false, 0
	v.post(nil)
}

// post puts a picture in the mailbox in place of the one before.
func (v *videoIn) post(f *i420.Frame) {
	if old := v.mail.Swap(f); old != nil {
		old.Release()
	}
}

// decode turns one frame into a picture of the tile's size.
func (v *videoIn) decode(c *frameCopy) {
	t := v.target.Load()
	if t == 0 {
		return
	}
	if !v.keyed && !c.key {
		v.requestKeyFrame(time.Now())
		return
	}
	if v.dec == nil {
		var err error
		if v.dec, err = v.newDecoder(); err != nil {
			v.refuse()
			return
		}
	}
	if len(v.frames) > 0 { // a newer one waits: this is only for reference
		v.settle(v.dec.Decode(c.data))
		return
	}
	v.settle(v.draw(t, func(dst *i420.Frame, fit i420.Fit) error { return v.dec.DecodeInto(c.data, dst, fit) }))
}

// draw has a picture of the tile's size filled and posts it.
func (v *videoIn) draw(t uint64, fill func(*i420.Frame, i420.Fit) error) error {
	w, h, fit := unpackTile(t)
	dst := v.pool.Get(w, h)
	posted := false
	defer func() { // also where the decoder panics
		if !posted {
			dst.Release()
		}
	}()
	if err := fill(dst, fit); err != nil {
		return err
	}
	posted = true
	v.drawn = t
	v.post(dst)
	return nil
}

// settle draws the consequences of a decoder's answer.
func (v *videoIn) settle(err error) {
	if err == nil || errors.Is(err, ErrNoPicture) {
		v.keyed = true
		return
	}
	v.refuse()
}

// refuse counts a frame that was not decoded and asks for a new beginning.
func (v *videoIn) refuse() {
	v.refused.Add(1)
	v.keyed = false
	v.requestKeyFrame(time.Now())
}

// redraw draws the last picture once more where the tile's size has changed
// and no new frame came.
func (v *videoIn) redraw() {
	t := v.target.Load()
	if t == 0 || t == v.drawn || v.dec == nil || !v.keyed {
		return
	}
	_ = v.draw(t, v.dec.Picture) // the next frame will do
}
