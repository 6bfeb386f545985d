package jitter

import (
	"time"

	"tutti/transport/rtptime"
)

const (
	// hysteresis keeps delay from being taken and given back by turns.
	hysteresis = 5 * time.Millisecond
	// slideHysteresis and slideUnder are as much where the delay is steered by
	// resampling: too much is left to that, too little gets worse with each packet.
	slideHysteresis = 10 * time.Millisecond
	slideUnder      = time.Millisecond
	// slideMargin is what is held beyond the least where packets slide along the
	// ticks.
	slideMargin = 2 * time.Millisecond
	// steerTime is the time constant in which resampling moves the delay, steerMost
	// by how much it departs from the sender's clock for that, and steerSlew how
	// fast it changes its rate, per second: nobody hears a pitch that moves by a
	// fiftieth of a semitone in two seconds.
	steerTime = 20 * time.Second
	steerMost = 300.0 // ppm
	steerSlew = 100.0 // ppm
)

// Excess answers by how many samples the sound from this packet on is to be
// shortened, or lengthened where it is negative, for the delay to become what
// the target asks for; filled is how many samples of the tick were there before
// it. Packets are popped at ticks, so that the least delay is one at which a
// packet's first sample is the first of a tick, and delay is given back and
// taken to such a point.
//
// A sender whose clock is off slides along the ticks and passes all points. Its
// delay is held where even the worst of them is early enough, by Slide.
func (p *Packet) Excess(filled int) int {
	over, grain := samplesOf(p.Over), min(p.Samples, p.tick)
	if p.DriftPPM != 0 {
		if surplus := p.Slide(filled); surplus > samplesOf(slideHysteresis) ||
			over+filled/grain*grain < -samplesOf(slideUnder) {
			return surplus
		}
		return 0
	}
	end := filled + p.Samples
	stay := end / grain
	switch next := over + grain*stay - p.Samples; { // what the next packet will be over
	case next < -samplesOf(hysteresis):
		return end - grain*ceil(p.Samples-over, grain)
	case next < 0:
		return 0
	}
	return end - grain*min(stay, ceil(p.Samples+samplesOf(hysteresis)-over, grain))
}

// Steering decides at what rate a sender's sound is resampled, so that its clock is
// followed. The zero value is ready; it belongs to one goroutine.
type Steering struct{ ppm float64 }

// Follow answers the rate, by how many parts per million more of the sender's
// sound is to be played in a time than is nominal, from the packet p on; filled
// is as for Excess. It is 0 until the sender's clock is known to be off.
func (s *Steering) Follow(p *Packet, filled int) float64 {
	want := 0.0
	if p.DriftPPM != 0 {
		steer := float64(p.Slide(filled)) / (Rate * steerTime.Seconds()) * 1e6
		want = p.DriftPPM + min(max(steer, -steerMost), steerMost)
	}
	most := steerSlew * float64(p.Samples) / Rate
	s.ppm += min(max(want-s.ppm, -most), most)
	return s.ppm
}

// Slide answers how many samples more are held than are needed wherever the
// packet's beginning falls within a tick; filled is as for Excess.
func (p *Packet) Slide(filled int) int {
	return samplesOf(p.Over-slideMargin) + filled - min(p.Samples, p.tick)
}

// samplesOf converts time to samples.
func samplesOf(d time.Duration) int { return int(rtptime.Ticks(d, Rate)) }

// ceil answers a/b rounded up; b is positive.
func ceil(a, b int) int {
	q := a / b
	if a > q*b {
		q++
	}
	return q
}
