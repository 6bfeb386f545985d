package rtc

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/plane"
)

// voice is an audioIn with a clock of its own and a sender that can be driven.
type voice struct {
	*audioIn
	dec   *countingDecoder
	now   time.Time
	seq   uint16
	ts    uint32
	block pcm.Block
}

func newVoice(t testing.TB) *voice {
	c := fakeCodecs()
	v := &voice{dec: &countingDecoder{}, now: time.Unix(1000, 0)}
	c.NewAudioDecoder = func(int) (AudioDecoder, error) { return v.dec, nil }
	a, err := newAudioIn(c)
	if err != nil {
		t.Fatal(err)
	}
	v.audioIn = a
	return v
}

// say pushes a packet of so many milliseconds and that value; lose counts it
// without pushing.
func (v *voice) say(ms, value byte) {
	p := &rtp.Packet{Header: rtp.Header{SequenceNumber: v.seq, Timestamp: v.ts}, Payload: []byte{ms, value, 0, 0}} // up to 2 bytes would be DTX
	v.lose(ms)
	v.push(v.packet(p))
}

// packet is p as it comes now.
func (v *voice) packet(p *rtp.Packet) *plane.Packet { return &plane.Packet{Packet: *p, At: v.now} }

func (v *voice) lose(ms byte) { v.seq++; v.ts += uint32(ms) * 48 }

// read pulls the next block.
func (v *voice) read() mixer.Origin {
	o := v.ReadAudio(v.now, &v.block)
	v.now = v.now.Add(pcm.Duration)
	return o
}

func (v *voice) skip() {
	v.Skip(v.now)
	v.now = v.now.Add(pcm.Duration)
}

// run says and reads n blocks of 20 ms.
func (v *voice) run(n int, value byte) {
	for range n {
		v.say(20, value)
		v.read()
	}
}

// jump answers the largest step between two samples of the block.
func jump(b *pcm.Block, before float32) (step float32) {
	for _, s := range b.Data() {
		step = max(step, s-before, before-s)
		before = s
	}
	return step
}

func TestVoiceIsDecodedInOrder(t *testing.T) {
	v := newVoice(t)
	v.run(20, 50)
	v.say(20, 50)
	if o := v.read(); o != mixer.Voice || v.block.Data()[0] != 0.5 || v.block.Channels() != 1 {
		t.Errorf("origin %v, sample %v", o, v.block.Data()[0])
	}
	if v.dec.decoded < 20 || v.dec.concealed > 1 { // the first waits for the jitter's floor
		t.Errorf("%+v", v.dec)
	}
}

// TestLongPackets plays packets of 10, 40, 60 and 120 ms without a gap.
func TestLongPackets(t *testing.T) {
	for _, ms := range []byte{10, 40, 60, 120} {
		v := newVoice(t)
		var gaps int
		for i := range 120 { // 2.4 s
			if at := i * 20; at%int(max(ms, 20)) == 0 {
				for range max(1, 20/int(ms)) {
					v.say(ms, 50)
				}
			}
			if o := v.read(); o != mixer.Voice && i > 60 {
				gaps++
			}
		}
		if gaps > 0 || v.dec.concealed > 10 {
			t.Errorf("%d ms: %d gaps, %+v", ms, gaps, v.dec)
		}
	}
}

func TestLossIsRecoveredOrConcealed(t *testing.T) {
	v := newVoice(t)
	v.run(10, 50)
	// One is lost, the one after it is there when its turn comes: recovered.
	v.lose(20)
	v.say(20, 50)
	origins := map[mixer.Origin]int{}
	for range 5 {
		o := v.read()
		if origins[o]++; o == mixer.Recovered && v.block.Data()[10] != 0.49 {
			t.Errorf("recovered %v", v.block.Data()[10])
		}
		v.say(20, 50)
	}
	if origins[mixer.Recovered] != 1 || origins[mixer.Voice] != 4 || v.dec.recovered != 1 {
		t.Errorf("origins %v", origins)
	}
	// Nothing comes: concealed, then silence by a fade without a step.
	var last float32
	sawSilence := false
	for v.read() == mixer.Voice {
	}
	for range 20 {
		last = v.block.Data()[pcm.Samples-1]
		o := v.read()
		if o == mixer.Silence {
			sawSilence = true
			break
		}
		if o != mixer.Concealed {
			t.Fatalf("nothing came and the origin is %v", o)
		}
		if d := jump(&v.block, last); d > 0.02 {
			t.Errorf("a step of %v", d)
		}
	}
	if !sawSilence || v.block.Data()[pcm.Samples-1] != 0 {
		t.Errorf("no silence after 400 ms without a packet, or not by a fade")
	}
}

