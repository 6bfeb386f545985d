package audio

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tutti/codec/pcm"
)

var epoch = time.Unix(0, 0)

// at answers the time of block n.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * pcm.Duration) }

func observe(n int, levels map[*Voice]float64) {
	for v, l := range levels {
		v.Observe(at(n), l)
	}
}

func TestElectionTakesTheLoudestActive(t *testing.T) {
	a, b, c, quiet := &Voice{}, &Voice{}, &Voice{}, &Voice{}
	all := []*Voice{a, b, c, quiet}
	var e Election
	observe(0, map[*Voice]float64{a: -20, b: -30, c: -40, quiet: -80})
	e.Elect(at(0), all, 2)
	if !a.Elected() || !b.Elected() || c.Elected() || quiet.Elected() {
		t.Errorf("elected %v %v %v %v, want a and b", a.Elected(), b.Elected(), c.Elected(), quiet.Elected())
	}
	e.Elect(at(0), all, 8)
	if !c.Elected() || quiet.Elected() {
		t.Error("with room for all, every active voice and no silent one must be elected")
	}
	e.Elect(at(0), all, 0)
	if !quiet.Elected() {
		t.Error("0 means everybody")
	}
}

func TestElectionHoldsThroughPauses(t *testing.T) {
	v := &Voice{}
	var e Election
	last := 0
	for n := range 200 {
		level := pcm.SilenceDBOV
		if n == 0 {
			level = -20
		}
		v.Observe(at(n), level)
		e.Elect(at(n), []*Voice{v}, 8)
		if v.Elected() {
			last = n
		}
	}
	if held := time.Duration(last+1) * pcm.Duration; held != Hold {
		t.Errorf("held for %v, want %v", held, Hold)
	}
}

// Two voices of nearly the same loudness must not take turns at one place.
func TestElectionKeepsTheIncumbent(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	var e Election
	changes, was := 0, false
	for n := range 500 {
		observe(n, map[*Voice]float64{a: -20 - 3*math.Sin(float64(n)), b: -20 + 3*math.Sin(float64(n))})
		e.Elect(at(n), []*Voice{a, b}, 1)
		if n > 0 && a.Elected() != was {
			changes++
		}
		was = a.Elected()
	}
	if changes > 0 {
		t.Errorf("%d changes", changes)
	}
	for n := 500; n < 600; n++ { // clearly louder takes over
		observe(n, map[*Voice]float64{a: -40, b: -10})
		e.Elect(at(n), []*Voice{a, b}, 1)
	}
	if !b.Elected() {
		t.Error("who is 30 dB louder must be heard")
	}
}

// The level rises at once and falls by 30 dB a second, to silence and no
// further.
func TestLevelIsAnEnvelope(t *testing.T) {
	v := &Voice{}
	if v.Level() != pcm.SilenceDBOV {
		t.Errorf("who was never heard has %g dBov", v.Level())
	}
	for n := range 500 {
		dbov := math.Inf(-1)
		if n == 10 {
			dbov = -20
		}
		v.Observe(at(n), dbov)
		want := pcm.SilenceDBOV
		if n >= 10 {
			want = max(want, -20-30*at(n-10).Sub(epoch).Seconds())
		}
		if math.Abs(v.Level()-want) > 1e-9 {
			t.Fatalf("block %d: %g dBov, want %g", n, v.Level(), want)
		}
	}
}

// sentence lets one voice say a sentence while the others are as loud as told,
// and answers at which of its blocks it was heard.
func (r *round) sentence(t *testing.T, voice int, others ...float64) (heard []bool) {
	for i, said := range sentences(t)[voice][0] {
		for j, v := range r.voices {
			if j == voice {
				v.Observe(at(r.n), said)
			} else {
				v.Observe(at(r.n), others[j]-3*float64(i%7)) // up and down, as voices go
			}
		}
		r.Elect(at(r.n), r.voices, r.most)
		r.n++
		heard = append(heard, r.voices[voice].Elected())
	}
	return heard
}

