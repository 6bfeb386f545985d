package sound

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
	"tutti/transport/rtc"
	"tutti/transport/transporttest"
)

// encoders are those of the program (cmd/tutti, which nobody can import).
type encoders struct{}

func (encoders) NewAudioEncoder(c mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	e := opus.EncoderConfig{Channels: c.Channels, BitrateBPS: c.BitrateBPS, Application: opus.Audio}
	if c.LossPercent > 0 {
		e.Application, e.FEC, e.PacketLossPercent = opus.VoIP, true, c.LossPercent
	}
	return opus.NewEncoder(e)
}

func (encoders) NewVideoEncoder(mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	return nil, errors.New("here is nothing to see")
}

// hall is a room, and before it, once somebody dials in, a gateway on a virtual
// network.
type hall struct {
	t       *testing.T
	rooms   *mixer.Rooms
	room    *mixer.Room
	net     *transporttest.Network
	gateway *rtc.Gateway
	pool    i420.Pool
	exits   []func()
}

// newHall opens a room whose settings are the default but for what change says.
// It is for a bubble of virtual time; close it there.
func newHall(t *testing.T, codecs mixer.Codecs, change func(*mixer.AudioSettings)) *hall {
	t.Helper()
	h := &hall{t: t}
	var err error
	if h.rooms, err = mixer.NewRooms(mixer.Config{Codecs: codecs}); err != nil {
		t.Fatal(err)
	}
	s := mixer.DefaultSettings()
	if change != nil {
		change(&s.Audio)
	}
	if h.room, err = h.rooms.Create("hall", s); err != nil {
		t.Fatal(err)
	}
	return h
}

// close ends all, the last opened first.
func (h *hall) close() {
	for i := len(h.exits) - 1; i >= 0; i-- {
		h.exits[i]()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := h.rooms.Close(ctx)
	if h.gateway != nil {
		err = errors.Join(err, h.gateway.Close(ctx), h.net.Close())
	}
	if err != nil {
		h.t.Error(err)
	}
}

// connect puts the gateway at 10.0.0.1.
func (h *hall) connect() {
	h.t.Helper()
	var err error
	if h.net, err = transporttest.NewNetwork(transporttest.Link{Delay: 20 * time.Millisecond, Seed: 5}); err != nil {
		h.t.Fatal(err)
	}
	host, err := h.net.Host("10.0.0.1")
	if err != nil {
		h.t.Fatal(err)
	}
	h.gateway, err = rtc.New(rtc.Config{
		Listen: "10.0.0.1:7882", Net: host, Pool: &h.pool, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Codecs: rtc.Codecs{
			NewAudioDecoder: func(n int) (rtc.AudioDecoder, error) { return opus.NewDecoder(n) },
			NewVideoDecoder: func(int, int) (rtc.VideoDecoder, error) { return nil, errors.New("here is nothing to see") },
			AudioSamples:    opus.SampleCount,
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// seat lets somebody into the room without a network.
func (h *hall) seat(id string, in mixer.AudioIn) *mixer.Participant {
	h.t.Helper()
	p, err := h.room.Join(mixer.JoinConfig{ID: id, Role: mixer.Both, Audio: in})
	if err != nil {
		h.t.Fatal(err)
	}
	p.Activate()
	return p
}

// listen subscribes an ear to the room, without one participant's own voice
// where without names one.
func (h *hall) listen(without string, e *ear) *mixer.Subscription {
	h.t.Helper()
	sub, err := h.room.Subscribe(mixer.SubscribeConfig{Sink: e, Audio: true, Without: without, Continuous: e.continuous})
	if err != nil {
		h.t.Fatal(err)
	}
	return sub
}

// ear is a listener: its decoder takes every packet in order and conceals what
// is not there.
type ear struct {
	t          *testing.T
	channels   int
	continuous bool
	// heard, if not nil, is given each block instead of its being kept.
	heard func(samples []float32)

	mu      sync.Mutex
	dec     *opus.Decoder // nil: the packets are those of mixertest.Codecs
	begun   bool
	first   int64 // number of the first block
	next    int64 // number of the block that is due
	packets int
	missing int // blocks for which no packet came
	sound   []float32
	newest  []float32 // the block heard last
}

// newEar answers the ear of a client with Opus.
func newEar(t *testing.T, channels int) *ear {
	t.Helper()
	dec, err := opus.NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	return &ear{t: t, channels: channels, dec: dec}
}

func newMonoEar(t *testing.T) *ear { return newEar(t, 1) }

// newPlainEar answers one for a room that does not compress.
func newPlainEar(t *testing.T) *ear { return &ear{t: t, channels: 1} }

// WriteVideo implements mixer.Sink.
func (*ear) WriteVideo(*codec.Packet) {}

// WriteAudio implements mixer.Sink.
func (e *ear) WriteAudio(p *codec.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	block := int64(p.PTS / pcm.Duration)
	if p.PTS%pcm.Duration != 0 || p.Duration != pcm.Duration {
		e.t.Errorf("a block of %v at %v", p.Duration, p.PTS)
	}
	switch {
	case !e.begun:
		e.begun, e.first, e.next = true, block, block
	case block < e.next:
		e.t.Errorf("block %d comes after block %d", block, e.next-1)
		return
	}
	out := make([]float32, pcm.Samples*e.channels)
	for ; e.next < block; e.next++ {
		e.missing++
		if e.dec != nil {
			if err := e.dec.Conceal(out); err != nil {
				e.t.Error(err)
			}
		}
		e.take(out)
	}
	e.next++
	e.packets++
	if e.dec == nil {
		e.take(mixertest.Samples(p))
		return
	}
	if n, err := e.dec.Decode(p.Data, out); err != nil || n != pcm.Samples {
		e.t.Errorf("block %d has %d samples: %v", block, n, err)
	}
	e.take(out)
}

func (e *ear) take(samples []float32) {
	e.newest = append(e.newest[:0], samples...)
	if e.heard != nil {
		e.heard(samples)
		return
	}
	e.sound = append(e.sound, samples...)
}

// do runs fn while nothing is heard: for what heard touches too.
func (e *ear) do(fn func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn()
}

// counts answers how many packets came, and how many blocks had none.
func (e *ear) counts() (packets, missing int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.packets, e.missing
}

// now answers how loud the newest block is, in dBov.
func (e *ear) now() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return level(e.newest)
}

// whole answers all that was heard, and fails where a block is missing.
func (e *ear) whole() []float32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.missing > 0 {
		e.t.Errorf("%d blocks are missing", e.missing)
	}
	return append([]float32(nil), e.sound...)
}

// since answers what was heard from a moment of the room's clock on.
func (e *ear) since(at time.Duration) []float32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := max(0, int(int64(at/pcm.Duration)-e.first)) * pcm.Samples * e.channels
	return append([]float32(nil), e.sound[min(from, len(e.sound)):]...)
}
