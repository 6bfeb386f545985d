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

// grain paints test picture n with the noise of a camera, which costs bits
// that a coarser quantizer saves.
func grain(f *i420.Frame, n int, r *rand.Rand) {
	card(f, n)
	for i := range f.Y {
		f.Y[i] += byte(r.Uint32() >> 28)
	}
}

// rate encodes n frames of grainy moving pictures and answers the rate in bit/s.
func rate(t *testing.T, e *Encoder, r *rand.Rand, from, n, fps int) float64 {
	t.Helper()
	f := i420.New(320, 180)
	bytes := 0
	for i := from; i < from+n; i++ {
		grain(f, i, r)
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

// TestNoKeyFrameByItself cuts hard between pictures.
func TestNoKeyFrameByItself(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 1_000_000})
	r := rand.New(rand.NewPCG(9, 10))
	f := i420.New(320, 180)
	for i := range 300 {
		switch i / 20 % 3 {
		case 0:
			card(f, i)
		case 1:
			noise(f, r)
		default:
			grain(f, 7*i, r)
		}
		if _, key, err := e.Encode(f, time.Duration(i)*time.Second/30, false); err != nil || key != (i == 0) {
			t.Fatalf("frame %d: key frame %v, %v", i, key, err)
		}
	}
}

// TestKeyFrameOnDemand asks for key frames while the rate is hopelessly
// overdrawn and other frames are dropped.
func TestKeyFrameOnDemand(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: 30, BitrateBPS: 100_000})
	r := rand.New(rand.NewPCG(3, 4))
	f := i420.New(320, 180)
	dropped := 0
	for i := range 200 {
		noise(f, r)
		asked := i%50 == 0
		data, key, err := e.Encode(f, time.Duration(i)*time.Second/30, asked)
		if err != nil {
			t.Fatal(err)
		}
		if key != asked {
			t.Errorf("frame %d: key frame %v, asked %v", i, key, asked)
		}
		if len(data) == 0 {
			dropped++
		} else if h, err := Inspect(data); err != nil || h.KeyFrame != key {
			t.Errorf("frame %d: key frame %v, header %+v, %v", i, key, h, err)
		}
	}
	if dropped == 0 {
		t.Error("nothing was dropped: the test does not test")
	}
}

// TestKeyFrameDoesNotFlood makes key frames of a grainy picture, at the
// beginning and in the middle of a stream. What the library takes for them by
// itself is 124 ms of the rate for the first.
func TestKeyFrameDoesNotFlood(t *testing.T) {
	const bps, fps = 400_000, 30
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: fps, BitrateBPS: bps})
	r := rand.New(rand.NewPCG(7, 8))
	f := i420.New(320, 180)
	for i := range 61 {
		grain(f, i, r)
		data, key, err := e.Encode(f, time.Duration(i)*time.Second/fps, i%60 == 0)
		if err != nil {
			t.Fatal(err)
		}
		if ms := len(data) * 8 * 1000 / bps; key && ms > 100 {
			t.Errorf("key frame of %d bytes takes %d ms of the rate", len(data), ms)
		}
	}
}

// TestPauseSavesNoBits lets two seconds pass between two frames, as when the
// canvas stands still: what they would have cost must not come in one frame.
func TestPauseSavesNoBits(t *testing.T) {
	const bps, fps = 400_000, 30
	e := newEncoder(t, EncoderConfig{Width: 320, Height: 180, FPS: fps, BitrateBPS: bps})
	r := rand.New(rand.NewPCG(7, 8))
	rate(t, e, r, 0, 90, fps)
	f := i420.New(320, 180)
	grain(f, 90, r)
	data, _, err := e.Encode(f, 5*time.Second, false)
	if err != nil {
		t.Fatal(err)
	}
	if ms := len(data) * 8 * 1000 / bps; ms > 150 {
		t.Errorf("frame of %d bytes takes %d ms of the rate", len(data), ms)
	}
}

func TestClock(t *testing.T) {
	c := newClock(30)
	var pts time.Duration
	// step lets d pass and answers how much of it the encoder sees, in 1/90000 s.
	step := func(d time.Duration) int64 {
		before := c.now
		pts += d
		return c.tick(pts) - before
	}
	if got := c.tick(5 * time.Second); got != 0 {
		t.Errorf("begins at %d, wherever the room's clock is", got)
	}
	pts = 5 * time.Second
	const frame = time.Second / 30
	for range 10 {
		if got := step(frame); got != 3000 {
			t.Errorf("a frame in time counts %d", got)
		}
	}
	if got := step(20 * time.Millisecond); got != 1800 {
		t.Errorf("an early frame counts %d", got)
	}
	if got := step(0); got != 1 {
		t.Errorf("time that stands still counts %d", got)
	}
	if got := step(-time.Second); got != 1 {
		t.Errorf("time that runs back counts %d", got)
	}
	for range 50 {
		step(frame)
	}
	if got := step(2 * time.Second); got > 3000*5/4+1 {
		t.Errorf("a pause counts %d", got)
	}
	for range 10 {
		step(2 * frame)
	}
	if got := step(2 * frame); got != 6000 {
		t.Errorf("at half the pace a frame counts %d", got)
	}
	for range 50 {
		step(time.Minute)
	}
	if got := step(200 * 365 * 24 * time.Hour); got != maxGap*3000 {
		t.Errorf("at no pace a frame counts %d", got)
	}
	c.setFPS(10)
	if got := step(time.Second / 10); got != 9000 {
		t.Errorf("at 10 frames a second a frame counts %d", got)
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
