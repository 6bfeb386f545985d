package jitter

import (
	"math"
	"testing"
	"time"
)

// weather is how a network delays: the random part of each packet's way.
type weather struct {
	name string
	next func() time.Duration
	fifo bool    // no packet overtakes another
	most float64 // of the ticks may be concealed, percent
}

// weathers answer networks whose delay is at most 100 ms beyond its least for 95
// of 100 packets.
func weathers(seed uint64) []weather {
	r := random(seed)
	scale := func(f func() float64, p95 float64) func() time.Duration {
		return func() time.Duration { return time.Duration(math.Abs(f()) / p95 * 100 * float64(ms)) }
	}
	uniform, normal, exponential := scale(r.Float64, .95), scale(r.NormFloat64, 1.96), scale(r.ExpFloat64, 3)
	spikes := scale(func() float64 { return math.Pow(r.Float64(), 4) }, .8145)
	var from, to, part float64
	wander := scale(func() float64 {
		if part -= .2; part <= 0 {
			from, to, part = to, r.Float64(), 1
		}
		return to + (from-to)*part
	}, .87)
	return []weather{
		{"uniform", uniform, false, 1},
		{"uniform in order", uniform, true, 1},
		{"wandering", wander, true, 1},
		{"spikes in order", spikes, true, 1},
		// Three of a hundred packets are beyond the target, some far.
		{"normal", normal, false, 2.5},
		{"normal in order", normal, true, 2.5},
		{"exponential", exponential, false, 3.5},
	}
}

// blow delays packets by a weather that comes and goes.
func (w weather) blow(sent []sound, begin, end time.Duration) []sound {
	last := time.Duration(0)
	return network(sent, func(p *sound) bool {
		if p.sent >= begin && p.sent < end {
			p.arrives += w.next()
		}
		if w.fifo {
			p.arrives = max(p.arrives, last)
		}
		last = p.arrives
		return true
	})
}

// Under 100 ms of jitter sound is delayed by what 97 of 100 packets need and a
// tick, and little is made up; when it ends the delay goes back, within ten
// seconds, to what it was.
func TestJitterCostsWhatItMust(t *testing.T) {
	const begin, end = 5 * time.Second, 125 * time.Second
	for _, w := range weathers(7) {
		var beyond time.Duration
		for phase := 2 * ms; phase < 20*ms; phase += 5 * ms {
			sent := speech(7000, 20*ms, 0)
			in := w.blow(sent, begin, end)
			var ways []time.Duration
			for _, p := range in {
				if p.sent >= begin && p.sent < end {
					ways = append(ways, p.arrives-p.sent)
				}
			}
			b := NewBuffer(Config{})
			var odd, all int
			var rough, calm []time.Duration
			for _, h := range listen(t, b, in, phase, 139*time.Second) {
				delay := time.Duration(0)
				if h.status == Ready {
					delay = h.at - sent[h.index].sent
				}
				switch {
				case h.at > begin+5*time.Second && h.at < end:
					if all++; h.status != Ready {
						odd++
					} else {
						rough = append(rough, delay)
					}
				case h.at > end+10*time.Second && h.status == Ready:
					calm = append(calm, delay)
				}
			}
			p97, median := quantileOf(ways, .97), quantileOf(rough, .5)
			concealed := 100 * float64(odd) / float64(all)
			beyond += median - p97
			if median > p97+30*ms || concealed > w.most || quantileOf(calm, 1) > 35*ms {
				t.Errorf("%s from %v: delay of %v, p97 %v; %.2f %% concealed; then %v", w.name, phase, median, p97, concealed, quantileOf(calm, 1))
			}
			t.Logf("%-16s from %v: p95 %v, p97 %v, delay median %v, p95 %v, concealed %.2f %%, lost %d, then %v", w.name, phase,
				quantileOf(ways, .95).Round(ms), p97.Round(ms), median.Round(ms), quantileOf(rough, .95).Round(ms), concealed, b.Stats().Lost, quantileOf(calm, 1).Round(ms))
		}
		if beyond/4 > 23*ms {
			t.Errorf("%s: %v beyond p97", w.name, beyond/4)
		}
	}
}

// Jitter hides no large drift of the clock, and invents none.
func TestDriftUnderJitter(t *testing.T) {
	for _, ppm := range []float64{0, -500} {
		for _, w := range weathers(8) {
			sent := speech(15000, 20*ms, ppm)
			b := NewBuffer(Config{})
			judge(t, listen(t, b, w.blow(sent, 20*time.Second, time.Hour), 7*ms, 299*time.Second), sent)
			if got := b.Stats().DriftPPM; math.Abs(got-ppm) > 15+math.Abs(ppm)/8 {
				t.Errorf("%s: %v ppm, measured %.1f", w.name, ppm, got)
			}
			t.Logf("%s: %v ppm, measured %.1f", w.name, ppm, b.Stats().DriftPPM)
		}
	}
}
