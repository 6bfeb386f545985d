package events

import "time"

// log is a ring of the newest entries of a room, or of all rooms. Owned by its
// Hub, under the Hub's lock.
type log struct {
	last     uint64   // number of the newest entry; 0: none yet
	ring     []*Entry // grows up to limit, then number n lies at (n-1) % limit
	limit    int
	waiting  map[chan struct{}]struct{} // readers to be woken, each channel holds one token
	finished bool
	endedAt  time.Time
}

func newLog(limit int) *log { return &log{limit: limit} }

// append keeps an entry, in place of the oldest where the ring is full, and
// wakes who waits.
func (l *log) append(e *Entry) {
	l.last++
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, e)
	} else {
		l.ring[(l.last-1)%uint64(l.limit)] = e
	}
	l.wake()
}

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
		out = append(out, l.ring[(i-1)%uint64(l.limit)])
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
