package cluster

import (
	"math"
	"slices"
	"time"
)

// forever is the end of a tenure that nobody else can end: no majority of its
// quorum set is without the member itself.
const forever = time.Duration(math.MaxInt64)

// Standing is whether a member may go on.
type Standing string

// The standings of a member.
const (
	Joining Standing = "joining" // not registered yet
	Held    Standing = "held"    // by its lease
	Stasis  Standing = "stasis"  // the store is away, as half of the members confirm
	Fenced  Standing = "fenced"  // never again, under this incarnation
)

// Tenure is the time for which one incarnation may send. It is a pure core: all
// times are arguments, by the clock Boottime. It is not safe for concurrent use.
//
// It lasts until a margin before the end of the lease, counted from when the
// renewal was sent; or for as long as half of the quorum set, the member itself
// included, confirms that the store is away, each from when it was asked. When
// it has ended, it never begins again.
type Tenure struct {
	self        string
	ttl, margin time.Duration
	standing    Standing
	renewed     time.Duration // when the last successful renewal was sent
	// sets are the quorum sets that may be in the store: one, or more while
	// the outcome of a write is unknown. Each must be satisfied.
	sets      [][]string
	confirmed map[string]time.Duration // until when, by member
}

// marginOf is what clocks may drift apart, and what it takes to act, in a TTL.
func marginOf(ttl time.Duration) time.Duration { return ttl / 5 }

// NewTenure answers the tenure of a member that is not registered yet. The lease
// lasts ttl.
func NewTenure(self string, ttl time.Duration) *Tenure {
	return &Tenure{self: self, ttl: ttl, margin: marginOf(ttl), standing: Joining, confirmed: map[string]time.Duration{}}
}

// Begin says that the member is registered, under a lease that was asked for
// when sent, with a quorum set.
func (t *Tenure) Begin(now, sent time.Duration, quorum []string) Standing {
	if t.standing == Joining {
		t.standing, t.renewed, t.sets = Held, sent, [][]string{quorum}
	}
	return t.Check(now)
}

// Renewed says that the lease was renewed, by a request that was sent then, and
// that the member's entry is its own.
func (t *Tenure) Renewed(now, sent time.Duration) Standing {
	if t.Check(now) == Held || t.standing == Stasis {
		t.renewed = max(t.renewed, sent)
	}
	return t.Check(now)
}

// Confirmed says that a member, asked then, did not see the store.
func (t *Tenure) Confirmed(now, asked time.Duration, by string) Standing {
	if t.Check(now) != Fenced {
		t.confirmed[by] = max(t.confirmed[by], asked+t.ttl-t.margin)
	}
	return t.Check(now)
}

// Propose says that a quorum set is about to be written: from now on it may be
// in the store, and is to be satisfied too.
func (t *Tenure) Propose(quorum []string) {
	if !slices.ContainsFunc(t.sets, func(set []string) bool { return slices.Equal(set, quorum) }) {
		t.sets = append(t.sets, quorum)
	}
}

// Settle says which quorum set is in the store, and that no other will be.
func (t *Tenure) Settle(quorum []string) { t.sets = [][]string{quorum} }

// Quorum answers the sets that must be satisfied; with more than one, which of
// them is in the store is not known.
func (t *Tenure) Quorum() [][]string { return t.sets }

// Fence ends the tenure.
func (t *Tenure) Fence() { t.standing = Fenced }

// Check answers the standing at a time, and ends a tenure that is over.
func (t *Tenure) Check(now time.Duration) Standing {
	switch {
	case t.standing == Joining || t.standing == Fenced:
	case now < t.leased():
		t.standing = Held
	case now < t.Until():
		t.standing = Stasis
	default:
		t.standing = Fenced
	}
	return t.standing
}

// Until answers when the tenure ends, as things are: 0 where it has not begun or
// is over, forever where it cannot.
func (t *Tenure) Until() time.Duration {
	if t.standing == Joining || t.standing == Fenced {
		return 0
	}
	return max(t.leased(), t.excused())
}

// leased answers until when the lease carries the tenure.
func (t *Tenure) leased() time.Duration { return t.renewed + t.ttl - t.margin }

// excused answers until when half of each quorum set confirms that the store is
// away.
func (t *Tenure) excused() time.Duration {
	until := forever
	for _, set := range t.sets {
		until = min(until, t.half(set))
	}
	return until
}

// half answers until when half of a set, the member itself included, confirms.
func (t *Tenure) half(set []string) time.Duration {
	needed := (len(set)+1)/2 - 1
	if needed <= 0 {
		return forever
	}
	var ends []time.Duration
	for _, name := range set {
		if end, ok := t.confirmed[name]; ok && name != t.self {
			ends = append(ends, end)
		}
	}
	if len(ends) < needed {
		return 0
	}
	slices.Sort(ends)
	return ends[len(ends)-needed]
}

// Renewal is how often the lease is to be renewed.
func (t *Tenure) Renewal() time.Duration { return t.ttl / 5 }

// Asks reports whether the other members are to be asked if the store is away:
// the renewals have failed for longer than one takes.
func (t *Tenure) Asks(now time.Duration) bool {
	s := t.Check(now)
	return (s == Held || s == Stasis) && now-t.renewed > t.ttl*3/10
}
