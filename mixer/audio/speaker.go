package audio

import (
	"math"
	"math/bits"
	"time"

	"tutti/codec/pcm"
)

// What tells a voice from noise by its level alone, block by block.
const (
	// overNoise is by how many dB speech stands out of the noise around it.
	overNoise = 6.0
	// noiseSpan is over how many blocks, once to twice, the quietest is taken for
	// the noise around a voice: 1.5 s, in which everybody draws breath.
	noiseSpan = 75
	// syllable is by how many dB a level rises again from one syllable to the
	// next, and steady for how many blocks speech may go without: fans, hum and
	// whatever only dies away, as coughs and doors do, do not rise.
	syllable = 4.5
	steady   = 14
	// lively is by how many dB the level moves within a word.
	lively = 7.0
	// dying is how many dB a voice may lose from one block to the next: strokes
	// on a keyboard and other clicks lose more.
	dying = 8.0
	// shortest is how many blocks in a row a voice sounds at least.
	shortest = 3
)

// The windows over which activity is counted, in blocks.
const (
	immediate = 5  // a sound
	medium    = 15 // a word
	long      = 50 // half a sentence
)

// What of a window's blocks must sound.
const (
	talking  = 2  // of the immediate: who has the floor goes on
	word     = 10 // of the medium: enough to take the floor from who is silent
	sentence = 25 // of the long: enough to take it from who goes on, but fainter
)

// Times and levels of the floor.
const (
	// Trigger and Hold of a Speaker that does not set them.
	defaultTrigger = 200 * time.Millisecond
	defaultHold    = time.Second
	// doubt is how long somebody must sound before that counts as leading at all.
	// Together with the trigger it is longer than a cough.
	doubt = 140 * time.Millisecond
	// utterance is how many blocks of silence end what somebody says, and whoever
	// begins anew is doubted anew. Only who sounded in fluent of the last 64 blocks
	// may pause.
	utterance = 7
	fluent    = 40
	// overbear is by how many dB one must be louder to take the floor from
	// somebody who goes on.
	overbear = 6.0
)

// activity is what is known of a voice's sound, by which the floor goes. The
// zero value knows nothing, and hopes that there is no noise.
type activity struct {
	sounding uint64     // a bit a block, the newest lowest: 1 for what may be a voice
	levels   [16]int8   // of the newest blocks, in dBov; next is the place of the next
	next     uint8      // below 16
	known    bool       // there was a block before
	quietest [2]float64 // since the span before began, and since this one did; in dBov
	age      int        // blocks since this span began
	trough   float64    // lowest level since the last rise, in dBov
	flat     int        // blocks since then
	onset    time.Time  // the utterance began at; zero in silence
	yielded  time.Time  // who has the floor was last heard over this voice at
}

// observe takes in the level of the newest block.
func (a *activity) observe(dbov float64) {
	last := float64(a.levels[(a.next-1)%16])
	a.levels[a.next] = int8(max(dbov, pcm.SilenceDBOV))
	a.next = (a.next + 1) % 16
	a.sounding <<= 1
	if dbov < ActiveDBOV { // most voices most of the time
		a.quietest = [2]float64{dbov, dbov}
		a.trough, a.flat, a.age, a.known = dbov, 0, 0, true
		return
	}
	if !a.known {
		a.known, a.quietest, a.trough = true, [2]float64{ActiveDBOV, dbov}, dbov
	}
	if a.age++; a.age > noiseSpan {
		a.quietest, a.age = [2]float64{a.quietest[1], dbov}, 0
	}
	a.quietest[0], a.quietest[1] = min(a.quietest[0], dbov), min(a.quietest[1], dbov)
	if dbov >= a.trough+syllable {
		a.trough, a.flat = dbov, 0
	} else {
		a.trough = min(a.trough, dbov)
		a.flat++
	}
	if dbov >= a.quietest[0]+overNoise && dbov >= last-dying && a.flat < steady {
		a.sounding |= 1
	}
}

// voiced answers a bit for each of the last 64 blocks, the newest lowest: 1
// where the voice sounds, without the sounds too short to be one.
func (a *activity) voiced() uint64 {
	core := a.sounding
	for i := 1; i < shortest; i++ {
		core &= a.sounding << i
	}
	voiced := core
	for i := 1; i < shortest; i++ {
		voiced |= core >> i
	}
	return voiced
}

// lives reports whether the level of what sounded lately went up and down as
// that of a voice does, and not just stood there.
func (a *activity) lives() bool {
	low, high := int8(0), int8(math.MinInt8)
	for i := range medium {
		if a.sounding>>i&1 == 1 {
			l := a.levels[(int(a.next)+15-i)%16]
			low, high = min(low, l), max(high, l)
		}
	}
	return int(high)-int(low) >= lively
}

// score answers in how many of the newest blocks the voice sounds.
func score(voiced uint64, blocks int) int { return bits.OnesCount64(voiced & (1<<blocks - 1)) }

// Speaker follows who has the floor. As Volfin and Cohen do (Dominant speaker
// identification for multipoint videoconferencing, 2013), it counts activity
// over an immediate, a medium and a long window and lets a challenger take the
// floor only by all that matter; unlike theirs its counts come from levels
// alone, as RFC 6464 announces them. Two timers keep it calm: a challenger
// must lead for Trigger, and nobody loses the floor within Hold of having got
// it. Neither noise nor silence takes the floor from who spoke last.
type Speaker struct {
	Trigger time.Duration // 200 ms if 0
	Hold    time.Duration // 1 s if 0, none if below

	current  *Voice
	switched time.Time // the floor changed hands at
}

// Current answers who has the floor, or nil.
func (s *Speaker) Current() *Voice { return s.current }

// Observe looks at the voices after each has observed its block, and reports
// whether the floor changed hands. A voice that is not among them has left.
func (s *Speaker) Observe(now time.Time, voices []*Voice) bool {
	trigger := s.Trigger
	if trigger == 0 {
		trigger = defaultTrigger
	}
	goesOn := s.current != nil && score(s.current.activity.voiced(), immediate) >= talking
	var best *Voice
	present := false
	for _, v := range voices {
		if v == s.current {
			present = true
		} else if v.activity.sounding != 0 && s.leads(now, v, goesOn) >= trigger && (best == nil || v.level > best.level) {
			best = v
		}
	}
	left := s.current != nil && !present
	if left {
		s.current = nil
	}
	if best == nil || s.current != nil && now.Sub(s.switched) < s.hold() {
		return left
	}
	s.current, s.switched = best, now
	return true
}

func (s *Speaker) hold() time.Duration {
	if s.Hold == 0 {
		return defaultHold
	}
	return s.Hold
}

// leads answers for how long v has had more right to the floor than who has
// it, who goes on speaking or does not.
func (s *Speaker) leads(now time.Time, v *Voice, goesOn bool) time.Duration {
	a, voiced := &v.activity, v.activity.voiced()
	if score(voiced, utterance) == 0 && bits.OnesCount64(voiced) < fluent {
		a.onset = time.Time{}
		return 0
	}
	if a.onset.IsZero() {
		a.onset = now.Add(-shortest * pcm.Duration)
	}
	if goesOn && (v.level < s.current.level+overbear || score(voiced, long) < sentence) {
		a.yielded = now
		return 0
	}
	if voiced&1 == 0 || score(voiced, medium) < word || !a.lives() {
		return 0
	}
	return min(now.Sub(a.onset)-doubt, now.Sub(a.yielded))
}
