package webm

import (
	"time"

	"tutti/codec"
)

// maxHeld bounds the sound that waits for the first picture: two seconds.
const maxHeld = 100

// DefaultWindow is how long a Timeline waits for a packet of the other kind
// before it goes on without: pictures are encoded later than sound.
const DefaultWindow = 400 * time.Millisecond

// Timeline brings packets of both kinds into the order of their time on one
// clock, which begins with 0 at the first key frame. What comes before is
// dropped. A pause is cut out: the clock stands still, and goes on with the
// next key frame.
//
// Push, then take all that Next answers, again and again. A packet that came
// more than the window too late is handed out at once, out of order.
type Timeline struct {
	video   bool
	window  time.Duration
	joining bool // waits for the packet it can begin with
	held    []*codec.Packet
	pending []*codec.Packet
	drain   bool
	last    [2]time.Duration // newest PTS by kind
	seen    [2]bool
	base    time.Duration // PTS that is 0 on the clock
	from    time.Duration // PTS of the key frame that it began with, or went on with
	end     time.Duration // end of the last packet that was handed out, on the clock
	begun   bool
}

// NewTimeline answers an empty timeline; video tells whether pictures are
// expected. A window of 0 is DefaultWindow.
func NewTimeline(video bool, window time.Duration) *Timeline {
	if window <= 0 {
		window = DefaultWindow
	}
	return &Timeline{video: video, window: window, joining: true}
}

// Push adds a packet. Where it is the one that ends a pause, cut is how long
// that was, else 0.
func (t *Timeline) Push(p *codec.Packet) (cut time.Duration) {
	if !t.joining {
		if p.PTS >= t.from { // sound may be made later than a picture after it
			t.insert(p)
		}
		return 0
	}
	if t.video && p.Kind == codec.Audio {
		if len(t.held) == maxHeld {
			t.held = append(t.held[:0], t.held[1:]...)
		}
		t.held = append(t.held, p)
		return 0
	}
	if !p.KeyFrame {
		return 0
	}
	return t.join(p)
}

// join begins, or goes on after a pause, with p.
func (t *Timeline) join(p *codec.Packet) (cut time.Duration) {
	base := p.PTS - t.end
	if t.begun {
		cut = max(0, base-t.base)
	}
	t.base, t.from, t.begun, t.joining, t.drain = base, p.PTS, true, false, false
	t.seen = [2]bool{}
	t.insert(p)
	for _, a := range t.held {
		if a.PTS >= p.PTS {
			t.insert(a)
		}
	}
	clear(t.held)
	t.held = t.held[:0]
	return cut
}

// insert keeps pending sorted; a picture stands before the sound of its time.
func (t *Timeline) insert(p *codec.Packet) {
	k := kind(p)
	if !t.seen[k] || p.PTS > t.last[k] {
		t.last[k], t.seen[k] = p.PTS, true
	}
	t.pending = append(t.pending, p)
	for i := len(t.pending) - 1; i > 0 && before(p, t.pending[i-1]); i-- {
		t.pending[i], t.pending[i-1] = t.pending[i-1], t.pending[i]
	}
}

func before(a, b *codec.Packet) bool {
	return a.PTS < b.PTS || a.PTS == b.PTS && a.Kind == codec.Video && b.Kind == codec.Audio
}

func kind(p *codec.Packet) int {
	if p.Kind == codec.Video {
		return 1
	}
	return 0
}

// Next hands out the next packet and its time on the clock; ok is false while
// none is due.
func (t *Timeline) Next() (p *codec.Packet, at time.Duration, ok bool) {
	if len(t.pending) == 0 || !t.drain && !t.settled(t.pending[0].PTS) {
		return nil, 0, false
	}
	p = t.pending[0]
	n := copy(t.pending, t.pending[1:])
	t.pending[n] = nil
	t.pending = t.pending[:n]
	at = p.PTS - t.base
	t.end = max(t.end, at+p.Duration)
	return p, at, true
}

// settled reports whether nothing earlier is to be expected.
func (t *Timeline) settled(pts time.Duration) bool {
	if !t.video {
		return true
	}
	newest := max(t.last[0], t.last[1])
	if !t.seen[0] || !t.seen[1] {
		newest = t.last[0]
		if t.seen[1] {
			newest = t.last[1]
		}
		return newest-pts >= t.window
	}
	return pts <= min(t.last[0], t.last[1]) || newest-pts >= t.window
}

// Pause lets Next hand out all that waits; what is pushed from now on is cut
// out until the next key frame after Resume. Take all from Next before that.
func (t *Timeline) Pause() { t.drain, t.joining = true, true }

// At answers the time on the clock that a PTS has now.
func (t *Timeline) At(pts time.Duration) time.Duration { return max(0, pts-t.base) }

// End answers where the clock stands: the end of what was handed out.
func (t *Timeline) End() time.Duration { return t.end }

// Joining reports whether the timeline waits for a key frame.
func (t *Timeline) Joining() bool { return t.joining }