// TestReturnFadesIn speaks after silence and after having been skipped.
func TestReturnFadesIn(t *testing.T) {
	v := newVoice(t)
	for range 30 {
		v.read()
	}
	v.say(20, 50)
	for v.read() == mixer.Silence {
	}
	if d := jump(&v.block, 0); d > 0.02 {
		t.Errorf("after silence a step of %v", d)
	}
	v.run(10, 50)
	decoded := v.dec.decoded
	for range 50 {
		v.say(20, 50)
		v.skip()
	}
	if v.dec.decoded != decoded {
		t.Errorf("%d packets were decoded for nobody", v.dec.decoded-decoded)
	}
	v.say(20, 50)
	if o := v.read(); o != mixer.Voice {
		t.Errorf("heard again: %v", o)
	}
	if v.dec.decoded != decoded+6 {
		t.Errorf("%d packets decoded for one and the 5 before it", v.dec.decoded-decoded)
	}
	if d := jump(&v.block, 0); d > 0.02 {
		t.Errorf("after having been skipped a step of %v", d)
	}
}

// TestSkipWithinPacket stops skipping in the middle of a packet of 60 ms: the
// rest of it is heard.
func TestSkipWithinPacket(t *testing.T) {
	v := newVoice(t)
	for range 6 {
		v.say(60, 50)
		for range 3 {
			v.read()
		}
	}
	v.say(60, 80)
	v.skip()
	if o := v.read(); o != mixer.Voice || v.block.Data()[pcm.Samples-1] != 0.8 {
		t.Errorf("the rest of a skipped packet: %v %v", o, v.block.Data()[pcm.Samples-1])
	}
}

func TestDamagedSoundIsConcealed(t *testing.T) {
	v := newVoice(t)
	v.run(10, 50)
	v.push(v.packet(&rtp.Packet{Header: rtp.Header{SequenceNumber: v.seq, Timestamp: v.ts}, Payload: []byte{0, 0}}))
	if v.badCount.Load() != 1 {
		t.Error("a packet without duration was not counted")
	}
	v.dec.fail = true
	v.say(20, 50)
	if o := v.read(); o != mixer.Concealed || v.badCount.Load() != 2 || v.block.Data()[pcm.Samples-1] != 0.5 {
		t.Errorf("damage: %v, %d counted, ends with %v", o, v.badCount.Load(), v.block.Data()[pcm.Samples-1])
	}
}

func TestLevel(t *testing.T) {
	v := newVoice(t)
	if _, ok := v.Level(v.now); ok || v.Announces() {
		t.Error("a level before the first packet")
	}
	p := v.packet(&rtp.Packet{Header: rtp.Header{Version: 2}, Payload: []byte{20, 1}})
	v.push(p)
	if v.Announces() {
		t.Error("a packet without a level announced one")
	}
	p.Ext = plane.Extensions{HasLevel: true, Level: -42, Voice: true}
	v.push(p)
	if l, ok := v.Level(v.now.Add(100 * time.Millisecond)); !ok || l != -42 {
		t.Errorf("level %v %v", l, ok)
	}
	if _, ok := v.Level(v.now.Add(101 * time.Millisecond)); ok {
		t.Error("a level of more than 100 ms ago")
	}
}

func TestVoiceAllocatesNothing(t *testing.T) {
	v := newVoice(t)
	v.run(50, 50)
	p := v.packet(&rtp.Packet{Header: rtp.Header{}, Payload: []byte{20, 50, 0, 0}})
	say := func() {
		p.SequenceNumber, p.Timestamp, p.At = v.seq, v.ts, v.now
		v.lose(20)
		v.push(p)
	}
	if n := testing.AllocsPerRun(200, func() {
		say()
		v.skip()
		say()
		v.read()
	}); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}

