package mixertest

import (
	"image/color"
	"math"
	"sync"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
)

// Tone is a participant's voice that sings one note, without a break in phase.
// The levels that it announces rise and fall with four syllables a second, since
// a steady tone is taken for a machine and never gets the floor.
type Tone struct {
	// Hz is the frequency; 0 sings nothing.
	Hz float64
	// Amplitude is the peak; 0.25 if 0, which is -15 dBov.
	Amplitude float64
	// Mute is whether the levels are kept from the mixer, as by a client without
	// the RFC 6464 extension.
	Mute bool

	mu      sync.Mutex
	n       int64 // samples so far
	stalled bool
	reads   int
	wake    func()
	left    bool
	touched bool // after Left
}

// Stall stops what comes from the voice, or lets it go on.
func (t *Tone) Stall(on bool) {
	t.mu.Lock()
	t.stalled = on
	wake := t.wake
	t.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Gone tells the source that its participant has left; Touched then reports
// whether a loop has come back to it.
func (t *Tone) Gone() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = true
}

// Touched reports whether the source was asked for anything after Gone.
func (t *Tone) Touched() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.touched
}

// Reads answers how many blocks were decoded.
func (t *Tone) Reads() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reads
}

func (t *Tone) amplitude() float64 {
	if t.Amplitude == 0 {
		return 0.25
	}
	return t.Amplitude
}

// Level implements mixer.AudioIn.
func (t *Tone) Level(time.Time) (float64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = t.touched || t.left
	if t.stalled || t.Mute {
		return 0, false
	}
	if t.Hz == 0 {
		return pcm.SilenceDBOV, true
	}
	level := 20 * math.Log10(t.amplitude()/math.Sqrt2)
	if t.n%(pcm.Rate/4) > pcm.Rate*3/20 {
		level -= 25
	}
	return level, true
}

// Announces implements mixer.AudioIn.
func (t *Tone) Announces() bool { return !t.Mute }

// ReadAudio implements mixer.AudioIn.
func (t *Tone) ReadAudio(_ time.Time, dst *pcm.Block) mixer.Origin {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = t.touched || t.left
	if t.stalled || t.Hz == 0 {
		t.n += pcm.Samples
		return mixer.Silence
	}
	t.reads++
	d, channels := dst.Data(), dst.Channels()
	for i := range pcm.Samples {
		s := float32(t.amplitude() * math.Sin(2*math.Pi*t.Hz/pcm.Rate*float64(t.n)))
		for c := range channels {
			d[i*channels+c] = s
		}
		t.n++
	}
	return mixer.Voice
}

// Configure implements mixer.AudioIn.
func (t *Tone) Configure(mixer.AudioInConfig) {}

// Notify implements mixer.AudioIn.
func (t *Tone) Notify(wake func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake = wake
}

// Skip implements mixer.AudioIn.
func (t *Tone) Skip(time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = t.touched || t.left
	t.n += pcm.Samples
}

// Card is a camera that looks at a card of one colour.
type Card struct {
	Colour color.Color
	FPS    int // 30 if 0

	mu      sync.Mutex
	pool    i420.Pool
	w, h    int
	last    time.Time
	stalled bool
	made    int
	left    bool
	touched bool
}

// Stall stops the camera, or lets it go on.
func (c *Card) Stall(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = on
}

// Gone and Touched are as those of Tone.
func (c *Card) Gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
}

// Touched reports whether the camera was asked for anything after Gone.
func (c *Card) Touched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.touched
}

// Made answers how many pictures were made, Size the size now asked for.
func (c *Card) Made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}

// Size answers the size that pictures are asked for in; 0, 0 when hidden.
func (c *Card) Size() (width, height int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w, c.h
}

// Live answers how many of the card's pictures somebody holds.
func (c *Card) Live() int { return c.pool.Live() }

// Show implements mixer.VideoIn.
func (c *Card) Show(width, height int, _ i420.Fit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = c.touched || c.left
	c.w, c.h = width, height
}

// Latest implements mixer.VideoIn.
func (c *Card) Latest(now time.Time) *i420.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = c.touched || c.left
	fps := c.FPS
	if fps == 0 {
		fps = 30
	}
	if c.stalled || c.w == 0 || now.Sub(c.last) < time.Second/time.Duration(fps)-time.Millisecond {
		return nil
	}
	c.last = now
	c.made++
	f := c.pool.Get(c.w, c.h)
	f.Fill(c.Colour)
	return f
}

// Info implements mixer.VideoIn.
func (c *Card) Info() mixer.VideoInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return mixer.VideoInfo{Codec: codec.VP8, Width: c.w, Height: c.h, FPS: 30}
}
