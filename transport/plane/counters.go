package plane

import (
	"sync/atomic"
	"time"
)

// delays are the upper bounds of Stats.HandOver.
var delays = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 300 * time.Microsecond, 400 * time.Microsecond,
	500 * time.Microsecond, 600 * time.Microsecond, 800 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond,
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond,
}

// counters count since the plane began.
type counters struct {
	received, receivedBytes, reads                              atomic.Uint64
	garbage, stranger, early, forged, replayed, malformed       atomic.Uint64
	undeclared, passed, renewed, controlFull, conflicts, panics atomic.Uint64
	sentPackets, sentBytes, writes, refused, resent, refusal    atomic.Uint64
	asked                                                       atomic.Uint64
	handOver                                                    [len(delays) + 1]atomic.Uint64
	handOverSum                                                 atomic.Int64
}

// observe counts how long a packet took from the socket to its taker.
func (c *counters) observe(d time.Duration) {
	i := 0
	for i < len(delays) && d > delays[i] {
		i++
	}
	c.handOver[i].Add(1)
	c.handOverSum.Add(int64(d))
}

// Stats are counts since the plane began.
type Stats struct {
	// Received are datagrams read, in so many Reads.
	Received, ReceivedBytes, Reads uint64
	// Garbage are datagrams that are nothing of WebRTC; Strangers' look like media
	// but come from an address that passed no connectivity check.
	Garbage, Strangers uint64
	// Forged failed authentication, Replayed came before, Malformed could not be
	// parsed, Undeclared belong to no stream that was agreed on.
	Forged, Replayed, Malformed, Undeclared uint64
	// EarlyDropped came before the handshake was over, more than are kept.
	EarlyDropped uint64
	// Passed are STUN and DTLS datagrams given to ICE, which drops what is not for a
	// session or not from who has its key.
	Passed uint64
	// Renewed are consent checks that were answered without ICE.
	Renewed uint64
	// ControlDropped are STUN and DTLS datagrams that ICE was too busy for.
	ControlDropped uint64
	// Conflicts are checks for a session from an address that is another's.
	Conflicts uint64
	// KernelDropped were lost because a socket's buffer was full.
	KernelDropped uint64
	// Sent are datagrams, in so many Writes; Refused by the kernel.
	Sent, SentBytes, Writes, Refused uint64
	// Stopped of those sent were not given to the kernel: because SendUntil had
	// shut the gate, or because its time was over.
	StoppedShut, StoppedExpired uint64
	// Resent are packets sent again, ResendsRefused those that were asked for but
	// unknown, just sent, or beyond the budget. Asked are packets that clients
	// were asked for.
	Resent, ResendsRefused, Asked uint64
	// Panics are sessions ended by a panic of their taker or feeder.
	Panics uint64
	// HandOver counts the packets by the time from socket to taker.
	HandOver Histogram
	// Sessions are open.
	Sessions int
}

// Histogram counts durations.
type Histogram struct {
	Bounds []time.Duration // upper, inclusive
	Counts []uint64        // one more than bounds: the rest
	Sum    time.Duration
}

// Quantile answers a bound that a share q of the durations does not exceed, 0
// without any; the rest beyond the last bound answers twice that bound.
func (h Histogram) Quantile(q float64) time.Duration {
	var all, sum uint64
	for _, n := range h.Counts {
		all += n
	}
	if all == 0 {
		return 0
	}
	for i, n := range h.Counts {
		sum += n
		if float64(sum) >= q*float64(all) && i < len(h.Bounds) {
			return h.Bounds[i]
		}
	}
	return 2 * h.Bounds[len(h.Bounds)-1]
}

func (c *counters) stats() Stats {
	s := Stats{
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(), Reads: c.reads.Load(),
		Garbage: c.garbage.Load(), Strangers: c.stranger.Load(), Forged: c.forged.Load(), Replayed: c.replayed.Load(),
		Malformed: c.malformed.Load(), Undeclared: c.undeclared.Load(), EarlyDropped: c.early.Load(),
		Passed: c.passed.Load(), Renewed: c.renewed.Load(), ControlDropped: c.controlFull.Load(), Conflicts: c.conflicts.Load(), Sent: c.sentPackets.Load(), SentBytes: c.sentBytes.Load(),
		Writes: c.writes.Load(), Refused: c.refused.Load(), Resent: c.resent.Load(), ResendsRefused: c.refusal.Load(),
		Asked: c.asked.Load(), Panics: c.panics.Load(),
		HandOver: Histogram{Bounds: delays[:], Sum: time.Duration(c.handOverSum.Load())},
	}
	for i := range c.handOver {
		s.HandOver.Counts = append(s.HandOver.Counts, c.handOver[i].Load())
	}
	return s
}
