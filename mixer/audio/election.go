// Package audio holds the arithmetic of the sound: who is heard (Election),
// who speaks (Speaker), sums with fades, and a limiter. All of it belongs to
// one audio loop, takes its time as an argument and allocates nothing per
// block.
package audio

import (
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
	// pause is how long somebody may be silent before all who sound go first:
	// longer than between words.
	pause  = 300 * time.Millisecond
	paused = 60.0 // dB
	// droning is by how many dB a steady noise, in which nothing sounded like a
	// voice lately, stands back behind those who may be speaking.
	droning = 12.0
)

// Voice is what an election knows of one participant. The zero value is one
// who was never heard.
type Voice struct {
	level        float64 // envelope in dBov: rises at once, falls by release
	elected      bool
	lastActive   time.Time
	activity     activity // by which the floor goes
	seen         time.Time
	lastSpeaking time.Time
}

// Observe tells the loudness of the voice's newest block, in dBov.
func (v *Voice) Observe(now time.Time, dbov float64) {
	if dbov < v.level && !v.seen.IsZero() {
		v.level = max(dbov, v.level-release*float64(now.Sub(v.seen))/float64(time.Second), pcm.SilenceDBOV)
	} else {
		v.level = max(dbov, pcm.SilenceDBOV)
	}
	v.seen = now
	v.activity.observe(dbov)
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
// Who begins to sound is heard from that very block on if there is a place, or
// if one is held by somebody clearly fainter or silent meanwhile.
type Election struct {
	first []ranked // scratch: those chosen so far, best first
}

type ranked struct {
	voice *Voice
	rank  float64
}

// Elect chooses at most most of the voices, all if it is 0. Voices that were
// not active within Hold are never chosen, but with most 0.
func (e *Election) Elect(now time.Time, voices []*Voice, most int) {
	if most <= 0 {
		for _, v := range voices {
			v.elected = true
		}
		return
	}
	e.first = e.first[:0]
	held := now.Add(-Hold)
	for _, v := range voices {
		if v.lastActive.After(held) {
			e.insert(ranked{v, v.rank(now)}, most)
		} else if v.elected {
			v.elected = false
		}
	}
	for _, r := range e.first {
		r.voice.elected = true
	}
	clear(e.first) // a participant who has left must not be kept in memory
}

// insert puts a voice in its place among the first. Who does not get in, or
// falls out, is not elected; of equals the earlier goes first.
func (e *Election) insert(r ranked, most int) {
	if len(e.first) == most {
		last := &e.first[most-1]
		if r.rank <= last.rank {
			r.voice.elected = false
			return
		}
		last.voice.elected = false
		e.first = e.first[:most-1]
	}
	i := len(e.first)
	for i > 0 && e.first[i-1].rank < r.rank {
		i--
	}
	e.first = slices.Insert(e.first, i, r)
}

// rank answers by what places are given: the level in dBov, and what speaks
// for or against the voice.
func (v *Voice) rank(now time.Time) float64 {
	rank := v.level
	if v.elected {
		rank += incumbent
	}
	if v.activity.sounding == 0 {
		rank -= droning
	}
	if now.Sub(v.lastActive) >= pause {
		rank -= paused
	}
	return rank
}
