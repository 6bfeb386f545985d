package announce

import "math"

const (
	// phases is how many kernels lie between two samples of the input; the others
	// are interpolated between them, which is exact to -110 dB.
	phases = 512
	// lobes is half the kernel's length in samples of the lower rate, and beta the
	// shape of its window (Kaiser): together 80 dB from 0.46 to 0.5 of that rate.
	lobes = 32
	beta  = 8.0
	edge  = 0.46 // where it has 6 dB less, as a share of the lower rate
)

// kernel is a windowed sinc that brings one rate to another. It is computed from
// the input's place alone, so that it keeps nothing between blocks.
type kernel struct {
	in, out int64 // rates
	taps    int
	table   []float32 // phases+1 kernels of taps each
}

func newKernel(in, out int) *kernel {
	stretch := max(1, float64(in)/float64(out)) // of the kernel, to hold what the output can not
	k := &kernel{in: int64(in), out: int64(out), taps: 2 * int(math.Ceil(lobes*stretch))}
	k.table = make([]float32, (phases+1)*k.taps)
	half := float64(k.taps / 2)
	weights := make([]float64, k.taps)
	for p := range phases + 1 {
		row := k.table[p*k.taps : (p+1)*k.taps]
		var sum float64
		for i := range weights {
			x := float64(i) - half + 1 - float64(p)/phases // from the sample to be made, in samples of the input
			weights[i] = sinc(2*edge/stretch*x) * kaiser(x/half)
			sum += weights[i]
		}
		for i, w := range weights {
			row[i] = float32(w / sum) // each phase passes a constant as it is
		}
	}
	return k
}

// span answers which samples of the input n samples of the output, from a place
// on, are made of: the first, which may lie before the beginning, and how many.
func (k *kernel) span(at int64, n int) (from int64, count int) {
	from = at*k.in/k.out - int64(k.taps/2) + 1
	last := (at+int64(n)-1)*k.in/k.out + int64(k.taps/2)
	return from, int(last-from) + 1
}

// resample fills dst from the span of input that belongs to it.
func (k *kernel) resample(dst, in []float32, at int64, channels int) {
	first := at * k.in / k.out
	for i := range len(dst) / channels {
		place := (at + int64(i)) * k.in
		whole, part := int(place/k.out-first), float32(place%k.out)*phases/float32(k.out)
		p := min(int(part), phases-1)
		part -= float32(p)
		a, b := k.table[p*k.taps:(p+1)*k.taps], k.table[(p+1)*k.taps:(p+2)*k.taps]
		b = b[:len(a)]
		if channels == 1 {
			x, sum := in[whole:][:len(a)], float32(0)
			for t, v := range a {
				sum += (v + part*(b[t]-v)) * x[t]
			}
			dst[i] = sum
			continue
		}
		x, left, right := in[2*whole:][:2*len(a)], float32(0), float32(0)
		for t, v := range a {
			c := v + part*(b[t]-v)
			left += c * x[2*t]
			right += c * x[2*t+1]
		}
		dst[2*i], dst[2*i+1] = left, right
	}
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser answers the window at x from -1 to 1, not yet divided by its middle.
func kaiser(x float64) float64 {
	if x < -1 || x > 1 {
		return 0
	}
	return bessel(beta * math.Sqrt(1-x*x))
}

// bessel answers the modified Bessel function of the first kind and order 0, by
// its series.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for n := 1.0; term > sum*1e-12; n++ {
		term *= x * x / (4 * n * n)
		sum += term
	}
	return sum
}