// TestWakeForSound counts the calls for packets that may hold sound: by their
// level, or where they have none by their size.
func TestWakeForSound(t *testing.T) {
	v := newVoice(t)
	woken := 0
	v.say(20, 50) // nobody is there to wake
	v.Notify(func() {
		if woken++; v.buf.Stats().Buffered == 0 {
			t.Error("woken before the packet was there")
		}
	})
	say := func(payload string, ext plane.Extensions, want int) {
		t.Helper()
		woken = 0
		p := v.packet(&rtp.Packet{Header: rtp.Header{SequenceNumber: v.seq, Timestamp: v.ts}, Payload: []byte(payload)})
		p.Ext = ext
		v.lose(20)
		if v.push(p); woken != want {
			t.Errorf("%q at %d dBov: woken %d times, not %d", payload, ext.Level, woken, want)
		}
	}
	say("\x14\x01", plane.Extensions{}, 0)
	say("\x14\x01\x00", plane.Extensions{}, 1)
	say("\x14\x01\x00", plane.Extensions{HasLevel: true, Level: -60}, 0)
	say("\x14\x01\x00", plane.Extensions{HasLevel: true, Level: -59}, 1)
	say("\x00\x01\x00", plane.Extensions{HasLevel: true, Level: -10}, 0) // no sound at all
	say("", plane.Extensions{HasLevel: true, Level: -10}, 0)
}

// wideDecoder decodes to two channels of the same sound.
type wideDecoder struct{ *countingDecoder }

func (d wideDecoder) Decode(payload []byte, out []float32) (int, error) {
	n, err := d.countingDecoder.Decode(payload, out)
	for i := range out[:2*n] {
		out[i] = d.last
	}
	return n, err
}

// TestStereo decodes to two channels from when the room asks for it, and back.
func TestStereo(t *testing.T) {
	v := newVoice(t)
	v.run(10, 50)
	v.decoder = func(channels int) (AudioDecoder, error) {
		if channels == 2 {
			return wideDecoder{v.dec}, nil
		}
		return v.dec, nil
	}
	for _, channels := range []int{2, 1} {
		v.Configure(mixer.AudioInConfig{Channels: channels, MaxDelay: time.Second / 2})
		v.say(20, 50)
		if o := v.read(); o != mixer.Voice || v.block.Channels() != channels || len(v.block.Data()) != pcm.Samples*channels {
			t.Fatalf("origin %v, %d channels", o, v.block.Channels())
		}
		d := v.block.Data()
		if d[0] > .01 || d[len(d)-1] != .5 || d[len(d)/2] != .5 {
			t.Errorf("%d channels: %v, %v, %v: no fade in, or not to the end", channels, d[0], d[len(d)/2], d[len(d)-1])
		}
		v.run(10, 50)
		v.lose(20)
		for v.read() == mixer.Voice {
		}
		for v.read() == mixer.Concealed {
		}
		for range 5 {
			v.say(20, 50)
			v.read()
		}
	}
	v.decoder = func(int) (AudioDecoder, error) { return nil, errors.New("none") }
	v.Configure(mixer.AudioInConfig{Channels: 2})
	v.say(20, 50)
	if o := v.read(); o != mixer.Voice || v.block.Channels() != 1 || v.badCount.Load() != 1 {
		t.Errorf("without another decoder: origin %v, %d channels", o, v.block.Channels())
	}
}

// TestBoundsOfDelay holds what the room asks for.
func TestBoundsOfDelay(t *testing.T) {
	v := newVoice(t)
	v.Configure(mixer.AudioInConfig{Channels: 1, MinDelay: 200 * time.Millisecond, MaxDelay: 300 * time.Millisecond})
	silent := 0
	for range 20 {
		v.say(20, 50)
		if v.read() == mixer.Silence {
			silent++
		}
	}
	if silent < 9 || silent > 10 {
		t.Errorf("silent for %d blocks", silent)
	}
	for range 30 {
		v.say(20, 50)
	}
	if b := v.buf.Stats().Buffered; b != 300*time.Millisecond {
		t.Errorf("%v buffered", b)
	}
}

