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
