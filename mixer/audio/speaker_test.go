package audio

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tutti/codec/pcm"
)

func newVoices(n int) []*Voice {
	voices := make([]*Voice, n)
	for i := range voices {
		voices[i] = &Voice{}
	}
	return voices
}

// The figures that are asked for, over forty minutes of conferences: the switch
// within 400 ms of the true start in 95 of 100 turns, the floor at the right
// one for 95 % of the time, and at most one switch in ten minutes to somebody
// who did not speak.
func TestSpeakerFollowsConferences(t *testing.T) {
	var v verdict
	for seed := range uint64(4) {
		conference(t, seed).follow(&Speaker{}, &v)
	}
	right := v.right / float64(v.scripts)
	t.Logf("%d turns in %d times ten minutes: switch after %v p50, %v p95; right %.1f %%; %d false switches %v",
		len(v.delays), v.scripts, v.percentile(50), v.percentile(95), 100*right, len(v.wrong), v.wrong)
	if p95 := v.percentile(95); p95 > 400*time.Millisecond {
		t.Errorf("the switch takes %v p95", p95)
	}
	if right < 0.95 {
		t.Errorf("right for %.1f %% of the time", 100*right)
	}
	if len(v.wrong) > v.scripts {
		t.Errorf("%d false switches in %d times ten minutes: %v", len(v.wrong), v.scripts, v.wrong)
	}
}

// stage is a few voices and what follows them, block by block.
type stage struct {
	Speaker
	voices []*Voice
	n      int
}

// play lets each voice hear its levels, and silence after them, for d. It
// answers after what time the floor changed hands, each time it did.
func (s *stage) play(d time.Duration, levels ...[]float64) (changes []time.Duration) {
	for i := range int(d / pcm.Duration) {
		for v, voice := range s.voices {
			dbov := pcm.SilenceDBOV
			if v < len(levels) && i < len(levels[v]) {
				dbov = levels[v][i]
			}
			voice.Observe(at(s.n), dbov)
		}
		if s.Observe(at(s.n), s.voices) {
			changes = append(changes, time.Duration(i+1)*pcm.Duration)
		}
		s.n++
	}
	return changes
}

func newStage(voices int, s Speaker) *stage { return &stage{Speaker: s, voices: newVoices(voices)} }

// ramble is d of speech of one voice.
func ramble(t *testing.T, voice int, d time.Duration) []float64 {
	var said []float64
	for all := sentences(t)[voice]; len(said) < int(d/pcm.Duration); {
		for _, s := range all {
			said = append(said, s...)
		}
	}
	return said[:d/pcm.Duration]
}

func TestNoiseNeverTakesTheFloor(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	noises := map[string]func() []float64{
		"cough":            func() []float64 { return coughs(rng, -12) },
		"slam":             func() []float64 { return slam(rng, -3) },
		"keyboard":         func() []float64 { return keyboard(rng, 8*time.Second, -20) },
		"fan switched on":  func() []float64 { return pink(rng, 8*time.Second, -20) },
		"hum":              func() []float64 { return hum(8*time.Second, -15) },
		"rising hum":       func() []float64 { return slices.Concat(hum(time.Second, -40), hum(8*time.Second, -20)) },
		"knocks":           func() []float64 { return knocks(8 * time.Second) },
		"a single click":   func() []float64 { return []float64{-10} },
		"digital overload": func() []float64 { return hum(8*time.Second, 0) },
	}
	for name, noise := range noises {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				s := newStage(2, Speaker{})
				s.play(10*time.Second, still(500), still(500))
				s.play(3*time.Second, ramble(t, 0, 3*time.Second))
				if s.Current() != s.voices[0] {
					t.Fatal("who speaks alone has not got the floor")
				}
				if changes := s.play(10*time.Second, nil, noise()); changes != nil {
					t.Errorf("in silence the noise took the floor after %v", changes)
				}
				if changes := s.play(10*time.Second, ramble(t, 0, 10*time.Second), noise()); changes != nil {
					t.Errorf("from who speaks the noise took the floor after %v", changes)
				}
			}
		})
	}
}

// knocks are six dull ones a second: each sounds as a voice may, but not for
// long enough, and the next comes before the first is forgotten.
func knocks(d time.Duration) []float64 {
	var levels []float64
	for len(levels) < int(d/pcm.Duration) {
		levels = append(append(levels, -20, -26, -30, -36), still(4)...)
	}
	return levels
}

// A voice beside a fan that is as loud as others speak has the floor as soon.
func TestSpeakerBesideAFan(t *testing.T) {
	s := newStage(2, Speaker{})
	rng := rand.New(rand.NewPCG(3, 3))
	fan := pink(rng, 8*time.Second, -40)
	voice := slices.Clone(fan)
	for i, l := range ramble(t, 4, 4*time.Second) {
		voice[150+i] = max(voice[150+i], l)
	}
	changes := s.play(7*time.Second, fan, voice)
	if s.Current() != s.voices[1] || len(changes) != 1 || changes[0] < 3*time.Second || changes[0] > 3500*time.Millisecond {
		t.Errorf("the floor changed hands after %v", changes)
	}
}

func TestSpeakerKeepsTheFloorInSilence(t *testing.T) {
	s := newStage(3, Speaker{})
	s.play(time.Minute)
	if s.Current() != nil {
		t.Fatal("somebody has the floor in a room where nobody ever spoke")
	}
	s.play(2*time.Second, nil, ramble(t, 1, 2*time.Second))
	if changes := s.play(10 * time.Minute); changes != nil || s.Current() != s.voices[1] {
		t.Errorf("in silence the floor changed hands after %v", changes)
	}
}

