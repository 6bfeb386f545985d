// Package codec holds what all codecs share: the encoded packet that leaves a
// room, and the names and clock rates of the formats.
//
// The contract of every package below codec: one library, one package, one
// owner. A decoder or encoder belongs to one goroutine at a time and takes no
// lock. Sizes are checked in Go before the library is entered; no slice that
// is lent to C is written beyond its length; Close is explicit and idempotent,
// and every other call after it answers an error. No package below codec reads
// a clock, logs, starts a goroutine or calls back. What takes a library
// milliseconds, as encoding a picture does, runs in a thread that belongs to
// the encoder, and the caller's goroutine waits for it without a processor.
package codec

import "time"

// Kind tells sound from picture.
type Kind uint8

// The kinds of media.
const (
	Audio Kind = iota + 1
	Video
)

// String answers "audio" or "video".
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	}
	return "unknown"
}

// Name is a codec by its RTP encoding name in lower case (RFC 7587, RFC 7741).
type Name string

// The codecs that Tutti speaks.
const (
	Opus Name = "opus"
	VP8  Name = "vp8"
)

// Clock rates of the RTP payload formats, in Hz.
const (
	AudioClockRate = 48000
	VideoClockRate = 90000
)

// Packet is one encoded access unit as it leaves a room: one Opus packet or
// one whole VP8 frame. It is made once per rendition, shared by every
// subscriber and never written again.
type Packet struct {
	Kind  Kind
	Codec Name
	// Data is the encoded access unit. Readers must not change it.
	Data []byte
	// PTS is the time of presentation since the room's epoch, on the one clock
	// that sound and picture share.
	PTS time.Duration
	// Duration is how long the access unit lasts: 20 ms for sound, nominally
	// 1/fps for a picture (a static canvas is sent less often).
	Duration time.Duration
	// KeyFrame is true for a picture that needs no other, and for all sound.
	KeyFrame bool
	// Width and Height are the picture's size in pixels, 0 for sound.
	Width, Height int
}
