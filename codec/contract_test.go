// The contract in this package's comment, tried on every codec below it.
package codec_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
)

// subject is an encoder or decoder as the contract sees it.
type subject struct {
	// calls are all its methods but Close, each with good arguments and in an
	// order in which they succeed.
	calls map[string]func() error
	order []string
	// feed gives a decoder bytes, and good are some that it takes; nil for
	// encoders.
	feed  func([]byte) error
	good  []byte
	close func()
}

// codecs are all that there are: how to make one, what it answers once closed,
// and what it may answer to garbage.
var codecs = map[string]struct {
	make    func(t testing.TB) subject
	closed  error
	refusal []error
}{
	"opus decoder": {opusDecoder, opus.ErrClosed, []error{opus.ErrMalformed}},
	"opus encoder": {opusEncoder, opus.ErrClosed, nil},
	"vpx decoder":  {vpxDecoder, vpx.ErrClosed, []error{vpx.ErrMalformed, vpx.ErrTooLarge, vpx.ErrNeedKeyFrame, vpx.ErrNoPicture}},
	"vpx encoder":  {vpxEncoder, vpx.ErrClosed, nil},
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func opusDecoder(t testing.TB) subject {
	e := must(opus.NewEncoder(opus.EncoderConfig{Channels: 1}))(t)
	defer e.Close()
	var b pcm.Block
	packet := must(e.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false))(t)
	d := must(opus.NewDecoder(1))(t)
	out := make([]float32, opus.MaxSamples)
	decode := func(p []byte) error { _, err := d.Decode(p, out); return err }
	return subject{
		calls: map[string]func() error{
			"Decode":  func() error { return decode(packet) },
			"Recover": func() error { return d.Recover(packet, out[:pcm.Samples]) },
			"Conceal": func() error { return d.Conceal(out[:pcm.Samples]) },
			"Reset":   d.Reset,
		},
		order: []string{"Decode", "Recover", "Conceal", "Reset"},
		feed:  decode,
		good:  packet,
		close: d.Close,
	}
}

func opusEncoder(t testing.TB) subject {
	e := must(opus.NewEncoder(opus.EncoderConfig{Channels: 2}))(t)
	var b pcm.Block
	b.SetChannels(2)
	buf := make([]byte, 0, opus.MaxPacketBytes)
	return subject{
		calls: map[string]func() error{
			"Encode":     func() error { _, err := e.Encode(buf, &b, true); return err },
			"SetBitrate": func() error { return e.SetBitrate(24000) },
			"Reset":      e.Reset,
		},
		order: []string{"Encode", "SetBitrate", "Reset"},
		close: e.Close,
	}
}

func vpxDecoder(t testing.TB) subject {
	e := must(vpx.NewEncoder(vpx.EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 500_000}))(t)
	defer e.Close()
	data, _, err := e.Encode(i420.New(320, 180), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	frame, dst := append([]byte(nil), data...), i420.New(150, 150)
	d := must(vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: 640, MaxHeight: 360, MaxFrameBytes: 1 << 20}))(t)
	return subject{
		calls: map[string]func() error{
			"Decode":     func() error { return d.Decode(frame) },
			"Picture":    func() error { return d.Picture(dst, i420.Contain) },
			"DecodeInto": func() error { return d.DecodeInto(frame, dst, i420.Cover) },
		},
		order: []string{"Decode", "Picture", "DecodeInto"},
		feed:  func(p []byte) error { return d.DecodeInto(p, dst, i420.Cover) },
		good:  frame,
		close: d.Close,
	}
}

func vpxEncoder(t testing.TB) subject {
	e := must(vpx.NewEncoder(vpx.EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 500_000}))(t)
	f, n := i420.New(320, 180), 0
	return subject{
		calls: map[string]func() error{
			"Encode": func() error {
				n++
				_, _, err := e.Encode(f, time.Duration(n)*time.Second/30, false)
				return err
			},
			"SetRate": func() error { return e.SetRate(400_000, 15) },
		},
		order: []string{"Encode", "SetRate"},
		close: e.Close,
	}
}

