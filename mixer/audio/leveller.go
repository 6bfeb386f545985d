package audio

import (
	"math"

	"tutti/codec/pcm"
)

// TargetLUFS is the loudness that every voice is brought to. The -23 LUFS of
// EBU R128 are for rooms in which one can turn up; on a telephone that is too
// quiet. At -20 the limiter has next to nothing to do for one voice alone: the
// true peaks of the eight in assets/speech come to lie between -3.6 and 0.2 dBTP.
// At -18 it would work in most sentences.
const TargetLUFS = -20.0

// How a Leveller judges.
const (
	// quietestVoice is the loudness in LUFS below which nothing is taken for a
	// voice, and loudestNoise what no background is lifted above.
	quietestVoice = -54.0
	loudestNoise  = -50.0
	// digitalSilence is the loudness in LUFS below which a block says nothing about
	// the background: a muted microphone, or a codec's pause.
	digitalSilence = -75.0
	// outstanding is by how many dB speech rises above the background. It has to
	// stay there for as many blocks as sustained, which a vowel does and the click
	// of a key does not.
	outstanding = 9.0
	sustained   = 4
	// hangover is for how many blocks speech is taken to go on: from vowel to
	// vowel. After as long without any, what is heard is the background.
	hangover = 20

	// steadyFor is how many blocks of one loudness, to a fifth of a dB, make a tone.
	// Noise does not stay so even.
	steadyFor = 50

	// A voice's loudness is a mean over all of it, and of at most the last 10 s; no
	// gain is taken from less than 200 ms. After firm blocks it is known well.
	memory = 500
	scant  = 10
	firm   = 150
	// quieterFor is how many blocks of speech below the gate, with none above it,
	// show that a voice has become quieter; and louderFor how many more of twice its
	// energy than of less, that it has become louder.
	quieterFor = 250
	louderFor  = 100
	louder     = 2
)

// The gain's bounds in dB and its paces in dB a block: 30 dB/s until the voice
// is known, then 3 up and 6 down. Corrections of less than settled are not worth
// hearing.
const (
	leastGain, mostGain = -20.0, 30.0
	paceFirst           = 0.6
	paceUp, paceDown    = 0.06, 0.12
	settled             = 0.75
)

// Leveller finds the gain that brings one participant's voice to TargetLUFS. It
// judges what is speech by how it stands out from the background and lasts, so
// that pauses, noise and the clicks of keys do not count, and means the loudness
// of that behind a gate as EBU R128 does. A steady tone counts as well. In the
// first three seconds of speech the gain is fast, later slow, and it rests in
// pauses. It is never more than what brings the background to -50 LUFS. The zero
// value is one who was never heard, with a gain of 1.
type Leveller struct {
	weigh  weighting
	recent [momentary]float64 // energies of the last blocks
	blocks int

	floor  floor
	noise  float64 // energy of the background as heard in pauses; 0: unknown
	even   float64 // energy that the sound keeps for
	steady int     // blocks
	since  int     // blocks since speech began, at most momentary
	quiet  int     // blocks since the last speech
	spoke  bool

	mean   float64 // energy of the voice
	heard  int     // blocks in mean, at most memory
	known  int     // blocks that ever were, at most firm
	lower  mean    // of speech below the gate
	higher mean    // of speech well above mean

	aim, gain float64 // dB
}

// Gain answers the linear gain to ramp to until the end of the block that was
// observed last.
func (l *Leveller) Gain() float32 { return pcm.Gain(l.gain) }

// Observe hears the next block of the voice, before any gain.
func (l *Leveller) Observe(b *pcm.Block) {
	e := l.weigh.energy(b)
	last := l.recent[(l.blocks+momentary-1)%momentary]
	l.recent[l.blocks%momentary] = e
	l.blocks++
	tone := l.isTone(e)
	if tone {
		l.floor, l.noise = floor{}, 0 // what was taken for background was the tone
	} else if min(e, last) > silenceEnergy {
		l.floor.observe((e + last) / 2)
	}
	active := l.isSpeech() || tone
	if active {
		l.listen()
	} else if l.quiet > hangover {
		l.background()
	}
	l.move(active)
}

// The constants above as energies and as ratios of energies.
var (
	voiceEnergy   = energyAt(quietestVoice)
	silenceEnergy = energyAt(digitalSilence)
	outstands     = math.Pow(10, outstanding/10)
	gate          = math.Pow(10, relativeGate/10)
	evenness      = math.Pow(10, 0.2/10)
	noisier       = math.Pow(10, 10.0/50/10) // 10 dB/s
	leastNoise    = energyAt(loudestNoise - mostGain)
)