// round is an election among a few, block by block.
type round struct {
	Election
	voices  []*Voice
	most, n int
}

// Nobody's first syllable is cut: not where there is a place, nor where those
// who had the places are silent or clearly fainter.
func TestElectionHearsTheFirstSyllable(t *testing.T) {
	for _, c := range []struct {
		name   string
		most   int
		before float64 // how loud the others were
		now    float64 // and are
	}{
		{"a free place", 3, -20, -20},
		{"the others paused", 2, -10, pcm.SilenceDBOV},
		{"the others are faint", 2, -58, -58},
	} {
		r := &round{voices: newVoices(3), most: c.most}
		for ; r.n < 50; r.n++ {
			for j, v := range r.voices[:2] {
				v.Observe(at(r.n), c.before-float64(r.n%7)-float64(j))
			}
			r.voices[2].Observe(at(r.n), pcm.SilenceDBOV)
			r.Elect(at(r.n), r.voices, c.most)
		}
		for end := r.n + 20; r.n < end && c.now < -100; r.n++ { // the pause before one replies
			for _, v := range r.voices {
				v.Observe(at(r.n), c.now)
			}
			r.Elect(at(r.n), r.voices, c.most)
		}
		for i, heard := range r.sentence(t, 2, c.now, c.now) {
			if !heard && i < 50 {
				t.Errorf("%s: not heard in block %d", c.name, i)
				break
			}
		}
	}
}

// Steady noises do not keep somebody fainter, who speaks, from being heard;
// among themselves the louder goes first.
func TestElectionPrefersVoicesToFans(t *testing.T) {
	r := &round{voices: newVoices(3), most: 1}
	for i, said := range ramble(t, 0, 10*time.Second) {
		r.voices[0].Observe(at(r.n), said-10)
		r.voices[1].Observe(at(r.n), -32)
		r.voices[2].Observe(at(r.n), -30)
		r.Elect(at(r.n), r.voices, 1)
		r.n++
		if i > 100 && !r.voices[0].Elected() {
			t.Fatalf("a fan is heard instead of a voice in block %d", i)
		}
	}
	for range 200 {
		r.voices[0].Observe(at(r.n), pcm.SilenceDBOV)
		r.voices[1].Observe(at(r.n), -32)
		r.voices[2].Observe(at(r.n), -20)
		r.Elect(at(r.n), r.voices, 1)
		r.n++
	}
	if !r.voices[2].Elected() {
		t.Error("with nobody speaking the loudest noise is not heard")
	}
}

// The same as by sorting everybody, which takes too long among a thousand.
func TestElectionIsASort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	voices, e := newVoices(200), Election{}
	for n := range 300 {
		for _, v := range voices {
			if rng.IntN(3) > 0 {
				v.Observe(at(n), -10-float64(rng.IntN(80)))
			}
		}
		most := rng.IntN(len(voices) + 20)
		var want []*Voice
		for _, v := range voices {
			if most == 0 || !v.lastActive.IsZero() && at(n).Sub(v.lastActive) < Hold {
				want = append(want, v)
			}
		}
		slices.SortStableFunc(want, func(a, b *Voice) int { return cmp.Compare(b.rank(at(n)), a.rank(at(n))) })
		if most > 0 {
			want = want[:min(most, len(want))]
		}
		e.Elect(at(n), voices, most)
		for i, v := range voices {
			if v.Elected() != slices.Contains(want, v) {
				t.Fatalf("round %d, %d of %d: voice %d is elected: %v", n, most, len(voices), i, v.Elected())
			}
		}
	}
}

func TestElectionAndSpeakerAllocateNothing(t *testing.T) {
	voices, said := newVoices(50), sentences(t)[0][0]
	var e Election
	var s Speaker
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		n++
		for i, v := range voices {
			v.Observe(at(n), said[(n+i)%len(said)])
		}
		e.Elect(at(n), voices, 8)
		s.Observe(at(n), voices)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
