package opus

// #include "shim.h"
import "C"

import (
	"fmt"

	hraban "gopkg.in/hraban/opus.v2"

	"tutti/codec"
)

// Decoder decodes one Opus stream to one or two channels, whatever number the
// stream has. It belongs to one goroutine at a time.
type Decoder struct {
	dec      *hraban.Decoder // nil once closed
	channels int
}

// NewDecoder makes a decoder with an output of 1 or 2 channels.
func NewDecoder(channels int) (*Decoder, error) {
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("%w: %d channels", ErrConfig, channels)
	}
	if err := selfTest(); err != nil {
		return nil, err
	}
	dec, err := hraban.NewDecoder(codec.AudioClockRate, channels)
	if err != nil {
		return nil, fmt.Errorf("%w: new decoder: %w", ErrLibrary, err)
	}
	return &Decoder{dec: dec, channels: channels}, nil
}

// Close gives the decoder up.
func (d *Decoder) Close() { d.dec = nil }

// Reset makes the decoder forget all that it heard.
func (d *Decoder) Reset() error {
	if d.dec == nil {
		return ErrClosed
	}
	if rc := C.tutti_opus_decoder_reset(state(d.dec)); rc != 0 {
		return fmt.Errorf("%w: reset decoder: %d", ErrLibrary, int(rc))
	}
	return nil
}

// Decode decodes a packet of any duration, 2.5 to 120 ms, to the beginning of
// pcm and answers its samples per channel. pcm must have room for
// SampleCount(payload) times the channels. An empty payload is malformed;
// what is lost is for Recover and Conceal.
func (d *Decoder) Decode(payload []byte, pcm []float32) (samples int, err error) {
	if d.dec == nil {
		return 0, ErrClosed
	}
	samples, ok := SampleCount(payload)
	if !ok {
		return 0, fmt.Errorf("%w: %d bytes without a duration", ErrMalformed, len(payload))
	}
	n := samples * d.channels
	if len(pcm) < n {
		return 0, fmt.Errorf("%w: %d samples for a packet of %d", ErrBuffer, len(pcm)/d.channels, samples)
	}
	got, err := d.dec.DecodeFloat32(payload, pcm[:n:n])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return got, nil
}

// Recover fills pcm with what was lost before next, from the copy of it that
// next carries, or conceals it where next carries none (HasFEC). pcm is as
// long as the loss, a multiple of 2.5 ms up to 120 ms; of a loss longer than a
// packet only the end is recovered and the rest concealed. next is to be
// decoded after it.
func (d *Decoder) Recover(next []byte, pcm []float32) error {
	if d.dec == nil {
		return ErrClosed
	}
	if _, ok := SampleCount(next); !ok {
		return fmt.Errorf("%w: %d bytes without a duration", ErrMalformed, len(next))
	}
	if err := d.checkLoss(pcm); err != nil {
		return err
	}
	if err := d.dec.DecodeFECFloat32(next, pcm[:len(pcm):len(pcm)]); err != nil {
		return fmt.Errorf("%w: recover: %w", ErrMalformed, err)
	}
	return nil
}

// Conceal fills pcm with what the decoder makes up over a loss: the sound goes
// on and fades. pcm is as long as the loss, a multiple of 2.5 ms up to 120 ms.
func (d *Decoder) Conceal(pcm []float32) error {
	if d.dec == nil {
		return ErrClosed
	}
	if err := d.checkLoss(pcm); err != nil {
		return err
	}
	if err := d.dec.DecodePLCFloat32(pcm[:len(pcm):len(pcm)]); err != nil {
		return fmt.Errorf("%w: conceal: %w", ErrLibrary, err)
	}
	return nil
}

// checkLoss checks that pcm has a duration that a loss can have.
func (d *Decoder) checkLoss(pcm []float32) error {
	const grain = codec.AudioClockRate / 400 // 2.5 ms
	if len(pcm) == 0 || len(pcm)%(grain*d.channels) != 0 || len(pcm) > MaxSamples*d.channels {
		return fmt.Errorf("%w: a loss of %d values in %d channels", ErrBuffer, len(pcm), d.channels)
	}
	return nil
}
