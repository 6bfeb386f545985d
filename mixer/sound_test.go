package mixer_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// Who is deaf hears nothing, and nothing clicks when it becomes so and when it
// hears again.
func TestDeafenedFadesIntoAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		p := w.join(t, "bob", &mixertest.Tone{}, nil)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "bob"})
		time.Sleep(time.Second)
		deafen := func(on bool) {
			if err := p.Update(0, mixer.ParticipantPatch{Deafened: &on}); err != nil {
				t.Fatal(err)
			}
		}
		deafen(true)
		before, _ := ear.Counts()
		time.Sleep(2 * time.Second)
		if after, _ := ear.Counts(); after-before > 9 {
			t.Errorf("%d packets in two seconds of being deaf", after-before)
		}
		if level := ear.Tone(440); level > -100 {
			t.Errorf("the deaf one hears %.1f dBov", level)
		}
		deafen(false)
		time.Sleep(time.Second)
		if level := ear.Tone(440); level < -20 {
			t.Errorf("the tone is gone: %.1f dBov", level)
		}
		// A fade over 20 ms bends a tone of 0.25 by about 0.25 * 2 pi 440 / 48000 / 960 a sample.
		if worst := mixertest.Clicks(ear.Sound(4*time.Second), 440); worst > 5e-4 {
			t.Errorf("a click: the tone departs by %g", worst)
		}
		if f := ear.Faults(); len(f) > 0 {
			t.Error(f)
		}
		w.room.Close("end")
	})
}

// While nobody speaks a listener gets a packet every 400 ms, and the loop works
// no more often; whoever must have every block gets it.
func TestSilencePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tone := &mixertest.Tone{Hz: 440}
		w.join(t, "alice", tone, nil)
		w.join(t, "bob", &mixertest.Tone{}, nil)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "bob"})
		time.Sleep(time.Second)
		tone.Stall(true)
		time.Sleep(2 * time.Second) // the hold of the election, the fade, the last blocks
		packets, _ := ear.Counts()
		encodes := w.room.Stats().AudioEncodes
		time.Sleep(10 * time.Second)
		after, _ := ear.Counts()
		if n := after - packets; n < 24 || n > 26 {
			t.Errorf("%d packets in ten seconds of silence, want 25", n)
		}
		if n := w.room.Stats().AudioEncodes - encodes; n != 0 {
			t.Errorf("%d encodes in silence", n)
		}
		tone.Stall(false)
		time.Sleep(60 * time.Millisecond)
		if level := mixertest.Goertzel(ear.Sound(20*time.Millisecond), 440); level < -25 {
			t.Errorf("60 ms after the voice came back: %.1f dBov", level)
		}
		whole := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: whole, Audio: true, Continuous: true})
		tone.Stall(true)
		time.Sleep(5 * time.Second)
		if n := whole.Pauses(); n != 0 {
			t.Errorf("%d pauses where every block is to be had", n)
		}
		if n, _ := whole.Counts(); n < 248 {
			t.Errorf("%d blocks in five seconds, want 250", n)
		}
		for _, e := range []*mixertest.Ear{ear, whole} {
			if f := e.Faults(); len(f) > 0 {
				t.Error(f)
			}
		}
		w.room.Close("end")
	})
}

// Somebody who leaves in the middle of a tone ends without a click.
func TestLeavingFades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "carol", &mixertest.Tone{}, nil)
		ear := &mixertest.Ear{}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "carol"})
		p := w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		time.Sleep(time.Second + 7*time.Millisecond)
		p.Leave("left")
		time.Sleep(500 * time.Millisecond)
		sound := ear.Sound(time.Second)
		worst := 0.0
		for i := 1; i < len(sound); i++ {
			worst = max(worst, math.Abs(float64(sound[i]-sound[i-1])))
		}
		// The steepest of a tone of 0.25 and 440 Hz is 0.0144 a sample.
		if worst > 0.016 {
			t.Errorf("a step of %.3f where somebody left", worst)
		}
		if sound[len(sound)-1] != 0 {
			t.Error("the voice goes on")
		}
		w.room.Close("end")
	})
}

// Listeners who lose packets share an encode with repair, and the others keep
// theirs.
func TestLossyListenersShareAnEncode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		var ears [20]mixertest.Ear
		for i := range ears {
			s := w.subscribe(t, mixer.SubscribeConfig{Sink: &ears[i], Audio: true})
			if i%4 == 0 {
				s.SetLoss(12)
			}
		}
		time.Sleep(time.Second)
		if made, repair := w.codecs.AudioMade.Load(), w.codecs.RepairMade.Load(); made != 2 || repair != 1 {
			t.Errorf("%d encoders, %d of them with repair, want 2 and 1", made, repair)
		}
		for i := range ears {
			if f := ears[i].Faults(); len(f) > 0 {
				t.Error(i, f)
			}
			if level := ears[i].Tone(440); level < -16 {
				t.Errorf("listener %d hears %.1f dBov", i, level)
			}
		}
		w.room.Close("end")
	})
}

