package vpx

import (
	"errors"
	"math"
	"testing"
	"time"

	"tutti/codec/i420"
	"tutti/mixer"
)

var _ mixer.VideoEncoder = (*Encoder)(nil)

// card paints a test picture that moves with n: smooth waves in luma, and a
// colour that turns.
func card(f *i420.Frame, n int) {
	for y := range f.Height {
		for x := range f.Width {
			f.Y[y*f.StrideY+x] = byte(126 + 80*math.Sin(float64(x+3*n)/17)*math.Cos(float64(y-2*n)/23))
		}
	}
	for y := range f.Height / 2 {
		for x := range f.Width / 2 {
			f.U[y*f.StrideC+x] = byte(128 + 60*math.Sin(float64(x-n)/29))
			f.V[y*f.StrideC+x] = byte(128 + 60*math.Cos(float64(y+n)/31))
		}
	}
}

// psnr answers the likeness of two luma planes in dB.
func psnr(a, b *i420.Frame) float64 {
	var sum float64
	for y := range a.Height {
		for x := range a.Width {
			d := float64(a.Y[y*a.StrideY+x]) - float64(b.Y[y*b.StrideY+x])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255*float64(a.Width*a.Height)/max(sum, 1e-9))
}

func newDecoder(t testing.TB, w, h int) *Decoder {
	t.Helper()
	d, err := NewDecoder(DecoderConfig{MaxWidth: w, MaxHeight: h, MaxFrameBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func newEncoder(t testing.TB, cfg EncoderConfig) *Encoder {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestRoundTrip(t *testing.T) {
	const w, h, fps = 320, 180, 30
	e := newEncoder(t, EncoderConfig{Width: w, Height: h, FPS: fps, BitrateBPS: 800_000})
	d := newDecoder(t, w, h)
	src, got := i420.New(w, h), i420.New(w, h)
	for n := range 60 {
		card(src, n)
		data, key, err := e.Encode(src, time.Duration(n)*time.Second/fps, n == 0 || n == 40)
		if err != nil {
			t.Fatal(err)
		}
		if want := n == 0 || n == 40; key != want {
			t.Fatalf("frame %d: key frame %v, want %v", n, key, want)
		}
		if len(data) == 0 {
			continue
		}
		if err := d.DecodeInto(data, got, i420.Fill); err != nil {
			t.Fatalf("frame %d: %v", n, err)
		}
		if db := psnr(src, got); db < 32 {
			t.Errorf("frame %d: %.1f dB", n, db)
		}
	}
}

func TestBomb(t *testing.T) {
	d := newDecoder(t, 1920, 1080)
	bomb := append([]byte{0x10 | 20<<5&0xff, 20 >> 3, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f}, make([]byte, 23)...)
	if err := d.Decode(bomb); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("error %v", err)
	}
}
