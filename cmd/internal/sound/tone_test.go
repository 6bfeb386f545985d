package sound

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// The tones. Neither has a whole number of periods in a block, so that a block
// too many or too few shows as a jump in phase; 997 Hz is what AES17 measures by
// for the like reason.
const (
	singer = 997.0
	other  = 2503.0
	loud   = 0.25 // their amplitude
)

// tuner looks at a sound of steady tones, block by block. For the first of them
// it follows amplitude and phase; and whatever is none of them is left over by a
// filter that has a zero at each.
type tuner struct {
	hz   []float64
	taps []float64 // the filter
	all  []float64 // the block and, before it, what the filter reaches back
	n    int64     // samples so far
	last complex128

	turned float64 // radians by which the first tone has fallen back

	// What it found since the last clear, at most: the change of the first tone
	// from one block to the next as a share of it, and a sample that is left over.
	Jump, Click float64
	// Late is by how long the first tone comes later now than at the beginning, or
	// earlier, followed by its phase; Least and Most are its bounds.
	Late, Least, Most time.Duration
	jumpAt            int64
	clickAt           int64
}

var hann = func() (w [pcm.Samples]float64) {
	for i := range w {
		w[i] = 1 - math.Cos(2*math.Pi*float64(i)/pcm.Samples)
	}
	return w
}()

func newTuner(hz ...float64) *tuner {
	u := &tuner{hz: hz, taps: []float64{1}}
	for _, f := range hz {
		next := make([]float64, len(u.taps)+2)
		for i, g := range u.taps {
			next[i] += g
			next[i+1] -= g * 2 * math.Cos(2*math.Pi*f/pcm.Rate)
			next[i+2] += g
		}
		u.taps = next
	}
	return u
}

// take looks at a mono block.
func (u *tuner) take(block []float32) {
	var sum complex128
	at := cmplx.Rect(1, -2*math.Pi*math.Mod(u.hz[0]*float64(u.n)/pcm.Rate, 1))
	turn := cmplx.Rect(1, -2*math.Pi*u.hz[0]/pcm.Rate)
	for i, s := range block {
		sum += complex(float64(s)*hann[i], 0) * at
		at *= turn
	}
	now := sum * complex(2/float64(len(block)), 0)
	if u.last != 0 {
		if jump := cmplx.Abs(now-u.last) / cmplx.Abs(u.last); jump > u.Jump {
			u.Jump, u.jumpAt = jump, u.n/pcm.Samples
		}
		u.turned -= cmplx.Phase(now / u.last)
		u.Late = time.Duration(u.turned / (2 * math.Pi * u.hz[0]) * float64(time.Second))
		u.Least, u.Most = min(u.Least, u.Late), max(u.Most, u.Late)
	}
	u.last = now
	u.all = u.all[:copy(u.all, u.all[max(0, len(u.all)-len(u.taps)+1):])]
	for _, s := range block {
		u.all = append(u.all, float64(s))
	}
	for i := range max(0, len(u.all)-len(u.taps)+1) {
		rest := 0.0
		for k, g := range u.taps { // the same from both ends
			rest += g * u.all[i+k]
		}
		if rest = math.Abs(rest); rest > u.Click {
			u.Click, u.clickAt = rest, u.n/pcm.Samples
		}
	}
	u.n += int64(len(block))
}

func (u *tuner) clear() { u.Jump, u.Click, u.Least, u.Most = 0, 0, u.Late, u.Late }

func (u *tuner) String() string {
	return fmt.Sprintf("a jump of %.4f in block %d, a click of %.5f in block %d", u.Jump, u.jumpAt, u.Click, u.clickAt)
}

// bound is what a tuner may find: with a decoder in between there is its noise.
type bound struct{ jump, click float64 }

// check complains of what an ear's tuner found and forgets it.
func (b bound) check(t *testing.T, who string, e *ear, u *tuner) {
	t.Helper()
	e.do(func() {
		if !(u.Jump <= b.jump && u.Click <= b.click) {
			t.Errorf("%s hears %v", who, u)
		}
		u.clear()
	})
}

// The bounds where nothing is encoded, and with Opus in between. A block that is
// missing or repeated is a jump of 0.37, a tone that is cut off a click of 0.16.
var (
	plain   = bound{0.005, 0.001}
	decoded = bound{0.1, 0.1}
	torn    = 0.01 // a click, where somebody leaves in the middle of a tone
)

// TestToneWhileSomebodyComesAndGoes sings for ten minutes, while every second
// somebody else joins, singing too, or leaves.
func TestToneWhileSomebodyComesAndGoes(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { comeAndGo(t, &mixertest.Codecs{}, newPlainEar, plain) })
	})
	t.Run("opus", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { comeAndGo(t, encoders{}, newMonoEar, decoded) })
	})
}

func comeAndGo(t *testing.T, codecs mixer.Codecs, newEar func(*testing.T) *ear, limit bound) {
	lasts := 10 * time.Minute
	if racing {
		lasts = time.Minute
	}
	h := newHall(t, codecs, nil)
	defer h.close()
	time.Sleep(7 * time.Millisecond) // never at the moment of a block
	alice := h.seat("alice", &mixertest.Tone{Hz: singer, Amplitude: loud})
	viewer, sung := newEar(t), newTuner(singer, other)
	viewer.heard = sung.take
	defer h.listen("", viewer).Close()
	counterpart, answered := newEar(t), newTuner(other)
	counterpart.heard = answered.take
	defer h.listen(alice.ID(), counterpart).Close()
	time.Sleep(5 * time.Second) // the levelling has settled
	viewer.do(sung.clear)
	begun := time.Now()
	before, _ := viewer.counts()
	leaving := bound{limit.jump, max(torn, limit.click)}
	for time.Since(begun) < lasts {
		bob := h.seat("bob", &mixertest.Tone{Hz: other, Amplitude: loud})
		e, heard := newEar(t), newTuner(singer)
		e.heard = heard.take
		sub := h.listen("bob", e)
		time.Sleep(200 * time.Millisecond)
		e.do(heard.clear) // from here on there was a block before
		counterpart.do(answered.clear)
		time.Sleep(800 * time.Millisecond)
		limit.check(t, "who joined", e, heard)
		limit.check(t, "the singer", counterpart, answered)
		limit.check(t, "the viewer", viewer, sung)
		bob.Leave("left")
		sub.Close()
		time.Sleep(100 * time.Millisecond)
		leaving.check(t, "the viewer at a leave", viewer, sung)
		time.Sleep(900 * time.Millisecond)
	}
	limit.check(t, "the viewer", viewer, sung)
	packets, missing := viewer.counts()
	if want := int(lasts / pcm.Duration); packets-before != want || missing > 0 {
		t.Errorf("the viewer got %d packets and missed %d, want %d", packets-before, missing, want)
	}
}
