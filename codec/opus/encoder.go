package opus

// #include "shim.h"
import "C"

import (
	"fmt"

	hraban "gopkg.in/hraban/opus.v2"

	"tutti/codec"
	"tutti/codec/pcm"
)

// Application says what an encoder is best at.
type Application uint8

// The applications. VoIP codes speech best and is the default; Audio codes
// music best and takes a third of the CPU; LowDelay is Audio with 4 ms less
// delay.
const (
	VoIP Application = iota
	Audio
	LowDelay
)

// EncoderConfig says what an encoder makes.
type EncoderConfig struct {
	// Channels is 1 or 2.
	Channels int
	// BitrateBPS is the rate in bit/s, 6000 to 510000; 0 means 32000 for one
	// channel and 48000 for two.
	BitrateBPS int
	// Complexity trades CPU for quality, 1 to 10; 0 means 5, which costs half as
	// much as 9 and is hardly told from it at speech rates.
	Complexity int
	// Application is what to be best at.
	Application Application
	// FEC lets each packet carry the one before it again at lower quality, while
	// PacketLossPercent, 0 to 100, makes that worth its bits.
	FEC               bool
	PacketLossPercent int
	// DTX makes packets of at most 2 bytes while there is nothing to hear, which
	// need not be sent.
	DTX bool
}

const (
	minBitrate        = 6000
	maxBitrate        = 510000
	defaultComplexity = 5
)

func (c *EncoderConfig) fill() error {
	if c.Channels != 1 && c.Channels != 2 {
		return fmt.Errorf("%w: %d channels", ErrConfig, c.Channels)
	}
	if c.BitrateBPS == 0 {
		c.BitrateBPS = 16000 + 16000*c.Channels
	}
	if c.Complexity == 0 {
		c.Complexity = defaultComplexity
	}
	switch {
	case c.BitrateBPS < minBitrate || c.BitrateBPS > maxBitrate:
		return fmt.Errorf("%w: %d bit/s", ErrConfig, c.BitrateBPS)
	case c.Complexity < 1 || c.Complexity > 10:
		return fmt.Errorf("%w: complexity %d", ErrConfig, c.Complexity)
	case c.PacketLossPercent < 0 || c.PacketLossPercent > 100:
		return fmt.Errorf("%w: %d %% packet loss", ErrConfig, c.PacketLossPercent)
	case c.Application > LowDelay:
		return fmt.Errorf("%w: application %d", ErrConfig, c.Application)
	}
	return nil
}

// Encoder encodes blocks of one mix, a packet each. It belongs to one
// goroutine at a time.
type Encoder struct {
	enc      *hraban.Encoder // nil once closed
	channels int
	// packet is where the library writes: it fits a packet to the room that it
	// is given, and a caller's short buffer is to fail, not to spoil the sound.
	packet [MaxPacketBytes]byte
}

// NewEncoder makes an encoder.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if err := selfTest(); err != nil {
		return nil, err
	}
	app := [...]hraban.Application{hraban.AppVoIP, hraban.AppAudio, hraban.AppRestrictedLowdelay}[cfg.Application]
	enc, err := hraban.NewEncoder(codec.AudioClockRate, cfg.Channels, app)
	if err != nil {
		return nil, fmt.Errorf("%w: new encoder: %w", ErrLibrary, err)
	}
	for _, err := range []error{
		enc.SetBitrate(cfg.BitrateBPS),
		enc.SetComplexity(cfg.Complexity),
		enc.SetInBandFEC(cfg.FEC),
		enc.SetPacketLossPerc(cfg.PacketLossPercent),
		enc.SetDTX(cfg.DTX),
	} {
		if err != nil {
			return nil, fmt.Errorf("%w: set up encoder: %w", ErrLibrary, err)
		}
	}
	return &Encoder{enc: enc, channels: cfg.Channels}, nil
}

// Close gives the encoder up.
func (e *Encoder) Close() { e.enc = nil }

// Reset makes the encoder forget all that it heard and keep its settings.
func (e *Encoder) Reset() error {
	if e.enc == nil {
		return ErrClosed
	}
	if err := e.enc.Reset(); err != nil {
		return fmt.Errorf("%w: reset encoder: %w", ErrLibrary, err)
	}
	return nil
}

// SetBitrate changes the rate in bit/s, 6000 to 510000, from the next packet
// on.
func (e *Encoder) SetBitrate(bps int) error {
	if e.enc == nil {
		return ErrClosed
	}
	if bps < minBitrate || bps > maxBitrate {
		return fmt.Errorf("%w: %d bit/s", ErrConfig, bps)
	}
	if err := e.enc.SetBitrate(bps); err != nil {
		return fmt.Errorf("%w: set bit rate: %w", ErrLibrary, err)
	}
	return nil
}

// Encode writes one packet for b to dst[:0] and answers it; where it does not
// fit in dst's capacity the packet is lost and the error ErrBuffer
// (MaxPacketBytes always fits). independent makes the packet predict nothing
// from those before it, so that a decoder that heard another encoder until now
// goes on without a jolt; it costs some bits or some quality, once.
func (e *Encoder) Encode(dst []byte, b *pcm.Block, independent bool) ([]byte, error) {
	if e.enc == nil {
		return nil, ErrClosed
	}
	if b.Channels() != e.channels {
		return nil, fmt.Errorf("%w: block has %d, encoder %d", ErrChannels, b.Channels(), e.channels)
	}
	if !finite(b.Data()) {
		return nil, ErrNotFinite
	}
	if independent {
		if rc := C.tutti_opus_set_independent(state(e.enc), 1); rc != 0 {
			return nil, fmt.Errorf("%w: disable prediction: %d", ErrLibrary, int(rc))
		}
		defer C.tutti_opus_set_independent(state(e.enc), 0)
	}
	n, err := e.enc.EncodeFloat32(b.Data(), e.packet[:])
	if err != nil {
		return nil, fmt.Errorf("%w: encode: %w", ErrLibrary, err)
	}
	if n > cap(dst) {
		return nil, fmt.Errorf("%w: packet of %d bytes, room for %d", ErrBuffer, n, cap(dst))
	}
	return append(dst[:0], e.packet[:n]...), nil
}

// finite reports whether all samples are finite: anything finite times zero is
// zero, infinities and NaN give NaN, and NaN stays in a sum.
func finite(samples []float32) bool {
	var sum float32
	for _, s := range samples {
		sum += s * 0
	}
	return sum == 0
}
