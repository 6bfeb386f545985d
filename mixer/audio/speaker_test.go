package audio

import (
	"testing"
	"time"

	"tutti/codec/pcm"
)

func TestSpeakerTimers(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	both := []*Voice{a, b}
	var s Speaker
	switched := -1
	run := func(from, to int, la, lb float64) {
		switched = -1
		for n := from; n < to; n++ {
			observe(n, map[*Voice]float64{a: la, b: lb})
			if s.Observe(at(n), both) {
				switched = n
			}
		}
	}
	run(0, 100, -20, -90)
	if s.Current() != a || at(switched).Sub(epoch) > 200*time.Millisecond {
		t.Fatalf("the first to speak has the floor soon: at block %d", switched)
	}
	run(100, 110, -20, -10) // a cough of 200 ms
	run(110, 200, -20, -90)
	if s.Current() != a {
		t.Error("a cough took the floor")
	}
	run(200, 300, -90, -90)
	if s.Current() != a {
		t.Error("the floor was lost in silence")
	}
	run(300, 400, -90, -20)
	if d := time.Duration(switched-300) * pcm.Duration; s.Current() != b || d < 380*time.Millisecond || d > 500*time.Millisecond {
		t.Errorf("the switch took %v, want the trigger's 400 ms", d)
	}
	if !s.Observe(at(400), []*Voice{a}) || s.Current() != nil {
		t.Error("who has left has the floor still")
	}
}

func TestSpeakerHold(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	s := Speaker{Trigger: 100 * time.Millisecond, Hold: 2 * time.Second}
	changes := 0
	for n := range 500 { // ten seconds of taking turns every 300 ms
		la, lb := -20.0, -90.0
		if n/15%2 == 1 {
			la, lb = lb, la
		}
		observe(n, map[*Voice]float64{a: la, b: lb})
		if s.Observe(at(n), []*Voice{a, b}) {
			changes++
		}
	}
	if changes > 6 {
		t.Errorf("%d changes in ten seconds with a hold of two", changes)
	}
}
