package pcm

import (
	"math"
	"testing"
)

// through plays a sound of any length through a resampler in pieces of odd
// lengths and answers all that came out.
func through(r *Resampler, x []float32, channels int, ppm func(i int) float64) (out []float32) {
	block := make([]float32, Samples*channels)
	for i, size := 0, 0; len(x) > 0; i++ {
		size = (size+331)%997 + 1
		r.SetPPM(ppm(i))
		in := x[:min(size*channels, len(x))]
		for len(in) > 0 {
			made, used := r.Process(block, in)
			out, in = append(out, block[:made*channels]...), in[used*channels:]
		}
		x = x[min(size*channels, len(x)):]
	}
	return out
}

func constant(ppm float64) func(int) float64 { return func(int) float64 { return ppm } }

// snr answers how far what departs from a sine of that frequency, of whatever
// amplitude and phase, is below it, in dB.
func snr(x []float32, hz float64) float64 {
	var ss, sc, cc, xs, xc, xx float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / Rate)
		ss, sc, cc = ss+s*s, sc+s*c, cc+c*c
		xs, xc, xx = xs+float64(v)*s, xc+float64(v)*c, xx+float64(v)*float64(v)
	}
	d := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/d, (xc*ss-xs*sc)/d
	signal := a*xs + b*xc
	return 10 * math.Log10(signal/(xx-signal))
}

func TestResampledToneIsATone(t *testing.T) {
	for hz, least := range map[float64]float64{100: 80, 1000: 80, 3400: 80, 10000: 70, 15000: 50} {
		for _, ppm := range []float64{-1000, 10.4, 500} {
			for _, channels := range []int{1, 2} {
				var r Resampler
				r.Reset(channels)
				out := through(&r, tone(Rate/2, channels, hz, .5), channels, constant(ppm))
				one := make([]float32, 0, len(out)/channels)
				for i := channels - 1; i < len(out); i += channels {
					one = append(one, out[i])
				}
				if got := snr(one[100:], hz*(1+ppm/1e6)); got < least {
					t.Errorf("%v Hz at %v ppm on %d channels: %.1f dB", hz, ppm, channels, got)
				}
			}
		}
	}
}

// Samples are used up at exactly the rate, however long that goes on.
func TestResamplerKeepsTheRate(t *testing.T) {
	var r Resampler
	out := through(&r, make([]float32, 60*Rate), 1, constant(500))
	want := 60 * Rate / (1 + 500e-6)
	if d := float64(len(out)) - want; math.Abs(d) > 10 {
		t.Errorf("%d samples out of %d, %.0f expected", len(out), 60*Rate, want)
	}
}

func TestUnchangedSoundIsExact(t *testing.T) {
	x := noise(5*Samples, .3)
	var r Resampler
	out := through(&r, x, 1, constant(0))
	if len(out) != len(x) {
		t.Fatalf("%d samples out of %d", len(out), len(x))
	}
	for i := range x {
		if out[i] != x[i] {
			t.Fatalf("sample %d is %v, not %v", i, out[i], x[i])
		}
	}
	if r.PPM() != 0 {
		t.Errorf("%v ppm", r.PPM())
	}
}

// From handing through to following a clock, to another and back to none there
// is no step.
func TestResamplerTurnsOnWithoutAClick(t *testing.T) {
	const hz = 1000
	x := tone(2*Rate, 1, hz, .5)
	var r Resampler
	out := through(&r, x, 1, func(i int) float64 { return [5]float64{0, 0, 500, -300, 0}[min(i/30, 4)] })
	if c, floor := clicks(out, 1, hz), clicks(x, 1, hz); c > floor+.001 {
		t.Errorf("a residual of %.5f, %.5f before", c, floor)
	}
}

func TestResamplerAllocatesNothing(t *testing.T) {
	var r Resampler
	r.Reset(2)
	x, out := make([]float32, 2*Samples), make([]float32, 2*Samples)
	r.SetPPM(100)
	if n := testing.AllocsPerRun(50, func() { r.Process(out, x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzResample feeds pieces of any size at any rate and counts.
func FuzzResample(f *testing.F) {
	f.Add([]byte{10, 200, 0, 30, 255, 255}, 500.)
	f.Add([]byte{0, 0, 1, 1}, 1e9)
	f.Add([]byte{255, 1, 255, 1, 255, 1}, -1e-9)
	f.Fuzz(func(t *testing.T, sizes []byte, ppm float64) {
		var r Resampler
		r.Reset(1 + len(sizes)&1)
		channels := 1 + len(sizes)&1
		in, out := noise(256*channels, 1), make([]float32, 256*channels)
		var made, used int
		for i := 0; i+1 < len(sizes); i += 2 {
			if i == 4 {
				r.SetPPM(ppm)
			}
			d, s := int(sizes[i])*channels, int(sizes[i+1])*channels
			m, u := r.Process(out[:d:d], in[:s:s])
			if m*channels > d || u*channels > s || m*channels < d && u*channels < s {
				t.Fatalf("made %d of %d, used %d of %d", m, d/channels, u, s/channels)
			}
			made, used = made+m, used+u
		}
		if off := math.Abs(float64(used - made)); off > ahead+1+float64(made)*MaxPPM/1e6 {
			t.Fatalf("made %d of %d", made, used)
		}
	})
}
