// Package announce makes players of sound files: Ogg Opus (RFC 7845) and WAV,
// for a room to hear.
//
// A file is held in memory as it came and checked as a whole before anything of
// it is decoded: its size, its duration, its structure. Opus is decoded, and WAV
// converted and brought to 48 kHz, as it is played, a block at a time. What
// cannot be played is an *Error.
package announce

import (
	"bytes"
	"fmt"
	"time"

	"tutti/codec/pcm"
)

// The limits of who sets none.
const (
	DefaultBytes    = 20 << 20
	DefaultDuration = 10 * time.Minute
)

// Limits bound what is taken.
type Limits struct {
	Bytes    int64         // of a file; 0 for DefaultBytes
	Duration time.Duration // of its sound; 0 for DefaultDuration
}

func (l Limits) orDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Duration <= 0 {
		l.Duration = DefaultDuration
	}
	return l
}

// check answers an *Error for a sound of so many samples at a rate that is too
// long, or none.
func (l Limits) check(samples int64, rate int) error {
	switch most := l.Duration; {
	case samples <= 0:
		return ErrInvalid.because("there is no sound in it")
	case float64(samples)/float64(rate) > most.Seconds():
		return ErrTooLong.because(fmt.Sprintf("at most %v are played", most))
	}
	return nil
}

// Error is a file that is not played. It is one of the variables below, as
// errors.Is says.
type Error struct {
	code, text string
	kind       *Error // of which this one is; nil: itself
}

func (e *Error) Error() string { return "announce: " + e.text }

// Code answers the stable word, such as invalid_audio.
func (e *Error) Code() string { return e.code }

// Unwrap answers the kind of the error.
func (e *Error) Unwrap() error {
	if e.kind == nil {
		return nil // and not a nil *Error
	}
	return e.kind
}

func (e *Error) because(why string) error {
	return &Error{e.code, e.text + ": " + why, e}
}

// What is not played, and why.
var (
	ErrInvalid     = &Error{code: "invalid_audio", text: "no Ogg Opus or WAV file"}
	ErrUnsupported = &Error{code: "unsupported_audio", text: "a kind of sound that is not taken"}
	ErrTooLarge    = &Error{code: "audio_too_large", text: "the file is too large"}
	ErrTooLong     = &Error{code: "audio_too_long", text: "the sound is too long"}
	ErrNotFound    = &Error{code: "file_not_found", text: "no such file"}
)

// source is a sound at 48 kHz in 1 or 2 channels, interleaved. Nothing of it
// blocks or allocates.
type source interface {
	channels() int
	samples() int64 // in each channel, of the whole
	// read fills dst, samples for all channels, and answers how many of each channel
	// there were; fewer than asked for at the end alone.
	read(dst []float32) int
	rewind()
	close()
}

// Player plays one file. It belongs to one goroutine and is a mixer.Player: no
// method blocks, and reading allocates nothing.
type Player struct {
	source source // nil once closed
	length time.Duration
	buf    [2 * pcm.Samples]float32
}

// Open answers a player of a file's content, which is the player's from now on,
// or an *Error. What it is, the content itself tells.
func Open(data []byte, limits Limits) (*Player, error) {
	limits = limits.orDefaults()
	if int64(len(data)) > limits.Bytes {
		return nil, ErrTooLarge.because(fmt.Sprintf("at most %d bytes are taken", limits.Bytes))
	}
	var (
		s   source
		err error
	)
	switch {
	case bytes.HasPrefix(data, []byte("OggS")):
		s, err = newOpus(data, limits)
	case bytes.HasPrefix(data, []byte("RIFF")):
		s, err = newWAV(data, limits)
	default:
		err = ErrInvalid.because("it begins with neither OggS nor RIFF")
	}
	if err != nil {
		return nil, err
	}
	return &Player{source: s, length: time.Duration(s.samples()) * time.Second / pcm.Rate}, nil
}

// Duration answers how long the sound is.
func (p *Player) Duration() time.Duration { return p.length }

// ReadAudio fills dst, in the channels that it has, with the next 20 ms; the
// last of them end in silence where the sound does not fill them. It answers
// false when nothing is left, and dst is not touched.
func (p *Player) ReadAudio(dst *pcm.Block) bool {
	if p.source == nil {
		return false
	}
	channels := p.source.channels()
	got := p.source.read(p.buf[:channels*pcm.Samples])
	if got == 0 {
		return false
	}
	clear(p.buf[channels*got:])
	to := dst.Data()
	switch {
	case channels == dst.Channels():
		copy(to, p.buf[:])
	case channels == 1:
		for i, s := range p.buf[:pcm.Samples] {
			to[2*i], to[2*i+1] = s, s
		}
	default:
		for i := range to {
			to[i] = (p.buf[2*i] + p.buf[2*i+1]) / 2
		}
	}
	return true
}

// Rewind goes back to the beginning.
func (p *Player) Rewind() {
	if p.source != nil {
		p.source.rewind()
	}
}

// Close gives the sound up; nothing is left to be read then. It may be called
// again.
func (p *Player) Close() {
	if p.source != nil {
		p.source.close()
		p.source = nil
	}
}
