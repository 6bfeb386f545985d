package audio

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tutti/codec/pcm"
)

// signal answers the sample of a channel at a frame.
type signal func(frame, channel int) float64

func tone(hz, amplitude float64) signal {
	return func(frame, _ int) float64 { return amplitude * math.Sin(2*math.Pi*hz/pcm.Rate*float64(frame)) }
}

// fill writes block n of the signal.
func fill(b *pcm.Block, n int, s signal) {
	d, c := b.Data(), b.Channels()
	for i := range d {
		d[i] = float32(s(n*pcm.Samples+i/c, i%c))
	}
}

// limited answers what the limiter makes of so many blocks.
func limited(l *Limiter, channels, blocks int, s signal) []float32 {
	var b pcm.Block
	b.SetChannels(channels)
	var out []float32
	for n := range blocks {
		fill(&b, n, s)
		l.Process(&b)
		out = append(out, b.Data()...)
	}
	return out
}

// dbtp answers the true peak of interleaved samples, a whole number of blocks.
func dbtp(samples []float32, channels int) float64 {
	var t TruePeak
	var b pcm.Block
	b.SetChannels(channels)
	for at := 0; at < len(samples); at += len(b.Data()) {
		copy(b.Data(), samples[at:])
		t.Add(&b)
	}
	return t.DBTP()
}

// amplitude answers how much of the frequency is in the samples, which hold a
// whole number of its periods.
func amplitude(samples []float32, hz float64) float64 {
	var re, im float64
	for i, s := range samples {
		sin, cos := math.Sincos(2 * math.Pi * hz / pcm.Rate * float64(i))
		re, im = re+float64(s)*cos, im+float64(s)*sin
	}
	return 2 * math.Hypot(re, im) / float64(len(samples))
}

// distortion answers the total harmonic distortion of a tone.
func distortion(samples []float32, hz float64) float64 {
	var sum float64
	for k := 2.0; k <= 20 && k*hz < 20000; k++ {
		sum += math.Pow(amplitude(samples, k*hz), 2)
	}
	return math.Sqrt(sum) / amplitude(samples, hz)
}

func TestLimiterPassesWhatIsBelow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]float64, 2*pcm.Rate)
	for i := range noise {
		noise[i] = 0.4 * (2*random.Float64() - 1)
	}
	for name, s := range map[string]signal{
		"tone":  tone(1000, 0.87),
		"noise": func(frame, channel int) float64 { return noise[2*frame+channel] },
	} {
		for channels := 1; channels <= 2; channels++ {
			var l Limiter
			out := limited(&l, channels, 50, s)
			for i, got := range out {
				var want float32
				if i >= Lookahead*channels {
					want = float32(s(i/channels-Lookahead, i%channels))
				}
				if got != want {
					t.Fatalf("%s, %d channels: %g at %d, want %g", name, channels, got, i, want)
				}
			}
			if l.Gain() != 1 {
				t.Errorf("%s: gain %g", name, l.Gain())
			}
		}
	}
}

// wild are signals that a limiter may stumble over, each as loud as asked.
func wild(loud float64) map[string]signal {
	random := rand.New(rand.NewPCG(3, 4))
	noise := make([]float64, 2*pcm.Rate)
	rare := make([]float64, 2*pcm.Rate)
	for i := range noise {
		noise[i] = loud * (2*random.Float64() - 1)
		if random.IntN(50) == 0 {
			rare[i] = loud * math.Copysign(random.Float64(), random.Float64()-0.5)
		}
	}
	return map[string]signal{
		"tone":         tone(1000, loud),
		"bass":         tone(60, loud),
		"between":      func(f, _ int) float64 { return loud * math.Sin(math.Pi/2*float64(f)+math.Pi/4) },
		"nearly":       func(f, _ int) float64 { return loud * math.Sin(2*math.Pi*0.2499*float64(f)) },
		"square":       func(f, _ int) float64 { return math.Copysign(loud, math.Sin(2*math.Pi*437/pcm.Rate*float64(f))) },
		"noise":        func(f, c int) float64 { return noise[(2*f+c)%len(noise)] },
		"impulses":     func(f, c int) float64 { return rare[(2*f+c)%len(rare)] },
		"one impulse":  func(f, _ int) float64 { return loud * float64(1-min(1, (f-5000)*(f-5000))) },
		"right alone":  func(f, c int) float64 { return float64(c) * loud * math.Sin(float64(f)) },
		"bursts":       func(f, c int) float64 { return float64(f/700%2) * noise[(2*f+c)%len(noise)] },
		"rising":       func(f, c int) float64 { return noise[(2*f+c)%len(noise)] * float64(f%9600) / 9600 },
		"steps":        func(f, _ int) float64 { return loud * float64(f/333%2) },
		"tone bursts":  func(f, _ int) float64 { return loud * float64(f/1111%2) * math.Sin(0.4*float64(f)) },
		"high bursts":  func(f, _ int) float64 { return loud * float64(f/411%2) * math.Sin(1.5*float64(f)) },
		"alternating":  func(f, _ int) float64 { return loud * float64(1-2*(f%2)) * float64(f/600%2) },
		"every minute": func(f, c int) float64 { return 0.3*noise[(2*f+c)%len(noise)] + rare[(2*f+c)%len(rare)] },
	}
}

