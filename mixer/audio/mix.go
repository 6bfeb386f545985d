package audio

import "tutti/codec/pcm"

// Ramp scales a block in place by a gain that goes from one value, which the
// block before ended with, to another over its length, so that no step is
// heard. The gain is linear in the frames: both channels of a frame get the
// same.
func Ramp(b *pcm.Block, from, to float32) {
	d := b.Data()
	if from == to {
		scale(d, to)
		return
	}
	g, step := from, (to-from)/pcm.Samples
	if b.Channels() == 2 {
		for len(d) >= 2 {
			g += step
			d[0] *= g
			d[1] *= g
			d = d[2:]
		}
		return
	}
	for i := range d {
		g += step
		d[i] *= g
	}
}

// scale multiplies all samples by g; a g of 1 leaves them alone.
func scale(d []float32, g float32) {
	if g == 1 {
		return
	}
	for i := range d {
		d[i] *= g
	}
}

// Add adds src to sum, sample by sample; src is at least as long.
func Add(sum, src []float32) {
	src = src[:len(sum)]
	for i := range sum {
		sum[i] += src[i]
	}
}

// Without writes to dst the sum less what own contributed to it: the mix-minus
// of one who is heard. All have the same length.
func Without(dst, sum, own []float32) {
	dst, own = dst[:len(sum)], own[:len(sum)]
	for i := range sum {
		dst[i] = sum[i] - own[i]
	}
}
