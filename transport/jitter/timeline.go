package jitter

import (
	"time"

	"tutti/transport/rtptime"
)

const (
	// maxJump is how many numbers the sequence may jump, in packets, before the
	// sender is taken to have restarted.
	maxJump = 500
	// gapSamples is how much a timestamp may run ahead of the sequence before it
	// is looked at: 100 ms at 48 kHz.
	gapSamples = Rate / 10
	// maxAhead is how much sooner than the fastest packet one may come before its
	// timestamp is taken to have jumped.
	maxAhead = 100 * time.Millisecond
	// maxBehind is how far a timestamp may lie before the newest, in samples.
	maxBehind = 10 * Rate
)

// restarts tells a sender that jumped to other sequence numbers from a stray
// packet: the jump counts once two packets follow on one another (RFC 3550,
// appendix A.1).
type restarts struct {
	want  uint16
	armed bool
}

// stray reports whether a packet so many numbers from the newest is to be
// ignored; restart, whether it proves that the stream begins anew.
func (r *restarts) stray(seq uint16, distance, limit int) (ignore, restart bool) {
	if -limit <= distance && distance <= limit {
		r.armed = false
		return false, false
	}
	if r.armed && r.want == seq {
		r.armed = false
		return false, true
	}
	r.armed, r.want = true, seq+1
	return true, false
}

// timeline puts packets on one axis of media time that follows the wall clock,
// in samples since the first packet, whatever jumps the sender's timestamps make.
type timeline struct {
	seq     rtptime.Sequence
	ts      rtptime.Timestamps
	started bool
	high    int64 // highest sequence number
	highTS  int64 // its media time
	samples int64 // its duration
	shift   int64 // from unwrapped timestamp to media time
	jumps   uint64
}

// distance answers how many packets after the newest seq is.
func (l *timeline) distance(seq uint16) int {
	if !l.started {
		return 0
	}
	return int(int16(seq - uint16(l.high)))
}

// place answers a packet's sequence number and media time. fast answers whether
// a packet of that media time would have come implausibly soon. sure is false
// where the time is only a guess.
func (l *timeline) place(seq uint16, ts uint32, samples int64, fast func(media int64) bool) (n, media int64, sure bool) {
	n, t := l.seq.Unwrap(seq), l.ts.Unwrap(ts)
	if !l.started {
		l.started, l.shift = true, -t
		l.high, l.highTS, l.samples = n, 0, samples
		return n, 0, true
	}
	t += l.shift
	if n < l.high {
		if t >= l.highTS || t < l.highTS-maxBehind {
			return n, l.highTS - (l.high-n)*l.samples, false
		}
		return n, t, true
	}
	if n > l.high {
		if due := l.highTS + (n-l.high)*l.samples; t <= l.highTS || t > due+gapSamples && fast(t) {
			l.shift += due - t
			t = due
			l.jumps++
		}
		l.high, l.highTS, l.samples = n, t, samples
	}
	return n, t, true
}

// reset forgets the stream but not how often it jumped.
func (l *timeline) reset() { *l = timeline{jumps: l.jumps} }