func TestClose(t *testing.T) {
	for name, c := range codecs {
		t.Run(name, func(t *testing.T) {
			s := c.make(t)
			for _, call := range s.order {
				if err := s.calls[call](); err != nil {
					t.Errorf("%s: %v", call, err)
				}
			}
			for range 2 {
				s.close()
				for _, call := range s.order {
					if err := s.calls[call](); !errors.Is(err, c.closed) {
						t.Errorf("%s after Close: %v", call, err)
					}
				}
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	for name, c := range codecs {
		t.Run(name, func(t *testing.T) {
			s := c.make(t)
			defer s.close()
			for _, call := range s.order {
				if n := testing.AllocsPerRun(20, func() {
					if err := s.calls[call](); err != nil {
						t.Fatalf("%s: %v", call, err)
					}
				}); n != 0 {
					t.Errorf("%s: %v allocations", call, n)
				}
			}
		})
	}
}

// TestGarbage feeds noise of all lengths and damaged copies of what is good;
// after that the decoder must still decode what is good.
func TestGarbage(t *testing.T) {
	for name, c := range codecs {
		if c.refusal == nil {
			continue // an encoder
		}
		t.Run(name, func(t *testing.T) {
			s := c.make(t)
			defer s.close()
			r := rand.New(rand.NewPCG(11, 12))
			feed := func(p []byte) {
				if err := s.feed(p); err != nil && !known(err, c.refusal) {
					t.Fatalf("%x: %v", p, err)
				}
			}
			for range 1000 {
				p := make([]byte, r.IntN(200))
				for k := range p {
					p[k] = byte(r.Uint32())
				}
				feed(p)
				p = append([]byte(nil), s.good...)
				for range 1 + r.IntN(4) {
					p[r.IntN(len(p))] ^= 1 << r.IntN(8)
				}
				feed(p)
				feed(s.good[:r.IntN(len(s.good))])
			}
			if err := s.feed(nil); !known(err, c.refusal) {
				t.Errorf("nothing: %v", err)
			}
			for _, call := range s.order {
				if err := s.calls[call](); err != nil {
					t.Errorf("%s after garbage: %v", call, err)
				}
			}
		})
	}
}

func known(err error, sentinels []error) bool {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// TestOddSizes draws pictures of every small size into frames of every small
// size: all combinations must be drawn or refused, none may crash.
func TestOddSizes(t *testing.T) {
	e := must(vpx.NewEncoder(vpx.EncoderConfig{Width: 32, Height: 32, FPS: 30, BitrateBPS: 500_000}))(t)
	defer e.Close()
	data, _, err := e.Encode(i420.New(32, 32), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte(nil), data...)
	d := must(vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: 32, MaxHeight: 32, MaxFrameBytes: 1 << 16}))(t)
	defer d.Close()
	for w := 17; w <= 32; w++ {
		for h := 17; h <= 32; h++ {
			frame[6], frame[8] = byte(w), byte(h) // the same macroblocks, shown in part
			if err := d.Decode(frame); err != nil {
				t.Fatalf("%dx%d: %v", w, h, err)
			}
			for _, dst := range []*i420.Frame{i420.New(2, 2), i420.New(w, h), i420.New(h, w), i420.New(7, 41), i420.New(3*w, h)} {
				for fit := i420.Cover; fit <= i420.Fill; fit++ {
					if err := d.Picture(dst, fit); err != nil {
						t.Fatalf("%dx%d to %dx%d: %v", w, h, dst.Width, dst.Height, err)
					}
				}
			}
		}
	}
}

// TestSideBySide runs many of all kinds at once: nothing is shared but the
// libraries.
func TestSideBySide(t *testing.T) {
	var wg sync.WaitGroup
	for name, c := range codecs {
		for i := range 4 {
			s := c.make(t)
			wg.Go(func() {
				defer s.close()
				for range 30 {
					for _, call := range s.order {
						if err := s.calls[call](); err != nil {
							t.Errorf("%s %d: %s: %v", name, i, call, err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestCloseGivesMemoryBack makes and closes many: what lives in C memory is
// beyond the garbage collector.
func TestCloseGivesMemoryBack(t *testing.T) {
	for name, c := range codecs {
		t.Run(name, func(t *testing.T) {
			round := func(n int) {
				for range n {
					s := c.make(t)
					for _, call := range s.order {
						if err := s.calls[call](); err != nil {
							t.Fatal(err)
						}
					}
					s.close()
				}
			}
			round(20) // the allocators warm up
			before := residentKB(t)
			round(40)
			if grown := residentKB(t) - before; grown > 16<<10 {
				t.Errorf("%d kB more after 40 were made and closed", grown)
			}
		})
	}
}

// residentKB answers the memory that the process has now.
func residentKB(t *testing.T) (kb int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: memory was not measured")
	}
	_, line, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(line, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
