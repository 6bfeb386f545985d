package sound

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// TestOneSpeakerPassesUnchanged compares what is to be encoded with what was
// said, where nothing is levelled: from where the first word has faded in.
func TestOneSpeakerPassesUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, &mixertest.Codecs{}, func(s *mixer.AudioSettings) { s.Levelling = false })
		defer h.close()
		said := voice(t, "5-german")
		e := newPlainEar(t)
		e.continuous = true
		defer h.listen("", e).Close()
		h.seat("quiet", &mixertest.Tone{})
		h.seat("speaker", &tape{sound: said})
		time.Sleep(time.Duration(len(said)/pcm.Samples) * pcm.Duration)
		heard := e.whole()
		lag := delay(said, heard, pcm.Rate/10)
		heard = heard[lag:]
		worst, signal, noise := math.Inf(1), 0.0, 0.0
		const second = pcm.Rate
		for at := second; at+second <= min(len(said), len(heard)); at += second {
			var s, n float64
			for i := at; i < at+second; i++ {
				d := float64(heard[i]) - float64(said[i])
				s, n = s+float64(said[i])*float64(said[i]), n+d*d
			}
			if s > 0.1 { // somebody speaks
				worst = min(worst, 10*math.Log10(s/max(n, 1e-12)))
			}
			signal, noise = signal+s, noise+n
		}
		snr := 10 * math.Log10(signal/max(noise, 1e-12))
		t.Logf("%.1f dB, %.1f dB in the worst second, %d samples late", snr, worst, lag)
		if snr < 60 || worst < 60 {
			t.Errorf("%.1f dB, %.1f dB in the worst second", snr, worst)
		}
	})
}
