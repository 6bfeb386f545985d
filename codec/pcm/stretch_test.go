package pcm

import (
	"math"
	"math/rand/v2"
	"testing"
)

// tone answers n samples of a sine on each channel.
func tone(n, channels int, hz, amplitude float64) []float32 {
	x := make([]float32, n*channels)
	for i := range x {
		x[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(i/channels)/Rate))
	}
	return x
}

// voice answers n samples of pulses of that pitch through two resonances, as a
// vowel is.
func voice(n int, pitch float64) []float32 {
	x := make([]float32, n)
	for _, f := range [2][2]float64{{700, 80}, {1200, 100}} {
		r := math.Exp(-math.Pi * f[1] / Rate)
		a, b := 2*r*math.Cos(2*math.Pi*f[0]/Rate), -r*r
		var y1, y2, phase float64
		for i := range x {
			in := 0.0
			if phase += pitch / Rate; phase >= 1 {
				phase--
				in = .1
			}
			y1, y2 = in+a*y1+b*y2, y1
			x[i] += float32(y1)
		}
	}
	return x
}

// noise answers n samples of white noise.
func noise(n int, amplitude float64) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(amplitude * r.NormFloat64())
	}
	return x
}

// clicks answers by how much a sound departs at worst from a tone, as
// mixertest.Clicks does.
func clicks(x []float32, channels int, hz float64) (worst float64) {
	c := 2 * math.Cos(2*math.Pi*hz/Rate)
	for i := channels; i+channels < len(x); i++ {
		worst = max(worst, math.Abs(float64(x[i+channels])-c*float64(x[i])+float64(x[i-channels])))
	}
	return worst
}

// Whatever is cut out of a tone or put into it, it goes on as a tone.
func TestStretchedToneHasNoClick(t *testing.T) {
	for _, hz := range []float64{100, 220, 440, 1000, 1234.5, 3400} {
		for _, channels := range []int{1, 2} {
			whole := tone(3*Samples, channels, hz, .5)
			floor := clicks(whole, channels, hz)
			short := append([]float32(nil), whole[Samples*channels:2*Samples*channels]...)
			n := Shorten(short, channels, MaxPeriod, .85)
			if n < MinPeriod || n > MaxPeriod {
				t.Fatalf("%v Hz: %d samples gone", hz, n)
			}
			joined := append(append(append([]float32(nil), whole[:Samples*channels]...),
				short[:(Samples-n)*channels]...), whole[2*Samples*channels:]...)
			if c := clicks(joined, channels, hz); c > floor+.002 {
				t.Errorf("%v Hz on %d channels less %d: residual of %.4f, %.4f without", hz, channels, n, c, floor)
			}
			long := append(append([]float32(nil), whole[Samples*channels:2*Samples*channels]...), make([]float32, MaxPeriod*channels)...)
			n = Lengthen(long, channels, Samples, MaxPeriod, .85)
			if n < MinPeriod || n > MaxPeriod {
				t.Fatalf("%v Hz: %d samples more", hz, n)
			}
			joined = append(append(append([]float32(nil), whole[:Samples*channels]...),
				long[:(Samples+n)*channels]...), whole[2*Samples*channels:]...)
			if c := clicks(joined, channels, hz); c > floor+.002 {
				t.Errorf("%v Hz on %d channels and %d: residual of %.4f, %.4f without", hz, channels, n, c, floor)
			}
		}
	}
}

// Of a voice whole periods are cut and put in.
func TestStretchKeepsThePitch(t *testing.T) {
	for _, pitch := range []float64{85, 120, 200, 310} {
		x := voice(4*Samples, pitch)[2*Samples : 3*Samples]
		for _, n := range []int{
			Shorten(append([]float32(nil), x...), 1, MaxPeriod, .85),
			Lengthen(append(append([]float32(nil), x...), make([]float32, MaxPeriod)...), 1, Samples, MaxPeriod, .85),
		} {
			periods := float64(n) * pitch / Rate
			if n == 0 || math.Abs(periods-math.Round(periods)) > .03 {
				t.Errorf("%v Hz: %d samples, %.3f periods", pitch, n, periods)
			}
		}
	}
}

