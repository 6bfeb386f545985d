package vpx

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"tutti/codec/i420"
)

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

// noise paints what no encoder can predict, coarse enough to cost bits at any
// quantizer.
func noise(f *i420.Frame, r *rand.Rand) {
	for y := 0; y < f.Height; y += 2 {
		row := f.Y[y*f.StrideY:][:f.Width]
		for x := 0; x < f.Width; x += 2 {
			v := byte(r.Uint32())
			row[x], row[x+1] = v, v
		}
		copy(f.Y[(y+1)*f.StrideY:][:f.Width], row)
	}
}

// rate encodes n frames of moving pictures with noise in a corner and answers
// the rate in bit/s.
func rate(t *testing.T, e *Encoder, r *rand.Rand, from, n, fps int) float64 {
	t.Helper()
	f, corner := i420.New(320, 180), i420.New(160, 90)
	bytes := 0
	for i := from; i < from+n; i++ {
		card(f, i)
		noise(corner, r)
		f.Copy(0, 0, corner)
		data, key, err := e.Encode(f, time.Duration(i)*time.Second/time.Duration(fps), false)
		if err != nil {
			t.Fatal(err)
		}
		if key && i > 0 {
			t.Errorf("frame %d is a key frame that nobody asked for", i)
		}
		bytes += len(data)
	}
	return float64(bytes*8) * float64(fps) / float64(n)
}

func TestSetRate(t *testing.T) {
	const fps = 30
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: fps, BitrateBPS: 600_000})
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	for _, want := range []int{600_000, 250_000, 900_000} {
		if err := e.SetRate(want, fps); err != nil {
			t.Fatal(err)
		}
		rate(t, e, r, n, fps, fps) // a second to get there
		got := rate(t, e, r, n+fps, 4*fps, fps)
		n += 5 * fps
		if got < 0.8*float64(want) || got > 1.1*float64(want) {
			t.Errorf("%.0f bit/s, want %d", got, want)
		}
	}
	for _, bad := range [][2]int{{0, 30}, {-1, 30}, {100_000, 0}, {100_000, 1000}} {
		if err := e.SetRate(bad[0], bad[1]); !errors.Is(err, ErrConfig) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestKeyFramesOnlyOnDemand cuts hard between pictures, which must not make
// key frames, and asks for them while the rate is hopelessly overdrawn, which
// must.
func TestKeyFramesOnlyOnDemand(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 100_000})
	r := rand.New(rand.NewPCG(3, 4))
	f := i420.New(320, 180)
	dropped, late := 0, 0
	for i := range 200 {
		noise(f, r)
		asked := i%50 == 0
		data, key, err := e.Encode(f, time.Duration(i)*time.Second/30, asked)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			dropped++
		}
		if asked && !key {
			late++
		}
		if key && !asked && late == 0 {
			t.Errorf("frame %d is a key frame that nobody asked for", i)
		}
		if h, err := Inspect(data); len(data) > 0 && (err != nil || h.KeyFrame != key) {
			t.Errorf("frame %d: key frame %v, header %+v, %v", i, key, h, err)
		}
	}
	if dropped == 0 {
		t.Error("nothing was dropped: the test does not test")
	}
	if late > 0 {
		t.Errorf("%d key frames came late", late)
	}
}

// TestKeyFrameDoesNotFlood asks for a key frame of a busy picture in the
// middle of a stream: it may take 200 ms of the rate, and some for a rate
// control that cannot know beforehand.
func TestKeyFrameDoesNotFlood(t *testing.T) {
	const bps, fps = 400_000, 30
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: fps, BitrateBPS: bps})
	r := rand.New(rand.NewPCG(5, 6))
	rate(t, e, r, 0, 90, fps)
	f, corner := i420.New(320, 180), i420.New(160, 90)
	card(f, 90)
	noise(corner, r)
	f.Copy(0, 0, corner)
	data, key, err := e.Encode(f, 90*time.Second/fps, true)
	if err != nil || !key {
		t.Fatalf("key frame %v, %v", key, err)
	}
	if ms := len(data) * 8 * 1000 / bps; ms > 300 {
		t.Errorf("key frame of %d bytes takes %d ms of the rate", len(data), ms)
	}
}

