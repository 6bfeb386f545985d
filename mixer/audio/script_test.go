package audio

import (
	"bufio"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/codec/pcm"
)

// sentences reads the levels of real sentences, in dBov, by voice. They are
// written by the program in testdata/levels.
func sentences(tb testing.TB) [][][]float64 {
	tb.Helper()
	f, err := os.Open("testdata/speech.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var voices [][][]float64
	last := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if words[0] != last {
			last, voices = words[0], append(voices, nil)
		}
		var levels []float64
		for _, w := range words[1:] {
			l, err := strconv.ParseFloat(w, 64)
			if err != nil {
				tb.Fatal(err)
			}
			levels = append(levels, -l)
		}
		voices[len(voices)-1] = append(voices[len(voices)-1], trim(levels))
	}
	if len(voices) != 8 {
		tb.Fatalf("%d voices", len(voices))
	}
	return voices
}

// audible is from where on a block of a sentence may be heard at all, in dBov:
// the first is the true start of speech.
const audible = -55.0

// trim cuts off what nobody hears at both ends.
func trim(levels []float64) []float64 {
	for levels[0] < audible {
		levels = levels[1:]
	}
	for levels[len(levels)-1] < audible {
		levels = levels[:len(levels)-1]
	}
	return levels
}

// event is what somebody does from a block on.
type event struct {
	what        string
	voice, from int
	sound       []float64 // levels in dBov, without the gain
}

// end answers the first block after it.
func (e event) end() int { return e.from + len(e.sound) }

// script is a conference in levels, with the truth about who speaks.
type script struct {
	rng    *rand.Rand
	speech [][][]float64
	rush   []float64   // ten seconds of pink noise of 0 dBov
	gain   []float64   // by voice, in dB
	levels [][]float64 // by voice and block, in dBov
	turns  []event     // who speaks, in order
	noises []event     // all else
}

// newScript is n blocks of people who say nothing, each in a room of its own.
func newScript(tb testing.TB, seed uint64, n int) *script {
	s := &script{
		rng:    rand.New(rand.NewPCG(seed, 20)),
		speech: sentences(tb),
		gain:   []float64{0, -6, 3, -12, 0, -3, 5, -9},
		levels: make([][]float64, 8),
	}
	// The third suppresses its noise, the seventh sits beside a fan.
	rooms := []float64{-75, -62, pcm.SilenceDBOV, -60, -70, -55, -42, -65}
	s.rush = pink(s.rng, 10*time.Second, 0)[1:500]
	for v, dbov := range rooms {
		s.levels[v] = still(n)
		if dbov > pcm.SilenceDBOV {
			s.levels[v] = s.noise(n, dbov)
		}
	}
	return s
}

// noise answers n blocks of pink noise.
func (s *script) noise(n int, dbov float64) []float64 {
	levels, skew := make([]float64, n), s.rng.IntN(len(s.rush))
	for i := range levels {
		levels[i] = s.rush[(i+skew)%len(s.rush)] + dbov
	}
	return levels
}

// add mixes a sound into what a voice's microphone takes from a block on.
func (s *script) add(voice, from int, sound []float64, gain float64) {
	track := s.levels[voice]
	for i, l := range sound {
		if n := from + i; n >= 0 && n < len(track) && l+gain > pcm.SilenceDBOV {
			track[n] = 10 * math.Log10(math.Pow(10, track[n]/10)+math.Pow(10, (l+gain)/10))
		}
	}
}

// blocks answers a random number of blocks.
func (s *script) blocks(from, to time.Duration) int {
	return int(span(s.rng, from, to) / pcm.Duration)
}

// talk lets people take turns until the script ends: turns of one to three
// sentences with pauses between, some only of a few words, by turns falling
// into the one before, following at once, and after a silence.
func (s *script) talk() {
	last := -1
	for at := 100; ; {
		voice := s.rng.IntN(8)
		for voice == last {
			voice = s.rng.IntN(8)
		}
		var said []float64
		for range 1 + s.rng.IntN(3) {
			if said != nil {
				said = append(said, still(s.blocks(200*time.Millisecond, 600*time.Millisecond))...)
			}
			said = append(said, s.speech[voice][s.rng.IntN(len(s.speech[voice]))]...)
		}
		if s.rng.IntN(6) == 0 { // a short answer
			said = trim(said[:min(len(said), s.blocks(1200*time.Millisecond, 2*time.Second))])
		}
		end := at + len(said)
		if end > len(s.levels[0])-200 {
			return
		}
		s.add(voice, at, said, s.gain[voice])
		s.turns = append(s.turns, event{"speech", voice, at, said})
		last = voice
		switch at = end; s.rng.IntN(8) {
		case 0, 1: // falls into the other's words
			at -= s.blocks(100*time.Millisecond, 800*time.Millisecond)
		case 2: // nobody knows what to say
			at += s.blocks(2*time.Second, 5*time.Second)
		default:
			at += s.blocks(0, 800*time.Millisecond)
		}
	}
}

