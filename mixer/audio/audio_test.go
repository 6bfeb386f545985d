package audio

import (
	"math"
	"testing"

	"tutti/codec/pcm"
)

func sine(block []float32, amplitude float64, from int) {
	for i := range block {
		block[i] = float32(amplitude * math.Sin(2*math.Pi*1000/pcm.Rate*float64(from+i)))
	}
}

func TestRampHasNoStep(t *testing.T) {
	block := make([]float32, pcm.Samples)
	for i := range block {
		block[i] = 1
	}
	Ramp(block, 0, 0.5)
	last := float32(0)
	for i, s := range block {
		if s-last > 0.5/pcm.Samples*1.01 || s < last {
			t.Fatalf("a step of %g at %d", s-last, i)
		}
		last = s
	}
	if math.Abs(float64(last)-0.5) > 1e-4 {
		t.Errorf("ends at %g", last)
	}
}

func TestMixMinus(t *testing.T) {
	sum, a, b, out := make([]float32, 960), make([]float32, 960), make([]float32, 960), make([]float32, 960)
	sine(a, 0.3, 0)
	sine(b, 0.2, 7)
	Add(sum, a)
	Add(sum, b)
	Without(out, sum, a)
	for i := range out {
		if math.Abs(float64(out[i]-b[i])) > 1e-6 {
			t.Fatalf("sample %d: %g, want %g", i, out[i], b[i])
		}
	}
}

func TestLimiter(t *testing.T) {
	var l Limiter
	block := make([]float32, pcm.Samples)
	quiet := make([]float32, pcm.Samples)
	sine(block, 0.8, 0)
	sine(quiet, 0.8, 0)
	l.Process(block)
	for i := range block {
		if block[i] != quiet[i] {
			t.Fatal("what is below the ceiling must pass unchanged")
		}
	}
	for n := range 50 { // 6 dB over
		sine(block, 1.8, n*pcm.Samples)
		l.Process(block)
		for i, s := range block {
			if s > ceiling+1e-6 || s < -ceiling-1e-6 {
				t.Fatalf("block %d: %g at %d", n, s, i)
			}
		}
	}
	// At rest in the reduction the tone must be a tone still: total harmonic
	// distortion by what is left when the tone is taken away.
	sine(quiet, float64(l.Gain())*1.8, 49*pcm.Samples)
	var rest, power float64
	for i := range block {
		d := float64(block[i] - quiet[i])
		rest, power = rest+d*d, power+float64(block[i])*float64(block[i])
	}
	if thd := math.Sqrt(rest / power); thd > 0.01 {
		t.Errorf("distortion %.2f %%", 100*thd)
	}
	for range 100 {
		sine(block, 0.1, 0)
		l.Process(block)
	}
	if l.Gain() != 1 {
		t.Errorf("the gain has not come back after two seconds: %g", l.Gain())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var l Limiter
	block, sum := make([]float32, 960), make([]float32, 960)
	if got := testing.AllocsPerRun(100, func() {
		Ramp(block, 0, 1)
		Add(sum, block)
		Without(block, sum, block)
		l.Process(block)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
