package sound

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/rtc"
	"tutti/transport/transporttest"
	"tutti/transport/transporttest/badlink"
)

var spoken sync.Map // name to samples

// voice answers what one of the demo's voices says, as samples at 48 kHz.
func voice(t *testing.T, name string) []float32 {
	t.Helper()
	if s, ok := spoken.Load(name); ok {
		return s.([]float32)
	}
	v, err := speech.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(v.Packets)*pcm.Samples)
	for i, p := range v.Packets {
		if _, err := dec.Decode(p.Opus, out[i*pcm.Samples:(i+1)*pcm.Samples]); err != nil {
			t.Fatal(err)
		}
	}
	spoken.Store(name, out)
	return out
}

// sine answers d of a tone.
func sine(hz, amplitude float64, d time.Duration) []float32 {
	out := make([]float32, int(d.Seconds()*pcm.Rate))
	for i := range out {
		out[i] = float32(amplitude * math.Sin(2*math.Pi*hz/pcm.Rate*float64(i)))
	}
	return out
}

// faded answers a sound that begins and ends in a fade of 40 ms.
func faded(sound []float32) []float32 {
	const n = pcm.Rate / 25
	for i := range n {
		sound[i] *= float32(i) / n
		sound[len(sound)-1-i] *= float32(i) / n
	}
	return sound
}

// tape is a voice without a network that plays a sound once, or around for ever,
// and announces the level of the block to come.
type tape struct {
	sound []float32
	loop  bool

	mu    sync.Mutex
	at    int // samples played
	stop  bool
	quiet bool
	wake  func()
}

// hush lets silence be sent instead of the sound, which waits, or lets it go on.
func (p *tape) hush(on bool) {
	p.mu.Lock()
	p.quiet = on
	p.mu.Unlock()
	p.wake() // each packet does
}

// pause stops what is said, or lets it go on.
func (p *tape) pause(on bool) {
	p.mu.Lock()
	p.stop = on
	wake := p.wake
	p.mu.Unlock()
	if !on && wake != nil {
		wake()
	}
}

// rest answers how long it is until the sound begins again.
func (p *tape) rest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(len(p.sound)-p.at%len(p.sound)) * time.Second / pcm.Rate
}

// block answers the next 20 ms; nil where nothing is said.
func (p *tape) block() []float32 {
	if p.quiet {
		return silence
	}
	if p.stop || len(p.sound) < pcm.Samples || !p.loop && p.at+pcm.Samples > len(p.sound) {
		return nil
	}
	at := p.at % (len(p.sound) / pcm.Samples * pcm.Samples)
	return p.sound[at : at+pcm.Samples]
}

var silence = make([]float32, pcm.Samples)

// Level implements mixer.AudioIn.
func (p *tape) Level(time.Time) (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.block()
	if b == nil {
		return 0, false
	}
	return level(b), true
}

// Announces implements mixer.AudioIn.
func (*tape) Announces() bool { return true }

// ReadAudio implements mixer.AudioIn.
func (p *tape) ReadAudio(_ time.Time, dst *pcm.Block) mixer.Origin {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.block()
	if b == nil {
		return mixer.Silence
	}
	p.pass()
	d, channels := dst.Data(), dst.Channels()
	for i, s := range b {
		for c := range channels {
			d[i*channels+c] = s
		}
	}
	return mixer.Voice
}

// Skip implements mixer.AudioIn.
func (p *tape) Skip(time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.block() != nil {
		p.pass()
	}
}

func (p *tape) pass() {
	if !p.quiet {
		p.at += pcm.Samples
	}
}

// Configure implements mixer.AudioIn.
func (*tape) Configure(mixer.AudioInConfig) {}

// Notify implements mixer.AudioIn.
func (p *tape) Notify(wake func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = wake
}

// level answers a sound's root mean square in dBov.
func level(sound []float32) float64 {
	sum := 0.0
	for _, s := range sound {
		sum += float64(s) * float64(s)
	}
	return max(pcm.SilenceDBOV, 10*math.Log10(sum/float64(max(1, len(sound)))+1e-30))
}

// caller is a client on the virtual network who says what it is given.
type caller struct {
	*transporttest.Client
	enc      *opus.Encoder
	channels int
	loss     *badlink.Pipe[struct{}] // nil: nothing is lost

	lost, longest, run int // packets in all, most and now on end
}

// dial lets a client in, as one with an encoder such as a browser's.
func (h *hall) dial(id, ip string, cfg opus.EncoderConfig) *caller {
	h.t.Helper()
	if h.gateway == nil {
		h.connect()
	}
	host, err := h.net.Host(ip)
	if err != nil {
		h.t.Fatal(err)
	}
	c := &caller{channels: cfg.Channels}
	if c.enc, err = opus.NewEncoder(cfg); err != nil {
		h.t.Fatal(err)
	}
	c.Client, err = transporttest.NewClient(transporttest.ClientConfig{Net: host, Audio: webrtc.RTPTransceiverDirectionSendrecv})
	if err != nil {
		h.t.Fatal(err)
	}
	h.exits = append(h.exits, func() {
		if err := c.Close(); err != nil {
			h.t.Error(err)
		}
		c.enc.Close()
	})
	offer, err := c.Offer(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	peer, err := h.gateway.Open(h.t.Context(), h.room, rtc.Request{ID: id, Name: id, Role: mixer.Both, Offer: offer})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Answer(peer.Answer()); err != nil {
		h.t.Fatal(err)
	}
	<-c.Connected()
	return c
}

// say sends a sound, interleaved where the client's is stereo, a packet every 20 ms less drift: what the sender's clock is
// fast by, in parts of a million.
func (h *hall) say(c *caller, sound []float32, driftPPM float64) {
	var b pcm.Block
	b.SetChannels(c.channels)
	size := len(b.Data())
	buf := make([]byte, 0, opus.MaxPacketBytes)
	begin := time.Now()
	for n := 0; (n+1)*size <= len(sound); n++ {
		copy(b.Data(), sound[n*size:])
		packet, err := c.enc.Encode(buf, &b, false)
		if err == nil && c.loses(len(packet)) {
			c.DropAudio(pcm.Samples)
		} else if err == nil {
			err = c.SendAudio(packet, pcm.Samples, int(math.Round(max(-127, min(0, b.Level())))))
		}
		if err != nil {
			h.t.Error(err)
			return
		}
		due := float64(n+1) * float64(pcm.Duration) / (1 + driftPPM/1e6)
		time.Sleep(time.Until(begin.Add(time.Duration(due))))
	}
}

// loses decides the fate of the next packet.
func (c *caller) loses(size int) bool {
	if c.loss == nil {
		return false
	}
	now := time.Now()
	lost := c.loss.Push(now, size, struct{}{}) == badlink.Lost
	for {
		if _, _, ok := c.loss.Pop(now); !ok {
			break
		}
	}
	if !lost {
		c.run = 0
		return false
	}
	c.lost++
	c.run++
	c.longest = max(c.longest, c.run)
	return true
}
