package plane

import (
	"time"

	"github.com/pion/rtcp"

	"tutti/transport/rtptime"
)

// reception keeps the account of one inbound stream that reception reports are
// made of (RFC 3550, section 6.4.1 and appendix A).
type reception struct {
	clock int // Hz
	seq   rtptime.Sequence
	first int64 // the first sequence number
	high  int64 // the highest
	count uint64

	started bool
	transit uint32 // of the last packet, in ticks; it wraps around
	jitter  int64  // in sixteenths of a tick

	expectedBefore, countBefore int64 // at the last report

	reportNTP uint32    // middle of the NTP time of the last sender report
	reportAt  time.Time // when it came
}

// take counts a packet and answers its sequence number unwrapped.
func (r *reception) take(at time.Time, seq uint16, timestamp uint32) int64 {
	n := r.seq.Unwrap(seq)
	arrived := rtptime.Ticks(time.Duration(at.UnixNano()%int64(time.Hour)), r.clock)
	transit := uint32(arrived) - timestamp
	if !r.started {
		r.started, r.first, r.high, r.transit = true, n, n, transit
	}
	r.count++
	r.high = max(r.high, n)
	d := int64(int32(transit - r.transit))
	r.transit = transit
	if d < 0 {
		d = -d
	}
	if d < int64(r.clock) { // otherwise the timestamps jumped
		r.jitter += d - (r.jitter+8)>>4
	}
	return n
}

// lost answers how many packets are missing so far; negative with duplicates.
func (r *reception) lost() int64 {
	if !r.started {
		return 0
	}
	return r.high - r.first + 1 - int64(r.count)
}

// block answers a reception report and begins the next interval.
func (r *reception) block(now time.Time, ssrc uint32) rtcp.ReceptionReport {
	expected := r.high - r.first + 1
	inInterval, got := expected-r.expectedBefore, int64(r.count)-r.countBefore
	r.expectedBefore, r.countBefore = expected, int64(r.count)
	b := rtcp.ReceptionReport{
		SSRC: ssrc, LastSequenceNumber: uint32(r.high), Jitter: uint32(r.jitter >> 4),
		TotalLost: uint32(max(0, min(r.lost(), 0x7fffff))),
	}
	if missing := inInterval - got; inInterval > 0 && missing > 0 {
		b.FractionLost = uint8(min(255, missing<<8/inInterval))
	}
	if !r.reportAt.IsZero() {
		b.LastSenderReport = r.reportNTP
		b.Delay = rtptime.ToMiddle(now.Sub(r.reportAt))
	}
	return b
}

// Reception is what the client says in a report of an outbound stream (RFC
// 3550, section 6.4.1).
type Reception struct {
	// Stream is the stream's index in Terms.Outbound, At when the report came.
	Stream int
	At     time.Time
	// Expected is how many packets the client expected since its report before, by
	// their sequence numbers, and Lost the share of them that did not come, 0 to 1.
	Expected int
	Lost     float64
}

// told is what was reported of an outbound stream so far. It belongs to the
// session's rx lock.
type told struct {
	ssrc   uint32
	stream int
	high   uint32 // the highest sequence number, extended
}

// tellReception hands on what a client says of an outbound stream. A report of a
// pause, in which nothing was expected, says nothing; one that goes back is that
// of a receiver that began anew, and the next counts from there.
func (s *Session) tellReception(at time.Time, r rtcp.ReceptionReport) {
	for i := range s.told {
		t := &s.told[i]
		if t.ssrc != r.SSRC {
			continue
		}
		expected := int32(r.LastSequenceNumber - t.high)
		t.high = r.LastSequenceNumber
		if expected > 0 && s.cfg.Events.Received != nil {
			s.cfg.Events.Received(Reception{Stream: t.stream, At: at, Expected: int(expected), Lost: float64(r.FractionLost) / 256})
		}
		return
	}
}
