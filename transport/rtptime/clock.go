package rtptime

import "time"

// restartAfter is how far back a sender report must lie before the sender's
// clock is taken to have been set anew; less is a report that was overtaken.
const restartAfter = 10 * time.Second

// Clock relates the timestamps of one RTP stream to the wall clock of its
// sender, as its sender reports do (RFC 3550, section 6.4.1). Streams of one
// sender are brought in step by comparing Wall across their Clocks; it says
// nothing about the receiver's own clock.
//
// Between reports time runs at the nominal rate: a sender 500 ppm off is then
// wrong by 2.5 ms after five seconds without a report.
type Clock struct {
	rate    int
	started bool
	wall    time.Time
	rtp     uint32
}

// NewClock answers a Clock for timestamps that advance rate times a second.
func NewClock(rate int) *Clock { return &Clock{rate: rate} }

// Report takes the NTP and RTP timestamps of a sender report. A report older
// than the newest is ignored, unless it is so much older that the sender must
// have set its clock. A sender without a wall clock reports 0, which says
// nothing.
func (c *Clock) Report(ntp uint64, rtp uint32) {
	if ntp == 0 {
		return
	}
	wall := Time(ntp)
	if back := c.wall.Sub(wall); c.started && back > 0 && back < restartAfter {
		return
	}
	c.started, c.wall, c.rtp = true, wall, rtp
}

// Wall answers the sender's wall time of an RTP timestamp that lies within half
// the timestamps' range of the newest report (12 h at 48 kHz); ok is false
// before the first report. An unwrapped timestamp is given as its lower half.
func (c *Clock) Wall(ts uint32) (t time.Time, ok bool) {
	if !c.started {
		return time.Time{}, false
	}
	return c.wall.Add(Duration(int64(int32(ts-c.rtp)), c.rate)), true
}

// RTP answers the timestamp that the sender gives to a moment of its wall
// clock; ok is false before the first report.
func (c *Clock) RTP(t time.Time) (ts uint32, ok bool) {
	if !c.started {
		return 0, false
	}
	return c.rtp + uint32(Ticks(t.Sub(c.wall), c.rate)), true
}

// Reset forgets all reports, for a sender that changed its SSRC.
func (c *Clock) Reset() { *c = Clock{rate: c.rate} }
