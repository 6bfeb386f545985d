package audio

import (
	"math"

	"tutti/codec/pcm"
)

// The interpolator of ITU-R BS.1770-4, annex 2: four points between two frames,
// each from the twelve frames around it.
const (
	taps     = 12
	tapsPast = 5 // frames before the one that a point follows
	tapsNext = 6 // frames after it
	// overshoot is what the interpolator makes at most of a sample peak of 1: the
	// largest sum of the magnitudes of a phase's coefficients.
	overshoot = 2.03
)

// Phases 0 and 1 of the recommendation's table; 3 and 2 are the same backwards.
var (
	outer = [taps]float32{
		0.001708984375, 0.010986328125, -0.0196533203125, 0.033203125, -0.0594482421875, 0.1373291015625,
		0.97216796875, -0.102294921875, 0.047607421875, -0.026611328125, 0.014892578125, -0.00830078125,
	}
	inner = [taps]float32{
		-0.0291748046875, 0.029296875, -0.0517578125, 0.089111328125, -0.16650390625, 0.465087890625,
		0.77978515625, -0.2003173828125, 0.1015625, -0.0582275390625, 0.0330810546875, -0.0189208984375,
	}
)

// segment is how many frames are looked at together, window what it takes for
// them: what lies around the first and the last of them as well.
const (
	segment = 16
	window  = tapsPast + segment + tapsNext
)

// segmentPeak answers the largest magnitude within the segment that begins at
// w[tapsPast], of the samples and of the points that follow each of them.
//
// A phase and its mirror are E+O and E-O, where E comes from the sums of the
// frames at the same distance to both sides and O from their differences. The
// larger magnitude of the two is |E|+|O|, for half of the multiplications.
func segmentPeak(w *[window]float32) float32 {
	var peak float32
	for i := range segment {
		s0, d0 := w[i]+w[i+11], w[i]-w[i+11]
		s1, d1 := w[i+1]+w[i+10], w[i+1]-w[i+10]
		s2, d2 := w[i+2]+w[i+9], w[i+2]-w[i+9]
		s3, d3 := w[i+3]+w[i+8], w[i+3]-w[i+8]
		s4, d4 := w[i+4]+w[i+7], w[i+4]-w[i+7]
		s5, d5 := w[i+5]+w[i+6], w[i+5]-w[i+6]
		e := innerEven[0]*s0 + innerEven[1]*s1 + innerEven[2]*s2 + innerEven[3]*s3 + innerEven[4]*s4 + innerEven[5]*s5
		o := innerOdd[0]*d0 + innerOdd[1]*d1 + innerOdd[2]*d2 + innerOdd[3]*d3 + innerOdd[4]*d4 + innerOdd[5]*d5
		if p := abs(e) + abs(o); p > peak {
			peak = p
		}
		e = outerEven[0]*s0 + outerEven[1]*s1 + outerEven[2]*s2 + outerEven[3]*s3 + outerEven[4]*s4 + outerEven[5]*s5
		o = outerOdd[0]*d0 + outerOdd[1]*d1 + outerOdd[2]*d2 + outerOdd[3]*d3 + outerOdd[4]*d4 + outerOdd[5]*d5
		if p := abs(e) + abs(o); p > peak {
			peak = p
		}
		if p := abs(w[i+tapsPast]); p > peak {
			peak = p
		}
	}
	return peak
}

// The coefficients of E and O.
var (
	innerEven, innerOdd = halves(inner)
	outerEven, outerOdd = halves(outer)
)

func halves(h [taps]float32) (even, odd [taps / 2]float32) {
	for k := range even {
		even[k], odd[k] = (h[k]+h[taps-1-k])/2, (h[k]-h[taps-1-k])/2
	}
	return even, odd
}

const magnitude = 1<<31 - 1 // all bits of a float32 but its sign

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) & magnitude) }

// peakBits answers the largest magnitude of x as bits, which have the order of
// the magnitudes; those of an infinity and of NaN come last.
func peakBits(x []float32) uint32 {
	var a, b, c, d uint32
	for len(x) >= 4 {
		a = max(a, math.Float32bits(x[0])&magnitude)
		b = max(b, math.Float32bits(x[1])&magnitude)
		c = max(c, math.Float32bits(x[2])&magnitude)
		d = max(d, math.Float32bits(x[3])&magnitude)
		x = x[4:]
	}
	for _, s := range x {
		a = max(a, math.Float32bits(s)&magnitude)
	}
	return max(a, b, c, d)
}

// TruePeak measures the true peak of a signal after ITU-R BS.1770-4, annex 2,
// with four times the samples. The zero value has heard nothing.
type TruePeak struct {
	peak  float32
	heard [2][window - segment]float32 // the last frames, by channel
}

// Add measures another block.
func (t *TruePeak) Add(b *pcm.Block) {
	d, channels := b.Data(), b.Channels()
	for c := range channels {
		var w [window]float32
		copy(w[:], t.heard[c][:])
		for at := c; at < len(d); at += segment * channels {
			for i := range segment {
				w[window-segment+i] = d[at+i*channels]
			}
			t.peak = max(t.peak, segmentPeak(&w))
			copy(w[:], w[segment:])
		}
		copy(t.heard[c][:], w[:])
	}
}

// DBTP answers the largest peak up to now in dB relative to full scale, but
// for the last six frames, which need what follows; -Inf in silence.
func (t *TruePeak) DBTP() float64 { return 20 * math.Log10(float64(t.peak)) }
