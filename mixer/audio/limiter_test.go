package audio

import (
	"math"
	"testing"

	"tutti/codec/pcm"
)

func TestLimiter(t *testing.T) {
	var l Limiter
	var b pcm.Block
	block := b.Data()
	quiet := make([]float32, pcm.Samples)
	sine(block, 0.8, 0)
	sine(quiet, 0.8, 0)
	l.Process(&b)
	for i := range block {
		if block[i] != quiet[i] {
			t.Fatal("what is below the ceiling must pass unchanged")
		}
	}
	for n := range 50 { // 6 dB over
		sine(block, 1.8, n*pcm.Samples)
		l.Process(&b)
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
		l.Process(&b)
	}
	if l.Gain() != 1 {
		t.Errorf("the gain has not come back after two seconds: %g", l.Gain())
	}
}
