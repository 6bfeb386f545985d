package audio

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tutti/codec/pcm"
)

// Noises as a microphone takes them: synthesized as samples, so that where a
// block begins in them is left to chance as it is in a room, and then measured
// block by block. Each answers levels in dBov.

// samples answers how many samples d has.
func samples(d time.Duration) int { return int(d * pcm.Rate / time.Second) }

// span answers a random duration between from and to.
func span(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)+1))
}

// levelsOf measures sound block by block, the first beginning anywhere within
// a block before it.
func levelsOf(rng *rand.Rand, sound []float64) []float64 {
	skew := rng.IntN(pcm.Samples)
	var levels []float64
	var b pcm.Block
	for at := -skew; at < len(sound); at += pcm.Samples {
		b.Clear()
		for i := range b.Data() {
			if j := at + i; j >= 0 && j < len(sound) {
				b.Data()[i] = float32(sound[j])
			}
		}
		levels = append(levels, b.Level())
	}
	return levels
}

// burst adds white noise to sound: it rises within 5 ms to peak dBov and falls
// by fall dB in each second.
func burst(rng *rand.Rand, sound []float64, peak, fall float64) {
	rise := samples(5 * time.Millisecond)
	for i := range sound {
		g := float64(pcm.Gain(peak - fall*float64(i)/pcm.Rate))
		sound[i] += g * min(1, float64(i)/float64(rise)) * rng.NormFloat64()
	}
}

// cough is one burst of 200 to 300 ms, which half the time has a voiced end
// that rises once more.
func cough(rng *rand.Rand, peak float64) []float64 {
	sound := make([]float64, samples(span(rng, 200*time.Millisecond, 300*time.Millisecond)))
	burst(rng, sound, peak, 20*pcm.Rate/float64(len(sound)))
	if rng.IntN(2) == 0 {
		burst(rng, sound[len(sound)*6/10:], peak-5, 60)
	}
	return levelsOf(rng, sound)
}

// coughs are one to three bursts in a row.
func coughs(rng *rand.Rand, peak float64) []float64 {
	var levels []float64
	for range 1 + rng.IntN(3) {
		levels = append(levels, cough(rng, peak)...)
		levels = append(levels, still(int(span(rng, 180*time.Millisecond, 350*time.Millisecond)/pcm.Duration))...)
	}
	return levels
}

// slam is a door: loud at once, and then the room's echo, 60 dB down after
// 400 to 800 ms.
func slam(rng *rand.Rand, peak float64) []float64 {
	sound := make([]float64, pcm.Rate)
	burst(rng, sound, peak, 60/span(rng, 400*time.Millisecond, 800*time.Millisecond).Seconds())
	return levelsOf(rng, sound)
}

// keyboard is somebody who types for d: four to ten strokes a second, each
// with the click of the key going down and a fainter one as it comes up.
func keyboard(rng *rand.Rand, d time.Duration, peak float64) []float64 {
	sound := make([]float64, samples(d))
	for at := 0; at < len(sound); at += samples(span(rng, 100*time.Millisecond, 250*time.Millisecond)) {
		burst(rng, sound[at:min(at+samples(60*time.Millisecond), len(sound))], peak-6*rng.Float64(), 500+700*rng.Float64())
		if up := at + samples(span(rng, 60*time.Millisecond, 110*time.Millisecond)); up < len(sound) {
			burst(rng, sound[up:min(up+samples(40*time.Millisecond), len(sound))], peak-10-6*rng.Float64(), 500+700*rng.Float64())
		}
	}
	return levelsOf(rng, sound)
}

// pink is noise with as much power in each octave, of the given loudness: a
// room, a fan.
func pink(rng *rand.Rand, d time.Duration, dbov float64) []float64 {
	// First-order low passes an octave or two apart, of equal power each.
	const poles = 7
	var state, a, g [poles]float64
	for i := range poles {
		a[i] = math.Exp(-2 * math.Pi * 40 * math.Pow(3, float64(i)) / pcm.Rate)
		g[i] = math.Sqrt((1 - a[i]*a[i]) / poles)
	}
	sound := make([]float64, samples(d))
	amplitude := float64(pcm.Gain(dbov))
	for i := range sound {
		for j := range poles {
			state[j] = a[j]*state[j] + g[j]*rng.NormFloat64()
			sound[i] += amplitude * state[j]
		}
	}
	return levelsOf(rng, sound)
}

// hum is a tone: every block as loud as the one before.
func hum(d time.Duration, dbov float64) []float64 {
	levels := make([]float64, d/pcm.Duration)
	for i := range levels {
		levels[i] = dbov
	}
	return levels
}

// still is n blocks of silence.
func still(n int) []float64 { return hum(time.Duration(n)*pcm.Duration, pcm.SilenceDBOV) }

// mhm is what a listener says to show that he listens: 300 to 400 ms, two
// humps.
func mhm(rng *rand.Rand, peak float64) []float64 {
	n := 15 + rng.IntN(6)
	levels := make([]float64, n)
	for i := range levels {
		x := float64(i) / float64(n)
		levels[i] = peak - 18 + 18*math.Abs(math.Sin(2*math.Pi*x)) + 2*rng.Float64()
	}
	return levels
}

func TestNoisesAreWhatTheySay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	mean := func(levels []float64) float64 {
		power := 0.0
		for _, l := range levels {
			power += math.Pow(10, l/10)
		}
		return 10 * math.Log10(power/float64(len(levels)))
	}
	if got := mean(pink(rng, 5*time.Second, -40)[1:250]); math.Abs(got+40) > 0.5 {
		t.Errorf("pink noise of -40 dBov has %.1f", got)
	}
	for range 20 {
		if n := len(cough(rng, -20)); n < 10 || n > 16 {
			t.Errorf("a cough lasts %d blocks", n)
		}
		if l := slam(rng, -10); mean(l[:5]) < -25 || l[48] > -60 {
			t.Errorf("a slam begins at %.0f and ends at %.0f dBov", mean(l[:5]), l[48])
		}
	}
	keys := keyboard(rng, 10*time.Second, -25)
	if got := mean(keys); got < -48 || got > -30 {
		t.Errorf("typing has %.1f dBov", got)
	}
}