// floor is the least energy of the last four seconds, by half seconds. The zero
// value knows none.
type floor struct {
	least  [8]float64
	at     int
	blocks int
}

func (f *floor) observe(e float64) {
	if f.blocks == pcm.Rate/pcm.Samples/2 {
		f.blocks = 0
		f.at = (f.at + 1) % len(f.least)
		f.least[f.at] = 0
	}
	f.blocks++
	if f.least[f.at] == 0 || e < f.least[f.at] {
		f.least[f.at] = e
	}
}

// energy answers 0 where nothing is known.
func (f *floor) energy() float64 {
	var least float64
	for _, e := range f.least {
		if e > 0 && (least == 0 || e < least) {
			least = e
		}
	}
	return least
}

// isTone reports whether the sound has had one loudness for long.
func (l *Leveller) isTone(e float64) bool {
	if e < voiceEnergy || e > l.even*evenness || e*evenness < l.even {
		l.even, l.steady = e, 0
		return false
	}
	l.steady = min(l.steady+1, steadyFor)
	return l.steady == steadyFor
}

// isSpeech reports whether somebody speaks now or did a moment ago.
func (l *Leveller) isSpeech() bool {
	least := l.recent[(l.blocks-1)%momentary]
	for i := 2; i <= sustained; i++ {
		least = min(least, l.recent[(l.blocks+momentary-i)%momentary])
	}
	f := l.floor.energy()
	if least > voiceEnergy && f > 0 && least > f*outstands {
		l.quiet, l.spoke = 0, true
		return true
	}
	l.quiet = min(l.quiet+1, 2*hangover)
	return l.spoke && l.quiet < hangover
}

// listen takes the last 400 ms into the voice's loudness, or as much of them as
// somebody speaks.
func (l *Leveller) listen() {
	if l.since == 0 {
		l.since = sustained - 1
	}
	l.since = min(l.since+1, momentary)
	switch e := l.average(l.since); {
	case e < voiceEnergy:
	case e >= l.mean*gate:
		l.heard = min(l.heard+1, memory)
		l.known = min(l.known+1, firm)
		l.mean += (e - l.mean) / float64(l.heard)
		l.lower.doubt(4)
		if e < l.mean*louder {
			l.higher.doubt(1)
		} else if l.higher.add(e); l.higher.blocks > louderFor {
			l.restart(l.higher)
		}
	default:
		if l.lower.add(e); l.lower.blocks > max(firm/3, min(l.heard, quieterFor)) {
			l.restart(l.lower)
		}
	}
}

// restart takes another loudness for the voice's.
func (l *Leveller) restart(m mean) {
	l.mean, l.heard = m.energy, m.blocks
	l.lower, l.higher = mean{}, mean{}
}

// mean is that of the energies of some blocks.
type mean struct {
	energy float64
	blocks int
}

func (m *mean) add(e float64) {
	m.blocks++
	m.energy += (e - m.energy) / float64(m.blocks)
}

// doubt lets so many blocks count no more.
func (m *mean) doubt(blocks int) { m.blocks = max(0, m.blocks-blocks) }

// average answers the mean energy of the last n blocks.
func (l *Leveller) average(n int) float64 {
	var sum float64
	for i := range n {
		sum += l.recent[(l.blocks+momentary-1-i)%momentary]
	}
	return sum / float64(n)
}

// background learns how loud it is where nobody speaks.
func (l *Leveller) background() {
	l.since = 0
	now := l.floor.energy()
	for _, e := range l.recent { // the floor knows nothing of digital silence
		now = min(now, e)
	}
	if l.noise > 0 {
		now = min(now, l.noise*noisier)
	}
	l.noise = max(leastNoise, now)
}

// move brings the gain nearer to where it should be.
func (l *Leveller) move(active bool) {
	first := l.known < firm
	if active && l.heard >= scant {
		want := max(leastGain, min(mostGain, TargetLUFS-loudness(l.mean)))
		if first || math.Abs(want-l.aim) > settled {
			l.aim = want
		}
	}
	aim := l.aim
	if l.noise > 0 {
		aim = min(aim, max(0, loudestNoise-loudness(l.noise)))
	}
	up, down := paceUp, paceDown
	if first {
		up, down = paceFirst, paceFirst
	}
	switch {
	case aim < l.gain:
		l.gain = max(aim, l.gain-down)
	case active:
		l.gain = min(aim, l.gain+up)
	}
}
