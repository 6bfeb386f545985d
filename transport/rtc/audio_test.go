package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtp"

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
	if v.dec.decoded != decoded+1+warmUp {
		t.Errorf("%d packets decoded for one and the %d before it", v.dec.decoded-decoded, warmUp)
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
