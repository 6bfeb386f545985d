package audio

import (
	"math"

	"tutti/codec/pcm"
)

// weighting is the K-weighting of ITU-R BS.1770-4, annex 1: a shelf for the
// head and a high pass, one after the other, each in direct form I. The zero
// value is at rest.
type weighting struct {
	state [2]past2 // by channel
}

// past2 are the last two values, the newest first, of what goes into the shelf,
// between the filters, and out of the high pass.
type past2 struct{ x1, x2, y1, y2, u1, u2 float64 }

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
		sum = w.state[0].filter(d, 2) + w.state[1].filter(d[1:], 2)
	} else {
		sum = w.state[0].filter(d, 1)
	}
	if !(sum < absurd*absurd*pcm.Samples) {
		*w = weighting{}
		return 0
	}
	for c := range w.state {
		w.state[c].settle()
	}
	return sum / pcm.Samples
}

// settle ends what has vanished.
func (p *past2) settle() {
	if max(math.Abs(p.x1), math.Abs(p.x2), math.Abs(p.y1), math.Abs(p.y2), math.Abs(p.u1), math.Abs(p.u2)) < vanished {
		*p = past2{}
	}
}

// The filters' next value but one by the last two: a1*a1-a2 and a1*a2.
const (
	shelfC1, shelfC2 = shelfA1*shelfA1 - shelfA2, shelfA1 * shelfA2
	passC1, passC2   = passA1*passA1 - passA2, passA1 * passA2
)

// filter answers the energy of every step-th sample of d, an even number of them.
// It makes two values at a time, both from the two before, since a value that waits
// for the one before it costs three times as much.
func (p *past2) filter(d []float32, step int) (sum float64) {
	x1, x2, y1, y2, u1, u2 := p.x1, p.x2, p.y1, p.y2, p.u1, p.u2
	for i := 0; i+step < len(d); i += 2 * step {
		a, b := float64(d[i]), float64(d[i+step])
		fa := shelfB0*a + shelfB1*x1 + shelfB2*x2
		fb := shelfB0*b + shelfB1*a + shelfB2*x1
		ya := fa - shelfA2*y2 - shelfA1*y1
		yb := fb - shelfA1*fa + shelfC2*y2 + shelfC1*y1
		ga := ya - 2*y1 + y2
		gb := yb - 2*ya + y1
		ua := ga - passA2*u2 - passA1*u1
		ub := gb - passA1*ga + passC2*u2 + passC1*u1
		sum += ua*ua + ub*ub
		x1, x2, y1, y2, u1, u2 = b, a, yb, ya, ub, ua
	}
	*p = past2{x1, x2, y1, y2, u1, u2}
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
