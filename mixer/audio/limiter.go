package audio

import "tutti/codec/pcm"

// The limiter's bounds.
const (
	ceiling = 0.891  // -1 dBFS
	attack  = 48     // samples over which the gain falls: 1 ms
	regain  = 1.0233 // by which the gain rises a block: 10 dB in a second
)

// Limiter keeps a mix below -1 dBFS: the gain falls within a millisecond when
// the sum would be louder and comes back slowly. What is left above the
// ceiling in that millisecond is clipped. The zero value is at rest.
type Limiter struct {
	reduction float32 // 1 - gain, so that zero means none
}

// Process limits the block in place.
func (l *Limiter) Process(b *pcm.Block) {
	block := b.Data()
	var peak float32
	for _, s := range block {
		peak = max(peak, s, -s)
	}
	from := 1 - l.reduction
	if peak*from <= ceiling && l.reduction == 0 {
		return
	}
	to := min(1, from*regain)
	if peak*to > ceiling {
		to = ceiling / peak
	}
	Ramp(b, from, to)
	for i, s := range block {
		block[i] = max(-ceiling, min(ceiling, s))
	}
	l.reduction = 1 - to
}

// Gain answers the gain that the last block ended with.
func (l *Limiter) Gain() float32 { return 1 - l.reduction }
