package mixertest

import (
	"math"
	"math/rand/v2"
	"testing"
)

// buzz is eight seconds of something like speech at a rate: harmonics of a pitch
// that glides, through two formants, in syllables with pauses between.
func buzz(rate int) []float32 {
	out := make([]float32, 8*rate)
	for i := range out {
		t := float64(i) / float64(rate)
		phase := 2 * math.Pi * (120*t + 4*math.Sin(2*math.Pi*0.6*t))
		syllable := max(0, math.Sin(2*math.Pi*1.9*t)*(0.6+0.4*math.Sin(2*math.Pi*0.37*t)))
		first, second := 600+250*math.Sin(2*math.Pi*1.1*t), 1800+600*math.Sin(2*math.Pi*0.7*t)
		v := 0.0
		for k := 1; k <= 35; k++ {
			hz := 120 * float64(k)
			v += (math.Exp(-math.Pow((hz-first)/250, 2)) + 0.4*math.Exp(-math.Pow((hz-second)/400, 2)) + 0.02) * math.Sin(float64(k)*phase)
		}
		out[i] = float32(0.1 * syllable * v)
	}
	return out
}

// withNoise adds white noise that is snr dB below the sound as a whole.
func withNoise(x []float32, snr float64) []float32 {
	power := 0.0
	for _, s := range x {
		power += float64(s) * float64(s)
	}
	luck := rand.New(rand.NewPCG(2011, 7))
	gain := math.Sqrt(power/float64(len(x))) * math.Pow(10, -snr/20)
	out := make([]float32, len(x))
	for i, s := range x {
		out[i] = s + float32(gain*luck.NormFloat64())
	}
	return out
}

// The numbers are those of pystoi 0.4.1 (scipy 1.10) for the same samples,
// written out as 32 bit floats by these functions.
func TestSTOIAgainstKnownValues(t *testing.T) {
	for rate, known := range map[int]map[float64]float64{
		10000: {20: 0.9717, 10: 0.8995, 0: 0.7523, -10: 0.5336},
		16000: {10: 0.9162, -10: 0.5826},
		48000: {20: 0.9926, 5: 0.9176, -5: 0.7944, -10: 0.6916},
	} {
		x := buzz(rate)
		for snr, want := range known {
			if got := STOI(x, withNoise(x, snr), rate); math.Abs(got-want) > 0.01 {
				t.Errorf("at %d Hz and %g dB: %.4f, want %.4f", rate, snr, got, want)
			}
		}
	}
}

func TestSTOIOfTheExtremes(t *testing.T) {
	x := buzz(16000)
	if got := STOI(x, x, 16000); got < 0.9999 {
		t.Errorf("of a sound itself: %.4f", got)
	}
	louder := make([]float32, len(x))
	for i, s := range x {
		louder[i] = s * 3
	}
	if got := STOI(x, louder, 16000); got < 0.9999 {
		t.Errorf("of the same, only louder: %.4f", got)
	}
	if got := STOI(x, make([]float32, len(x)), 16000); got != 0 {
		t.Errorf("of silence: %.4f", got)
	}
	if got := STOI(x[:3000], x[:3000], 16000); got != 0 {
		t.Errorf("of too little: %.4f", got)
	}
}
