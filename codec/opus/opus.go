// Package opus decodes and encodes Opus (RFC 6716) at 48 kHz with libopus.
//
// It wraps gopkg.in/hraban/opus.v2, which writes up to the capacity of the
// slices that it is lent: every slice is clipped here, and nothing else in
// Tutti may use that package. Samples are float32 in the range -1 to 1,
// interleaved when stereo, and counted per channel wherever a number of
// samples is named.
//
// Decoders and encoders belong to one goroutine at a time and allocate nothing
// once made. Close may be called twice; every other call after it answers
// ErrClosed.
package opus

/*
#cgo pkg-config: opus
#cgo CFLAGS: -Wall -Werror
#include "shim.h"
#cgo noescape tutti_opus_get_bitrate
#cgo nocallback tutti_opus_get_bitrate
#cgo noescape tutti_opus_set_independent
#cgo nocallback tutti_opus_set_independent
#cgo noescape tutti_opus_decoder_rate
#cgo nocallback tutti_opus_decoder_rate
#cgo noescape tutti_opus_decoder_reset
#cgo nocallback tutti_opus_decoder_reset
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	hraban "gopkg.in/hraban/opus.v2"

	"tutti/codec"
)

// The errors of this package, wrapped with what was wrong.
var (
	// ErrMalformed is a payload that is no Opus packet.
	ErrMalformed = errors.New("opus: malformed packet")
	// ErrBuffer is a buffer that cannot hold the result, or whose length is no
	// duration that Opus has.
	ErrBuffer = errors.New("opus: buffer of the wrong size")
	// ErrConfig is a configuration outside its bounds.
	ErrConfig = errors.New("opus: configuration out of bounds")
	// ErrChannels is a block with another number of channels than the encoder.
	ErrChannels = errors.New("opus: wrong number of channels")
	// ErrNotFinite is a block with a sample that is no finite number. It would
	// spoil all that the encoder makes from then on.
	ErrNotFinite = errors.New("opus: sample is not finite")
	// ErrLibrary is a failure of libopus or of the binding to it.
	ErrLibrary = errors.New("opus: library failed")
	// ErrClosed is a call after Close.
	ErrClosed = errors.New("opus: closed")
)

// MaxSamples is the longest packet, 120 ms, in samples per channel (RFC 6716,
// section 3.2.5).
const MaxSamples = codec.AudioClockRate * 120 / 1000

// MaxPacketBytes is the longest packet of one 20 ms frame in bytes: the frame
// (RFC 6716, section 3.2.1) and its table-of-contents byte.
const MaxPacketBytes = 1275 + 1

// Version answers libopus' version, such as "libopus 1.3.1".
func Version() string { return hraban.Version() }

// state answers the C state within one of the binding's encoders or decoders:
// their first field points to it. The binding lacks some controls that Tutti
// needs, and this is the way to them; selfTest proves it before it is used.
func state[T hraban.Encoder | hraban.Decoder](codec *T) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(codec))
}

// selfTest checks, once in a process, that state finds what it looks for: that
// the field is there, and that values written through the binding are read
// through it. Constructors refuse to work where it fails.
var selfTest = sync.OnceValue(func() error {
	if err := firstIsPointer(reflect.TypeFor[hraban.Encoder]()); err != nil {
		return err
	}
	if err := firstIsPointer(reflect.TypeFor[hraban.Decoder]()); err != nil {
		return err
	}
	enc, err := hraban.NewEncoder(codec.AudioClockRate, 1, hraban.AppVoIP)
	if err != nil {
		return fmt.Errorf("%w: self test: %w", ErrLibrary, err)
	}
	const odd = 23450 // a rate that nobody sets by default
	if err := enc.SetBitrate(odd); err != nil {
		return fmt.Errorf("%w: self test: %w", ErrLibrary, err)
	}
	if got := C.tutti_opus_get_bitrate(state(enc)); got != odd {
		return fmt.Errorf("%w: self test: bit rate reads %d, not %d", ErrLibrary, int(got), odd)
	}
	dec, err := hraban.NewDecoder(codec.AudioClockRate, 1)
	if err != nil {
		return fmt.Errorf("%w: self test: %w", ErrLibrary, err)
	}
	if got := C.tutti_opus_decoder_rate(state(dec)); got != codec.AudioClockRate {
		return fmt.Errorf("%w: self test: decoder's rate reads %d", ErrLibrary, int(got))
	}
	return nil
})

// firstIsPointer checks that t begins with the pointer to the C state.
func firstIsPointer(t reflect.Type) error {
	if t.NumField() == 0 || t.Field(0).Name != "p" || t.Field(0).Type.Kind() != reflect.Pointer {
		return fmt.Errorf("%w: self test: %v does not begin with its C state", ErrLibrary, t)
	}
	return nil
}
