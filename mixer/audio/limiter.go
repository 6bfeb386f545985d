package audio

import (
	"math"

	"tutti/codec/pcm"
)

// The limiter's bounds.
const (
	// ceiling is -1.1 dB: the gain that moves under a peak moves the peak a little.
	ceiling = 0.881
	// ahead is how many segments are looked at before they are heard, fall how many of
	// them the gain takes to come down. The one between them keeps the gain level
	// within the interpolator's reach of a peak.
	ahead = 5
	fall  = ahead - 1
	// hold is for how many segments the gain stays down after a peak: longer than half
	// a period of anything heard, so that the gain does not follow the wave.
	hold = 15 * pcm.Rate / 1000 / segment
	// gainRelease is by which share of the way the gain comes back in a segment: 200 ms.
	gainRelease = segment / (0.2 * pcm.Rate)
	// rested is the gain from which it is taken for 1: a hundredth of a dB.
	rested = 0.999
	// absurd is the magnitude from which a sample is no sound, but a fault.
	absurd = 1e4

	segments = pcm.Samples / segment // in a block
	past     = ahead*segment + window - segment
)

// Lookahead is by how many frames the limiter delays: 1.8 ms.
const Lookahead = ahead*segment + tapsNext

// Limiter keeps a mix below a true peak of -1 dBTP (ITU-R BS.1770-4, annex 2)
// without clipping: it hears what comes before it is heard, and has the gain
// down in time and smoothly. Afterwards the gain stays down for 15 ms and comes
// back with a time constant of 200 ms. Both channels have one gain. What is below the
// ceiling passes unchanged, bit by bit, delayed by Lookahead. Samples that are
// no number or beyond 80 dB over full scale become silence. The zero value is
// at rest.
type Limiter struct {
	heard    [2 * past]float32 // the last frames that came in, interleaved
	channels int               // of heard; 0: nothing came yet
	stale    bool              // the segments in heard were not looked at

	// The rest counts reductions, 1-gain, so that zero means none. Of the segments
	// that are looked at but not yet heard, and of the newest that was heard:
	needed [ahead + 1]float32 // what each needs, the newest last
	held   [fall]float32      // what is kept down after hold and release, likewise
	wait   int                // segments until the release goes on
	gain   float32            // at the end of the last block
}

// Gain answers the gain that the last block ended with.
func (l *Limiter) Gain() float32 { return 1 - l.gain }

// Continue takes over what another limiter has heard, and its gain: the output
// goes on from where that one's was before its present block.
func (l *Limiter) Continue(from *Limiter) { *l = *from }

// Follow hears a block that nobody takes, so that the next one that is
// processed has its beginning.
func (l *Limiter) Follow(b *pcm.Block) {
	n := l.shape(b)
	sanitize(b.Data()[len(b.Data())-n:])
	copy(l.heard[:n], b.Data()[len(b.Data())-n:])
	l.stale = true
	if last := &l.held[fall-1]; *last > 0 {
		*last *= blockRelease
	}
}

var blockRelease = float32(math.Pow(1-gainRelease, segments))

// shape answers the length of heard for the block's channels; where they are
// not those of the block before, all that was heard is forgotten.
func (l *Limiter) shape(b *pcm.Block) int {
	if l.channels != b.Channels() {
		*l = Limiter{channels: b.Channels()}
	}
	return past * l.channels
}

// Process limits the block in place. What it holds afterwards is what came in
// Lookahead frames before.
func (l *Limiter) Process(b *pcm.Block) {
	n := l.shape(b)
	d := b.Data()
	peak := peakBits(d)
	if peak >= absurdBits {
		sanitize(d)
		peak = peakBits(d)
	}
	if l.stale {
		l.catchUp()
	}
	var need [segments]float32
	limited := l.look(d, peak, &need) || l.needed != [ahead + 1]float32{} || l.held != [fall]float32{}
	l.delay(d, n)
	if !limited {
		l.gain = 0
		return
	}
	step := segment * l.channels
	for i, r := range need {
		from := l.gain
		l.gain = l.next(r)
		if l.gain == from {
			scale(d[i*step:(i+1)*step], 1-from)
		} else {
			ramp(d[i*step:(i+1)*step], l.channels, 1-from, 1-l.gain)
		}
	}
}

