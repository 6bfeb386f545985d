package jitter

import (
	"sync"
	"time"
)

// Buffer restores the order and the pace of one participant's sound. One
// goroutine pushes, another pops; Stats and Reset are open to all.
type Buffer struct {
	mu sync.Mutex
}

// NewBuffer answers an empty Buffer.
func NewBuffer(cfg Config) *Buffer { return &Buffer{} }

// SetQuiet says whether the packets pushed from now on hold silence, as the
// sender's audio level tells (RFC 6464). Silence is dropped first when delay is
// given back. It is for the pushing goroutine, before each Push.
func (b *Buffer) SetQuiet(quiet bool) {}

// Push takes a packet that arrived at now and lasts the given samples at 48 kHz.
// The payload is copied. It answers false where the packet was of no use: late,
// a duplicate or invalid; each is counted.
func (b *Buffer) Push(now time.Time, seq uint16, ts uint32, samples int, payload []byte) bool {
	return false
}

// Pop answers what is to be played at now, when the caller has played all it
// popped before. A caller that takes 20 ms a tick pops until it has as much, and
// fills up with silence after Early and Empty.
func (b *Buffer) Pop(now time.Time) (Packet, Status) { return Packet{}, Empty }

// Stats answers the counters and measures of the moment.
func (b *Buffer) Stats() Stats { return Stats{} }

// Reset forgets the stream and what is buffered of it, for a new SSRC. The
// payload popped last stays valid until the next Pop.
func (b *Buffer) Reset() {}
