package mixer

import (
	"testing"
	"time"

	"tutti/codec"
	"tutti/codec/pcm"
)

type silentEncoder struct{}

func (silentEncoder) Encode(dst []byte, _ *pcm.Block, _ bool) ([]byte, error) {
	return append(dst[:0], 1, 2, 3), nil
}
func (silentEncoder) Close() {}

type silentCodecs struct{}

func (silentCodecs) NewAudioEncoder(AudioEncoderConfig) (AudioEncoder, error) {
	return silentEncoder{}, nil
}

func (silentCodecs) NewVideoEncoder(VideoEncoderConfig) (VideoEncoder, error) { panic("no picture") }

type constantVoice struct{ level float64 }

func (v constantVoice) Level(time.Time) (float64, bool) { return v.level, true }
func (v constantVoice) Announces() bool                 { return true }
func (v constantVoice) Skip(time.Time)                  {}
func (constantVoice) Configure(AudioInConfig)           {}
func (constantVoice) Notify(func())                     {}

func (v constantVoice) ReadAudio(_ time.Time, dst *pcm.Block) Origin {
	dst.Clear()
	return Voice
}

type discard struct{}

func (discard) WriteAudio(*codec.Packet) {}
func (discard) WriteVideo(*codec.Packet) {}

// A tick allocates nothing but the packets that leave: their headers and their
// bytes, for each encoded mix.
func TestAudioTickAllocatesOnlyPackets(t *testing.T) {
	rooms, err := NewRooms(Config{Codecs: silentCodecs{}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(rooms, "r", DefaultSettings())
	sc := &scene{version: 1, maxTalkers: 8}
	const talking, silent = 3, 40
	for i := range talking + silent {
		level := pcm.SilenceDBOV
		if i < talking {
			level = -20
		}
		v := &voice{in: constantVoice{level}}
		sc.seats = append(sc.seats, seat{id: "x", voice: v, gain: 1})
		s := &Subscription{room: r, cfg: SubscribeConfig{Sink: discard{}}, own: &Participant{voice: v}}
		sc.audience = append(sc.audience, listener{sub: s})
	}
	core := newAudioCore(r, r.audioConfig())
	now, n := time.Now(), 0
	tick := func() {
		n++
		core.tick(now.Add(time.Duration(n)*pcm.Duration), sc, time.Duration(n)*pcm.Duration, false)
	}
	for range 200 {
		tick()
	}
	if got, want := testing.AllocsPerRun(500, tick), 2.0*(talking+1); got > want {
		t.Errorf("%v allocations a tick, want %v: two for each of %d mixes", got, want, talking+1)
	}
}

type counter struct{ n int }

func (c *counter) WriteAudio(*codec.Packet) { c.n++ }
func (c *counter) WriteVideo(*codec.Packet) { c.n++ }

// A loop that took its scene before a subscription was closed must not reach
// the sink any more.
func TestClosedSubscriptionIsNotWritten(t *testing.T) {
	rooms, err := NewRooms(Config{Codecs: silentCodecs{}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(rooms, "r", DefaultSettings())
	sink := &counter{}
	s, err := r.Subscribe(SubscribeConfig{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	s.writeAudio(&codec.Packet{})
	s.Close()
	s.writeAudio(&codec.Packet{})
	s.writeVideo(&codec.Packet{})
	if sink.n != 1 {
		t.Errorf("%d packets, want the one before Close", sink.n)
	}
}
