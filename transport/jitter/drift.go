package jitter

import (
	"math"
	"time"
)

const (
	// driftStep is the time of which the fastest packet stands for all: of many
	// packets one is hardly delayed, however the others vary.
	driftStep = 500 * time.Millisecond
	// driftPoints is how many steps are remembered: two minutes.
	driftPoints = 240
	// driftFirst is how many there must be before they say anything: 5 s.
	driftFirst = 10
	// driftShown is how far the clocks must have visibly gone apart, and driftLeast
	// by how much they must do so, to be believed: 5 ppm are 18 ms an hour.
	driftShown = 200 * time.Microsecond
	driftLeast = 5.0
	// maxDrift bounds what is taken for a clock, in parts per million; what is
	// steeper by half is a queue that fills.
	maxDrift = 1000.0
	// driftStray is how far off the line the fastest packet of a step may at least
	// be. What is further is left out; driftRestart such steps on end, 3 s, are a
	// way that has become another.
	driftStray   = 4 * time.Millisecond
	driftRestart = 6
	// driftGrain is how far off the fastest packet of a step may be at least, as
	// clocks go. Add to it by how much the others came later, part of it for jitter
	// of packets by themselves, and of that of queues, which goes on for longer than
	// a step, the more the worse it is: all from driftQueue on.
	driftGrain = 20 * time.Microsecond
	driftPart  = 1 / 8.
	driftQueue = 0.1 // seconds
)

// drift measures by how much the sender's clock is fast: the slope of the
// fastest transits.
type drift struct {
	ring [driftPoints]point
	n    int // points, the newest at (n-1)%driftPoints

	begun time.Duration // of the step under way
	low   arrival       // its fastest packet
	sum   time.Duration // of the transits
	count int

	stray int     // points on end that were off the line
	fast  line    // through all points
	ppm   float64 // what is believed, 0: nothing
}

// point is the fastest packet of a step, in seconds, and how far off it may be.
type point struct{ at, transit, doubt float64 }

// line is one of slope seconds per second through (at, transit), in seconds; xx
// is the sum of squares in time of the points it was laid through, each divided
// by the square of its doubt.
type line struct{ slope, at, transit, xx float64 }

// off answers how far a point is above the line, in seconds.
func (l *line) off(p point) float64 { return p.transit - l.transit - l.slope*(p.at-l.at) }

// add takes the transit of a packet that arrived at.
func (d *drift) add(at, transit time.Duration) {
	if d.count > 0 && at-d.begun >= driftStep {
		d.close()
	}
	if d.count == 0 {
		d.begun, d.low, d.sum = at, arrival{at, transit}, 0
	}
	d.count++
	d.sum += transit
	if transit < d.low.transit {
		d.low = arrival{at, transit}
	}
}

// close ends a step.
func (d *drift) close() {
	later := (d.sum/time.Duration(d.count) - d.low.transit).Seconds()
	doubt := driftGrain.Seconds() + later*(driftPart+later/driftQueue)
	p := point{d.low.at.Seconds(), d.low.transit.Seconds(), doubt}
	d.count = 0
	if d.n >= driftFirst && math.Abs(d.fast.off(p)) > driftStray.Seconds()+4*p.doubt {
		if d.stray++; d.stray < driftRestart {
			return
		}
		d.n = 0
	}
	d.stray = 0
	d.ring[d.n%driftPoints] = p
	if d.n++; d.n >= 2*driftPoints {
		d.n -= driftPoints
	}
	if d.n >= driftFirst {
		d.fit()
	}
}

// fit lays the line through the points and believes it where it is sure enough.
func (d *drift) fit() {
	points, oldest := d.ring[:min(d.n, driftPoints)], 0
	if d.n > driftPoints {
		oldest = d.n % driftPoints
	}
	first, last := points[oldest].at, points[(d.n-1)%driftPoints].at
	middle := (first + last) / 2
	d.fast = lay(points, first, last)
	older, newer := lay(points, first, middle), lay(points, middle, last)
	// A clock is as fast in one half as in the other; a way that changed is not.
	bend := max(math.Abs(older.slope-d.fast.slope), math.Abs(newer.slope-d.fast.slope))
	if d.fast.xx == 0 || bend > math.Abs(d.fast.slope)/2+driftLeast/2e6 {
		return
	}
	// The fastest packet of a step is late in jitter, by the more the worse that is,
	// so that jitter which comes or goes looks like a slope.
	worst := 0.0
	for _, p := range points {
		worst = max(worst, p.doubt)
	}
	d.believe(-d.fast.slope*1e6, 1e6*max(1/math.Sqrt(d.fast.xx), worst/4/(last-first)), last-first)
}

// believe takes a slope in ppm, its standard error and over how many seconds it
// was measured.
func (d *drift) believe(ppm, doubt, over float64) {
	switch least := max(driftLeast, 4*doubt, 1e6*driftShown.Seconds()/over); {
	case math.Abs(ppm) > 1.5*maxDrift: // no clock
	case d.ppm == 0 && math.Abs(ppm) < least:
	case d.ppm != 0 && 2*doubt > math.Abs(ppm-d.ppm)+driftLeast: // less sure than what it would change
	case d.ppm != 0 && math.Abs(ppm) < driftLeast/2:
		d.ppm = 0
	default:
		d.ppm = min(max(ppm, -maxDrift), maxDrift)
	}
}

// lay lays a line through the points from one time to another, by weighted
// least squares.
func lay(points []point, from, to float64) (l line) {
	var n, sx, sy, xy float64
	for _, p := range points {
		if from <= p.at && p.at <= to {
			w := 1 / (p.doubt * p.doubt)
			n, sx, sy = n+w, sx+w*p.at, sy+w*p.transit
		}
	}
	l.at, l.transit = sx/n, sy/n
	for _, p := range points {
		if from <= p.at && p.at <= to {
			w, x := 1/(p.doubt*p.doubt), p.at-l.at
			l.xx, xy = l.xx+w*x*x, xy+w*x*(p.transit-l.transit)
		}
	}
	if l.xx > 0 {
		l.slope = xy / l.xx
	}
	return l
}

// forget drops the points: the stream jumped, the clock is the same.
func (d *drift) forget() { *d = drift{ppm: d.ppm} }
