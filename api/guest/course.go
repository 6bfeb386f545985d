package guest

import "time"

// Times of a guest who lost the room.
const (
	// firstRetry is the window of the first attempt to come back: it is made at a
	// random time within.
	firstRetry = 300 * time.Millisecond
	// The window of the next one, which doubles up to the longest. Each is made in the
	// upper half of its window, so that not all come back in step.
	baseRetry    = 500 * time.Millisecond
	longestRetry = 15 * time.Second
	// longestMove bounds what a move may ask for.
	longestMove = 10 * time.Second
)

// Deed is what a course says to do.
type Deed int

// The deeds. A session that is to be left is not played any more.
const (
	Open  Deed = iota + 1 // a session that resumes Order.Session, or nobody where that is empty
	Play                  // Order.Session in place of the one before
	Leave                 // Order.Session
)

// Order is a deed that is due now, upon the session of a participant.
type Order struct {
	Do      Deed
	Session string
}

// Course decides when a guest opens, plays and leaves sessions, so that they are
// in the room all the time: one session in general, two while the room moves.
// It starts nothing and reads no clock; each method answers what is to be done.
// It belongs to one goroutine.
type Course struct {
	random  func() float64 // [0, 1)
	present string         // the session that is played; empty: none
	next    string         // the one on the new node, while the room moves
	former  string         // who the next session resumes
	opening bool
	arrived bool // whether the events have come as far as an arrival of ours

	openAt  time.Time // zero: none is to be opened
	leaveAt time.Time // zero: the room does not move
	failed  int       // attempts since the session was lost
	again   *Move     // the room has moved on meanwhile
}

// NewCourse begins outside of the room; the first session is due at once. random
// answers [0, 1).
func NewCourse(random func() float64, now time.Time) *Course {
	return &Course{random: random, openAt: now}
}

// Due answers when Tick is to be called next; zero for not at all.
func (c *Course) Due() time.Time {
	switch {
	case !c.openAt.IsZero():
		return c.openAt
	case c.next != "":
		return c.leaveAt
	}
	return time.Time{}
}

// Moving reports whether the guest is about to play another session.
func (c *Course) Moving() bool { return !c.leaveAt.IsZero() }

// Present answers the session that is played, or nothing.
func (c *Course) Present() string { return c.present }

// Tick does what is due.
func (c *Course) Tick(now time.Time) []Order {
	if !c.openAt.IsZero() && !now.Before(c.openAt) {
		c.openAt, c.opening = time.Time{}, true
		return []Order{{Open, c.former}}
	}
	if c.next != "" && !now.Before(c.leaveAt) {
		return c.swap(now)
	}
	return nil
}

// swap plays the session on the new node.
func (c *Course) swap(now time.Time) []Order {
	orders := []Order{{Play, c.next}}
	if c.present != "" {
		orders = append(orders, Order{Leave, c.present})
	}
	c.present, c.former, c.next, c.leaveAt = c.next, c.next, "", time.Time{}
	if again := c.again; again != nil {
		c.again = nil
		orders = append(orders, c.Moved(now, *again)...)
	}
	return orders
}

// Opened tells that a session is connected.
func (c *Course) Opened(now time.Time, session string) []Order {
	c.opening, c.failed, c.next = false, 0, session
	if !now.Before(c.leaveAt) { // always where the room does not move
		return c.swap(now)
	}
	return nil
}

// Failed tells that no session could be opened, and what the server asks to
// wait, 0 for nothing.
func (c *Course) Failed(now time.Time, wait time.Duration) []Order {
	c.opening = false
	return c.comeBack(now, wait)
}

// Arrived tells that the events have come as far as the arrival of a session of
// ours. A move that is told before is of another time.
func (c *Course) Arrived() { c.arrived = true }

// Moved tells that the room goes to another node.
func (c *Course) Moved(now time.Time, m Move) []Order {
	switch {
	case !c.arrived || c.present == "": // who comes back gets to the new node anyway
		return nil
	case c.Moving():
		c.again = &m
		return nil
	}
	c.leaveAt = now.Add(bounded(m.LeaveAfterMS))
	c.openAt = now.Add(fraction(bounded(m.JoinWithinMS), c.random()))
	return nil
}

// Lost tells that a session has ended.
func (c *Course) Lost(now time.Time, session string) []Order {
	switch {
	case session == "" || session != c.present && session != c.next:
		return nil // it was left before
	case session == c.present && c.next != "":
		return c.swap(now)
	case session == c.present && c.Moving(): // nothing is waited for but the new one
		c.present, c.leaveAt = "", now
		if !c.opening {
			c.openAt = now
		}
		return []Order{{Leave, session}}
	}
	return c.comeBack(now, 0)
}

// comeBack leaves what there is, and tries anew after a while.
func (c *Course) comeBack(now time.Time, wait time.Duration) (orders []Order) {
	for _, s := range []string{c.next, c.present} {
		if s != "" {
			orders = append(orders, Order{Leave, s})
		}
	}
	c.next, c.present, c.again, c.leaveAt = "", "", nil, time.Time{}
	c.openAt = now.Add(wait + c.backoff())
	return orders
}

// backoff answers how long to wait before the next attempt.
func (c *Course) backoff() time.Duration {
	n := c.failed
	c.failed++
	if n == 0 {
		return fraction(firstRetry, c.random())
	}
	window := longestRetry
	if n-1 < 5 {
		window = min(baseRetry<<(n-1), longestRetry)
	}
	return fraction(window, 0.5+c.random()/2)
}

func fraction(d time.Duration, of float64) time.Duration { return time.Duration(float64(d) * of) }

// bounded reads milliseconds of a move.
func bounded(ms int) time.Duration {
	return min(time.Duration(max(ms, 0))*time.Millisecond, longestMove)
}
