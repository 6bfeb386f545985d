package e2e

import (
	"fmt"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
	"tutti/mixer/mixertest"
)

// receiver decodes what comes and checks its times.
type receiver struct {
	mu       sync.Mutex
	closed   bool
	audio    *opus.Decoder
	video    *vpx.Decoder
	picture  *i420.Frame // the last one; nil before the first
	block    []float32
	sound    []float32     // all that was heard, at 48 kHz; what was lost is left out
	arrivals []time.Time   // of the blocks of sound
	last     rtp.Header    // of the sound
	heard    int           // packets of sound
	lost     int           // of them
	jumped   int           // blocks that the timeline of the sound jumped over
	frameTS  uint32        // of the last picture
	frames   int           // pictures
	longest  time.Duration // between two pictures, by their timestamps
	faults   []string      // what should never be
}

func newReceiver() (*receiver, error) {
	audio, err := opus.NewDecoder(1)
	if err != nil {
		return nil, err
	}
	video, err := vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: 1920, MaxHeight: 1920, MaxFrameBytes: 4 << 20})
	if err != nil {
		audio.Close()
		return nil, err
	}
	return &receiver{audio: audio, video: video, block: make([]float32, 6*pcm.Samples)}, nil
}

// close gives the decoders up; nothing is received any more.
func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.audio.Close()
	r.video.Close()
}

func (r *receiver) fault(format string, args ...any) {
	if len(r.faults) < 20 {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// onAudio takes a packet of sound. Each begins where the one before it ended; a
// server that was out of breath may jump over whole blocks, which it counts.
func (r *receiver) onAudio(at time.Time, p *rtp.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.heard > 0 {
		steps := p.SequenceNumber - r.last.SequenceNumber
		if steps == 0 || steps > 1<<15 {
			r.fault("sound: packet %d follows %d", p.SequenceNumber, r.last.SequenceNumber)
			return
		}
		if due := r.last.Timestamp + uint32(steps)*pcm.Samples; p.Timestamp != due {
			r.jumped += int(int32(p.Timestamp-due)) / pcm.Samples
			if int32(p.Timestamp-due) < 0 || (p.Timestamp-due)%pcm.Samples != 0 {
				r.fault("sound: at packet %d the timeline jumps by %d samples", r.heard, int32(p.Timestamp-due))
			}
		}
		r.lost += int(steps) - 1
	}
	r.heard++
	r.last = p.Header
	n, err := r.audio.Decode(p.Payload, r.block)
	if err != nil {
		r.fault("sound: decode: %v", err)
		return
	}
	r.sound, r.arrivals = append(r.sound, r.block[:n]...), append(r.arrivals, at)
}

// onFrame takes a picture.
func (r *receiver) onFrame(_ time.Time, timestamp uint32, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.frames > 0 {
		step := int32(timestamp - r.frameTS)
		if step <= 0 {
			r.fault("picture: the timeline goes back by %d", -step)
		}
		r.longest = max(r.longest, time.Duration(step)*time.Second/90000)
	}
	r.frames++
	r.frameTS = timestamp
	if err := r.video.Decode(frame); err != nil {
		return // the reference of a lost frame; a key frame will come
	}
	w, h := r.video.Size()
	if r.picture == nil || r.picture.Width != w || r.picture.Height != h {
		r.picture = i420.New(w, h)
	}
	if err := r.video.Picture(r.picture, i420.Fill); err != nil {
		r.fault("picture: %v", err)
	}
}

// wrong answers what should not have been: faults, and more blocks jumped over
// than the server counts.
func (r *receiver) wrong(t *testing.T, s *server) []string {
	t.Helper()
	counted := s.metric(t, "tutti_audio_blocks_skipped_total")
	r.mu.Lock()
	defer r.mu.Unlock()
	wrong := append([]string(nil), r.faults...)
	if float64(r.jumped) > counted {
		wrong = append(wrong, fmt.Sprintf("sound: the timeline jumps over %d blocks, of which the server counts %.0f", r.jumped, counted))
	}
	return wrong
}

// longestPause answers the longest time between two pictures by their timestamps.
func (r *receiver) longestPause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.longest
}

// counts answers how many packets of sound and how many pictures came.
func (r *receiver) counts() (packets, pictures int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard, r.frames
}

// colours answers the mean colours around points, in fractions of the picture.
func (r *receiver) colours(points [][2]float64) []colour {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make([]colour, len(points))
	if r.picture == nil {
		return found
	}
	for i, p := range points {
		x0, y0 := int(p[0]*float64(r.picture.Width)), int(p[1]*float64(r.picture.Height))
		for y := y0 - 4; y < y0+4; y++ {
			for x := x0 - 4; x < x0+4; x++ {
				c := r.picture.At(x, y)
				for k, v := range []byte{c.R, c.G, c.B} {
					found[i][k] += float64(v) / 64
				}
			}
		}
	}
	return found
}

// levels answers the levels of frequencies in the last half second, in dBov.
func (r *receiver) levels(frequencies []float64) []float64 {
	r.mu.Lock()
	sound := append([]float32(nil), r.sound[max(0, len(r.sound)-pcm.Rate/2):]...)
	r.mu.Unlock()
	found := make([]float64, len(frequencies))
	for i, hz := range frequencies {
		found[i] = mixertest.Goertzel(sound, hz)
	}
	return found
}

// between answers which of the sound came between two times. The caller holds
// the lock, and every packet had a block.
func (r *receiver) between(from, to time.Time) span {
	first := sort.Search(len(r.arrivals), func(i int) bool { return !r.arrivals[i].Before(from) })
	last := sort.Search(len(r.arrivals), func(i int) bool { return !r.arrivals[i].Before(to) })
	return span{first * pcm.Samples, last * pcm.Samples}
}
