package plane

import "time"

const (
	// maxMissing bounds the packets that are asked for at a time: more are no
	// loss but a cut, after which only a key frame helps.
	maxMissing = 128
	// askTries is how often a packet is asked for.
	askTries = 8
	// askFor is how long a packet is asked for: who comes later is of no use.
	askFor = time.Second
	// askAgain is the least time between two requests for a packet; a round trip
	// if that is more.
	askAgain = 20 * time.Millisecond
)

// absent is a packet that has not come.
type absent struct {
	seq         int64
	since, last time.Time
	tries       int
}

// missing are the packets of a stream that have not come, in order (RFC 4585,
// section 6.2.1).
type missing struct {
	list [maxMissing]absent
	n    int
	high int64
	any  bool
}

// take accounts for a packet and reports whether some are newly missing.
func (m *missing) take(now time.Time, seq int64) (gap bool) {
	switch {
	case !m.any:
		m.any, m.high = true, seq
	case seq <= m.high:
		m.found(seq)
	case seq-m.high > maxMissing:
		m.n, m.high = 0, seq
	default:
		for s := m.high + 1; s < seq; s++ {
			m.add(now, s)
			gap = true
		}
		m.high = seq
	}
	return gap
}

func (m *missing) add(now time.Time, seq int64) {
	if m.n == maxMissing { // the oldest is given up
		copy(m.list[:], m.list[1:])
		m.n--
	}
	m.list[m.n] = absent{seq: seq, since: now}
	m.n++
}

func (m *missing) found(seq int64) {
	for i := range m.n {
		if m.list[i].seq == seq {
			copy(m.list[i:m.n], m.list[i+1:m.n])
			m.n--
			return
		}
	}
}

// due appends the sequence numbers that are to be asked for at now and gives up
// those that have been asked for long enough.
func (m *missing) due(now time.Time, roundTrip time.Duration, dst []uint16) []uint16 {
	wait := max(askAgain, roundTrip)
	kept := m.list[:0]
	for _, a := range m.list[:m.n] {
		if a.tries >= askTries || now.Sub(a.since) > askFor {
			continue
		}
		if a.tries == 0 || now.Sub(a.last) >= wait {
			a.tries, a.last = a.tries+1, now
			dst = append(dst, uint16(a.seq))
		}
		kept = append(kept, a)
	}
	m.n = len(kept)
	return dst
}