// TestAnotherSource plays a stream of another SSRC at once, whatever its numbers.
func TestAnotherSource(t *testing.T) {
	v := newVoice(t)
	v.run(20, 50)
	for i := range 5 {
		p := v.packet(&rtp.Packet{Header: rtp.Header{SSRC: 7, SequenceNumber: v.seq + 400 + uint16(i), Timestamp: uint32(i * 960)}, Payload: []byte{20, 80, 0, 0}})
		v.push(p)
		v.read()
	}
	if got := v.block.Data()[pcm.Samples-1]; got != .8 || v.buf.Stats().Lost > 0 {
		t.Errorf("sounds %v, %+v", got, v.buf.Stats())
	}
}

// grainDecoder invents only what a loss of Opus can last.
type grainDecoder struct{ *countingDecoder }

func (d grainDecoder) Conceal(out []float32) error {
	if len(out) == 0 || len(out)%lossGrain != 0 {
		return errors.New("no such loss")
	}
	return d.countingDecoder.Conceal(out)
}

// TestOddEndFades lets sound end anywhere within a block: it is continued in
// whole grains and fades.
func TestOddEndFades(t *testing.T) {
	for _, odd := range []int{1, 77, 240, 600, 959} {
		v := newVoice(t)
		v.run(10, 50)
		v.drop()
		for v.next(v.now, 0) { // what is buffered
		}
		v.drop()
		v.audioIn.dec = grainDecoder{v.dec}
		v.conceal(odd)
		last := v.block.Data()[pcm.Samples-1]
		if o := v.read(); o != mixer.Concealed {
			t.Fatalf("origin %v", o)
		}
		d := v.block.Data()
		if step := jump(&v.block, last); step > .02 || math.Abs(float64(d[pcm.Samples-1])) > .01 || odd <= pcm.Samples-ramp && d[odd-1] != .5 || d[0] < .4 {
			t.Errorf("after %d samples: a step of %v, from %v to %v", odd, step, d[odd-1], d[pcm.Samples-1])
		}
	}
}

// TestSkipMovesTheDelay gives delay back at once where nobody hears it.
func TestSkipMovesTheDelay(t *testing.T) {
	v := newVoice(t)
	v.run(20, 50)
	for range 10 { // a stall, and then all at once
		v.skip()
	}
	for range 10 {
		v.say(20, 50)
	}
	for range 300 {
		v.say(20, 50)
		v.skip()
	}
	if b := v.buf.Stats(); b.Buffered > 20*time.Millisecond || b.Wait > 30*time.Millisecond {
		t.Errorf("%v buffered, waits %v", b.Buffered, b.Wait)
	}
	if v.shortened.Load() > 0 {
		t.Error("what nobody hears was stretched")
	}
}

// TestFirstBlocksAfterSkip compares who is heard after having been passed over
// with who was heard all the time.
func TestFirstBlocksAfterSkip(t *testing.T) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	c := fakeCodecs()
	c.NewAudioDecoder = func(n int) (AudioDecoder, error) { return opus.NewDecoder(n) }
	c.AudioSamples = opus.SampleCount
	var voices [2]*voice
	for i := range voices {
		voices[i] = &voice{now: time.Unix(1000, 0)}
		if voices[i].audioIn, err = newAudioIn(c); err != nil {
			t.Fatal(err)
		}
	}
	var block pcm.Block
	phase := 0.0
	for n := range 120 {
		for i := range block.Data() { // a buzz whose pitch moves
			phase += (150 + 40*math.Sin(float64(n)/9)) / pcm.Rate
			block.Data()[i] = float32(.3 * math.Pow(math.Abs(math.Sin(math.Pi*phase)), 9) * math.Sin(9*phase))
		}
		payload, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &block, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range voices {
			v.push(v.packet(&rtp.Packet{Header: rtp.Header{SequenceNumber: v.seq, Timestamp: v.ts}, Payload: payload}))
			v.lose(20)
			if i == 1 && n >= 40 && n < 100 {
				v.skip()
			} else {
				v.read()
			}
		}
		if n < 100 || n > 103 {
			continue
		}
		var off, sum float64
		for i, s := range voices[0].block.Data() {
			if n == 100 && i < ramp {
				continue // the fade in
			}
			d := float64(voices[1].block.Data()[i] - s)
			off, sum = off+d*d, sum+float64(s)*float64(s)
		}
		snr := 10 * math.Log10(sum/off)
		if t.Logf("block %d: %.1f dB", n-100, snr); snr < 45 {
			t.Errorf("block %d after having been passed over is off by %.1f dB", n-100, -snr)
		}
	}
}
