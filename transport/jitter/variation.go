package jitter

import (
	"slices"
	"time"
)

// windowPackets is the most that a variation remembers: 4 s of 10 ms packets and
// some. A faster stream shortens the window.
const windowPackets = 512

// quantile is the share of packets that shall arrive in time, in percent.
const quantile = 97

// arrival is when a packet came and its transit: arrival less media time, of
// which only differences mean anything.
type arrival struct{ at, transit time.Duration }

// variation measures how much later than the fastest packet of a sliding window
// the others came.
type variation struct {
	window time.Duration
	ring   [windowPackets]arrival
	head   int // index of the oldest
	sorted []time.Duration
	last   time.Duration // transit of the packet that came last
	jitter time.Duration
}

func newVariation(window time.Duration) *variation {
	return &variation{window: window, sorted: make([]time.Duration, 0, windowPackets)}
}

// add takes the transit of a packet that arrived at.
func (v *variation) add(at, transit time.Duration) {
	if len(v.sorted) > 0 {
		// RFC 3550, section 6.4.1: J += (|D| - J) / 16.
		v.jitter += ((transit - v.last).Abs() - v.jitter) / 16
	}
	v.last = transit
	v.insert(at, transit)
}

// insert has a transit count in the window that is none of a packet from the
// network, such as that of what a packet repairs.
func (v *variation) insert(at, transit time.Duration) {
	for len(v.sorted) > 0 && (len(v.sorted) == windowPackets || at-v.ring[v.head].at > v.window) {
		v.evict()
	}
	v.ring[(v.head+len(v.sorted))%windowPackets] = arrival{at, transit}
	i, _ := slices.BinarySearch(v.sorted, transit)
	v.sorted = slices.Insert(v.sorted, i, transit)
}

// evict forgets the oldest packet.
func (v *variation) evict() {
	i, _ := slices.BinarySearch(v.sorted, v.ring[v.head].transit)
	v.sorted = slices.Delete(v.sorted, i, i+1)
	v.head = (v.head + 1) % windowPackets
}

// base answers the transit of the fastest packet.
func (v *variation) base() time.Duration {
	if len(v.sorted) == 0 {
		return 0
	}
	return v.sorted[0]
}

// spread answers how much later than the fastest 97 of 100 packets came, in a
// short window all of them.
func (v *variation) spread() time.Duration {
	n := len(v.sorted)
	if n == 0 {
		return 0
	}
	return v.sorted[(n*quantile+99)/100-1] - v.sorted[0]
}

// reset forgets all packets but keeps the jitter.
func (v *variation) reset() {
	v.head, v.sorted = 0, v.sorted[:0]
}
