package vpx

import (
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
	across, down := make([]float64, f.Width), make([]float64, f.Height)
	for x := range across {
		across[x] = 80 * math.Sin(float64(x+3*n)/17)
	}
	for y := range down {
		down[y] = math.Cos(float64(y-2*n) / 23)
	}
	for y, d := range down {
		row := f.Y[y*f.StrideY:][:f.Width]
		for x, a := range across {
			row[x] = byte(126 + a*d)
		}
	}
	for y := range f.Height / 2 {
		u, v := f.U[y*f.StrideC:][:f.Width/2], f.V[y*f.StrideC:][:f.Width/2]
		for x := range u {
			u[x], v[x] = byte(128+0.75*across[2*x]), byte(128+60*down[2*y])
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

// stream encodes n test pictures of the size, the first a key frame, at a rate
// at which none is dropped.
func stream(t testing.TB, w, h, n int) [][]byte {
	t.Helper()
	e := newEncoder(t, EncoderConfig{Width: w, Height: h, FPS: 30, BitrateBPS: 2_000_000})
	src := i420.New(w, h)
	var out [][]byte
	for i := range n {
		card(src, i)
		data, _, err := e.Encode(src, time.Duration(i)*time.Second/30, i == 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			t.Fatalf("frame %d was dropped", i)
		}
		out = append(out, append([]byte(nil), data...))
	}
	return out
}
