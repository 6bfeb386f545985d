// Package rtptime undoes the wrap-around of RTP's short counters once, at the
// edge, and relates RTP time to the wall clock.
//
// Above this package a sequence number or a timestamp is an int64 that never
// wraps. Nothing here reads a clock, takes a lock or allocates; a value belongs
// to one goroutine at a time.
package rtptime

import "time"

// Sequence unwraps the 16-bit sequence numbers of one stream. The zero value is
// ready to use.
type Sequence struct {
	high    int64
	started bool
}

// Unwrap answers seq as the int64 nearest to the highest number so far, so that
// packets that were reordered around the wrap keep their place (RFC 3550,
// appendix A.1). The first number stands for itself; one from before it may
// come out negative. Numbers more than 32767 apart are ambiguous.
func (s *Sequence) Unwrap(seq uint16) int64 {
	if !s.started {
		s.started, s.high = true, int64(seq)
		return s.high
	}
	n := s.high + int64(int16(seq-uint16(s.high)))
	s.high = max(s.high, n)
	return n
}

// Timestamps unwraps the 32-bit timestamps of one stream. The zero value is
// ready to use.
type Timestamps struct {
	high    int64
	started bool
}

// Unwrap answers ts as the int64 nearest to the highest timestamp so far, in
// ticks of the stream's clock. The first stands for itself.
func (t *Timestamps) Unwrap(ts uint32) int64 {
	if !t.started {
		t.started, t.high = true, int64(ts)
		return t.high
	}
	n := t.high + int64(int32(ts-uint32(t.high)))
	t.high = max(t.high, n)
	return n
}

// Duration converts ticks of a clock of rate Hz to a time span, rounded toward
// zero, without the overflow of a plain product.
func Duration(ticks int64, rate int) time.Duration {
	r := int64(rate)
	return time.Duration(ticks/r)*time.Second + time.Duration(ticks%r*int64(time.Second)/r)
}

// Ticks converts a time span to ticks of a clock of rate Hz, rounded to the
// nearest.
func Ticks(d time.Duration, rate int) int64 {
	r := int64(rate)
	rest := int64(d%time.Second) * r
	half := int64(time.Second / 2)
	if rest < 0 {
		half = -half
	}
	return int64(d/time.Second)*r + (rest+half)/int64(time.Second)
}
