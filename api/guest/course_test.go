package guest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// begin is the time that courses of the tests begin at.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

func half() float64 { return 0.5 }

// expect compares orders, written as "open a", "play b", "leave a".
func expect(t *testing.T, got []Order, want ...string) {
	t.Helper()
	words := []string{"", "open ", "play ", "leave "}
	list := []string{}
	for _, o := range got {
		list = append(list, words[o.Do]+o.Session)
	}
	if !slices.Equal(list, want) && len(list)+len(want) > 0 {
		t.Fatalf("%q, want %q", list, want)
	}
}

func expectDue(t *testing.T, c *Course, ms int) {
	t.Helper()
	if got := c.Due(); !got.Equal(at(ms)) {
		t.Fatalf("due after %v, want %d ms", got.Sub(begin), ms)
	}
}

// present answers the course of somebody whose session a is played.
func present(t *testing.T) *Course {
	t.Helper()
	c := NewCourse(half, begin)
	expectDue(t, c, 0)
	expect(t, c.Tick(begin), "open ")
	expect(t, c.Opened(at(1), "a"), "play a")
	c.Arrived()
	if !c.Due().IsZero() || c.Moving() || c.Present() != "a" {
		t.Fatal("something is due", c.Due(), c.Moving(), c.Present())
	}
	return c
}

var aMove = Move{JoinWithinMS: 500, LeaveAfterMS: 1500}

func TestMoveIsMadeBeforeTheBreak(t *testing.T) {
	c := present(t)
	expect(t, c.Moved(at(1000), aMove))
	expectDue(t, c, 1250)
	expect(t, c.Tick(at(1249)))
	expect(t, c.Tick(at(1250)), "open a")
	expect(t, c.Opened(at(1400), "b"))
	if c.Present() != "a" || !c.Moving() {
		t.Error("the old one is played until everybody is there")
	}
	expectDue(t, c, 2500)
	expect(t, c.Tick(at(2499)))
	expect(t, c.Tick(at(2500)), "play b", "leave a")
	if !c.Due().IsZero() || c.Moving() {
		t.Error("the move is over")
	}
}

func TestOldSessionIsPlayedUntilTheNewOneIsThere(t *testing.T) {
	c := present(t)
	c.Moved(at(1000), aMove)
	c.Tick(at(1250))
	if !c.Due().IsZero() {
		t.Error("due before the session is there")
	}
	expect(t, c.Opened(at(4000), "b"), "play b", "leave a")
}

func TestOldSessionIsNotWaitedFor(t *testing.T) {
	c := present(t)
	c.Moved(at(1000), aMove)
	expect(t, c.Lost(at(1100), "a"), "leave a")
	expectDue(t, c, 1100)
	expect(t, c.Tick(at(1100)), "open a")
	expect(t, c.Opened(at(1200), "b"), "play b")

	c = present(t)
	c.Moved(at(1000), aMove)
	c.Tick(at(1250))
	expect(t, c.Lost(at(1260), "a"), "leave a")
	if !c.Due().IsZero() {
		t.Error("two sessions would be opened")
	}
	expect(t, c.Opened(at(1300), "b"), "play b")

	c = present(t)
	c.Moved(at(1000), aMove)
	c.Tick(at(1250))
	c.Opened(at(1300), "b")
	expect(t, c.Lost(at(1310), "a"), "play b", "leave a")
}

func TestFailedMoveEndsInComingBack(t *testing.T) {
	c := present(t)
	c.Moved(at(1000), aMove)
	c.Tick(at(1250))
	expect(t, c.Failed(at(1300), 2*time.Second), "leave a")
	expectDue(t, c, 1300+2000+150)
	expect(t, c.Tick(at(4000)), "open a")
	expect(t, c.Opened(at(4100), "b"), "play b")

	c = present(t)
	c.Moved(at(1000), aMove)
	c.Tick(at(1250))
	c.Opened(at(1300), "b")
	expect(t, c.Lost(at(1400), "b"), "leave b", "leave a")
	expectDue(t, c, 1550)
}

