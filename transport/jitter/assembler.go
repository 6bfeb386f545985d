package jitter

import (
	"time"

	"github.com/pion/rtp"
)

// AssemblerConfig sets up an Assembler. Fields that are zero take their defaults.
type AssemblerConfig struct {
	// Wait is how long a missing packet is waited for once a later one is there.
	// Default 200 ms; it should bear one round trip of NACK and retransmission.
	Wait time.Duration
	// MaxFrameBytes bounds a frame. Default 1 MiB.
	MaxFrameBytes int
	// MaxPackets bounds the packets held, rounded up to a power of two. Default
	// 1024, at most 8192.
	MaxPackets int
}

// Frame is one whole VP8 frame.
type Frame struct {
	// Data is the frame as a decoder takes it, valid until the next Pop or Reset.
	Data []byte
	// Timestamp is the RTP timestamp, unwrapped, at 90 kHz.
	Timestamp int64
	KeyFrame  bool
	// PictureID is that of the payload descriptor, -1 where there is none.
	PictureID int
	// TemporalLayer is that of the payload descriptor, 0 where there is none.
	TemporalLayer int
	// Arrived is when the frame's last missing packet came.
	Arrived time.Time
}

// AssemblerStats counts what an Assembler saw since it was made.
type AssemblerStats struct {
	Packets    uint64 // packets accepted
	Late       uint64 // packets whose frame was done with
	Duplicates uint64 // packets that had come before
	Reordered  uint64 // packets overtaken by a later one
	Invalid    uint64 // packets refused: no VP8 descriptor, too large, out of any order
	Frames     uint64 // frames delivered
	KeyFrames  uint64 // key frames among them
	Gaps       uint64 // times that delivery stopped until the next key frame
	Dropped    uint64 // packets thrown away undelivered
	Buffered   int    // packets held now
}

// Assembler builds frames from the RTP packets of one VP8 stream (RFC 7741). It
// belongs to one goroutine.
type Assembler struct{}

// NewAssembler answers an Assembler that waits for its first key frame.
func NewAssembler(cfg AssemblerConfig) *Assembler { return &Assembler{} }

// Push takes a packet that arrived at now and copies its payload. It answers
// false where the packet was of no use.
func (a *Assembler) Push(now time.Time, p *rtp.Packet) bool { return false }

// Pop answers the next frame in order once all of it and all before it is there.
// Call it after each Push until ok is false.
func (a *Assembler) Pop(now time.Time) (f Frame, ok bool) { return Frame{}, false }

// NeedKeyFrame reports whether nothing can be delivered until the sender makes
// a key frame and none is on its way. The caller asks the sender, and bounds how
// often.
func (a *Assembler) NeedKeyFrame() bool { return false }

// Stats answers the counters.
func (a *Assembler) Stats() AssemblerStats { return AssemblerStats{} }

// Reset forgets the stream, for a new SSRC; the next frame is a key frame.
func (a *Assembler) Reset() {}