func TestLimiterNeverExceeds(t *testing.T) {
	for _, loud := range []float64{0.9, 1.1, 1.78, 6, 60} {
		for name, s := range wild(loud) {
			for channels := 1; channels <= 2; channels++ {
				var l Limiter
				if got := dbtp(limited(&l, channels, 25, s), channels); got > -1+0.05 {
					t.Errorf("%s at %g, %d channels: %.3f dBTP", name, loud, channels, got)
				}
			}
		}
	}
}

// Eight who all speak at once, and loudly.
func TestLimiterBearsACrowd(t *testing.T) {
	var l Limiter
	var b pcm.Block
	var before, after TruePeak
	for n := range 800 {
		b.Clear()
		for _, file := range voiceFiles(t) {
			Add(b.Data(), speaking(decoded(t, file), 6)(n).Data())
		}
		before.Add(&b)
		l.Process(&b)
		after.Add(&b)
	}
	if before.DBTP() < 6 || after.DBTP() > -1+0.05 {
		t.Errorf("%.2f dBTP became %.2f", before.DBTP(), after.DBTP())
	}
}

// 6 dB over the ceiling: a tone stays a tone, and as loud as it may be.
func TestLimiterDoesNotDistort(t *testing.T) {
	for _, hz := range []float64{50, 100, 300, 440, 997, 1000, 3000, 7000} {
		var l Limiter
		out := limited(&l, 1, 100, tone(hz, 1.778))
		if thd := distortion(out[pcm.Rate:2*pcm.Rate], hz); thd > 0.001 {
			t.Errorf("%g Hz: %.3f %% of distortion", hz, 100*thd)
		} else {
			t.Logf("%g Hz: %.4f %% of distortion", hz, 100*thd)
		}
		if a := 20 * math.Log10(amplitude(out[pcm.Rate:2*pcm.Rate], hz)); a < -1.6 {
			t.Errorf("%g Hz: brought down to %.2f dB, further than need be", hz, a)
		}
	}
}

// The gain is seen in one channel while the other makes it work. It moves by so
// little from frame to frame that no click is heard, it comes back, and rests.
func TestLimiterGainIsSmooth(t *testing.T) {
	const level = 0.25
	var l Limiter
	out := limited(&l, 2, 100, func(f, c int) float64 {
		if c == 0 {
			return level
		}
		return map[bool]float64{true: 3 * math.Sin(0.1*float64(f))}[f >= 9600 && f < 19200]
	})
	gain := func(frame int) float64 { return float64(out[2*frame]) / level }
	for f := Lookahead + 1; f < len(out)/2; f++ {
		if step := gain(f) - gain(f-1); step > 0.001 || step < -1.0/40 {
			t.Fatalf("the gain moves by %g at frame %d", step, f)
		}
	}
	if g := gain(15000); math.Abs(g-ceiling/3) > 0.003 {
		t.Errorf("the gain is %g, want %g", g, ceiling/3)
	}
	if l.Gain() != 1 {
		t.Errorf("the gain has not come back: %g", l.Gain())
	}
	if g := gain(19200 + pcm.Rate/2); g < 0.93 {
		t.Errorf("half a second later the gain is %g still", g)
	}
}

// A listener whose mix splits off from another hears no seam.
func TestLimiterContinues(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		for name, s := range wild(1.5) {
			var whole, full, own Limiter
			want := limited(&whole, channels, 20, s)
			var b pcm.Block
			b.SetChannels(channels)
			for n := range 20 {
				fill(&b, n, s)
				switch {
				case n < 10:
					full.Process(&b)
				case n == 10:
					own.Continue(&full)
					fallthrough
				default:
					own.Process(&b)
				}
				for i, got := range b.Data() {
					if got != want[n*len(b.Data())+i] {
						t.Fatalf("%s: block %d differs at %d", name, n, i)
					}
				}
			}
		}
	}
}

// After blocks that nobody took, the first that somebody takes begins with the
// end of the last, and is within bounds at once.
func TestLimiterFollows(t *testing.T) {
	for _, loud := range []float64{0.3, 3} {
		for name, s := range wild(loud) {
			for channels := 1; channels <= 2; channels++ {
				var l, idle Limiter
				var b pcm.Block
				b.SetChannels(channels)
				for n := range 10 {
					fill(&b, n, s)
					l.Follow(&b)
				}
				out := limited(&l, channels, 10, func(f, c int) float64 { return s(f+10*pcm.Samples, c) })
				heard := slices.Clone(out)
				for i := range out[:32*channels] { // lest the beginning be a jump
					if abs(out[i]) > ceiling+1e-6 {
						t.Fatalf("%s: %g at %d", name, out[i], i)
					}
					out[i] *= float32(i/channels) / 32
				}
				if got := dbtp(out, channels); got > -1+0.05 {
					t.Errorf("%s: %.2f dBTP after others were followed", name, got)
				}
				if loud > 0.5 {
					continue
				}
				all := limited(&idle, channels, 11, s)
				for i, want := range all[10*len(b.Data()):] {
					if heard[i] != want {
						t.Fatalf("%s, %d channels: %g at %d, want %g", name, channels, heard[i], i, want)
					}
				}
			}
		}
	}
}

