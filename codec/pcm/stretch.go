package pcm

import "math"

// The shape of what Shorten takes out and Lengthen puts in, in samples per
// channel.
const (
	// MinPeriod and MaxPeriod bound the piece, 2.5 to 12.5 ms: what lies between is
	// a period or a few of every voice, from 80 to 400 Hz.
	MinPeriod, MaxPeriod = 120, 600
	// minOverlap is the least length of the blend: shorter ones are heard.
	minOverlap = 120
	// likelyOverlap is the least length over which two periods are compared where
	// there is that much sound.
	likelyOverlap = 240
	// coarse is by how much the first search thins out the sound.
	coarse = 6
	// startStep is how many samples lie between two places where a cut is tried.
	startStep = 240
	// maxSearch bounds the sound that a search looks at.
	maxSearch = 1920
)

// Levels, as mean squares: below quiet a cut is heard by nobody, and above loud
// only where the sound repeats.
var quietPower, loudPower = math.Pow(10, -5.8), math.Pow(10, -3.8)

// maxStep is by how much the power of the two sounds that are blended may
// differ: what is steeper is an onset, which would be heard twice or be lost.
const maxStep = 4

// match is where a sound repeats: the overlap samples from at on are like those
// from at+lag on, by a normalised cross-correlation of likeness.
type match struct {
	at, lag, overlap int
	likeness         float64
}

// Shorten takes one period out of a sound, where it repeats by a normalised
// cross-correlation of at least likeness (0 to 1), or where it is silent, and
// blends over the cut. It answers how many samples per channel are gone, at
// most most; what is left stands at the beginning of sound. It answers 0 and
// leaves the sound as it is where it does not repeat, changes or is too short.
// The beginning stays continuous with what was before, the end with what follows.
func Shorten(sound []float32, channels, most int, likeness float64) int {
	n := len(sound) / channels
	m, ok := repeats(sound, channels, n, min(most, MaxPeriod), likeness)
	if !ok {
		return 0
	}
	for i := range m.overlap {
		w := float32(i) / float32(m.overlap)
		g := m.gain(w)
		for c := range channels {
			x, y := (m.at+i)*channels+c, (m.at+m.lag+i)*channels+c
			sound[x] = g * ((1-w)*sound[x] + w*sound[y])
		}
	}
	end := (m.at + m.overlap) * channels
	copy(sound[end:], sound[end+m.lag*channels:])
	return m.lag
}

// Lengthen puts one period more into the first n samples per channel of a
// sound, by the rules of Shorten, and answers how many were added, at most most
// and as many as there is room for.
func Lengthen(sound []float32, channels, n, most int, likeness float64) int {
	room := len(sound)/channels - n
	m, ok := repeats(sound[:n*channels], channels, n, min(most, MaxPeriod, room), likeness)
	if !ok {
		return 0
	}
	end := (m.at + m.overlap) * channels
	copy(sound[end+m.lag*channels:(n+m.lag)*channels], sound[end:n*channels])
	for i := m.overlap - 1; i >= 0; i-- { // backwards, for the two may overlap
		w := float32(i) / float32(m.overlap)
		g := m.gain(w)
		for c := range channels {
			x, y := (m.at+i)*channels+c, (m.at+m.lag+i)*channels+c
			sound[y] = g * ((1-w)*sound[y] + w*sound[x])
		}
	}
	return m.lag
}

// gain keeps the power of a blend of two sounds that are alike only in part,
// which would sag in the middle.
func (m *match) gain(w float32) float32 {
	r := float32(max(0, min(1, m.likeness)))
	v := 1 - w
	return 1 / float32(math.Sqrt(float64(v*v+w*w+2*r*v*w)))
}

// repeats looks for the best place for a cut of at most most samples.
func repeats(sound []float32, channels, n, most int, likeness float64) (match, bool) {
	if most < MinPeriod {
		return match{}, false
	}
	var memory [maxSearch]float32
	n = min(n, maxSearch)
	mono := memory[:n]
	mix(mono, sound, channels)
	for at := 0; at+MinPeriod+minOverlap <= n; at += startStep {
		m := search(mono[at:], min(most, n-at-minOverlap))
		m.at = at
		if m.lag > 0 && m.good(mono, likeness) {
			return m, true
		}
	}
	return match{}, false
}

// mix makes one channel of several.
func mix(mono, sound []float32, channels int) {
	if channels == 1 {
		copy(mono, sound)
		return
	}
	for i := range mono {
		mono[i] = (sound[2*i] + sound[2*i+1]) / 2
	}
}

// search answers the lag at which the beginning of x repeats best: first in a
// thinned sound, then around what was found there. Of equal ones it takes the
// longest, and of silence all that it may.
func search(x []float32, most int) match {
	if overlap := min(max(most, likelyOverlap), len(x)-most); power(x[:most+overlap]) <= quietPower {
		return match{lag: most, overlap: overlap, likeness: correlation(x, most, overlap)}
	}
	var memory [maxSearch / coarse]float32
	thin := memory[:len(x)/coarse]
	for i := range thin {
		for _, s := range x[i*coarse : (i+1)*coarse] {
			thin[i] += s
		}
	}
	best, lag := -1.0, 0
	for l := most / coarse; l >= MinPeriod/coarse; l-- {
		if r := correlation(thin, l, min(max(l, likelyOverlap/coarse), len(thin)-l)); r > best+.01 {
			best, lag = r, l
		}
	}
	m := match{likeness: -1}
	for l := max(MinPeriod, lag*coarse-coarse); l <= min(most, lag*coarse+coarse); l++ {
		overlap := min(max(l, likelyOverlap), len(x)-l)
		if r := correlation(x, l, overlap); r > m.likeness {
			m = match{lag: l, overlap: overlap, likeness: r}
		}
	}
	return m
}

// correlation answers the normalised cross-correlation of n samples with those
// lag later, 1 where both are silent.
func correlation(x []float32, lag, n int) float64 {
	var xx, yy, xy float32
	y := x[lag : lag+n]
	for i, a := range x[:n] {
		b := y[i]
		xx += a * a
		yy += b * b
		xy += a * b
	}
	if xx == 0 && yy == 0 {
		return 1
	}
	return float64(xy) / math.Sqrt(float64(xx)*float64(yy)+1e-20)
}

// good reports whether a cut there would not be heard: in silence always, in a
// loud sound where it repeats and is steady, between them the more freely the
// quieter it is.
func (m *match) good(x []float32, likeness float64) bool {
	before, after := power(x[m.at:m.at+m.overlap]), power(x[m.at+m.lag:m.at+m.lag+m.overlap])
	loud := max(before, after, power(x[m.at:m.at+m.lag+m.overlap]))
	if loud <= quietPower {
		return true
	}
	if before > maxStep*after || after > maxStep*before {
		return false
	}
	if loud < loudPower {
		likeness *= math.Log(loud/quietPower) / math.Log(loudPower/quietPower)
	}
	return m.likeness >= likeness
}

// Quiet reports whether a sound is silence to whoever hears it: below -58 dBov.
func Quiet(sound []float32) bool { return power(sound) <= quietPower }

// power answers the mean square.
func power(x []float32) float64 {
	var sum float32
	for _, s := range x {
		sum += s * s
	}
	return float64(sum) / float64(max(1, len(x)))
}
