package sound

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/audio"
	"tutti/mixer/mixertest"
)

// loudness answers the integrated loudness of a sound, in LUFS, and its true
// peak, in dBTP.
func loudness(sound []float32) (lufs, dbtp float64) {
	var (
		meter audio.Meter
		peak  audio.TruePeak
		b     pcm.Block
	)
	for block := range slices.Chunk(sound, pcm.Samples) {
		if copy(b.Data(), block) == pcm.Samples {
			meter.Add(&b)
			peak.Add(&b)
		}
	}
	return meter.Integrated(), peak.DBTP()
}

// TestVoicesFarApartAreBroughtTogether has two speak at once, one 24 dB louder
// than the other. Each hears the other alone.
func TestVoicesFarApartAreBroughtTogether(t *testing.T) {
	for _, quieter := range []float64{-24, 0} {
		synctest.Test(t, func(t *testing.T) {
			h := newHall(t, &mixertest.Codecs{}, nil)
			defer h.close()
			near, far, all := newPlainEar(t), newPlainEar(t), newPlainEar(t)
			for _, e := range []*ear{near, far, all} {
				e.continuous = true
			}
			defer h.listen("", all).Close()
			h.seat("near", &tape{sound: scaled(voice(t, "1-english"), quieter+6), loop: true})
			h.seat("far", &tape{sound: scaled(voice(t, "2-korean"), -24-quieter+6), loop: true})
			defer h.listen("far", near).Close()
			defer h.listen("near", far).Close()
			time.Sleep(15 * time.Second)
			a, _ := loudness(near.since(5 * time.Second))
			b, _ := loudness(far.since(5 * time.Second))
			_, peak := loudness(all.whole())
			t.Logf("%.1f and %.1f LUFS, peak %.2f dBTP", a, b, peak)
			if d := a - b; !(d >= -1.5 && d <= 1.5) {
				t.Errorf("they are %.1f LU apart after 5 s", d)
			}
			if peak > -1 {
				t.Errorf("the mix reaches %.2f dBTP", peak)
			}
		})
	}
}

// scaled answers a sound that is db louder.
func scaled(sound []float32, db float64) []float32 {
	out, g := make([]float32, len(sound)), pcm.Gain(db)
	for i, s := range sound {
		out[i] = s * g
	}
	return out
}
