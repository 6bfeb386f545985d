package load

import (
	"time"

	"tutti/transport/rtptime"
)

// delays counts packets by how much later they came than the fastest packet of
// their stream would have (packet delay variation, RFC 5481, section 4.2), in
// milliseconds; the last bucket holds all above.
type delays [512]uint32

func (d *delays) add(v time.Duration) {
	d[min(max(int(v/time.Millisecond), 0), len(d)-1)]++
}

func (d *delays) merge(other *delays) {
	for i, n := range other {
		d[i] += n
	}
}

// percentile answers the delay that a share of the packets does not exceed,
// rounded up to a millisecond.
func (d *delays) percentile(share float64) time.Duration {
	var all, sum uint64
	for _, n := range d {
		all += uint64(n)
	}
	for i, n := range d {
		sum += uint64(n)
		if n > 0 && float64(sum) >= share*float64(all) {
			return time.Duration(i+1) * time.Millisecond
		}
	}
	return 0
}

// stream counts one RTP stream that a client receives; owned by the loop.
type stream struct {
	kind Kind
	ssrc uint32

	seq         rtptime.Sequence
	ts          rtptime.Timestamps
	first, high int64 // of those counted
	fresh       bool  // the next packet is the first one counted
	received    uint64
	bytes       uint64
	next        int64  // timestamp of the packet after the highest, of sound
	skips       uint64 // packets that follow the one before by number, but not in time

	fastest time.Duration // least of arrival less timestamp
	delays  delays
	late    uint64

	jitter, transit time.Duration // RFC 3550, appendix A.8
	reported        struct {      // at the last report
		expected, received uint64
	}
	report struct { // the newest sender report
		ntp uint32
		at  time.Time
	}
}

func newStream(kind Kind, ssrc uint32) *stream {
	return &stream{kind: kind, ssrc: ssrc, fresh: true, fastest: 1<<63 - 1}
}

// take counts a packet that was authenticated and is no repetition.
func (s *stream) take(d datagram, seq uint16, ts uint32, late time.Duration) {
	n, t := s.seq.Unwrap(seq), s.ts.Unwrap(ts)
	transit := time.Duration(d.at.UnixNano()) - rtptime.Duration(t, s.kind.clockRate())
	s.fastest = min(s.fastest, transit)
	if s.transit != 0 {
		s.jitter += ((transit - s.transit).Abs() - s.jitter) / 16
	}
	s.transit = transit
	if s.fresh {
		s.fresh, s.first, s.high = false, n, n
	}
	if n < s.first {
		return // of the time before the count
	}
	if s.kind == Sound && n == s.high+1 && t != s.next {
		s.skips++
	}
	if n >= s.high {
		s.high, s.next = n, t+samples
	}
	s.received++
	s.bytes += uint64(len(d.b))
	v := transit - s.fastest
	s.delays.add(v)
	if v > late {
		s.late++
	}
}

// expected answers how many packets there were by their numbers (RFC 3550,
// appendix A.3).
func (s *stream) expected() uint64 {
	if s.fresh {
		return 0
	}
	return uint64(s.high - s.first + 1)
}

// lost answers how many of those have not come.
func (s *stream) lost() uint64 { return s.expected() - min(s.expected(), s.received) }

// reset begins the count anew. The next packet expected is the first one
// counted, so that none falls between two counts.
func (s *stream) reset() {
	if !s.fresh {
		s.first = s.high + 1
	}
	s.received, s.bytes, s.late, s.skips, s.delays = 0, 0, 0, 0, delays{}
	s.reported.expected, s.reported.received = 0, 0
}
