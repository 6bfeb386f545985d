// Package audio holds the arithmetic of the sound: who is heard (Election),
// who speaks (Speaker), sums with fades, and a limiter. All of it belongs to
// one audio loop, takes its time as an argument and allocates nothing per
// block.
package audio

import (
	"cmp"
	"slices"
	"time"

	"tutti/codec/pcm"
)

// Levels and times of the election.
const (
	// ActiveDBOV is the level from which a voice counts. It lies below what can
	// be heard beside speech, so that nothing audible is gated.
	ActiveDBOV = -60.0
	// SpeakingDBOV is the level from which a voice is taken for speech.
	SpeakingDBOV = -45.0
	// Hold is how long a voice stays elected after its last active block: longer
	// than the pauses between sentences' words, so that none is cut.
	Hold = time.Second
	// speakingHold bridges the gaps between syllables.
	speakingHold = 300 * time.Millisecond
	// release is how fast the envelope falls, in dB per second.
	release = 30.0
	// incumbent is by how many dB a newcomer must be louder than one who is
	// heard already to take the place.
	incumbent = 6.0
)

// Voice is what an election knows of one participant. The zero value is one
// who was never heard.
type Voice struct {
	level        float64 // envelope in dBov: rises at once, falls by release
	seen         time.Time
	lastActive   time.Time
	lastSpeaking time.Time
	elected      bool
}

// Observe tells the loudness of the voice's newest block, in dBov.
func (v *Voice) Observe(now time.Time, dbov float64) {
	fall := pcm.SilenceDBOV
	if !v.seen.IsZero() {
		fall = v.level - release*now.Sub(v.seen).Seconds()
	}
	v.level, v.seen = max(dbov, fall, pcm.SilenceDBOV), now
	if dbov >= ActiveDBOV {
		v.lastActive = now
	}
	if dbov >= SpeakingDBOV {
		v.lastSpeaking = now
	}
}

// Level answers the envelope, in dBov.
func (v *Voice) Level() float64 {
	if v.seen.IsZero() {
		return pcm.SilenceDBOV
	}
	return v.level
}

// Elected reports whether the last election chose the voice.
func (v *Voice) Elected() bool { return v.elected }

// Speaking reports whether there was speech a moment ago.
func (v *Voice) Speaking(now time.Time) bool {
	return !v.lastSpeaking.IsZero() && now.Sub(v.lastSpeaking) < speakingHold
}

// Election chooses who is heard: the loudest of those who were active lately.
type Election struct {
	running []*Voice // scratch
}

// Elect chooses at most most of the voices, all if it is 0. Voices that were
// not active within Hold are never chosen, but with most 0.
func (e *Election) Elect(now time.Time, voices []*Voice, most int) {
	e.running = e.running[:0]
	for _, v := range voices {
		active := !v.lastActive.IsZero() && now.Sub(v.lastActive) < Hold
		if most > 0 && !active {
			v.elected = false
			continue
		}
		e.running = append(e.running, v)
	}
	if most > 0 && len(e.running) > most {
		slices.SortStableFunc(e.running, func(a, b *Voice) int { return cmp.Compare(b.rank(), a.rank()) })
		for _, v := range e.running[most:] {
			v.elected = false
		}
		e.running = e.running[:most]
	}
	for _, v := range e.running {
		v.elected = true
	}
	clear(e.running) // a participant who has left must not be kept in memory
}

func (v *Voice) rank() float64 {
	if v.elected {
		return v.level + incumbent
	}
	return v.level
}