func TestRoomMovesOn(t *testing.T) {
	c := present(t)
	c.Moved(at(1000), aMove)
	expect(t, c.Moved(at(1100), aMove))
	expectDue(t, c, 1250)
	c.Tick(at(1250))
	c.Opened(at(1300), "b")
	expect(t, c.Tick(at(2500)), "play b", "leave a")
	expectDue(t, c, 2750)
	expect(t, c.Tick(at(2750)), "open b")
}

func TestMovesOfOtherTimesAreNone(t *testing.T) {
	c := NewCourse(half, begin)
	c.Tick(begin)
	c.Opened(begin, "a")
	expect(t, c.Moved(at(1000), aMove)) // before our arrival
	if !c.Due().IsZero() {
		t.Error("followed a move of before")
	}
	c.Arrived()
	expect(t, c.Lost(at(2000), "a"), "leave a")
	expect(t, c.Moved(at(2001), aMove)) // who comes back gets to the new node anyway
	expectDue(t, c, 2150)
	expect(t, c.Lost(at(2002), "a")) // told twice
	expect(t, c.Lost(at(2002), ""))
}

func TestWaysBackAreSpread(t *testing.T) {
	c := present(t)
	expect(t, c.Lost(at(1000), "a"), "leave a")
	now := 1000
	for _, wait := range []int{150, 375, 750, 1500, 3000, 6000, 11250, 11250} {
		now += wait
		expectDue(t, c, now)
		expect(t, c.Tick(at(now)), "open a")
		expect(t, c.Failed(at(now), 0))
	}
	c.Tick(at(now + 11250))
	c.Opened(at(now+11300), "b")
	c.Lost(at(now+12000), "b")
	expectDue(t, c, now+12150)
	for _, random := range []float64{0, 0.25, 0.999} {
		c := NewCourse(func() float64 { return random }, begin)
		if got, want := c.backoff(), fraction(300*time.Millisecond, random); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestMovesAreBounded(t *testing.T) {
	c := present(t)
	c.Moved(at(0), Move{JoinWithinMS: -5, LeaveAfterMS: 1 << 40})
	expectDue(t, c, 0)
	c.Tick(at(0))
	c.Opened(at(1), "b")
	expectDue(t, c, 10000)
}

// TestCourses drives courses at random: whatever happens, each session is left
// once and never played after, at most one is being opened, and the guest is in
// the room or on the way.
func TestCourses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rapid.Float64Range(0, 0.999)
		w := &watched{t: t, alive: map[string]bool{}}
		w.Course = NewCourse(func() float64 { return random.Draw(t, "random") }, begin)
		now := begin
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			w.step(now, rapid.IntRange(0, 5).Draw(t, "step"))
			if !w.opening && w.playing == "" && w.Due().IsZero() {
				t.Fatal("neither in the room nor on the way")
			}
			if len(w.alive) > 2 || w.playing != w.Present() {
				t.Fatalf("%d sessions, %q is played, %q said", len(w.alive), w.playing, w.Present())
			}
		}
	})
}

// watched is a course whose orders are followed.
type watched struct {
	*Course
	t       *rapid.T
	n       int
	opening bool
	alive   map[string]bool
	playing string
}

func (w *watched) step(now time.Time, what int) {
	switch what {
	case 0:
		w.do(w.Tick(now))
	case 1:
		if w.opening {
			w.opening = false
			w.n++
			id := fmt.Sprint("s", w.n)
			w.alive[id] = true
			w.do(w.Opened(now, id))
		}
	case 2:
		if w.opening {
			w.opening = false
			w.do(w.Failed(now, 0))
		}
	case 3:
		w.Arrived()
		w.do(w.Moved(now, aMove))
	case 4:
		w.do(w.Lost(now, w.playing))
	case 5:
		w.do(w.Lost(now, fmt.Sprint("s", w.n)))
	}
}

func (w *watched) do(orders []Order) {
	for _, o := range orders {
		switch o.Do {
		case Open:
			if w.opening {
				w.t.Fatal("two are opened")
			}
			w.opening = true
		case Play:
			if !w.alive[o.Session] {
				w.t.Fatalf("%s is played after it was left", o.Session)
			}
			w.playing = o.Session
		case Leave:
			if !w.alive[o.Session] {
				w.t.Fatalf("%s is left twice", o.Session)
			}
			delete(w.alive, o.Session)
			if w.playing == o.Session {
				w.playing = ""
			}
		}
	}
}
