package events

import "time"

// log is a ring of the newest entries of a room, or of all rooms. Owned by its
// Hub, under the Hub's lock.
type log struct {
	last     uint64   // number of the newest entry; 0: none yet
	base     uint64   // number before the first
	ring     []*Entry // grows up to limit, then number n lies at (n-1-base) % limit
	limit    int
	waiting  map[chan struct{}]struct{} // readers to be woken, each channel holds one token
	finished bool
	endedAt  time.Time
}

// newLog answers a log whose first entry has the number after base.
func newLog(limit int, base uint64) *log { return &log{limit: limit, base: base, last: base} }

// append keeps an entry, in place of the oldest where the ring is full, and
// wakes who waits.
func (l *log) append(e *Entry) {
	l.last++
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, e)
	} else {
		l.ring[l.place(l.last)] = e
	}
	l.wake()
}

// place answers where in the ring a number lies.
func (l *log) place(n uint64) uint64 { return (n - 1 - l.base) % uint64(l.limit) }

func (l *log) wake() {
	for c := range l.waiting {
		select {
		case c <- struct{}{}:
		default: // it has been woken already
		}
	}
}

// oldest answers the number of the oldest entry kept; last+1 where none is.
func (l *log) oldest() uint64 { return l.last - uint64(len(l.ring)) + 1 }

// after answers up to max entries that follow number n.
func (l *log) after(n uint64, max int) []*Entry {
	count := min(l.last-n, uint64(max))
	if count == 0 {
		return nil
	}
	out := make([]*Entry, 0, count)
	for i := n + 1; i <= n+count; i++ {
		out = append(out, l.ring[l.place(i)])
	}
	return out
}

// join adds a reader's wake-up channel.
func (l *log) join(c chan struct{}) {
	if l.waiting == nil {
		l.waiting = map[chan struct{}]struct{}{}
	}
	l.waiting[c] = struct{}{}
}
