package pcm

import (
	"math"
	"sync"
)

const (
	// taps is the length of the interpolation: flat and free of images to 16 kHz.
	taps = 16
	// phases is how many places between two samples have coefficients of their
	// own; between them they are interpolated.
	phases = 256
	// ahead is how far the position of the next sample lies behind the oldest
	// sample in a window that ends with the one before.
	ahead = taps/2 + 1
)

// MaxPPM is the most by which a Resampler changes the rate, in parts per million.
const MaxPPM = 2000.0

// Resampler plays a sound a little faster or slower than it was recorded: it
// follows a clock that is off. Until the first SetPPM other than 0 it hands
// through every sample as it is; from then on until Reset it interpolates, with
// no step in between. It belongs to one goroutine. The zero value is ready, for
// one channel.
type Resampler struct {
	stereo bool
	active bool
	step   float64 // input samples to an output sample
	at     float64 // of the next output sample, in samples after the window's middle
	next   int     // where the next input sample goes
	window [2][2 * taps]float32
}

// Reset makes the resampler forget the sound and the rate, for a sound of 1 or
// 2 channels that continues nothing.
func (r *Resampler) Reset(channels int) { *r = Resampler{stereo: channels == 2} }

// SetPPM sets by how much more than one sample of the input makes one of the
// output, in parts per million, at most MaxPPM either way.
func (r *Resampler) SetPPM(ppm float64) {
	if !r.active {
		if ppm == 0 {
			return
		}
		r.active, r.at = true, ahead
	}
	r.step = 1 + min(max(ppm, -MaxPPM), MaxPPM)/1e6
}

// PPM answers the rate in force, 0 while samples are handed through.
func (r *Resampler) PPM() float64 {
	if !r.active {
		return 0
	}
	return (r.step - 1) * 1e6
}

// Process fills dst from src, both interleaved, as far as either goes, and
// answers how many samples per channel it made and how many it used up. All of
// src is used up unless dst is full; the two differ by what the interpolation
// holds back, 9 samples at most, and by the rate.
func (r *Resampler) Process(dst, src []float32) (made, used int) {
	channels := 1
	if r.stereo {
		channels = 2
	}
	if !r.active {
		n := min(len(dst), len(src)) / channels
		copy(dst, src[:n*channels])
		for i := max(0, n-taps); i < n; i++ {
			r.push(src[i*channels:])
		}
		return n, n
	}
	table := coefficients()
	for made < len(dst)/channels {
		for r.at >= 1 {
			if used == len(src)/channels {
				return made, used
			}
			r.push(src[used*channels:])
			used++
			r.at--
		}
		r.interpolate(table, dst[made*channels:])
		made++
		r.at += r.step
	}
	return made, used
}

// push takes one sample of each channel into the window.
func (r *Resampler) push(src []float32) {
	r.window[0][r.next], r.window[0][r.next+taps] = src[0], src[0]
	if r.stereo {
		r.window[1][r.next], r.window[1][r.next+taps] = src[1], src[1]
	}
	r.next = (r.next + 1) % taps
}

// interpolate makes the sample at r.at, which is in [0, 1).
func (r *Resampler) interpolate(table *[phases + 1][taps]float32, dst []float32) {
	p := r.at * phases
	i := int(p)
	f := float32(p - float64(i))
	lo, hi := &table[i], &table[i+1]
	dst[0] = blend(lo, hi, (*[taps]float32)(r.window[0][r.next:]), f)
	if r.stereo {
		dst[1] = blend(lo, hi, (*[taps]float32)(r.window[1][r.next:]), f)
	}
}

// blend answers x filtered by what lies at f between two phases. Four sums at
// once, for none has to wait for the one before.
func blend(lo, hi, x *[taps]float32, f float32) float32 {
	var a, b, c, d float32
	for k := 0; k < taps; k += 2 {
		a += lo[k] * x[k]
		b += hi[k] * x[k]
		c += lo[k+1] * x[k+1]
		d += hi[k+1] * x[k+1]
	}
	a, b = a+c, b+d
	return a + f*(b-a)
}

// coefficients answers the windowed sinc at each phase. The window is Kaiser's,
// J. F. Kaiser 1974, with a side lobe of some -80 dB.
var coefficients = sync.OnceValue(func() *[phases + 1][taps]float32 {
	const beta = 8.0
	var table [phases + 1][taps]float32
	for p := range table {
		var sum float64
		var row [taps]float64
		for k := range row {
			x := float64(k-(taps/2-1)) - float64(p)/phases
			u := x / (taps / 2)
			row[k] = sinc(x) * bessel(beta*math.Sqrt(max(0, 1-u*u)))
			sum += row[k]
		}
		for k := range row {
			table[p][k] = float32(row[k] / sum)
		}
	}
	return &table
})

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel answers the modified Bessel function of the first kind of order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1; k < 40; k++ {
		term *= x / 2 / float64(k)
		sum += term * term
	}
	return sum
}