// disturb lets those who do not speak make noise: count times at random, and
// as often again within silences and between turns, where it is worst.
func (s *script) disturb(what string, count int, noise func() []float64) {
	for range count {
		s.somebody(what, noise(), func() int { return s.rng.IntN(len(s.levels[0]) - 200) })
		s.somebody(what, noise(), func() int { return s.turns[s.rng.IntN(len(s.turns))].end() - 10 + s.rng.IntN(25) })
	}
}

// somebody who neither speaks then, nor is about to, nor makes another noise,
// makes one.
func (s *script) somebody(what string, noise []float64, when func() int) {
	for {
		voice, n := s.rng.IntN(8), when()
		near := func(e event) bool { return e.voice == voice && e.from-100 < n+len(noise) && n < e.end() }
		busy := func(e event) bool { return e.what != "fan" && what != "fan" && near(e) }
		if !slices.ContainsFunc(s.turns, near) && !slices.ContainsFunc(s.noises, busy) {
			s.add(voice, n, noise, 0)
			s.noises = append(s.noises, event{what, voice, n, noise})
			return
		}
	}
}

// truth answers whose turn it is in block n: the one that began last. While it
// falls into the one before, which has not ended, either may have the floor,
// and before is not -1.
func (s *script) truth(n int) (now, before int) {
	now, _ = slices.BinarySearchFunc(s.turns, n+1, func(t event, n int) int { return t.from - n })
	if now--; now > 0 && s.turns[now-1].end() > n {
		return now, now - 1
	}
	return now, -1
}

// conference is ten minutes of eight people with all the noises.
func conference(tb testing.TB, seed uint64) *script {
	s := newScript(tb, seed, int(10*time.Minute/pcm.Duration))
	s.talk()
	peak := func() float64 { return -30 + 20*s.rng.Float64() }
	s.disturb("cough", 20, func() []float64 { return coughs(s.rng, peak()) })
	s.disturb("slam", 10, func() []float64 { return slam(s.rng, peak()+5) })
	s.disturb("keyboard", 8, func() []float64 { return keyboard(s.rng, span(s.rng, 2*time.Second, 12*time.Second), peak()) })
	for _, t := range s.turns { // a word of assent in each ten seconds of listening
		for range len(t.sound) / 500 {
			s.somebody("mhm", mhm(s.rng, -22+s.gain[s.rng.IntN(8)]), func() int { return t.from + s.rng.IntN(len(t.sound)-40) })
		}
	}
	// A fan is switched on and off again, louder than the quietest speaks.
	for range 4 {
		s.somebody("fan", s.noise(1000, -28), func() int { return s.rng.IntN(len(s.levels[0]) - 1000) })
	}
	return s
}

// verdict is how well somebody followed scripts.
type verdict struct {
	scripts int
	delays  []time.Duration // by turn, from its true start to the switch
	right   float64         // sum over scripts: share of blocks with the floor at the right one, the delays included
	wrong   []string        // switches to somebody who did not speak, with what he did instead
}

func (v *verdict) percentile(p int) time.Duration {
	slices.Sort(v.delays)
	return v.delays[(len(v.delays)-1)*p/100]
}

// follow plays the script to somebody who follows it.
func (s *script) follow(f *Speaker, v *verdict) {
	voices := newVoices(len(s.levels))
	took := make([]int, len(s.turns)) // block at which the turn's voice had the floor, or 0
	judged, right := 0, 0
	for n := range s.levels[0] {
		for i, voice := range voices {
			voice.Observe(at(n), math.Round(max(s.levels[i][n], pcm.SilenceDBOV))) // as the wire carries it
		}
		changed := f.Observe(at(n), voices)
		has := slices.Index(voices, f.Current())
		now, before := s.truth(n)
		if now < 0 {
			continue
		}
		judged++
		switch {
		case has == s.turns[now].voice:
			right++
			if took[now] == 0 {
				took[now] = n
			}
		case before >= 0 && has == s.turns[before].voice:
			right++
		case changed:
			v.wrong = append(v.wrong, s.blame(has, n))
		}
	}
	v.scripts++
	v.right += float64(right) / float64(judged)
	for i := range s.turns {
		v.delays = append(v.delays, s.delay(i, took[i]))
	}
}

// delay answers how long after the true start of a turn its voice got the
// floor, in block took: where it fell into another's words, after these ended
// and it was heard.
func (s *script) delay(i, took int) time.Duration {
	t := s.turns[i]
	start := t.from
	if i > 0 {
		start = max(start, s.turns[i-1].end())
	}
	for t.sound[start-t.from] < audible {
		start++
	}
	if took == 0 {
		took = t.end() // never
	}
	return time.Duration(max(0, took+1-start)) * pcm.Duration
}

// blame says what a voice did that got the floor in block n.
func (s *script) blame(voice, n int) string {
	for _, e := range s.noises {
		if e.voice == voice && e.from <= n && n < e.end()+10 {
			return e.what
		}
	}
	return "nothing"
}
