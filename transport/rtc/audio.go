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
	// quietDBOV is the announced level up to which a packet holds no sound.
	quietDBOV = -60
	// dtxPayload is the longest payload that holds no sound: an Opus packet of no
	// frames (RFC 6716, section 3.1).
	dtxPayload = 2
	// ramp is the length of a fade in or out, 5 ms in samples: short enough to
	// keep a consonant, long enough not to click.
	ramp = 240
	// lossGrain is what the duration of a loss is a multiple of, in samples.
	lossGrain = pcm.Rate / 400
	// handful is how many samples per channel the sound at hand may have: the longest
	// packet, a short one before it and a period that is put in.
	handful = jitter.MaxSamples + pcm.Samples + pcm.MaxPeriod
	// warmUp is how many of the packets that were passed over are decoded before
	// the first that is heard: speech is then off by -28 dB at first, with one by -8.
	warmUp = 5
)

// severity orders the origins by how much a block of them departs from what was
// said; that of a block is the worst of its pieces.
var severity = [mixer.Origins]int{mixer.Voice: 1, mixer.Stretched: 2, mixer.Recovered: 3, mixer.Concealed: 4}

// audioIn is a participant's voice: packets are pushed as they come and pulled,
// decoded only then, by the audio loop. In between stands the jitter buffer; what
// it has too much or too little is stretched away, and the sender's clock is
// followed by resampling.
type audioIn struct {
	buf     *jitter.Buffer
	samples func(payload []byte) (int, bool)
	decoder func(channels int) (AudioDecoder, error)

	// What the newest packet announced; written by push.
	level    atomic.Int32 // dBov
	levelAt  atomic.Int64 // Unix time in nanoseconds, 0: never
	badCount atomic.Uint64
	wake     atomic.Pointer[func()]
	source   uint32 // SSRC of the newest packet
	begun    bool

	// Samples that were taken out and put in to move the delay.
	shortened, lengthened atomic.Uint64

	// owned by the audio loop
	channels  int
	dec       AudioDecoder
	pcm       []float32    // the sound at hand, interleaved, where decoded
	have, pos int          // its samples per channel, and how many of them are used up
	last      mixer.Origin // of it
	passed    history      // the packets passed over undecoded, that at hand the last
	jump      bool         // the next sound does not continue the last
	sounding  bool         // the last block ended in sound
	stretch   stretcher
	steering  jitter.Steering
	rate      pcm.Resampler
}

func newAudioIn(c Codecs) (*audioIn, error) {
	a := &audioIn{buf: jitter.NewBuffer(jitter.Config{}), samples: c.AudioSamples, decoder: c.NewAudioDecoder, jump: true}
	if err := a.open(1); err != nil {
		return nil, err
	}
	return a, nil
}

// open begins to decode to so many channels.
func (a *audioIn) open(channels int) error {
	dec, err := a.decoder(channels)
	if err != nil {
		return err
	}
	a.dec, a.channels, a.pcm = dec, channels, make([]float32, handful*channels)
	a.have, a.pos, a.jump, a.sounding = 0, 0, true, false
	a.rate.Reset(channels)
	return nil
}

// push takes a packet as it comes, one at a time.
func (a *audioIn) push(p *plane.Packet) {
	sound := len(p.Payload) > dtxPayload
	if p.Ext.HasLevel {
		dbov := int32(p.Ext.Level)
		a.level.Store(dbov)
		a.levelAt.Store(p.At.UnixNano())
		sound = dbov > quietDBOV
	}
	if len(p.Payload) == 0 {
		return // padding alone, a probe
	}
	n, ok := a.samples(p.Payload)
	if !ok {
		a.badCount.Add(1)
		return
	}
	if a.begun && a.source != p.SSRC {
		a.buf.Reset()
	}
	a.begun, a.source = true, p.SSRC
	a.buf.Push(p.At, p.SequenceNumber, p.Timestamp, n, p.Payload)
	if wake := a.wake.Load(); sound && wake != nil {
		(*wake)()
	}
}

// Level answers what the newest packet announced.
func (a *audioIn) Level(now time.Time) (dbov float64, ok bool) {
	at := a.levelAt.Load()
	return float64(a.level.Load()), at != 0 && now.UnixNano()-at <= int64(levelAge)
}

// Announces reports whether a level was ever announced.
func (a *audioIn) Announces() bool { return a.levelAt.Load() != 0 }

// Configure sets what the room asks for. Where there is no decoder for that many
// channels it stays with those it has.
func (a *audioIn) Configure(c mixer.AudioInConfig) {
	a.buf.SetBounds(c.MinDelay, c.MaxDelay)
	if c.Channels != a.channels && a.open(c.Channels) != nil {
		a.badCount.Add(1)
	}
}

// Notify has wake called with each packet that may hold sound.
func (a *audioIn) Notify(wake func()) { a.wake.Store(&wake) }

