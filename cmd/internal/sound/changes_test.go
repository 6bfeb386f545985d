package sound

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// TestChangesAreNotHeard lets somebody begin and stop to talk, be muted, be made
// deaf and hear again, while another sings: neither a third nor the one who is
// moved from mix to mix hears more of it than a fade.
func TestChangesAreNotHeard(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { changes(t, &mixertest.Codecs{}, newPlainEar, plain) })
	})
	t.Run("opus", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { changes(t, encoders{}, newMonoEar, decoded) })
	})
}

func changes(t *testing.T, codecs mixer.Codecs, newEar func(*testing.T) *ear, limit bound) {
	h := newHall(t, codecs, nil)
	defer h.close()
	time.Sleep(7 * time.Millisecond)
	h.seat("alice", &mixertest.Tone{Hz: singer, Amplitude: loud})
	words := &tape{sound: faded(sine(other, loud, 500*time.Millisecond)), loop: true, stop: true}
	bob := h.seat("bob", words)
	third, heard := newEar(t), newTuner(singer, other)
	third.heard = heard.take
	defer h.listen("", third).Close()
	mover, moved := newEar(t), newTuner(singer)
	mover.heard = moved.take
	defer h.listen("bob", mover).Close()
	time.Sleep(5 * time.Second)
	third.do(heard.clear)
	mover.do(moved.clear)
	yes, no := true, false
	for range 10 {
		words.pause(false) // he talks, and has a mix of his own
		time.Sleep(2 * time.Second)
		limit.check(t, "a third, while one talks,", third, heard)
		limit.check(t, "who begins to talk", mover, moved)
		h.patch(bob, mixer.ParticipantPatch{AudioMuted: &yes})
		time.Sleep(1300 * time.Millisecond)
		h.patch(bob, mixer.ParticipantPatch{AudioMuted: &no})
		time.Sleep(1300 * time.Millisecond)
		limit.check(t, "a third, while one is muted,", third, heard)
		limit.check(t, "who is muted", mover, moved)
		time.Sleep(words.rest())
		words.pause(true) // back to the mix of all
		time.Sleep(3 * time.Second)
		limit.check(t, "a third, while one stops talking,", third, heard)
		limit.check(t, "who stops talking", mover, moved)
	}
	_, lost := third.counts()
	_, gaps := mover.counts()
	if lost > 0 || gaps > 0 {
		t.Errorf("%d and %d blocks are missing", lost, gaps)
	}
	h.patch(bob, mixer.ParticipantPatch{Deafened: &yes})
	time.Sleep(time.Second)
	if got := mover.now(); got > -60 {
		t.Errorf("who is deaf hears %.0f dBov", got)
	}
	fades := bound{math.Inf(1), limit.click} // steeper than a tone, and no click
	fades.check(t, "who is made deaf", mover, moved)
	h.patch(bob, mixer.ParticipantPatch{Deafened: &no})
	time.Sleep(time.Second)
	fades.check(t, "who hears again", mover, moved)
	limit.check(t, "a third", third, heard)
	if _, lost := third.counts(); lost > 0 {
		t.Errorf("the third missed %d blocks", lost)
	}
}

// patch changes a participant.
func (h *hall) patch(p *mixer.Participant, patch mixer.ParticipantPatch) {
	h.t.Helper()
	if err := p.Update(0, patch); err != nil {
		h.t.Fatal(err)
	}
}