// delay replaces the block by the frames from Lookahead before, and keeps its
// last n samples.
func (l *Limiter) delay(d []float32, n int) {
	var tail [2 * past]float32
	late := Lookahead * l.channels
	copy(tail[:n], d[len(d)-n:])
	copy(d[late:], d)
	copy(d, l.heard[n-late:n])
	copy(l.heard[:n], tail[:n])
}

// catchUp looks at the segments in heard, when nobody took the block before. As
// nobody heard the gain either, it may start where it has to be.
func (l *Limiter) catchUp() {
	l.stale = false
	worst := l.held[fall-1]
	if worst < 1-rested {
		worst = 0
	}
	l.needed[0] = 0
	for i := range ahead {
		var r float32
		for c := range l.channels {
			var w [window]float32
			for k := range w {
				w[k] = l.heard[(i*segment+k)*l.channels+c]
			}
			r = max(r, reduction(&w))
		}
		l.needed[i+1] = r
		worst = max(worst, r)
	}
	for i := range l.held {
		l.held[i] = worst
	}
	l.gain, l.wait = worst, hold
}

// look finds what reduction each of the next segments needs, and reports whether
// any does. The first of them lies half in heard. The peak is that of d, as bits.
func (l *Limiter) look(d []float32, peak uint32, need *[segments]float32) bool {
	c := l.channels
	var first [2 * window]float32
	n := copy(first[:], l.heard[ahead*segment*c:past*c])
	copy(first[n:window*c], d)
	if max(peakBits(first[:window*c]), peak) <= harmlessBits {
		return false
	}
	found := false
	for i := range need {
		frames := first[:window*c]
		if i > 0 {
			at := (i*segment + segment - window) * c
			frames = d[at : at+window*c]
		}
		if peakBits(frames) <= harmlessBits {
			continue
		}
		if c == 1 {
			need[i] = reduction((*[window]float32)(frames))
		} else {
			left, right := parted(frames)
			need[i] = max(reduction(&left), reduction(&right))
		}
		found = found || need[i] > 0
	}
	return found
}

// The bits of the magnitude below which no point can reach the ceiling, and of
// the one from which a sample is a fault.
var (
	harmlessBits = math.Float32bits(ceiling / overshoot)
	absurdBits   = math.Float32bits(absurd)
)

// reduction answers what the segment within the window needs.
func reduction(w *[window]float32) float32 {
	if p := segmentPeak(w); p > ceiling {
		return 1 - ceiling/p
	}
	return 0
}

func parted(frames []float32) (left, right [window]float32) {
	frames = frames[:2*window]
	for i := range left {
		left[i], right[i] = frames[2*i], frames[2*i+1]
	}
	return left, right
}

// next takes what the newest segment needs and answers the reduction at the end
// of the segment that is heard now.
func (l *Limiter) next(needed float32) float32 {
	copy(l.needed[:], l.needed[1:])
	l.needed[ahead] = needed
	least := needed // that all segments not yet heard can bear
	for _, r := range l.needed[:ahead] {
		least = max(least, r)
	}
	held := l.held[fall-1]
	switch {
	case least >= held:
		held = least
		if held > 0 {
			l.wait = hold
		}
	case l.wait > 0:
		l.wait--
	default:
		held = max(least, held*(1-gainRelease))
		if held < 1-rested {
			held = least
		}
	}
	copy(l.held[:], l.held[1:])
	l.held[fall-1] = held
	// A window with round shoulders over the last four, so that the gain has no
	// sharp bend. All of them hold what the segment heard now needs.
	return (l.held[0] + 2*l.held[1] + 2*l.held[2] + l.held[3]) / 6
}

// sanitize silences the samples that are no sound.
func sanitize(d []float32) {
	for i, s := range d {
		if math.Float32bits(s)&magnitude >= absurdBits {
			d[i] = 0
		}
	}
}