// TestPauseSavesNoBits lets ten seconds pass between two frames, as when the
// canvas stands still: the rate of ten seconds must not come in one frame.
func TestPauseSavesNoBits(t *testing.T) {
	const bps, fps = 400_000, 30
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: fps, BitrateBPS: bps})
	r := rand.New(rand.NewPCG(7, 8))
	rate(t, e, r, 0, 90, fps)
	f := i420.New(320, 180)
	noise(f, r)
	data, _, err := e.Encode(f, 13*time.Second, false)
	if err != nil {
		t.Fatal(err)
	}
	if ms := len(data) * 8 * 1000 / bps; ms > 400 {
		t.Errorf("frame of %d bytes takes %d ms of the rate", len(data), ms)
	}
}

func TestClock(t *testing.T) {
	c := newClock(30)
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for i, s := range []struct {
		pts  time.Duration
		want int64
	}{
		{ms(5000), 0},                   // begins at once, wherever the room's clock is
		{ms(5100), 9000},                // runs with it
		{ms(5100), 9001},                // never stands still
		{ms(4000), 9002},                // nor runs back
		{ms(4100), 18002},               // and goes on from there
		{ms(9100), 18002 + 4*3000},      // a pause counts as four frames
		{ms(9110), 18002 + 12000 + 900}, // no rest of it is paid later
	} {
		if got := c.tick(s.pts); got != s.want {
			t.Errorf("step %d: %d, want %d", i, got, s.want)
		}
	}
}

func TestEncodeRefusesOtherSizes(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 400_000})
	short := i420.New(320, 180)
	short.U = short.U[:10]
	for _, f := range []*i420.Frame{nil, {}, i420.New(322, 180), i420.New(640, 360), i420.New(160, 90), short} {
		if _, _, err := e.Encode(f, 0, false); !errors.Is(err, ErrSize) {
			t.Errorf("%v", err)
		}
	}
	if data, key, err := e.Encode(i420.New(320, 180), 0, false); err != nil || !key || len(data) == 0 {
		t.Errorf("good frame afterwards: %d bytes, key frame %v, %v", len(data), key, err)
	}
}

func TestEncoderConfigOutOfBounds(t *testing.T) {
	good := EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 400_000}
	for i, change := range []func(*EncoderConfig){
		func(c *EncoderConfig) { c.Width = 0 },
		func(c *EncoderConfig) { c.Width = 321 },
		func(c *EncoderConfig) { c.Height = 16384 },
		func(c *EncoderConfig) { c.FPS = 0 },
		func(c *EncoderConfig) { c.BitrateBPS = 0 },
		func(c *EncoderConfig) { c.Speed = 1 },
		func(c *EncoderConfig) { c.Speed = -17 },
		func(c *EncoderConfig) { c.Threads = -1 },
	} {
		c := good
		change(&c)
		if _, err := NewEncoder(c); !errors.Is(err, ErrConfig) {
			t.Errorf("change %d: %v", i, err)
		}
	}
}

// TestEncodeReadsMargins encodes a part of a larger canvas where it lies.
func TestEncodeReadsMargins(t *testing.T) {
	big, got := i420.New(640, 360), i420.New(320, 180)
	card(big, 0)
	part := &i420.Frame{
		Width: 320, Height: 180, StrideY: big.StrideY, StrideC: big.StrideC,
		Y: big.Y[100*big.StrideY+100:], U: big.U[50*big.StrideC+50:], V: big.V[50*big.StrideC+50:],
	}
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 2_000_000})
	data, _, err := e.Encode(part, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := newDecoder(t, 320, 180).DecodeInto(data, got, i420.Fill); err != nil {
		t.Fatal(err)
	}
	if db := psnr(part, got); db < 32 {
		t.Errorf("%.1f dB", db)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 400_000})
	f := i420.New(320, 180)
	card(f, 0)
	n := 0
	if got := testing.AllocsPerRun(50, func() {
		if _, _, err := e.Encode(f, time.Duration(n)*time.Second/30, n%10 == 0); err != nil {
			t.Fatal(err)
		}
		n++
	}); got != 0 {
		t.Errorf("%v allocations a frame", got)
	}
}

// BenchmarkEncode is one rendition at 720p.
func BenchmarkEncode(b *testing.B) {
	e := newEncoder(b, EncoderConfig{Width: 1280, Height: 720, FPS: 30, BitrateBPS: 1_500_000})
	var fs [8]*i420.Frame
	for i := range fs {
		fs[i] = i420.New(1280, 720)
		card(fs[i], i)
	}
	n := 0
	for b.Loop() {
		if _, _, err := e.Encode(fs[n%len(fs)], time.Duration(n)*time.Second/30, false); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
