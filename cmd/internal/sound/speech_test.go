package sound

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer/mixertest"
	"tutti/transport/transporttest/badlink"
)

// delay answers by how many samples, up to most, heard comes after said: where
// they correlate best, first on every sixth sample, then on each.
func delay(said, heard []float32, most int) int {
	best, at := math.Inf(-1), 0
	try := func(lag, step int) {
		sum := 0.0
		for i := 0; i < len(said) && i+lag < len(heard); i += step {
			sum += float64(said[i]) * float64(heard[i+lag])
		}
		if sum > best {
			best, at = sum, lag
		}
	}
	for lag := 0; lag < most; lag += 3 {
		try(lag, 7)
	}
	best = math.Inf(-1)
	for lag, end := max(0, at-6), at+6; lag <= end; lag++ {
		try(lag, 1)
	}
	return at
}

// aligned answers what was heard of each piece of what was said, beside it in
// time: the delay may move, which harms no word. Each half second is aligned as
// the second and a half around it; and first and last answer by what delay.
func aligned(said, heard []float32) (out []float32, first, last time.Duration) {
	const piece = pcm.Rate / 2
	lag := 0
	for at := 0; at < len(said); at += piece {
		from, to := max(0, at-piece), min(len(said), at+2*piece)
		if level(said[from:to]) > -50 { // else there is nothing to go by
			lag = delay(said[from:to], heard[from:], pcm.Rate/8)
		}
		end := min(len(said), at+piece)
		out = append(out, heard[at+lag:end+lag]...)
		last = time.Duration(lag) * time.Second / pcm.Rate
		if first == 0 {
			first = last
		}
	}
	return out, first, last
}

// dropOut answers the longest time on end in which heard has nothing where said
// has something: pieces of 10 ms that are 25 dB below what they should be, where
// that is speech.
func dropOut(said, heard []float32) time.Duration {
	const piece = pcm.Rate / 100
	shift := level(heard) - level(said) // levelling is no drop-out
	longest, run := 0, 0
	for at := 0; at+piece <= min(len(said), len(heard)); at += piece {
		want, got := level(said[at:at+piece]), level(heard[at:at+piece])
		if want > -45 && got < want+shift-25 {
			run++
		} else if want > -45 {
			run = 0
		}
		longest = max(longest, run)
	}
	return time.Duration(longest) * 10 * time.Millisecond
}

// TestBurstLossLeavesSpeechIntelligible loses a tenth of each of eight speakers'
// packets on the way in, three in a row on average.
func TestBurstLossLeavesSpeechIntelligible(t *testing.T) {
	var worst, sum, lost float64
	worst = 1
	names := speech.Names()
	if racing {
		names = names[:1]
	}
	for i, name := range names {
		said := voice(t, name)
		c, heard := overBurstyLink(t, said, uint64(i+1))
		heard, first, last := aligned(said, heard)
		score, gone, share := mixertest.STOI(said, heard, pcm.Rate), dropOut(said, heard), float64(c.lost*pcm.Samples)/float64(len(said))
		t.Logf("%s: %.1f %% lost, at most %d on end; STOI %.3f, drop-out %v, %v and in the end %v after it was said", name,
			100*share, c.longest, score, gone, first, last)
		// Of a burst that is longer nobody can say what was in it.
		if gone > max(200*time.Millisecond, time.Duration(c.longest)*pcm.Duration) {
			t.Errorf("%s: nothing is heard for %v", name, gone)
		}
		worst, sum, lost = min(worst, score), sum+score, lost+share
	}
	n := float64(len(names))
	t.Logf("STOI %.3f on average, %.3f at worst, with %.1f %% lost", sum/n, worst, 100*lost/n)
	if sum/n < 0.9 || worst < 0.85 || lost/n < 0.09 {
		t.Errorf("STOI %.3f on average, %.3f at worst, with %.1f %% lost", sum/n, worst, 100*lost/n)
	}
}

// overBurstyLink answers what a room has of a voice that comes over a link which
// loses packets in bursts, beginning some time before the voice.
func overBurstyLink(t *testing.T, said []float32, seed uint64) (c *caller, heard []float32) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, encoders{}, nil)
		defer h.close()
		c = h.dial("speaker", "10.0.0.2", opus.EncoderConfig{
			Channels: 1, BitrateBPS: 32000, Application: opus.VoIP, FEC: true, PacketLossPercent: 10,
		})
		bursts := badlink.Conditions{Burst: badlink.Bursts(0.1, 3)}
		c.loss = badlink.New[struct{}](time.Now(), badlink.Config[struct{}]{Seed: seed, Conditions: bursts})
		e := newEar(t, 1)
		e.continuous = true
		sub := h.listen("", e)
		defer sub.Close()
		h.say(c, said, 0)
		time.Sleep(time.Second)
		heard = e.whole()
	})
	return c, heard
}

// TestSTOIOfRealVoices holds the measure against what pystoi 0.4.1 answers for
// the same samples: the voices, and white noise so many dB below each as a whole.
func TestSTOIOfRealVoices(t *testing.T) {
	if racing {
		t.Skip("nothing runs beside it")
	}
	for name, known := range map[string]map[float64]float64{
		"1-english": {15: 0.9893, -10: 0.7219},
		"2-korean":  {0: 0.8456},
		"5-german":  {0: 0.8987},
	} {
		said := voice(t, name)
		for snr, want := range known {
			if got := mixertest.STOI(said, withNoise(said, snr), pcm.Rate); math.Abs(got-want) > 0.01 {
				t.Errorf("%s at %g dB: %.4f, want %.4f", name, snr, got, want)
			}
		}
	}
}

// withNoise adds white noise that is snr dB below the sound as a whole.
func withNoise(sound []float32, snr float64) []float32 {
	luck := rand.New(rand.NewPCG(2011, 7))
	gain := math.Pow(10, (level(sound)-snr)/20)
	out := make([]float32, len(sound))
	for i, s := range sound {
		out[i] = s + float32(gain*luck.NormFloat64())
	}
	return out
}
