package audio

// Ramp scales a block in place by a gain that goes from one value to another
// over its length, so that no step is heard.
func Ramp(block []float32, from, to float32) {
	if from == to {
		if to != 1 {
			for i := range block {
				block[i] *= to
			}
		}
		return
	}
	step := (to - from) / float32(len(block))
	g := from
	for i := range block {
		g += step
		block[i] *= g
	}
}

// Add adds src to sum, sample by sample; both have the same length.
func Add(sum, src []float32) {
	src = src[:len(sum)]
	for i := range sum {
		sum[i] += src[i]
	}
}

// Without writes to dst the sum less what own contributed to it: the mix-minus
// of one who is heard.
func Without(dst, sum, own []float32) {
	dst, own = dst[:len(sum)], own[:len(sum)]
	for i := range sum {
		dst[i] = sum[i] - own[i]
	}
}

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
func (l *Limiter) Process(block []float32) {
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
	n := len(block)
	if to < from {
		n = min(attack, n)
	}
	Ramp(block[:n], from, to)
	if n < len(block) {
		Ramp(block[n:], to, to)
	}
	for i, s := range block {
		block[i] = max(-ceiling, min(ceiling, s))
	}
	l.reduction = 1 - to
}

// Gain answers the gain that the last block ended with.
func (l *Limiter) Gain() float32 { return 1 - l.reduction }
