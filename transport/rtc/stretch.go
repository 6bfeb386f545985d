package rtc

import (
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/jitter"
)

const (
	// stretchTau is the time constant in which delay is given back in speech: what
	// is 380 ms too much is down to one packet in some 4 s. In silence it goes at
	// once.
	stretchTau = 1200 * time.Millisecond
	// stretchMin and stretchMax bound the time between two cuts.
	stretchMin, stretchMax = 40 * time.Millisecond, 500 * time.Millisecond
	// alike is how much two periods must be alike to be blended: voices are. Sound
	// that never is, as noise and some music, is cut all the same when that has been
	// wanted for long: each 20 ms in vain ask for yielding less, each cut for
	// regaining more.
	alike, yielding, regaining = 0.85, 0.02, 0.1
	// stretchSound is how much sound is to be at hand for a cut, in samples: two
	// periods of a low voice.
	stretchSound = pcm.Samples
)

// stretcher decides when sound is shortened or lengthened.
type stretcher struct {
	at    time.Time // of the last cut
	yield float64   // by how much less than alike the next may be
}

// due reports whether a cut is due.
func (s *stretcher) due(now time.Time, excess int) bool {
	every := stretchMin
	if excess > 0 {
		every = stretchTau * (pcm.MaxPeriod / 2) / time.Duration(excess)
		every = min(max(every, stretchMin), stretchMax)
	}
	return now.Sub(s.at) >= every
}

// cut takes note that so many samples were cut, of a sound of so many; 0 where
// none could be.
func (s *stretcher) cut(now time.Time, samples, of int) {
	if samples == 0 {
		s.yield = min(alike, s.yield+yielding*float64(of)/pcm.Samples)
		return
	}
	s.at, s.yield = now, max(0, s.yield-regaining)
}

// adjust moves the delay toward the target: it follows the sender's clock and
// stretches the sound at hand, which begins filled samples after the tick's begin
// with the packet p.
func (a *audioIn) adjust(now time.Time, p *jitter.Packet, filled int) {
	if ppm := a.steering.Follow(p, filled); ppm != a.rate.PPM() {
		a.rate.SetPPM(ppm)
	}
	excess := p.Excess(filled)
	if excess >= 0 && excess < pcm.MinPeriod {
		a.stretch.yield = 0
		return
	}
	if !a.stretch.due(now, excess) && (excess < 0 || !pcm.Quiet(a.pcm[:a.have*a.channels])) {
		return
	}
	likeness, n := alike-a.stretch.yield, 0
	if excess < 0 {
		n = pcm.Lengthen(a.pcm, a.channels, a.have, pcm.MaxPeriod, likeness)
		a.have += n
		a.lengthened.Add(uint64(n))
	} else {
		a.gather(now, excess)
		n = pcm.Shorten(a.pcm[:a.have*a.channels], a.channels, excess, likeness)
		a.have -= n
		a.shortened.Add(uint64(n))
	}
	if n > 0 && severity[a.last] < severity[mixer.Stretched] {
		a.last = mixer.Stretched
	}
	a.stretch.cut(now, n, p.Samples)
}

// gather puts the packets after a short one behind it where that much is too much
// anyway: a low voice's period is longer than half of 10 ms.
func (a *audioIn) gather(now time.Time, excess int) {
	for a.have < stretchSound && a.last == mixer.Voice && excess >= a.have {
		p, status := a.buf.Pop(now)
		switch status {
		case jitter.Ready:
			a.decode(p.Payload, p.Samples)
		case jitter.Lost:
			a.fill(p)
		default:
			return
		}
	}
}
