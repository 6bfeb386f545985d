// Package pcm holds decoded sound: blocks of 20 ms at 48 kHz, as float32 in
// the nominal range -1 to 1, interleaved when stereo.
package pcm

import (
	"math"
	"time"
)

// The shape of a block.
const (
	Rate     = 48000                 // samples per second and channel
	Samples  = 960                   // samples per channel in a block
	Duration = 20 * time.Millisecond // length of a block
)

// SilenceDBOV is the level of digital silence, in dBov (RFC 6464, section 3:
// the wire carries its negation, 127).
const SilenceDBOV = -127.0

// Block is 20 ms of sound. The zero value is mono silence.
type Block struct {
	stereo bool
	buf    [2 * Samples]float32
}

// Channels answers 1 or 2.
func (b *Block) Channels() int {
	if b.stereo {
		return 2
	}
	return 1
}

// SetChannels sets 1 or 2 channels; the samples are undefined afterwards.
func (b *Block) SetChannels(n int) { b.stereo = n == 2 }

// Data answers the block's samples, Samples*Channels() of them, clipped so
// that neither an append nor a C library can write beyond them.
func (b *Block) Data() []float32 {
	n := Samples * b.Channels()
	return b.buf[:n:n]
}

// Clear makes the block silent and keeps its channels.
func (b *Block) Clear() { clear(b.Data()) }

// Copy makes b equal to src.
func (b *Block) Copy(src *Block) {
	b.stereo = src.stereo
	copy(b.Data(), src.Data())
}

// Level answers the block's root mean square in dBov, where 0 is the loudest
// square wave the range holds (RFC 6464, appendix A.1 measures likewise), at
// least SilenceDBOV.
func (b *Block) Level() float64 {
	var sum float64
	d := b.Data()
	for _, s := range d {
		sum += float64(s) * float64(s)
	}
	if sum == 0 {
		return SilenceDBOV
	}
	return max(SilenceDBOV, 10*math.Log10(sum/float64(len(d))))
}

// Gain converts decibels to a linear factor.
func Gain(db float64) float32 { return float32(math.Pow(10, db/20)) }
