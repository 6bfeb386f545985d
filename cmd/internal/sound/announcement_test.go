package sound

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// record is a sound to be announced.
type record struct {
	sound  []float32
	at     int
	closed bool
}

// ReadAudio implements mixer.Player.
func (r *record) ReadAudio(dst *pcm.Block) bool {
	if r.at >= len(r.sound) {
		return false
	}
	dst.Clear()
	channels := dst.Channels()
	for i, s := range r.sound[r.at:min(r.at+pcm.Samples, len(r.sound))] {
		for c := range channels {
			dst.Data()[i*channels+c] = s
		}
	}
	r.at += pcm.Samples
	return true
}

// Rewind implements mixer.Player.
func (r *record) Rewind() { r.at = 0 }

// Close implements mixer.Player.
func (r *record) Close() { r.closed = true }

// TestAnnouncementIsHeardByAll plays a tone to one who sings, one who is silent
// and one who only listens, and stops it in the middle.
func TestAnnouncementIsHeardByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, &mixertest.Codecs{}, nil)
		defer h.close()
		time.Sleep(7 * time.Millisecond)
		h.seat("alice", &mixertest.Tone{Hz: singer, Amplitude: loud})
		h.seat("bob", &mixertest.Tone{})
		names := []string{"alice", "bob", ""}
		ears, tuners := make([]*ear, len(names)), make([]*tuner, len(names))
		for i, name := range names {
			ears[i], tuners[i] = newPlainEar(t), newTuner(singer, other)
			ears[i].continuous = true
			defer h.listen(name, ears[i]).Close()
		}
		time.Sleep(5 * time.Second)
		source, ended := &record{sound: sine(other, loud, time.Minute)}, make(chan struct{})
		a, err := h.room.Announce(mixer.AnnounceConfig{ID: "hello", File: "hello.wav", Source: source, OnEnd: func() { close(ended) }})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for i, e := range ears {
			if got := mixertest.Goertzel(e.since(6*time.Second), other); got < -17 || got > -13 {
				t.Errorf("%q hears it at %.1f dBov", names[i], got)
			}
			e.do(func() { e.heard = tuners[i].take })
		}
		time.Sleep(time.Second)
		a.Stop()
		time.Sleep(time.Second)
		select {
		case <-ended:
		default:
			t.Fatal("it has not ended")
		}
		if !source.closed {
			t.Error("the source was not closed")
		}
		for i, u := range tuners {
			ears[i].do(func() {
				if u.Click > plain.click {
					t.Errorf("%q hears %v", names[i], u)
				}
			})
			// alice hears nobody, and the others hear her
			if got := ears[i].now(); (i == 0) != (got < -60) {
				t.Errorf("%q hears %.0f dBov after the end", names[i], got)
			}
		}
	})
}
