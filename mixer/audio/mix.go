package audio

import "tutti/codec/pcm"

// Ramp scales a block in place by a gain that goes from one value, which the
// block before ended with, to another over its length, so that no step is
// heard. The gain is linear in the frames: both channels of a frame get the
// same.
func Ramp(b *pcm.Block, from, to float32) {
	if d := b.Data(); from == to {
		scale(d, to)
	} else {
		ramp(d, b.Channels(), from, to)
	}
}

// ramp is Ramp for any multiple of four frames. It has four gains at once, so
// that no product waits for the sum before it.
func ramp(d []float32, channels int, from, to float32) {
	step := (to - from) * float32(channels) / float32(len(d))
	g0, g1, g2, g3 := from+step, from+2*step, from+3*step, from+4*step
	step *= 4
	if channels == 2 {
		for ; len(d) >= 8; d = d[8:] {
			f := (*[8]float32)(d)
			f[0] *= g0
			f[1] *= g0
			f[2] *= g1
			f[3] *= g1
			f[4] *= g2
			f[5] *= g2
			f[6] *= g3
			f[7] *= g3
			g0, g1, g2, g3 = g0+step, g1+step, g2+step, g3+step
		}
		return
	}
	for ; len(d) >= 4; d = d[4:] {
		f := (*[4]float32)(d)
		f[0] *= g0
		f[1] *= g1
		f[2] *= g2
		f[3] *= g3
		g0, g1, g2, g3 = g0+step, g1+step, g2+step, g3+step
	}
}

// scale multiplies all samples by g; a g of 1 leaves them alone.
func scale(d []float32, g float32) {
	if g == 1 {
		return
	}
	for ; len(d) >= 4; d = d[4:] {
		f := (*[4]float32)(d)
		f[0] *= g
		f[1] *= g
		f[2] *= g
		f[3] *= g
	}
	for i := range d {
		d[i] *= g
	}
}

// Add adds src to sum, sample by sample; src is at least as long.
func Add(sum, src []float32) {
	src = src[:len(sum)]
	for len(sum) >= 8 && len(src) >= 8 {
		s, x := (*[8]float32)(sum), (*[8]float32)(src)
		s[0] += x[0]
		s[1] += x[1]
		s[2] += x[2]
		s[3] += x[3]
		s[4] += x[4]
		s[5] += x[5]
		s[6] += x[6]
		s[7] += x[7]
		sum, src = sum[8:], src[8:]
	}
	for i, x := range src {
		sum[i] += x
	}
}

// Without writes to dst the sum less what own contributed to it: the mix-minus
// of one who is heard. All have the same length.
func Without(dst, sum, own []float32) {
	dst, own = dst[:len(sum)], own[:len(sum)]
	for len(dst) >= 4 && len(sum) >= 4 && len(own) >= 4 {
		d, s, x := (*[4]float32)(dst), (*[4]float32)(sum), (*[4]float32)(own)
		d[0] = s[0] - x[0]
		d[1] = s[1] - x[1]
		d[2] = s[2] - x[2]
		d[3] = s[3] - x[3]
		dst, sum, own = dst[4:], sum[4:], own[4:]
	}
	for i, x := range own {
		dst[i] = sum[i] - x
	}
}
