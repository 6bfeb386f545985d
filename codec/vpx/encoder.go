package vpx

/*
#include "shim.h"
#cgo noescape tutti_vpx_encoder_wait
#cgo nocallback tutti_vpx_encoder_start
#cgo nocallback tutti_vpx_encoder_wait
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/yuv"
)

// EncoderConfig says what an encoder makes.
type EncoderConfig struct {
	// Width and Height are the size in pixels, even, 16 to 16382.
	Width, Height int
	// FPS is the nominal number of frames a second, 1 to 120. The rate control
	// follows the real one from the frames' times.
	FPS int
	// BitrateBPS is the rate to keep to, in bit/s, at least 1000.
	BitrateBPS int
	// Speed trades quality for CPU, from -1 (best) to -16 (fastest); 0 means the
	// default, -8 (half the CPU of -4 for 0.3 dB at 720p).
	Speed int
	// Threads is how many threads the library may use; 0 means 1. Two cost a
	// fifth more CPU and gain no time at 720p.
	Threads int
}

const defaultSpeed = -8

func (c *EncoderConfig) check() error {
	if c.Width < 16 || c.Width > maxSide || c.Height < 16 || c.Height > maxSide || (c.Width|c.Height)&1 != 0 {
		return fmt.Errorf("%w: size %dx%d", ErrConfig, c.Width, c.Height)
	}
	if c.Speed < -16 || c.Speed > 0 {
		return fmt.Errorf("%w: speed %d", ErrConfig, c.Speed)
	}
	if c.Threads < 0 || c.Threads > maxThreads {
		return fmt.Errorf("%w: %d threads", ErrConfig, c.Threads)
	}
	return checkRate(c.BitrateBPS, c.FPS)
}

func checkRate(bitrateBPS, fps int) error {
	if bitrateBPS < 1000 || bitrateBPS > 1e9 {
		return fmt.Errorf("%w: %d bit/s", ErrConfig, bitrateBPS)
	}
	if fps < 1 || fps > 120 {
		return fmt.Errorf("%w: %d frames a second", ErrConfig, fps)
	}
	return nil
}

// maxIntraPercent bounds a key frame's allowance, in percent of what one frame gets, to
// 200 ms of the rate, but never so tightly that it becomes a blur.
func maxIntraPercent(fps int) int { return max(300, 20*fps) }

// Encoder encodes one rendition. It belongs to one goroutine at a time and
// keeps its size for life: a rendition of another size is another encoder.
//
// The library works in a thread of the encoder's own. Encode waits for it as
// for a socket: a goroutine that spent the milliseconds of a picture in C would
// hold one of Go's few processors, keep others from their packets and sound
// until the runtime's monitor notices, and keep that monitor awake, which cost
// a tenth of a room.
type Encoder struct {
	c             *C.tutti_vpx_encoder
	width, height int
	clock         clock
	event         *os.File // readable when the thread is done
	pins          runtime.Pinner
	buf           [8]byte // what eventfd(2) is read into
}

// NewEncoder makes an encoder for live conversation. It must be closed.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	speed := cfg.Speed
	if speed == 0 {
		speed = defaultSpeed
	}
	c := C.tutti_vpx_encoder_new(C.tutti_vpx_config{
		width: C.int(cfg.Width), height: C.int(cfg.Height),
		threads: C.int(max(1, cfg.Threads)), speed: C.int(speed),
		kbps: C.int(cfg.BitrateBPS / 1000), max_intra_pct: C.int(maxIntraPercent(cfg.FPS)),
	})
	if c == nil {
		return nil, fmt.Errorf("%w: new encoder for %dx%d", ErrLibrary, cfg.Width, cfg.Height)
	}
	return &Encoder{
		c: c, width: cfg.Width, height: cfg.Height, clock: newClock(cfg.FPS),
		event: os.NewFile(uintptr(C.tutti_vpx_encoder_event(c)), "vpx encoder"),
	}, nil
}

// Close frees the encoder, and with it the memory of the last access unit.
func (e *Encoder) Close() {
	if e.c == nil {
		return
	}
	C.tutti_vpx_encoder_free(e.c)
	e.c = nil
	_ = e.event.Close() // it was only read
}

// SetRate changes the rate in bit/s and the nominal frames a second from the
// next frame on. It makes no key frame.
func (e *Encoder) SetRate(bitrateBPS, fps int) error {
	if e.c == nil {
		return ErrClosed
	}
	if err := checkRate(bitrateBPS, fps); err != nil {
		return err
	}
	if rc := C.tutti_vpx_encoder_rate(e.c, C.int(bitrateBPS/1000), C.int(maxIntraPercent(fps))); rc != 0 {
		return fmt.Errorf("%w: set rate to %d bit/s", ErrLibrary, bitrateBPS)
	}
	e.clock.setFPS(fps)
	return nil
}

// Encode answers f's access unit, in C memory that stays valid until the next
// call or Close; it is empty when the rate control dropped the frame, which it
// never does when a key frame is asked for. The first frame is one anyway. pts
// is the picture's time on any clock that does not run backwards (one that does
// counts as standing still); f is only read.
func (e *Encoder) Encode(f *i420.Frame, pts time.Duration, keyFrame bool) (data []byte, isKey bool, err error) {
	if e.c == nil {
		return nil, false, ErrClosed
	}
	if err := yuv.Check(f); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrSize, err)
	}
	if f.Width != e.width || f.Height != e.height {
		return nil, false, fmt.Errorf("%w: %dx%d, not %dx%d", ErrSize, f.Width, f.Height, e.width, e.height)
	}
	var force C.int
	if keyFrame {
		force = 1
	}
	if rc := e.run(f, e.clock.tick(pts), force); rc != 0 {
		return nil, false, fmt.Errorf("%w: encode", ErrLibrary)
	}
	p := C.tutti_vpx_encoder_packet(e.c)
	if p.data == nil || p.size == 0 {
		return nil, false, nil
	}
	n := int(p.size)
	return unsafe.Slice((*byte)(unsafe.Pointer(p.data)), n)[:n:n], p.key != 0, nil
}

// run lets the thread encode a picture and waits for it.
func (e *Encoder) run(f *i420.Frame, pts int64, force C.int) C.int {
	y, u, v := &f.Y[0], &f.U[0], &f.V[0]
	e.pins.Pin(y)
	e.pins.Pin(u)
	e.pins.Pin(v)
	defer e.pins.Unpin()
	C.tutti_vpx_encoder_start(e.c,
		(*C.uint8_t)(y), (*C.uint8_t)(u), (*C.uint8_t)(v), C.int(f.StrideY), C.int(f.StrideC),
		C.int64_t(pts), C.ulong(e.clock.frame), force)
	// Should the reading fail, the wait in C is the slower way to the same end.
	_, _ = e.event.Read(e.buf[:])
	return C.tutti_vpx_encoder_wait(e.c)
}

// clock turns presentation times into the encoder's own, in 1/90000 s.
//
// The library takes the time since the last frame as the rate's allowance for
// this one. After a pause, when a still canvas was not sent for two seconds,
// that made one frame of 1.8 seconds' worth of bits, which no link swallows. So
// the encoder's time follows the pace that frames have come at lately: a single
// gap counts for little more than that, a slower pace for what it is within ten
// frames, and none for more than maxGap nominal frames. Nor does the time stand
// still, which the library refuses.
type clock struct {
	started bool
	last    time.Duration // presentation time of the last frame
	now     int64         // the encoder's time
	frame   int64         // one nominal frame
	pace    int64         // time between frames, lately
}

const maxGap = 4 // frames

func newClock(fps int) clock {
	frame := codec.VideoClockRate / int64(fps)
	return clock{frame: frame, pace: frame}
}

func (c *clock) setFPS(fps int) {
	c.frame = codec.VideoClockRate / int64(fps)
	c.pace = c.frame
}

// tick answers the encoder's time of a frame presented at pts.
func (c *clock) tick(pts time.Duration) int64 {
	if c.started {
		gap := ticks(pts - c.last)
		gap = min(max(gap, 1), maxGap*c.frame)
		c.now += min(gap, c.pace+c.pace/4+1)
		c.pace += (gap - c.pace) / 8
	}
	c.started, c.last = true, pts
	return c.now
}

// ticks converts to 1/90000 s, to the nearest; longer than an hour, either
// way, is as good as an hour and cannot overflow.
func ticks(d time.Duration) int64 {
	d = min(max(d, -time.Hour), time.Hour)
	return int64((d*codec.VideoClockRate + time.Second/2) / time.Second)
}
