package sound

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/mixertest"
)

// TestSilentRoomRests has nobody speak for ten seconds between two words.
func TestSilentRoomRests(t *testing.T) {
	for name, say := range map[string]func(p *tape, on bool){
		"nothing comes":   func(p *tape, on bool) { p.pause(!on) },
		"silence is sent": func(p *tape, on bool) { p.hush(!on) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rests(t, say) })
		})
	}
}

func rests(t *testing.T, say func(p *tape, on bool)) {
	h := newHall(t, encoders{}, nil)
	defer h.close()
	time.Sleep(7 * time.Millisecond)
	word := &tape{sound: faded(sine(singer, loud, 2*time.Second)), loop: true}
	h.seat("alice", word)
	h.seat("bob", &mixertest.Tone{})
	clients := []*ear{newEar(t, 1), newEar(t, 1)}
	defer h.listen("", clients[0]).Close()
	defer h.listen("bob", clients[1]).Close()
	recorder := newEar(t, 1)
	recorder.continuous = true
	defer h.listen("", recorder).Close()
	time.Sleep(time.Second)
	time.Sleep(word.rest())
	say(word, false)
	time.Sleep(1500 * time.Millisecond) // a pause between words is over
	var before [2]int
	for i, e := range clients {
		before[i], _ = e.counts()
	}
	whole, _ := recorder.counts()
	const pause = 10 * time.Second
	time.Sleep(pause)
	for i, e := range clients {
		n, _ := e.counts()
		if n -= before[i]; n > 30 || n == 0 {
			t.Errorf("client %d gets %d packets in ten silent seconds", i, n)
		}
	}
	if n, missing := recorder.counts(); n-whole != int(pause/pcm.Duration) || missing > 0 {
		t.Errorf("who takes no pauses gets %d blocks in ten seconds and misses %d", n-whole, missing)
	}
	var begins [2]time.Time
	tuners := [2]*tuner{newTuner(singer), newTuner(singer)}
	for i, e := range clients {
		e.do(func() {
			e.heard = func(b []float32) {
				tuners[i].take(b)
				if begins[i].IsZero() && level(b) > -60 {
					begins[i] = time.Now()
				}
			}
		})
	}
	say(word, true)
	spoken := time.Now()
	time.Sleep(word.rest() - 100*time.Millisecond)
	for i, e := range clients {
		e.do(func() {
			late := begins[i].Sub(spoken)
			t.Logf("client %d hears the next word after %v, with %v", i, late, tuners[i])
			if begins[i].IsZero() || late > 60*time.Millisecond {
				t.Errorf("client %d hears the next word after %v", i, late)
			}
			if tuners[i].Click > decoded.click {
				t.Errorf("client %d hears %v", i, tuners[i])
			}
		})
	}
}
