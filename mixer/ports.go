package mixer

import (
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/pcm"
)

// What the mixer needs from others, declared here and fitted in cmd/tutti.

// Origin tells where a block of sound came from.
type Origin uint8

// The origins of a block.
const (
	Silence   Origin = iota // nothing was due: the sender paused or is muted; dst is not touched
	Voice                   // decoded from its own packet
	Recovered               // from the forward error correction in the next packet
	Concealed               // invented by the decoder over a loss
	Stretched               // a voice block shortened or lengthened to move the delay
	Origins                 // how many origins there are
)

// AudioIn is a participant's voice as the audio loop pulls it. All methods but
// Level are called by the audio loop alone; none blocks.
type AudioIn interface {
	// Level answers the loudness that the newest packet announces, in dBov from
	// -127 to 0 (RFC 6464); ok is false where the sender announces none or
	// nothing came for 100 ms.
	Level(now time.Time) (dbov float64, ok bool)
	// Announces reports whether the sender announces levels at all. Who does not
	// is decoded always.
	Announces() bool
	// ReadAudio fills dst with the 20 ms that are due at now and says where they
	// come from.
	ReadAudio(now time.Time, dst *pcm.Block) Origin
	// Skip lets the 20 ms due at now pass undecoded.
	Skip(now time.Time)
	// Configure sets what the room asks of its inputs: before the first read, and
	// whenever it changes.
	Configure(AudioInConfig)
	// Notify has wake called, from any goroutine, whenever a packet comes that may
	// hold sound, so that a loop that rests goes on. It is called once, before
	// anything else; wake never blocks.
	Notify(wake func())
}

// AudioInConfig is what a room asks of its inputs.
type AudioInConfig struct {
	// Channels is 1 or 2: what ReadAudio fills.
	Channels int
	// MinDelay and MaxDelay bound what the jitter buffer holds.
	MinDelay, MaxDelay time.Duration
}

// Player is the sound of an announcement. It belongs to the audio loop; no
// method blocks.
type Player interface {
	// ReadAudio fills dst, whose channels are set, with the next 20 ms; the last of
	// them may end in silence. It answers false when nothing is left, and dst is
	// not touched.
	ReadAudio(dst *pcm.Block) bool
	// Rewind goes back to the beginning.
	Rewind()
	// Close gives the source up; called once, when no loop touches it any more.
	Close()
}

// VideoInfo describes an inbound picture; the zero value means none came yet.
type VideoInfo struct {
	Codec         codec.Name
	Width, Height int
	FPS           float64
}

// VideoIn is a camera as the video loop sees it: pictures are decoded and
// scaled elsewhere, at the camera's own pace, into a mailbox of the newest.
// No method blocks.
type VideoIn interface {
	// Show asks for pictures of that size from now on, fitted so; 0, 0 hides
	// the camera, and decoding stops.
	Show(width, height int, fit i420.Fit)
	// Latest answers the newest picture not yet taken, or nil when none is new.
	// The caller has its one reference to release. A picture may still have the
	// size of an earlier Show.
	Latest(now time.Time) *i420.Frame
	// Info describes what comes in.
	Info() VideoInfo
}

// Sink takes what leaves a room. It is called by the room's loops and must
// never block: who is slow drops, counts, and asks its Subscription for a key
// frame.
type Sink interface {
	WriteAudio(*codec.Packet)
	WriteVideo(*codec.Packet)
}

// AudioEncoder encodes blocks of one mix. It belongs to one goroutine.
type AudioEncoder interface {
	// Encode appends one packet for b to dst[:0] or, where it does not fit, fails.
	// independent makes the packet decodable without a jolt by a decoder that
	// heard another encoder's stream until now.
	Encode(dst []byte, b *pcm.Block, independent bool) ([]byte, error)
	Close()
}

// VideoEncoder encodes one rendition. It belongs to one goroutine.
type VideoEncoder interface {
	// Encode answers the frame's access unit, valid until the next call; empty
	// when the rate control dropped the frame.
	Encode(f *i420.Frame, pts time.Duration, keyFrame bool) (data []byte, isKey bool, err error)
	Close()
}

// AudioEncoderConfig is what a room asks of an audio encoder.
type AudioEncoderConfig struct {
	Channels   int // 1 or 2
	BitrateBPS int
	// LossPercent is how much of the stream its receivers lose, 0 to 100: where it
	// is not 0, each packet shall hold the one before once more (in-band FEC).
	LossPercent int
}

// VideoEncoderConfig is what a room asks of a video encoder.
type VideoEncoderConfig struct {
	Codec              codec.Name
	Width, Height, FPS int
	BitrateBPS         int
}

// Codecs makes the encoders of a room.
type Codecs interface {
	NewAudioEncoder(AudioEncoderConfig) (AudioEncoder, error)
	NewVideoEncoder(VideoEncoderConfig) (VideoEncoder, error)
}

// LinkStats is what a participant's transport knows; it is asked for by the
// API, never by a loop. Rates are over the last second or so.
type LinkStats struct {
	Rendition   string        `json:"rendition,omitempty"`
	Codec       codec.Name    `json:"codec,omitempty"`
	SentBPS     int           `json:"sent_bps"`
	ReceivedBPS int           `json:"received_bps"`
	EstimateBPS int           `json:"estimate_bps"`
	RTT         time.Duration `json:"-"`
	// SentLossPercent is what the client reports as lost of the room's sound, 0 to
	// 100, and Repair how it is helped: "", "fec" or "red".
	SentLossPercent float64
	Repair          string
	// Of the participant's own sound as it came in. TargetMS is what the jitter
	// buffer aims to hold, DriftPPM by how much the sender's clock is fast.
	JitterMS, BufferedMS     float64
	TargetMS, DriftPPM       float64
	PacketsLost, PacketsLate uint64
	PacketsReceived          uint64
	// Refused counts frames that the header check kept from the decoder.
	FramesRefused, KeyFrameRequests uint64
}