// ReadAudio fills dst with what is due at now.
func (a *audioIn) ReadAudio(now time.Time, dst *pcm.Block) mixer.Origin {
	a.resume()
	origin, n := mixer.Silence, 0
	var out []float32
	for n < pcm.Samples {
		if a.pos == a.have && !a.next(now, n) {
			break
		}
		if out == nil {
			out = a.outline(dst)
		}
		n += a.play(out[n*a.channels:])
		if severity[a.last] > severity[origin] {
			origin = a.last
		}
	}
	if n == 0 && !a.sounding {
		return mixer.Silence
	}
	if out == nil {
		out, origin = a.outline(dst), mixer.Concealed
	}
	a.smooth(out, n)
	return origin
}

// outline gives a block the channels and answers its samples.
func (a *audioIn) outline(dst *pcm.Block) []float32 {
	dst.SetChannels(a.channels)
	return dst.Data()
}

// play puts what is at hand into out and answers how many samples per channel
// those are.
func (a *audioIn) play(out []float32) int {
	made, used := a.rate.Process(out, a.pcm[a.pos*a.channels:a.have*a.channels])
	a.pos += used
	return made
}

// smooth fades in what does not continue the block before, and lets sound that
// ends after n samples fade away.
func (a *audioIn) smooth(out []float32, n int) {
	if a.jump && n > 0 {
		a.fade(out, min(ramp, n), 0, 1)
		a.jump = false
	}
	a.sounding = n == pcm.Samples
	if a.sounding {
		return
	}
	a.jump = true
	a.drop()
	a.conceal(ramp)
	end := n + a.play(out[n*a.channels:])
	a.drop()
	begin := max(0, min(n, end-ramp)) // a block that ends soon fades before
	a.fade(out[begin*a.channels:], end-begin, 1, 0)
	clear(out[end*a.channels:])
	a.rate.Reset(a.channels)
}

// fade brings the first n samples per channel from one gain to another.
func (a *audioIn) fade(out []float32, n int, from, to float32) {
	for i := range n {
		g := from + (to-from)*float32(i+1)/float32(n+1)
		for c := range a.channels {
			out[i*a.channels+c] *= g
		}
	}
}

// drop forgets the sound at hand.
func (a *audioIn) drop() { a.have, a.pos = 0, 0 }

// next gets the sound that is due, filled samples after the tick's begin; false
// where there is none.
func (a *audioIn) next(now time.Time, filled int) bool {
	a.drop()
	p, status := a.buf.Pop(now)
	switch status {
	case jitter.Ready:
		a.decode(p.Payload, p.Samples)
		if a.last == mixer.Voice {
			a.adjust(now, &p, filled)
		}
	case jitter.Lost:
		a.fill(p)
	default:
		return false
	}
	return a.have > 0
}

// decode puts the payload's sound behind what is at hand; damage is concealed.
func (a *audioIn) decode(payload []byte, samples int) {
	into := a.pcm[a.have*a.channels:]
	n, err := a.dec.Decode(payload, into)
	if err != nil || n <= 0 || n > len(into)/a.channels {
		a.badCount.Add(1)
		a.conceal(samples)
		return
	}
	a.have, a.last = a.have+n, mixer.Voice
}

// fill stands in for a lost packet.
func (a *audioIn) fill(p jitter.Packet) {
	from, to := a.have*a.channels, (a.have+p.Samples)*a.channels
	if p.Next != nil && a.dec.Recover(p.Next, a.pcm[from:to:to]) == nil {
		a.have, a.last = a.have+p.Samples, mixer.Recovered
		return
	}
	a.conceal(p.Samples)
}

// conceal puts an invention behind what is at hand. A decoder invents in grains.
func (a *audioIn) conceal(samples int) {
	whole := (samples + lossGrain - 1) / lossGrain * lossGrain
	from, to := a.have*a.channels, (a.have+whole)*a.channels
	if a.dec.Conceal(a.pcm[from:to:to]) != nil {
		clear(a.pcm[from:to])
	}
	a.have, a.last = a.have+samples, mixer.Concealed
}

// resume decodes the packets that were passed over last, so that the decoder has
// heard what comes right before that which is due: its first packets after a
// pause would be off otherwise. Where the last is not used up it is played on.
func (a *audioIn) resume() {
	if a.passed.n == 0 {
		return
	}
	have, pos := a.have, a.pos
	for i := range a.passed.n {
		payload, samples := a.passed.at(i)
		a.have = 0
		a.decode(payload, samples)
	}
	a.passed.n = 0
	a.have = min(have, a.have)
	a.pos = min(pos, a.have)
}

// Skip lets the 20 ms due at now pass undecoded. Delay is taken and given back
// at once, for nobody hears it.
func (a *audioIn) Skip(now time.Time) {
	a.jump, a.sounding = true, false
	a.rate.Reset(a.channels)
	for left := pcm.Samples; left > 0; {
		if a.pos < a.have {
			n := min(left, a.have-a.pos)
			a.pos, left = a.pos+n, left-n
			continue
		}
		a.drop()
		p, status := a.buf.Pop(now)
		switch status {
		case jitter.Ready:
			a.passed.add(p.Payload, p.Samples)
			a.have = p.Samples
			excess := p.Excess(pcm.Samples - left)
			if excess < 0 {
				return
			}
			a.pos = min(excess, a.have)
		case jitter.Lost:
			a.passed.n = 0
			clear(a.pcm[:p.Samples*a.channels])
			a.have, a.last = p.Samples, mixer.Concealed
		default:
			return
		}
	}
}
