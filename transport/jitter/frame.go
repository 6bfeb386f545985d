package jitter

import (
	"math/bits"
	"time"
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

func (c AssemblerConfig) withDefaults() AssemblerConfig {
	if c.Wait <= 0 {
		c.Wait = 200 * time.Millisecond
	}
	if c.MaxFrameBytes <= 0 {
		c.MaxFrameBytes = 1 << 20
	}
	if c.MaxPackets <= 0 {
		c.MaxPackets = 1024
	}
	c.MaxPackets = 1 << bits.Len(uint(min(max(c.MaxPackets, 16), 8192)-1))
	return c
}

// Frame is one whole VP8 frame.
type Frame struct {
	// Data is the frame as a decoder takes it, valid until the next Pop or Reset.
	Data []byte
	// Timestamp is the RTP timestamp, unwrapped, at 90 kHz. Its lower half is the
	// timestamp on the wire.
	Timestamp int64
	KeyFrame  bool
	// PictureID is that of the payload descriptor, -1 where there is none.
	PictureID int
	// TemporalLayer is that of the payload descriptor, 0 where there is none.
	TemporalLayer int
	// Arrived is when the last of the frame's packets came.
	Arrived time.Time
}

// AssemblerStats counts what an Assembler saw since it was made.
type AssemblerStats struct {
	Packets    uint64 // packets accepted
	Late       uint64 // packets whose turn was over
	Duplicates uint64 // packets that had come before
	Reordered  uint64 // packets overtaken by a later one
	Invalid    uint64 // packets refused: no VP8 descriptor, too large, out of any order
	Frames     uint64 // frames delivered
	KeyFrames  uint64 // key frames among them
	Gaps       uint64 // times that delivery stopped until the next key frame
	Dropped    uint64 // packets thrown away undelivered
	Resyncs    uint64 // restarts of the sequence
	Buffered   int    // packets held now
}