func TestLeavingFreesTheFloor(t *testing.T) {
	s := newStage(3, Speaker{})
	s.play(3*time.Second, ramble(t, 0, 3*time.Second))
	gone := s.Current()
	s.voices = s.voices[1:]
	if changes := s.play(time.Second); len(changes) != 1 || changes[0] != pcm.Duration || s.Current() != nil {
		t.Fatalf("who left in the middle of a word has the floor still: %v", changes)
	}
	// The next need not wait for the hold of who has left.
	if changes := s.play(time.Second, nil, ramble(t, 1, time.Second)); len(changes) != 1 || changes[0] > 400*time.Millisecond {
		t.Errorf("the next got the floor after %v", changes)
	}
	s.voices = append(s.voices, gone)
	if changes := s.play(2 * time.Second); changes != nil {
		t.Errorf("who came back in silence took the floor after %v", changes)
	}
}

// Who joins in the middle of a word is known by the next.
func TestJoiningWhileSpeaking(t *testing.T) {
	said := ramble(t, 2, 5*time.Second)
	for cut := range 50 {
		s := newStage(1, Speaker{})
		s.play(2*time.Second, ramble(t, 0, 2*time.Second))
		s.voices = append(s.voices, &Voice{})
		if changes := s.play(2*time.Second, nil, said[cut:]); len(changes) != 1 || changes[0] > time.Second {
			t.Errorf("joined %d blocks after the beginning: the floor changed hands after %v", cut, changes)
		}
	}
}

func TestTriggerAndHold(t *testing.T) {
	for _, c := range []struct{ trigger, hold, from, to time.Duration }{
		{0, 0, 300 * time.Millisecond, 400 * time.Millisecond},
		{40 * time.Millisecond, 0, 180 * time.Millisecond, 300 * time.Millisecond},
		{time.Second, 0, 1100 * time.Millisecond, 1300 * time.Millisecond},
		{0, 5 * time.Second, 1200 * time.Millisecond, 1800 * time.Millisecond},
		{0, -1, 300 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.trigger, c.hold), func(t *testing.T) {
			s := newStage(2, Speaker{Trigger: c.trigger, Hold: c.hold})
			first := s.play(4*time.Second, ramble(t, 6, 4*time.Second))
			if len(first) != 1 {
				t.Fatalf("the first got the floor after %v", first)
			}
			s.play(40 * time.Millisecond)
			second := s.play(5*time.Second, nil, ramble(t, 0, 5*time.Second))
			since := 4040*time.Millisecond - first[0] // for so long the first has had it
			if len(second) != 1 || second[0] > c.to || second[0] < c.from {
				t.Fatalf("the second got the floor after %v, want %v to %v", second, c.from, c.to)
			}
			if c.hold > 0 && since+second[0] < c.hold {
				t.Errorf("the first lost the floor after %v", since+second[0])
			}
		})
	}
}

// Who leads for longer than one breath may draw it.
func TestLeadingThroughAPause(t *testing.T) {
	s := newStage(1, Speaker{Trigger: 2 * time.Second})
	said := slices.Concat(ramble(t, 0, 1200*time.Millisecond), still(10), ramble(t, 0, 3*time.Second))
	if changes := s.play(4*time.Second, said); len(changes) != 1 || changes[0] < 2100*time.Millisecond || changes[0] > 2500*time.Millisecond {
		t.Errorf("the floor was got after %v", changes)
	}
}

// Two who speak at once and alike do not take turns by the word; one who goes
// on for long, and is much louder, is not kept from the floor.
func TestTwoAtOnce(t *testing.T) {
	a, b := ramble(t, 3, 20*time.Second), ramble(t, 5, 20*time.Second)
	s := newStage(2, Speaker{})
	if changes := s.play(20*time.Second, a, b); len(changes) > 5 {
		t.Errorf("between equals the floor changed hands after %v", changes)
	}
	same := newStage(2, Speaker{})
	if changes := same.play(20*time.Second, a, a); len(changes) != 1 {
		t.Errorf("between the very same the floor changed hands after %v", changes)
	}
	for i := range a {
		a[i] -= 20
	}
	s = newStage(2, Speaker{})
	s.play(2*time.Second, a)
	if changes := s.play(2*time.Second, a[100:], b[:20]); changes != nil {
		t.Errorf("by a loud word thrown in the floor went after %v", changes)
	}
	if changes := s.play(10*time.Second, a[200:], b); s.Current() != s.voices[1] || len(changes) != 1 || changes[0] > 2*time.Second {
		t.Errorf("from one 20 dB fainter the floor went after %v", changes)
	}
}

// What a loop asks of a thousand people, ten of whom make a sound.
func BenchmarkObserveElectAndFollow(b *testing.B) {
	voices, s, e := newVoices(1000), Speaker{}, Election{}
	var said []float64
	for _, sentence := range sentences(b)[0] {
		said = append(said, sentence...)
	}
	b.Run("observe", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			observeMany(voices, said, n)
		}
	})
	n := 0
	b.Run("elect", func(b *testing.B) {
		for ; b.Loop(); n++ {
			e.Elect(at(n%50), voices, 8)
		}
	})
	b.Run("follow", func(b *testing.B) {
		for ; b.Loop(); n++ {
			s.Observe(at(n%50), voices)
		}
	})
	b.Run("all", func(b *testing.B) {
		for ; b.Loop(); n++ {
			observeMany(voices, said, n)
			e.Elect(at(n), voices, 8)
			s.Observe(at(n), voices)
		}
	})
}

func observeMany(voices []*Voice, said []float64, n int) {
	for i, v := range voices {
		if i%100 == 0 {
			v.Observe(at(n), said[(n+i)%len(said)])
		} else {
			v.Observe(at(n), -90)
		}
	}
}
