package audio

import (
	"math"
	"testing"
	"time"

	"tutti/codec/pcm"
)

var epoch = time.Unix(0, 0)

// at answers the time of block n.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * pcm.Duration) }

func observe(n int, levels map[*Voice]float64) {
	for v, l := range levels {
		v.Observe(at(n), l)
	}
}

func TestElectionTakesTheLoudestActive(t *testing.T) {
	a, b, c, quiet := &Voice{}, &Voice{}, &Voice{}, &Voice{}
	all := []*Voice{a, b, c, quiet}
	var e Election
	observe(0, map[*Voice]float64{a: -20, b: -30, c: -40, quiet: -80})
	e.Elect(at(0), all, 2)
	if !a.Elected() || !b.Elected() || c.Elected() || quiet.Elected() {
		t.Errorf("elected %v %v %v %v, want a and b", a.Elected(), b.Elected(), c.Elected(), quiet.Elected())
	}
	e.Elect(at(0), all, 8)
	if !c.Elected() || quiet.Elected() {
		t.Error("with room for all, every active voice and no silent one must be elected")
	}
	e.Elect(at(0), all, 0)
	if !quiet.Elected() {
		t.Error("0 means everybody")
	}
}

func TestElectionHoldsThroughPauses(t *testing.T) {
	v := &Voice{}
	var e Election
	last := 0
	for n := range 200 {
		level := pcm.SilenceDBOV
		if n == 0 {
			level = -20
		}
		v.Observe(at(n), level)
		e.Elect(at(n), []*Voice{v}, 8)
		if v.Elected() {
			last = n
		}
	}
	if held := time.Duration(last+1) * pcm.Duration; held != Hold {
		t.Errorf("held for %v, want %v", held, Hold)
	}
}

// Two voices of nearly the same loudness must not take turns at one place.
func TestElectionKeepsTheIncumbent(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	var e Election
	changes, was := 0, false
	for n := range 500 {
		observe(n, map[*Voice]float64{a: -20 - 3*math.Sin(float64(n)), b: -20 + 3*math.Sin(float64(n))})
		e.Elect(at(n), []*Voice{a, b}, 1)
		if n > 0 && a.Elected() != was {
			changes++
		}
		was = a.Elected()
	}
	if changes > 0 {
		t.Errorf("%d changes", changes)
	}
	for n := 500; n < 600; n++ { // clearly louder takes over
		observe(n, map[*Voice]float64{a: -40, b: -10})
		e.Elect(at(n), []*Voice{a, b}, 1)
	}
	if !b.Elected() {
		t.Error("who is 30 dB louder must be heard")
	}
}

func TestElectionAndSpeakerAllocateNothing(t *testing.T) {
	voices := make([]*Voice, 50)
	for i := range voices {
		voices[i] = &Voice{}
	}
	var e Election
	var s Speaker
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		n++
		for i, v := range voices {
			v.Observe(at(n), -20-float64(i))
		}
		e.Elect(at(n), voices, 8)
		s.Observe(at(n), voices)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
