package mixertest

import (
	"math"
	"math/cmplx"
)

// The measure's constants, from the paper's section II.
const (
	stoiRate    = 10000 // Hz, to which both sounds are brought
	stoiFrame   = 256   // samples under a window
	stoiHop     = stoiFrame / 2
	stoiFFT     = 512
	stoiBands   = 15
	stoiLowest  = 150.0 // Hz, the centre of the lowest third of an octave
	stoiSegment = 30    // frames that are correlated: 384 ms
	stoiRange   = 40.0  // dB below the loudest frame from which a frame is silent
	stoiClip    = -15.0 // dB: the least ratio of signal to distortion that counts
)

// STOI answers how intelligible degraded is as a rendering of the speech in
// clean, the short-time objective intelligibility of C. H. Taal, R. C. Hendriks,
// R. Heusdens and J. Jensen, "An Algorithm for Intelligibility Prediction of
// Time-Frequency Weighted Noisy Speech", IEEE Transactions on Audio, Speech, and
// Language Processing 19 (7), 2011: 1 for the same sound, near 0 for what has
// nothing of it. Both are mono at rate samples per second, at least 10000, and
// aligned in time; what one is longer by is left out. Sounds that have less than
// 30 frames with speech, 0.4 s, answer 0.
func STOI(clean, degraded []float32, rate int) float64 {
	n := min(len(clean), len(degraded))
	x, y := resample(clean[:n], rate, stoiRate), resample(degraded[:n], rate, stoiRate)
	x, y = withoutSilence(x, y)
	xb, yb := thirds(x), thirds(y)
	if len(xb) < stoiSegment {
		return 0
	}
	sum, count := 0.0, 0
	for end := stoiSegment; end <= len(xb); end++ {
		for band := range stoiBands {
			sum += agreement(xb[end-stoiSegment:end], yb[end-stoiSegment:end], band)
			count++
		}
	}
	return sum / float64(count)
}

// agreement correlates one band of a segment after y was brought to the energy
// of x and clipped (equations 3 to 5).
func agreement(x, y [][stoiBands]float64, band int) float64 {
	var a, b [stoiSegment]float64
	var ex, ey float64
	for i := range a {
		a[i], b[i] = x[i][band], y[i][band]
		ex, ey = ex+a[i]*a[i], ey+b[i]*b[i]
	}
	if ex == 0 || ey == 0 {
		return 0
	}
	scale, most := math.Sqrt(ex/ey), 1+math.Pow(10, -stoiClip/20)
	for i := range b {
		b[i] = min(b[i]*scale, a[i]*most)
	}
	return correlation(a[:], b[:])
}

// correlation is Pearson's; 0 where one of them does not vary.
func correlation(a, b []float64) float64 {
	var ma, mb, aa, bb, ab float64
	for i := range a {
		ma, mb = ma+a[i], mb+b[i]
	}
	ma, mb = ma/float64(len(a)), mb/float64(len(b))
	for i := range a {
		da, db := a[i]-ma, b[i]-mb
		aa, bb, ab = aa+da*da, bb+db*db, ab+da*db
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// window is Hann's without the zeros at its ends.
func window() (w [stoiFrame]float64) {
	for i := range w {
		w[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i+1)/(stoiFrame+1))
	}
	return w
}

// withoutSilence leaves out of both the frames in which x is silent, and adds
// the windowed rest up again.
func withoutSilence(x, y []float64) (xs, ys []float64) {
	w := window()
	var levels []float64
	loudest := math.Inf(-1)
	for at := 0; at+stoiFrame < len(x); at += stoiHop {
		energy := 0.0
		for i, g := range w {
			energy += g * x[at+i] * g * x[at+i]
		}
		level := 10 * math.Log10(energy+1e-30)
		levels, loudest = append(levels, level), max(loudest, level)
	}
	kept := 0
	xs, ys = make([]float64, len(x)+stoiFrame), make([]float64, len(x)+stoiFrame)
	for n, level := range levels {
		if level <= loudest-stoiRange {
			continue
		}
		for i, g := range w {
			xs[kept*stoiHop+i] += g * x[n*stoiHop+i]
			ys[kept*stoiHop+i] += g * y[n*stoiHop+i]
		}
		kept++
	}
	if kept == 0 {
		return nil, nil
	}
	end := (kept-1)*stoiHop + stoiFrame
	return xs[:end], ys[:end]
}

// thirds answers the magnitude of each frame in thirds of an octave (equation 1).
func thirds(x []float64) (frames [][stoiBands]float64) {
	w, edges := window(), bandEdges()
	var spectrum [stoiFFT]complex128
	for at := 0; at+stoiFrame < len(x); at += stoiHop {
		clear(spectrum[:])
		for i, g := range w {
			spectrum[i] = complex(g*x[at+i], 0)
		}
		fft(spectrum[:])
		var bands [stoiBands]float64
		for b, e := range edges {
			for _, v := range spectrum[e[0]:e[1]] {
				bands[b] += real(v)*real(v) + imag(v)*imag(v)
			}
			bands[b] = math.Sqrt(bands[b])
		}
		frames = append(frames, bands)
	}
	return frames
}

// bandEdges answers the first bin of each band and the first above it.
func bandEdges() (edges [stoiBands][2]int) {
	bin := func(hz float64) int { return int(math.Round(hz * stoiFFT / stoiRate)) }
	for b := range edges {
		centre := stoiLowest * math.Pow(2, float64(b)/3)
		edges[b] = [2]int{bin(centre * math.Pow(2, -1.0/6)), bin(centre * math.Pow(2, 1.0/6))}
	}
	return edges
}

// fft transforms a in place; its length is a power of two.
func fft(a []complex128) {
	n := len(a)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			a[i], a[j] = a[j], a[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		for k := range size / 2 {
			turn := cmplx.Rect(1, -2*math.Pi*float64(k)/float64(size))
			for at := k; at < n; at += size {
				even, odd := a[at], a[at+size/2]*turn
				a[at], a[at+size/2] = even+odd, even-odd
			}
		}
	}
}

// resample brings a sound from one rate to a lower one by a windowed sinc that
// cuts off just below the lower one's half.
func resample(x []float32, from, to int) []float64 {
	const lobes = 24
	cut := float64(to) / float64(from) * 0.97
	reach := int(math.Ceil(lobes / cut))
	up, down := to, from
	for a, b := up, down; ; a, b = b, a%b {
		if b == 0 {
			up, down = up/a, down/a
			break
		}
	}
	kernels := make([][]float64, up) // one for each place between two samples
	for phase := range kernels {
		shift := float64(phase) / float64(up)
		for k := -reach; k <= reach; k++ {
			t := float64(k) - shift
			kernels[phase] = append(kernels[phase], cut*sinc(cut*t)*hann(t/float64(reach+1)))
		}
	}
	out := make([]float64, len(x)*up/down)
	for n := range out {
		at := n * down / up
		for i, g := range kernels[n*down%up] {
			if k := at + i - reach; k >= 0 && k < len(x) {
				out[n] += g * float64(x[k])
			}
		}
	}
	return out
}

func sinc(t float64) float64 {
	if t == 0 {
		return 1
	}
	return math.Sin(math.Pi*t) / (math.Pi * t)
}

// hann is Hann's window over -1 to 1.
func hann(t float64) float64 {
	if t <= -1 || t >= 1 {
		return 0
	}
	return 0.5 + 0.5*math.Cos(math.Pi*t)
}
