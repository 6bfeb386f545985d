package e2e

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"tutti/codec/pcm"
)

// singerHz is a tone of about 1 kHz of which a block of 20 ms has 20.25 periods:
// a block that is lost or repeated is a jump of a quarter period.
const singerHz = 1012.5

// A pure tone is looked at through windows of 10 ms, each half over the next.
const (
	window = pcm.Rate / 100
	hop    = window / 2
)

// What the codecs' noise stays far below, and a fault above.
const (
	maxSwing    = 0.35 // of the amplitude, against the median
	maxTurn     = 30.0 // degrees of phase between two windows side by side
	maxResidual = -10  // dB of what is not the tone, against the tone
)

// fault is where a tone is not pure.
type fault struct {
	at   int // sample
	what string
}

func (f fault) String() string {
	return fmt.Sprintf("at %.3f s %s", float64(f.at)/pcm.Rate, f.what)
}

// span is a range of samples.
type span struct{ from, to int }

// faultsOf answers where in a span a sound is not the tone that it is on the
// whole. What lasts or comes again within 60 ms is one fault.
func faultsOf(sound []float32, s span) (found []fault) {
	var amplitudes, phases, residuals []float64
	for i := s.from; i+window <= min(s.to, len(sound)); i += hop {
		a, p, r := fit(sound[i:i+window], i)
		amplitudes, phases, residuals = append(amplitudes, a), append(phases, p), append(residuals, r)
	}
	if len(amplitudes) == 0 {
		return []fault{{s.from, "there is no sound"}}
	}
	sorted := slices.Sorted(slices.Values(amplitudes))
	median := max(sorted[len(sorted)/2], toneAmplitude/4)
	last := -pcm.Rate
	for i, a := range amplitudes {
		turn := 0.0
		if i >= 2 {
			turn = math.Abs(math.Remainder(phases[i]-phases[i-2], 360))
		}
		if math.Abs(a-median) <= maxSwing*median && turn <= maxTurn && residuals[i] <= maxResidual {
			continue
		}
		at := s.from + i*hop
		if at-last > 3*pcm.Samples {
			found = append(found, fault{at, fmt.Sprintf("amplitude %.3f of %.3f, turn %.0f°, residual %.0f dB", a, median, turn, residuals[i])})
		}
		last = at
	}
	return found
}

// fit answers amplitude, phase in degrees, and the rest in dB, of the tone that
// fits a piece of sound best. at is its first sample.
func fit(sound []float32, at int) (amplitude, phase, residual float64) {
	var cc, cs, ss, xc, xs, xx float64
	for i, v := range sound {
		sin, cos := math.Sincos(2 * math.Pi * singerHz * float64(at+i) / pcm.Rate)
		x := float64(v)
		cc, cs, ss = cc+cos*cos, cs+cos*sin, ss+sin*sin
		xc, xs, xx = xc+x*cos, xs+x*sin, xx+x*x
	}
	det := cc*ss - cs*cs
	a, b := (xc*ss-xs*cs)/det, (xs*cc-xc*cs)/det
	tone := a*xc + b*xs // the energy that the fit explains
	residual = 10 * math.Log10(max(xx-tone, 1e-9)/max(tone, 1e-9))
	return math.Hypot(a, b), math.Atan2(b, a) * 180 / math.Pi, residual
}

func TestPurityNoticesFaults(t *testing.T) {
	pure := func() []float32 {
		var sound []float32
		for n := range 100 {
			sound = append(sound, tone(singerHz, n).Data()...)
		}
		return sound
	}
	whole := span{0, 100 * pcm.Samples}
	if found := faultsOf(pure(), whole); len(found) > 0 {
		t.Errorf("a pure tone has the faults %v", found)
	}
	const at = 50 * pcm.Samples
	for name, spoil := range map[string]func([]float32) []float32{
		"lost block":     func(s []float32) []float32 { return slices.Delete(s, at, at+pcm.Samples) },
		"repeated block": func(s []float32) []float32 { return slices.Insert(s, at, s[at-pcm.Samples:at]...) },
		"gap of 5 ms":    func(s []float32) []float32 { clear(s[at : at+240]); return s },
		"click":          func(s []float32) []float32 { s[at+100] = 1; return s },
		"lost samples":   func(s []float32) []float32 { return slices.Delete(s, at, at+10) },
		"other tone":     func(s []float32) []float32 { copy(s[at:], tone(1500, 0).Data()); return s },
		"silence":        func(s []float32) []float32 { clear(s); return s },
	} {
		if found := faultsOf(spoil(pure()), whole); len(found) == 0 {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
