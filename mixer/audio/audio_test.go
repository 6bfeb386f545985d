package audio

import (
	"math"
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

func TestSpeakerTimers(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	both := []*Voice{a, b}
	var s Speaker
	switched := -1
	run := func(from, to int, la, lb float64) {
		switched = -1
		for n := from; n < to; n++ {
			observe(n, map[*Voice]float64{a: la, b: lb})
			if s.Observe(at(n), both) {
				switched = n
			}
		}
	}
	run(0, 100, -20, -90)
	if s.Current() != a || at(switched).Sub(epoch) > 200*time.Millisecond {
		t.Fatalf("the first to speak has the floor soon: at block %d", switched)
	}
	run(100, 110, -20, -10) // a cough of 200 ms
	run(110, 200, -20, -90)
	if s.Current() != a {
		t.Error("a cough took the floor")
	}
	run(200, 300, -90, -90)
	if s.Current() != a {
		t.Error("the floor was lost in silence")
	}
	run(300, 400, -90, -20)
	if d := time.Duration(switched-300) * pcm.Duration; s.Current() != b || d < 380*time.Millisecond || d > 500*time.Millisecond {
		t.Errorf("the switch took %v, want the trigger's 400 ms", d)
	}
	if !s.Observe(at(400), []*Voice{a}) || s.Current() != nil {
		t.Error("who has left has the floor still")
	}
}

func TestSpeakerHold(t *testing.T) {
	a, b := &Voice{}, &Voice{}
	s := Speaker{Trigger: 100 * time.Millisecond, Hold: 2 * time.Second}
	changes := 0
	for n := range 500 { // ten seconds of taking turns every 300 ms
		la, lb := -20.0, -90.0
		if n/15%2 == 1 {
			la, lb = lb, la
		}
		observe(n, map[*Voice]float64{a: la, b: lb})
		if s.Observe(at(n), []*Voice{a, b}) {
			changes++
		}
	}
	if changes > 6 {
		t.Errorf("%d changes in ten seconds with a hold of two", changes)
	}
}

func sine(block []float32, amplitude float64, from int) {
	for i := range block {
		block[i] = float32(amplitude * math.Sin(2*math.Pi*1000/pcm.Rate*float64(from+i)))
	}
}

func TestRampHasNoStep(t *testing.T) {
	block := make([]float32, pcm.Samples)
	for i := range block {
		block[i] = 1
	}
	Ramp(block, 0, 0.5)
	last := float32(0)
	for i, s := range block {
		if s-last > 0.5/pcm.Samples*1.01 || s < last {
			t.Fatalf("a step of %g at %d", s-last, i)
		}
		last = s
	}
	if math.Abs(float64(last)-0.5) > 1e-4 {
		t.Errorf("ends at %g", last)
	}
}

func TestMixMinus(t *testing.T) {
	sum, a, b, out := make([]float32, 960), make([]float32, 960), make([]float32, 960), make([]float32, 960)
	sine(a, 0.3, 0)
	sine(b, 0.2, 7)
	Add(sum, a)
	Add(sum, b)
	Without(out, sum, a)
	for i := range out {
		if math.Abs(float64(out[i]-b[i])) > 1e-6 {
			t.Fatalf("sample %d: %g, want %g", i, out[i], b[i])
		}
	}
}

func TestLimiter(t *testing.T) {
	var l Limiter
	block := make([]float32, pcm.Samples)
	quiet := make([]float32, pcm.Samples)
	sine(block, 0.8, 0)
	sine(quiet, 0.8, 0)
	l.Process(block)
	for i := range block {
		if block[i] != quiet[i] {
			t.Fatal("what is below the ceiling must pass unchanged")
		}
	}
	for n := range 50 { // 6 dB over
		sine(block, 1.8, n*pcm.Samples)
		l.Process(block)
		for i, s := range block {
			if s > ceiling+1e-6 || s < -ceiling-1e-6 {
				t.Fatalf("block %d: %g at %d", n, s, i)
			}
		}
	}
	// At rest in the reduction the tone must be a tone still: total harmonic
	// distortion by what is left when the tone is taken away.
	sine(quiet, float64(l.Gain())*1.8, 49*pcm.Samples)
	var rest, power float64
	for i := range block {
		d := float64(block[i] - quiet[i])
		rest, power = rest+d*d, power+float64(block[i])*float64(block[i])
	}
	if thd := math.Sqrt(rest / power); thd > 0.01 {
		t.Errorf("distortion %.2f %%", 100*thd)
	}
	for range 100 {
		sine(block, 0.1, 0)
		l.Process(block)
	}
	if l.Gain() != 1 {
		t.Errorf("the gain has not come back after two seconds: %g", l.Gain())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	voices := make([]*Voice, 50)
	for i := range voices {
		voices[i] = &Voice{}
	}
	var e Election
	var s Speaker
	var l Limiter
	block, sum := make([]float32, 960), make([]float32, 960)
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		n++
		for i, v := range voices {
			v.Observe(at(n), -20-float64(i))
		}
		e.Elect(at(n), voices, 8)
		s.Observe(at(n), voices)
		Ramp(block, 0, 1)
		Add(sum, block)
		Without(block, sum, block)
		l.Process(block)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
