package badlink

import (
	"math/rand/v2"
	"time"
)

// lot is what luck has for one datagram.
type lot struct {
	lost, late, double bool
	scatter            float64 // 0 to 1: how much of the jitter
}

// luck draws the lots. Each kind has a source of its own, from which every
// datagram draws, so that no condition changes the luck of another.
type luck struct {
	loss, change, burst, late, double, scatter rand.PCG
	seed                                       uint64 // of what wanders
	bad                                        bool   // the state of Burst
}

func newLuck(seed uint64) luck {
	s := rand.NewPCG(seed, 0x6261646c696e6b) // "badlink"
	source := func() rand.PCG { return *rand.NewPCG(s.Uint64(), s.Uint64()) }
	return luck{
		loss: source(), change: source(), burst: source(), late: source(), double: source(), scatter: source(),
		seed: s.Uint64(),
	}
}

func (l *luck) draw(c *Conditions) lot {
	change, burst := even(&l.change), even(&l.burst)
	chance := c.Burst.LossGood
	if l.bad {
		l.bad = change >= c.Burst.ToGood
	} else {
		l.bad = change < c.Burst.ToBad
	}
	if c.Burst == (Burst{}) {
		l.bad = false // a burst that begins later begins in good
	}
	if l.bad {
		chance = c.Burst.LossBad
	}
	lost := even(&l.loss) < c.Loss
	return lot{
		lost:    lost || burst < chance,
		late:    even(&l.late) < c.Reorder,
		double:  even(&l.double) < c.Duplicate,
		scatter: even(&l.scatter),
	}
}

// wander answers the jitter in order at a time: a line between points that lie
// jitter apart, each even between 0 and jitter. No part of it falls faster than
// the time passes, so that nobody overtakes.
func (l *luck) wander(now, jitter time.Duration) time.Duration {
	if jitter == 0 {
		return 0
	}
	n, part := uint64(now/jitter), float64(now%jitter)/float64(jitter)
	a, b := l.point(n), l.point(n+1)
	return time.Duration((a + (b-a)*part) * float64(jitter))
}

// point answers the nth of numbers even from 0 to 1 (splitmix64).
func (l *luck) point(n uint64) float64 {
	z := l.seed + n*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return fraction(z ^ z>>31)
}

// even answers a number from 0 up to, not including, 1.
func even(source *rand.PCG) float64 { return fraction(source.Uint64()) }

func fraction(n uint64) float64 { return float64(n>>11) / (1 << 53) }
