package audio

import (
	"math"

	"tutti/codec/pcm"
)

// weighting is the K-weighting of ITU-R BS.1770-4, annex 1: a shelf for the
// head and a high pass, one after the other, each as a transposed direct form
// II. The zero value is at rest.
type weighting struct {
	state [2][4]float64 // by channel
}

// Coefficients at 48 kHz, annex 1, tables 1 and 2. The high pass has 1, -2, 1
// above.
const (
	shelfB0, shelfB1, shelfB2 = 1.53512485958697, -2.69169618940638, 1.19839281085285
	shelfA1, shelfA2          = -1.69065929318241, 0.73248077421585
	passA1, passA2            = -1.99004745483398, 0.99007225036621
)

// vanished is below anything that can be heard. Left alone, the filters would
// reach numbers in silence that are slow to reckon with.
const vanished = 1e-15

// energy filters a block and answers the mean square of its channels, summed:
// what loudness is made of. A block that holds what is no number counts as
// silent.
func (w *weighting) energy(b *pcm.Block) float64 {
	var sum float64
	d := b.Data()
	if b.Channels() == 2 {
		sum = stereo(&w.state, d)
	} else {
		sum = mono(&w.state[0], d)
	}
	if !(sum < absurd*absurd*pcm.Samples) {
		*w = weighting{}
		return 0
	}
	for c := range w.state {
		for i, s := range w.state[c] {
			if math.Abs(s) < vanished {
				w.state[c][i] = 0
			}
		}
	}
	return sum / pcm.Samples
}

func mono(z *[4]float64, d []float32) (sum float64) {
	p, q, r, s := z[0], z[1], z[2], z[3]
	for _, v := range d {
		x := float64(v)
		y := shelfB0*x + p
		p = shelfB1*x - shelfA1*y + q
		q = shelfB2*x - shelfA2*y
		u := y + r
		r = -2*y - passA1*u + s
		s = y - passA2*u
		sum += u * u
	}
	z[0], z[1], z[2], z[3] = p, q, r, s
	return sum
}

// stereo is mono twice: neither channel waits for the other.
func stereo(z *[2][4]float64, d []float32) (sum float64) {
	p0, q0, r0, s0 := z[0][0], z[0][1], z[0][2], z[0][3]
	p1, q1, r1, s1 := z[1][0], z[1][1], z[1][2], z[1][3]
	for len(d) >= 2 {
		x0, x1 := float64(d[0]), float64(d[1])
		d = d[2:]
		y0, y1 := shelfB0*x0+p0, shelfB0*x1+p1
		p0, p1 = shelfB1*x0-shelfA1*y0+q0, shelfB1*x1-shelfA1*y1+q1
		q0, q1 = shelfB2*x0-shelfA2*y0, shelfB2*x1-shelfA2*y1
		u0, u1 := y0+r0, y1+r1
		r0, r1 = -2*y0-passA1*u0+s0, -2*y1-passA1*u1+s1
		s0, s1 = y0-passA2*u0, y1-passA2*u1
		sum += u0*u0 + u1*u1
	}
	z[0] = [4]float64{p0, q0, r0, s0}
	z[1] = [4]float64{p1, q1, r1, s1}
	return sum
}

// loudness answers an energy in LUFS, at least pcm.SilenceDBOV (BS.1770-4,
// annex 1, equation 2).
func loudness(energy float64) float64 {
	if energy <= 0 {
		return pcm.SilenceDBOV
	}
	return max(pcm.SilenceDBOV, -0.691+10*math.Log10(energy))
}

// energyAt answers the energy of a loudness in LUFS.
func energyAt(lufs float64) float64 { return math.Pow(10, (lufs+0.691)/10) }

// The windows of EBU Tech 3341, in blocks, and the gates of BS.1770-4, annex 1,
// in LUFS and LU.
const (
	momentary    = 20
	shortTerm    = 150
	gateStep     = 5 // gating blocks of 400 ms overlap by three quarters
	absoluteGate = -70.0
	relativeGate = -10.0
)

// Meter measures loudness after ITU-R BS.1770-4 and EBU Tech 3341, of one or
// two channels. One channel counts as one loudspeaker: the same signal in two
// is 3 LU louder. The zero value has heard nothing, and nothing is silence.
type Meter struct {
	weigh  weighting
	recent [shortTerm]float64 // energies of the last blocks
	blocks int
	gated  [bins]struct { // gating blocks above the absolute gate, by loudness
		count  int
		energy float64 // sum
	}
}

// bins of a tenth of an LU, up to 25 LUFS.
const bins = 950

// Add measures another block.
func (m *Meter) Add(b *pcm.Block) {
	m.recent[m.blocks%shortTerm] = m.weigh.energy(b)
	m.blocks++
	if m.blocks < momentary || m.blocks%gateStep != 0 {
		return
	}
	e := m.mean(momentary)
	if l := loudness(e); l >= absoluteGate {
		g := &m.gated[min(bins-1, int((l-absoluteGate)*10))]
		g.count++
		g.energy += e
	}
}

// mean answers the mean energy of the last n blocks.
func (m *Meter) mean(n int) float64 {
	var sum float64
	for i := range n {
		sum += m.recent[(m.blocks+shortTerm-1-i)%shortTerm]
	}
	return sum / float64(n)
}

// Momentary answers the loudness of the last 400 ms in LUFS.
func (m *Meter) Momentary() float64 { return loudness(m.mean(momentary)) }

// ShortTerm answers the loudness of the last 3 s in LUFS.
func (m *Meter) ShortTerm() float64 { return loudness(m.mean(shortTerm)) }

// Integrated answers the gated loudness of all that was heard, in LUFS.
func (m *Meter) Integrated() float64 {
	return loudness(m.above(energyAt(loudness(m.above(0)) + relativeGate)))
}

// above answers the mean energy of the gating blocks from a gate on, to a tenth
// of an LU.
func (m *Meter) above(gate float64) float64 {
	var sum float64
	n := 0
	for i := range m.gated {
		if g := &m.gated[i]; g.count > 0 && g.energy >= gate*float64(g.count) {
			sum += g.energy
			n += g.count
		}
	}
	return sum / float64(max(1, n))
}