func TestStretchLeavesWhatDoesNotRepeat(t *testing.T) {
	onset := make([]float32, Samples)
	copy(onset[200:], noise(Samples-200, .3))
	for name, x := range map[string][]float32{"noise": noise(Samples, .2), "onset": onset} {
		kept := append([]float32(nil), x...)
		n := Shorten(x, 1, MaxPeriod, .85)
		m := Lengthen(append(x, make([]float32, MaxPeriod)...), 1, Samples, MaxPeriod, .85)
		for i := range x {
			if x[i] != kept[i] {
				t.Fatalf("%s: sample %d changed", name, i)
			}
		}
		if n != 0 || m != 0 {
			t.Errorf("%s: %d gone, %d more", name, n, m)
		}
	}
}

// An onset is cut nowhere, however little is asked for.
func TestStretchSparesOnsets(t *testing.T) {
	x := tone(480, 1, 1000, .5)
	for i := range x[:350] {
		x[i] /= 10
	}
	if n := Shorten(x, 1, MaxPeriod, 0); n != 0 {
		t.Errorf("%d samples gone", n)
	}
}

// Noise is cut where nothing is asked for, and stays as loud.
func TestStretchedNoiseStaysAsLoud(t *testing.T) {
	whole := noise(40*Samples, .2)
	var before, after float64
	for ; len(whole) > 0; whole = whole[Samples:] {
		x := whole[:Samples]
		before += power(x)
		n := Shorten(x, 1, MaxPeriod, 0)
		if n == 0 {
			t.Fatal("it was not cut")
		}
		after += power(x[:Samples-n])
	}
	if db := 10 * math.Log10(after/before); math.Abs(db) > .3 {
		t.Errorf("noise became %.2f dB louder", db)
	}
}

func TestSilenceIsCutFreely(t *testing.T) {
	for _, x := range [][]float32{make([]float32, Samples), noise(Samples, .0005)} {
		if n := Shorten(x, 1, MaxPeriod, 1); n < MaxPeriod-coarse {
			t.Errorf("%d samples gone", n)
		}
	}
}

func TestStretchKeepsToItsBounds(t *testing.T) {
	x := tone(Samples, 1, 1000, .5)
	for _, most := range []int{-1, 0, MinPeriod - 1} {
		if n := Shorten(x, 1, most, 0) + Lengthen(x, 1, Samples/2, most, 0); n != 0 {
			t.Errorf("%d samples for at most %d", n, most)
		}
	}
	for _, most := range []int{MinPeriod + 30, 200, 431} {
		if n := Shorten(append([]float32(nil), x...), 1, most, 0); n == 0 || n > most {
			t.Errorf("%d samples gone for at most %d", n, most)
		}
	}
	if n := Lengthen(x[:Samples:Samples], 1, Samples, MaxPeriod, 0); n != 0 {
		t.Errorf("%d samples more without room", n)
	}
}

func TestStretchAllocatesNothing(t *testing.T) {
	x := tone(2*Samples, 2, 440, .5)
	if n := testing.AllocsPerRun(50, func() {
		Shorten(x[:2*Samples], 2, MaxPeriod, .85)
		Lengthen(x, 2, Samples, MaxPeriod, .85)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzStretch stretches any sound and looks for samples that came from nowhere.
func FuzzStretch(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 960, 1, 600, .85)
	f.Add([]byte{}, 480, 2, 300, 0.)
	f.Add([]byte{255, 0, 7, 128}, 5760, 2, 10000, -1.)
	f.Fuzz(func(t *testing.T, b []byte, n, channels, most int, likeness float64) {
		n, channels = min(max(n, 0), 5760), 1+channels&1
		x := make([]float32, (n+MaxPeriod)*channels)
		for i := range x[:n*channels] {
			if len(b) > 0 {
				x[i] = float32(int8(b[i%len(b)])) / 128
			}
		}
		y := append([]float32(nil), x[:n*channels]...)
		gone := Shorten(y, channels, most, likeness)
		more := Lengthen(x, channels, n, most, likeness)
		if gone < 0 || gone > max(0, most) || more < 0 || more > max(0, most) || gone > n || more > MaxPeriod {
			t.Fatalf("%d gone, %d more, at most %d of %d", gone, more, most, n)
		}
		for i, s := range append(x, y...) {
			if !(math.Abs(float64(s)) <= 1.5) {
				t.Fatalf("sample %d is %v", i, s)
			}
		}
	})
}
