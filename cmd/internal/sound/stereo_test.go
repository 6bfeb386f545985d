package sound

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// interleaved makes a stereo sound of two.
func interleaved(left, right []float32) []float32 {
	out := make([]float32, 0, 2*len(left))
	for i, l := range left {
		out = append(out, l, right[i])
	}
	return out
}

func sides(sound []float32) (left, right []float32) {
	for i := 0; i+1 < len(sound); i += 2 {
		left, right = append(left, sound[i]), append(right, sound[i+1])
	}
	return left, right
}

// TestStereoRoom sends a tone on each side by one client, and one in mono by
// another.
func TestStereoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, encoders{}, func(s *mixer.AudioSettings) { s.Stereo, s.BitrateBPS = true, 64000 })
		defer h.close()
		e := newEar(t, 2)
		e.continuous = true
		defer h.listen("", e).Close()
		wide := h.dial("wide", "10.0.0.2", opus.EncoderConfig{Channels: 2, BitrateBPS: 64000, Application: opus.Audio})
		mono := h.dial("mono", "10.0.0.3", opus.EncoderConfig{Channels: 1, BitrateBPS: 32000, Application: opus.Audio})
		const d = 4 * time.Second
		var talk sync.WaitGroup
		talk.Go(func() { h.say(wide, interleaved(sine(singer, 0.2, d), sine(other, 0.2, d)), 0) })
		talk.Go(func() { h.say(mono, sine(5003, 0.2, d), 0) })
		time.Sleep(d - time.Second/2)
		left, right := sides(e.since(0))
		talk.Wait()
		left, right = left[len(left)-pcm.Rate:], right[len(right)-pcm.Rate:]
		at := mixertest.Goertzel
		t.Logf("left %.1f %.1f %.1f, right %.1f %.1f %.1f dBov",
			at(left, singer), at(left, other), at(left, 5003), at(right, singer), at(right, other), at(right, 5003))
		if at(left, singer) < -26 || at(right, other) < -26 {
			t.Error("a side has lost its tone")
		}
		if at(right, singer) > at(left, singer)-30 || at(left, other) > at(right, other)-30 {
			t.Error("the sides run into one another")
		}
		if l, r := at(left, 5003), at(right, 5003); l < -26 || r < -26 || l-r > 1 || r-l > 1 {
			t.Error("a mono voice is not in the middle")
		}
	})
}