// jingle is a Player of so many blocks of a constant.
type jingle struct {
	blocks, at, closed int
}

func (j *jingle) ReadAudio(dst *pcm.Block) bool {
	if j.at == j.blocks {
		return false
	}
	j.at++
	for i := range dst.Data() {
		dst.Data()[i] = 0.25 * float32(math.Sin(2*math.Pi*1000/pcm.Rate*float64(i)))
	}
	return true
}
func (j *jingle) Rewind() { j.at = 0 }
func (j *jingle) Close()  { j.closed++ }

func TestAnnouncementIsHeardByAllAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		var alice, viewer mixertest.Ear
		w.subscribe(t, mixer.SubscribeConfig{Sink: &alice, Audio: true, Without: "alice"})
		w.subscribe(t, mixer.SubscribeConfig{Sink: &viewer, Audio: true})
		time.Sleep(time.Second)
		source, ended := &jingle{blocks: 50}, make(chan struct{})
		a, err := w.room.Announce(mixer.AnnounceConfig{ID: "a", File: "jingle.ogg", Source: source, OnEnd: func() { close(ended) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.room.Announce(mixer.AnnounceConfig{ID: "a", Source: &jingle{}}); !errors.Is(err, mixer.ErrAnnouncementExists) {
			t.Errorf("the same again: %v", err)
		}
		time.Sleep(800 * time.Millisecond)
		for name, ear := range map[string]*mixertest.Ear{"alice": &alice, "viewer": &viewer} {
			if level := ear.Tone(1000); math.Abs(level+15.05) > 0.5 {
				t.Errorf("%s hears the announcement at %.1f dBov", name, level)
			}
		}
		if i := a.Info(); i.Played < 760*time.Millisecond || i.Played > 820*time.Millisecond {
			t.Errorf("%v were played", i.Played)
		}
		<-ended
		if _, err := w.room.Announcement("a"); !errors.Is(err, mixer.ErrAnnouncementNotFound) || source.closed != 1 {
			t.Errorf("after its end: %v, closed %d times", err, source.closed)
		}

		looped := &jingle{blocks: 10}
		a, err = w.room.Announce(mixer.AnnounceConfig{ID: "b", Source: looped, Loop: true, GainDB: -6})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if level := viewer.Tone(1000); math.Abs(level+21.05) > 0.5 {
			t.Errorf("the loop is at %.1f dBov", level)
		}
		a.Stop()
		time.Sleep(time.Second)
		if level := viewer.Tone(1000); level > -90 || looped.closed != 1 {
			t.Errorf("after the stop: %.1f dBov, closed %d times", level, looped.closed)
		}
		for range 4 {
			if _, err := w.room.Announce(mixer.AnnounceConfig{ID: "x" + string(rune('a'+len(w.room.Announcements()))), Source: &jingle{}, Loop: true}); err != nil {
				t.Fatal(err)
			}
		}
		w.room.Close("end")
		types := w.types()
		if n := count(types, mixer.AnnouncementStarted); n != 6 || count(types, mixer.AnnouncementEnded) != n {
			t.Errorf("%d began and %d ended, want 6 and 6", n, count(types, mixer.AnnouncementEnded))
		}
	})
}

func count(list []mixer.EventType, want mixer.EventType) int {
	return len(slices.DeleteFunc(slices.Clone(list), func(e mixer.EventType) bool { return e != want }))
}

// A room that begins again in stereo goes on without a gap, and one voice is in
// both ears.
func TestStereo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join(t, "alice", &mixertest.Tone{Hz: 440}, nil)
		p := w.join(t, "bob", &mixertest.Tone{Hz: 660}, nil)
		ear := &mixertest.Ear{Channels: 2}
		err := w.room.Update(0, func(s mixer.Settings) (mixer.Settings, error) { s.Audio.Stereo = true; return s, nil })
		if err != nil {
			t.Fatal(err)
		}
		w.subscribe(t, mixer.SubscribeConfig{Sink: ear, Audio: true, Without: "bob"})
		time.Sleep(time.Second)
		p.Leave("left")
		time.Sleep(time.Second)
		both := ear.Sound(500 * time.Millisecond)
		var sides [2][]float32
		for i, s := range both {
			sides[i%2] = append(sides[i%2], s)
		}
		for i := range sides {
			if level := mixertest.Goertzel(sides[i], 440); math.Abs(level+15.05) > 0.3 {
				t.Errorf("side %d has %.1f dBov", i, level)
			}
			if level := mixertest.Goertzel(sides[i], 660); level > -75 {
				t.Errorf("side %d has bob at %.1f dBov", i, level)
			}
		}
		w.room.Close("end")
	})
}
