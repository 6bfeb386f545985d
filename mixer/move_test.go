package mixer_test

import (
	"image/color"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// Drop waits for nobody who has something to finish, and ends all the same.
func TestDropWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		left := ""
		if _, err := w.room.Join(mixer.JoinConfig{ID: "alice", Role: mixer.Both, OnLeave: func(r string) { left = r }}); err != nil {
			t.Fatal(err)
		}
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Video: true, Continuous: true, Finish: func() { t.Error("asked to finish") }})
		time.Sleep(time.Second)
		start := time.Now()
		w.room.Drop("fenced")
		ear.Closed()
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		select {
		case <-w.room.Done():
		default:
			t.Error("the room is not done")
		}
		if _, err := w.rooms.Get("r"); err == nil || left != "fenced" {
			t.Errorf("it is there still, or alice left for %q", left)
		}
		if e := w.events[len(w.events)-1]; e.Type != mixer.RoomFinished || e.Reason != "fenced" {
			t.Errorf("ended with %+v", e)
		}
		w.room.Close("again")
		time.Sleep(time.Second)
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
	})
}

// A room tells its clients that it has moved; that changes nothing in it.
func TestMovedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.room.Moved(mixer.Move{JoinWithinMS: 500, LeaveAfterMS: 1500})
		e := w.events[len(w.events)-1]
		if e.Type != mixer.RoomMoved || e.Room != "r" || e.Move == nil || *e.Move != (mixer.Move{JoinWithinMS: 500, LeaveAfterMS: 1500}) {
			t.Errorf("told %+v", e)
		}
		if slices.Contains(w.types(), mixer.RoomFinished) {
			t.Error("it is over")
		}
		w.room.Close("end")
	})
}

// Attributes are what Update has made of everybody, in the order of joining.
func TestAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.room.Close("end")
		w.join(t, "bob", nil, nil)
		p := w.join(t, "alice", nil, nil)
		yes, gain, name := true, -6.0, "Alice L."
		if err := p.Update(0, mixer.ParticipantPatch{Name: &name, AudioMuted: &yes, VideoMuted: &yes, GainDB: &gain}); err != nil {
			t.Fatal(err)
		}
		want := []mixer.Attributes{
			{ID: "bob", Name: "bob", Version: 1},
			{ID: "alice", Name: name, AudioMuted: true, VideoMuted: true, GainDB: gain, Version: 2},
		}
		if got := w.room.Attributes(); !slices.Equal(got, want) {
			t.Errorf("%+v", got)
		}
	})
}

// Pictures counts what cameras bring onto the canvas, and nothing else does.
func TestPicturesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.room.Close("end")
		w.subscribe(t, mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Video: true})
		time.Sleep(time.Second)
		if n := w.room.Stats().Pictures; n != 0 {
			t.Errorf("%d pictures without a camera", n)
		}
		card := &mixertest.Card{Colour: color.White}
		w.join(t, "alice", nil, card)
		time.Sleep(2*time.Second + 30*time.Millisecond)
		synctest.Wait() // no picture is on its way
		if n := w.room.Stats().Pictures; n != uint64(card.Made()) || n < 10 || w.rooms.Stats().Pictures != n {
			t.Errorf("%d pictures, %d of all rooms", n, w.rooms.Stats().Pictures)
		}
	})
}
