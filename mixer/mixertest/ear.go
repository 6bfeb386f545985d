package mixertest

import (
	"fmt"
	"math"
	"sync"
	"time"

	"tutti/codec"
	"tutti/codec/pcm"
)

// Ear is a mixer.Sink that listens and looks. It keeps the last seconds of
// sound and the last picture, and notices what should never be: a gap, an
// overlap, a first picture that is no key frame.
type Ear struct {
	// Channels is that of the room, 1 if 0; Sound is interleaved.
	Channels int

	mu       sync.Mutex
	sound    []float32 // the newest keep samples
	heard    int64     // samples in all
	next     time.Duration
	packets  int
	resting  bool
	pausing  bool // the last packet said that nothing follows for a while
	pauses   int  // packets that said so
	pictures int
	last     *codec.Packet // picture
	lastAt   time.Time
	longest  time.Duration // between two pictures
	closed   bool
	faults   []string
}

const keep = 10 * pcm.Rate

// WriteAudio implements mixer.Sink.
func (e *Ear) WriteAudio(p *codec.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.fault("sound: a packet after the subscription was closed")
	}
	gap := p.PTS - e.next
	if e.packets > 0 && gap != 0 && !(e.resting && gap > 0) && !(e.pausing && gap > 0 && gap < longestPause) {
		e.fault("sound: %v follows where %v was due", p.PTS, e.next)
	}
	if e.pausing && gap > 0 {
		e.hear(make([]float32, max(1, e.Channels)*int(gap*pcm.Rate/time.Second)))
	}
	e.resting, e.pausing = false, len(p.Data) <= 3
	e.packets++
	e.next = p.PTS + p.Duration
	if e.pausing {
		e.pauses++
		e.hear(make([]float32, max(1, e.Channels)*pcm.Samples))
		return
	}
	e.hear(Samples(p))
}

// longestPause is what lies at most between two packets of a pause.
const longestPause = 400 * time.Millisecond

// hear keeps sound.
func (e *Ear) hear(s []float32) {
	e.heard += int64(len(s))
	e.sound = append(e.sound, s...)
	if len(e.sound) > 2*keep {
		e.sound = append(e.sound[:0], e.sound[len(e.sound)-keep:]...)
	}
}

// Closed tells the ear that its subscription has been closed: whatever comes
// from now on is a fault.
func (e *Ear) Closed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// Rest tells the ear that nobody publishes, so that the sound may pause.
func (e *Ear) Rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resting = true
}

// WriteVideo implements mixer.Sink.
func (e *Ear) WriteVideo(p *codec.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		e.fault("picture: a packet after the subscription was closed")
	case e.last == nil && !p.KeyFrame:
		e.fault("picture: the first one is no key frame")
	case e.last != nil && p.PTS <= e.last.PTS:
		e.fault("picture: %v follows %v", p.PTS, e.last.PTS)
	case e.last != nil:
		e.longest = max(e.longest, p.PTS-e.last.PTS)
	}
	e.last, e.lastAt = p, time.Now()
	e.pictures++
}

func (e *Ear) fault(format string, args ...any) {
	if len(e.faults) < 20 {
		e.faults = append(e.faults, fmt.Sprintf(format, args...))
	}
}

// Faults answers what should not have been.
func (e *Ear) Faults() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.faults...)
}

// Pauses answers how many packets said that nothing follows for a while.
func (e *Ear) Pauses() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pauses
}

// Counts answers how many packets of sound and how many pictures came.
func (e *Ear) Counts() (packets, pictures int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.packets, e.pictures
}

// LongestPause answers the longest time between two pictures.
func (e *Ear) LongestPause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.longest
}

// Last answers the last picture's packet, or nil.
func (e *Ear) Last() *codec.Packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Sound answers the last d of what was heard, at most ten seconds.
func (e *Ear) Sound(d time.Duration) []float32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(e.sound), max(1, e.Channels)*int(d*pcm.Rate/time.Second))
	return append([]float32(nil), e.sound[len(e.sound)-n:]...)
}

// Tone answers the level of one frequency in the last half second, in dBov.
func (e *Ear) Tone(hz float64) float64 { return Goertzel(e.Sound(time.Second/2), hz) }

// Goertzel answers the level of one frequency in a sound, in dBov: 0 for a
// sine that reaches from -1 to 1 is -3.01. The window is Hann's, so that tones
// 20 Hz apart are told apart in half a second.
func Goertzel(sound []float32, hz float64) float64 {
	n := len(sound)
	if n == 0 {
		return pcm.SilenceDBOV
	}
	w := 2 * math.Pi * hz / pcm.Rate
	coefficient := 2 * math.Cos(w)
	var s1, s2 float64
	for i, x := range sound {
		hann := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))
		s1, s2 = float64(x)*hann+coefficient*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - coefficient*s1*s2
	amplitude := 2 * math.Sqrt(max(power, 0)) / (float64(n) / 2)
	return max(pcm.SilenceDBOV, 20*math.Log10(amplitude/math.Sqrt2))
}

// Clicks answers how far, at worst, a sound departs from a pure tone of hz: the
// largest residual of x[n+1] = 2 cos(w) x[n] - x[n-1], which a gap, a step or
// a repeated block breaks.
func Clicks(sound []float32, hz float64) float64 {
	coefficient := 2 * math.Cos(2*math.Pi*hz/pcm.Rate)
	worst := 0.0
	for i := 1; i+1 < len(sound); i++ {
		worst = max(worst, math.Abs(float64(sound[i+1])-coefficient*float64(sound[i])+float64(sound[i-1])))
	}
	return worst
}
