package rtc

import (
	"sync/atomic"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/jitter"
	"tutti/transport/plane"
)

const (
	// levelAge is how long an announced level counts.
	levelAge = 100 * time.Millisecond
	// quietDBOV is the announced level below which the jitter buffer may take a
	// packet for silence.
	quietDBOV = -60
	// ramp is the length of a fade in or out, 5 ms in samples: short enough to
	// keep a consonant, long enough not to click.
	ramp = 240
)

// audioIn is a participant's voice: packets are pushed as they come
// and pulled, decoded only then, by the audio loop. Mono.
type audioIn struct {
	buf     *jitter.Buffer
	samples func(payload []byte) (int, bool)

	// What the newest packet announced; written by push.
	level    atomic.Int32 // dBov
	levelAt  atomic.Int64 // Unix time in nanoseconds, 0: never
	badCount atomic.Uint64
	wake     atomic.Pointer[func()]

	// owned by the audio loop
	dec       AudioDecoder
	pcm       [jitter.MaxSamples]float32 // the piece at hand, where decoded
	have, pos int                        // its samples, and how many of them are used up
	held      []byte                     // payload of a piece that was passed over undecoded
	jump      bool                       // the next sound does not continue the last
	sounding  bool                       // the last block ended in sound
	last      mixer.Origin               // of the piece at hand
}

func newAudioIn(c Codecs) (*audioIn, error) {
	dec, err := c.NewAudioDecoder(1)
	if err != nil {
		return nil, err
	}
	return &audioIn{
		buf: jitter.NewBuffer(jitter.Config{}), samples: c.AudioSamples, dec: dec,
		held: make([]byte, 0, jitter.MaxPayload), jump: true,
	}, nil
}

// push takes a packet as it comes, one at a time.
func (a *audioIn) push(p *plane.Packet) {
	quiet := false
	if p.Ext.HasLevel {
		dbov := int32(p.Ext.Level)
		a.level.Store(dbov)
		a.levelAt.Store(p.At.UnixNano())
		quiet = dbov <= quietDBOV
	}
	if len(p.Payload) == 0 {
		return // padding alone, a probe
	}
	n, ok := a.samples(p.Payload)
	if !ok {
		a.badCount.Add(1)
		return
	}
	a.buf.SetQuiet(quiet)
	a.buf.Push(p.At, p.SequenceNumber, p.Timestamp, n, p.Payload)
}

// Level answers what the newest packet announced.
func (a *audioIn) Level(now time.Time) (dbov float64, ok bool) {
	at := a.levelAt.Load()
	return float64(a.level.Load()), at != 0 && now.UnixNano()-at <= int64(levelAge)
}

// Announces reports whether a level was ever announced.
func (a *audioIn) Announces() bool { return a.levelAt.Load() != 0 }

// Configure sets what the room asks for.
func (a *audioIn) Configure(mixer.AudioInConfig) {}

// Notify has wake called with each packet that may hold sound.
func (a *audioIn) Notify(wake func()) { a.wake.Store(&wake) }

// ReadAudio fills dst with what is due at now.
func (a *audioIn) ReadAudio(now time.Time, dst *pcm.Block) mixer.Origin {
	a.resume()
	origin, n := mixer.Silence, 0
	var out []float32
	for n < pcm.Samples {
		if a.pos == a.have && !a.next(now) {
			break
		}
		if out == nil {
			dst.SetChannels(1)
			out = dst.Data()
		}
		c := copy(out[n:], a.pcm[a.pos:a.have])
		a.pos, n = a.pos+c, n+c
		origin = max(origin, a.last)
	}
	if n == 0 && !a.sounding {
		return mixer.Silence
	}
	if n == 0 {
		dst.SetChannels(1)
		out = dst.Data()
		origin = mixer.Concealed
	}
	a.smooth(out, n)
	return origin
}

// smooth fades in what does not continue the block before, and lets sound that
// ends after n samples fade away.
func (a *audioIn) smooth(out []float32, n int) {
	if a.jump && n > 0 {
		for i := range min(ramp, n) {
			out[i] *= float32(i) / ramp
		}
		a.jump = false
	}
	a.sounding = n == len(out)
	if a.sounding {
		return
	}
	a.jump = true
	tail := out[n:]
	if a.dec.Conceal(tail) != nil {
		clear(tail)
		return
	}
	for i := range min(ramp, len(tail)) {
		tail[i] *= 1 - float32(i+1)/ramp
	}
	clear(tail[min(ramp, len(tail)):])
}

// next decodes the piece that is due; false where none is.
func (a *audioIn) next(now time.Time) bool {
	p, status := a.buf.Pop(now)
	switch status {
	case jitter.Ready:
		a.decode(p.Payload, p.Samples)
	case jitter.Lost:
		a.fill(p)
	default:
		return false
	}
	a.pos = 0
	return a.have > 0
}

// decode makes the payload the piece at hand; damage is concealed.
func (a *audioIn) decode(payload []byte, samples int) {
	n, err := a.dec.Decode(payload, a.pcm[:])
	a.have, a.last = n, mixer.Voice
	if err != nil || n <= 0 || n > len(a.pcm) {
		a.badCount.Add(1)
		a.conceal(samples)
	}
}

// fill stands in for a lost packet.
func (a *audioIn) fill(p jitter.Packet) {
	if p.Next != nil && a.dec.Recover(p.Next, a.pcm[:p.Samples:p.Samples]) == nil {
		a.have, a.last = p.Samples, mixer.Recovered
		return
	}
	a.conceal(p.Samples)
}

func (a *audioIn) conceal(samples int) {
	a.have, a.last = samples, mixer.Concealed
	if a.dec.Conceal(a.pcm[:samples:samples]) != nil {
		clear(a.pcm[:samples])
	}
}

// resume decodes the piece that was passed over last, so that the decoder has
// heard what comes right before that which is due: its first packet after a
// pause would be off otherwise. Where that piece is not used up it is played on.
func (a *audioIn) resume() {
	if len(a.held) == 0 {
		return
	}
	pos := a.pos
	a.decode(a.held, a.have)
	a.pos = min(pos, a.have)
	a.held = a.held[:0]
}

// Skip lets the 20 ms due at now pass undecoded.
func (a *audioIn) Skip(now time.Time) {
	a.jump, a.sounding = true, false
	for left := pcm.Samples; left > 0; {
		if a.pos < a.have {
			n := min(left, a.have-a.pos)
			a.pos, left = a.pos+n, left-n
			continue
		}
		p, status := a.buf.Pop(now)
		a.held, a.have, a.pos = a.held[:0], 0, 0
		switch status {
		case jitter.Ready:
			a.held, a.have = append(a.held, p.Payload...), p.Samples
		case jitter.Lost:
			clear(a.pcm[:p.Samples])
			a.have, a.last = p.Samples, mixer.Concealed
		default:
			return
		}
	}
}
