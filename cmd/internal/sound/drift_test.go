package sound

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/opus"
	"tutti/mixer"
)

// TestSenderWithOtherClockIsFollowed sings by a clock that is off by 500 ppm: in
// ten minutes it comes to sing 300 ms too much or too little.
func TestSenderWithOtherClockIsFollowed(t *testing.T) {
	for name, ppm := range map[string]float64{"fast": 500, "slow": -500} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { follow(t, ppm) }) })
	}
}

func follow(t *testing.T, ppm float64) {
	h := newHall(t, encoders{}, func(s *mixer.AudioSettings) { s.Levelling = false })
	defer h.close()
	c := h.dial("alice", "10.0.0.2", opus.EncoderConfig{Channels: 1, BitrateBPS: 64000, Application: opus.Audio})
	e, heard := newEar(t, 1), newTuner(singer*(1+ppm/1e6))
	e.heard = heard.take
	defer h.listen("", e).Close()
	note := sine(singer, loud, time.Second) // whole periods
	for range 20 {                          // the clock is known by then
		h.say(c, note, ppm)
	}
	e.do(heard.clear)
	_, before := e.counts()
	seconds := 600
	if racing {
		seconds = 60
	}
	for range seconds {
		h.say(c, note, ppm)
	}
	e.do(func() {
		t.Logf("the delay moves from %v to %v; %v", heard.Least, heard.Most, heard)
		if heard.Most-heard.Least > 10*time.Millisecond {
			t.Errorf("the delay moves from %v to %v", heard.Least, heard.Most)
		}
	})
	decoded.check(t, "a viewer", e, heard)
	if _, missing := e.counts(); missing > before {
		t.Errorf("%d blocks are missing", missing-before)
	}
}