// The gain comes back also while nobody listens.
func TestLimiterReleasesWhileItFollows(t *testing.T) {
	var l Limiter
	var b pcm.Block
	limited(&l, 1, 10, tone(1000, 3))
	before := l.Gain()
	l.Follow(&b)
	b.Clear()
	l.Process(&b)
	if g := l.Gain(); g <= before || g > 0.5 {
		t.Errorf("20 ms later the gain is %g after %g", g, before)
	}
	for range 150 {
		l.Follow(&b)
	}
	l.Process(&b)
	if l.Gain() != 1 {
		t.Errorf("the gain is %g after three seconds", l.Gain())
	}
}

func TestLimiterSilencesWhatIsNoSound(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, bad := range []float32{nan, inf, -inf, math.MaxFloat32, -1e9} {
		var l Limiter
		var b pcm.Block
		var out []float32
		for n := range 4 {
			fill(&b, n, tone(1000, 0.5))
			for i := range b.Data() {
				if n < 2 && i%7 == 6 {
					b.Data()[i] = bad
				}
			}
			if n == 0 {
				l.Follow(&b)
				continue
			}
			l.Process(&b)
			out = append(out, b.Data()...)
		}
		for i, s := range out {
			if !(abs(s) <= 0.5) {
				t.Fatalf("%g became %g at %d", bad, s, i)
			}
		}
	}
}

func TestLimiterForgetsOtherChannels(t *testing.T) {
	var l Limiter
	limited(&l, 2, 5, tone(1000, 3))
	if out := limited(&l, 1, 1, func(int, int) float64 { return 0.1 }); out[Lookahead-1] != 0 || out[Lookahead] != 0.1 {
		t.Errorf("%g, %g: something was kept of a mix of two channels", out[Lookahead-1], out[Lookahead])
	}
}

// The bound below which nothing is oversampled must be one.
func TestOvershootIsABound(t *testing.T) {
	for _, phase := range [][taps]float32{inner, outer} {
		var sum float32
		for _, h := range phase {
			sum += abs(h)
		}
		if sum > overshoot {
			t.Errorf("a phase makes up to %g of a peak of 1", sum)
		}
	}
}

func FuzzLimiter(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 127, 0, 0, 128, 255, 255, 255, 127, 127}, uint8(0))
	f.Add([]byte{0, 0, 0, 64, 0, 0, 0, 192}, uint8(1))
	f.Add([]byte{0, 0, 32, 65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 193, 1, 2, 3}, uint8(6))
	f.Fuzz(func(t *testing.T, data []byte, mode uint8) {
		var l Limiter
		var b pcm.Block
		b.SetChannels(1 + int(mode&1))
		var out []float32
		for n := range 4 {
			d := b.Data()
			for i := range d {
				d[i] = 0
				if at := (4 * (n*len(d) + i)) % max(4, len(data)-3); at+4 <= len(data) {
					d[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
				}
			}
			if mode>>1>>n&1 == 1 {
				l.Follow(&b)
				continue
			}
			l.Process(&b)
			out = append(out, d...)
		}
		var sum float64
		for i, s := range out {
			if !(abs(s) <= 0.9) {
				t.Fatalf("%g at %d", s, i)
			}
			sum += float64(s)
		}
		if math.IsNaN(sum) || l.Gain() > 1 || !(l.Gain() >= 0) {
			t.Fatalf("gain %g", l.Gain())
		}
	})
}

func BenchmarkLimiter(b *testing.B) {
	cases := map[string]signal{
		"below":    tone(440, 0.4),
		"near":     tone(440, 0.8),
		"limiting": tone(1000, 1.778),
	}
	for _, name := range []string{"below", "near", "limiting"} {
		for channels := 1; channels <= 2; channels++ {
			b.Run(name+map[int]string{1: "/mono", 2: "/stereo"}[channels], func(b *testing.B) {
				var l Limiter
				var in, block pcm.Block
				in.SetChannels(channels)
				fill(&in, 0, cases[name])
				for b.Loop() {
					block.Copy(&in)
					l.Process(&block)
				}
			})
		}
	}
	b.Run("follow", func(b *testing.B) {
		var l Limiter
		var block pcm.Block
		for b.Loop() {
			l.Follow(&block)
		}
	})
}
