package rtc

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/plane"
	"tutti/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRoom records what a peer asks of its room.
type fakeRoom struct {
	id      string
	created time.Time
	stereo  bool
	joinErr error
	subErr  error

	mu    sync.Mutex
	seats []*fakeSeat
	subs  []*fakeSub
}

func newFakeRoom() *fakeRoom { return &fakeRoom{id: "r1", created: time.Now()} }

func (r *fakeRoom) ID() string           { return r.id }
func (r *fakeRoom) CreatedAt() time.Time { return r.created }

func (r *fakeRoom) Settings() (mixer.Settings, uint64) {
	s := mixer.DefaultSettings()
	s.Audio.Stereo = r.stereo
	return s, 1
}

func (r *fakeRoom) Join(c mixer.JoinConfig) (seat, error) {
	if r.joinErr != nil {
		return nil, r.joinErr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &fakeSeat{cfg: c, left: make(chan string, 1)}
	r.seats = append(r.seats, s)
	return s, nil
}

func (r *fakeRoom) Subscribe(c mixer.SubscribeConfig) (subscription, error) {
	if r.subErr != nil {
		return nil, r.subErr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &fakeSub{cfg: c}
	r.subs = append(r.subs, s)
	return s, nil
}

func (r *fakeRoom) seat(i int) *fakeSeat {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= len(r.seats) {
		return nil
	}
	return r.seats[i]
}

func (r *fakeRoom) sub(i int) *fakeSub {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= len(r.subs) {
		return nil
	}
	return r.subs[i]
}

// fakeSeat leaves as mixer.Participant does: once, calling back without a lock.
type fakeSeat struct {
	cfg    mixer.JoinConfig
	active atomic.Bool
	once   sync.Once
	left   chan string
}

func (s *fakeSeat) Activate() { s.active.Store(true) }

func (s *fakeSeat) Leave(reason string) {
	s.once.Do(func() {
		s.left <- reason
		s.cfg.OnLeave(reason)
	})
}

type fakeSub struct {
	cfg       mixer.SubscribeConfig
	keyFrames atomic.Int32
	loss      atomic.Int32
	closed    atomic.Bool
}

func (s *fakeSub) RequestKeyFrame()  { s.keyFrames.Add(1) }
func (s *fakeSub) SetLoss(p int)     { s.loss.Store(int32(p)) }
func (s *fakeSub) Rendition() string { return "hd" }
func (s *fakeSub) Close()            { s.closed.Store(true) }

// countingDecoder decodes a packet to as many samples as its first byte has
// milliseconds, each of the value of the second byte over 100; it records calls.
type countingDecoder struct {
	decoded, recovered, concealed int
	fail                          bool
	last                          float32
}

func (d *countingDecoder) Decode(payload []byte, out []float32) (int, error) {
	if d.fail {
		return 0, errors.New("broken")
	}
	d.decoded++
	n, _ := fakeSamples(payload)
	d.last = float32(payload[1]) / 100
	for i := range out[:n] {
		out[i] = d.last
	}
	return n, nil
}

func (d *countingDecoder) Recover(next []byte, out []float32) error {
	d.recovered++
	for i := range out {
		out[i] = float32(next[1])/100 - 0.01
	}
	return nil
}

func (d *countingDecoder) Conceal(out []float32) error {
	d.concealed++
	for i := range out {
		out[i] = d.last
	}
	return nil
}

func fakeSamples(payload []byte) (int, bool) {
	if len(payload) < 2 || payload[0] == 0 || payload[0] > 120 {
		return 0, false
	}
	return int(payload[0]) * 48, true
}

// fakeVideo takes any frame but one that begins with "bad".
type fakeVideo struct {
	decoded, drawn, redrawn atomic.Int32
	closed                  atomic.Bool
}

func (d *fakeVideo) Decode(frame []byte) error {
	if len(frame) >= 3 && frame[1] == 'b' {
		return errors.New("refused")
	}
	d.decoded.Add(1)
	return nil
}

func (d *fakeVideo) DecodeInto(frame []byte, dst *i420.Frame, fit i420.Fit) error {
	if err := d.Decode(frame); err != nil {
		return err
	}
	d.drawn.Add(1)
	dst.Y[0] = frame[len(frame)-1]
	return nil
}

func (d *fakeVideo) Picture(dst *i420.Frame, fit i420.Fit) error {
	d.redrawn.Add(1)
	return nil
}

func (d *fakeVideo) Close() { d.closed.Store(true) }

func fakeCodecs() Codecs {
	return Codecs{
		NewAudioDecoder: func(int) (AudioDecoder, error) { return &countingDecoder{}, nil },
		NewVideoDecoder: func(int, int) (VideoDecoder, error) { return &fakeVideo{}, nil },
		AudioSamples:    fakeSamples,
	}
}

// keyFrame is a VP8 key frame's header for a picture of 64x48 and one byte.
func keyFrame(b byte) []byte { return []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0, b} }

// deltaFrame is a VP8 frame that needs the one before.
func deltaFrame(b byte) []byte { return []byte{0x11, 0, 0, b} }

// stage is a gateway and its network.
type stage struct {
	t       *testing.T
	net     *transporttest.Network
	gateway *Gateway
	room    *fakeRoom
	hosts   int
}

const serverIP = "10.0.0.1"

func newStage(t *testing.T, link transporttest.Link, change func(*Config)) *stage {
	t.Helper()
	return newStageOn(t, New, link, change)
}

// newStageOn builds the gateway with either path.
func newStageOn(t *testing.T, build func(Config) (*Gateway, error), link transporttest.Link, change func(*Config)) *stage {
	t.Helper()
	network, err := transporttest.NewNetwork(link)
	if err != nil {
		t.Fatal(err)
	}
	host, err := network.Host(serverIP)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listen: serverIP + ":7882", Net: host, Codecs: fakeCodecs(), Logger: testLogger()}
	if change != nil {
		change(&cfg)
	}
	g, err := build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &stage{t: t, net: network, gateway: g, room: newFakeRoom(), hosts: 1}
}

func testLogger() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("RTC_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (s *stage) close() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.gateway.Close(ctx); err != nil {
		s.t.Errorf("closing the gateway: %v", err)
	}
	if err := s.net.Close(); err != nil {
		s.t.Errorf("closing the network: %v", err)
	}
	if n := s.gateway.cfg.Pool.Live(); n != 0 {
		s.t.Errorf("%d pictures are still held", n)
	}
	if n := s.gateway.Panics(); n != 0 {
		s.t.Errorf("%d goroutines panicked", n)
	}
}

// client answers one on a host of its own, unless the config has one.
func (s *stage) client(cfg transporttest.ClientConfig) *transporttest.Client {
	s.t.Helper()
	if cfg.Net == nil {
		cfg.Net, _ = s.host()
	}
	c, err := transporttest.NewClient(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// host answers the next host and its address.
func (s *stage) host() (transport.Net, string) {
	s.t.Helper()
	s.hosts++
	ip := s.clientIP(s.hosts)
	host, err := s.net.Host(ip)
	if err != nil {
		s.t.Fatal(err)
	}
	return host, ip
}

// tap lets the test see and change what offer and answer agreed on, before the
// media has it. For sessions that are opened from now on.
func (s *stage) tap(change func(*plane.Terms)) {
	inner := s.gateway.newMedia
	s.gateway.newMedia = func(p *Peer) (media, error) {
		m, err := inner(p)
		if err != nil {
			return nil, err
		}
		return tapped{m, change}, nil
	}
}

// tapped is media whose terms a test has in hand.
type tapped struct {
	media
	change func(*plane.Terms)
}

func (m tapped) agree(pc *webrtc.PeerConnection, t plane.Terms) {
	m.change(&t)
	m.media.agree(pc, t)
}

func (s *stage) clientIP(n int) string { return "10.0.0." + string(rune('0'+n)) }

// join connects a client as the role.
func (s *stage) join(c *transporttest.Client, id string, role mixer.Role) *Peer {
	s.t.Helper()
	p := s.open(c, id, role)
	select {
	case <-c.Connected():
	case <-time.After(20 * time.Second):
		s.t.Fatal("the client did not connect in 20 s")
	}
	s.eventually("the gateway has seen it connect", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.started
	})
	return p
}

func (s *stage) open(c *transporttest.Client, id string, role mixer.Role) *Peer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offer, err := c.Offer(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := s.gateway.open(ctx, s.room, Request{ID: id, Name: id, Role: role, Offer: offer})
	if err != nil {
		s.t.Fatalf("open: %v\n%s", err, offer)
	}
	if err := c.Answer(p.Answer()); err != nil {
		s.t.Fatalf("%v\n%s", err, p.Answer())
	}
	return p
}

// eventually waits, in the bubble's time, for something to become true.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("10 s passed and not: %s", what)
}

const (
	sendRecv = webrtc.RTPTransceiverDirectionSendrecv
	sendOnly = webrtc.RTPTransceiverDirectionSendonly
	recvOnly = webrtc.RTPTransceiverDirectionRecvonly
)

func audioPacket(n int, data ...byte) *codec.Packet {
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, Data: data, KeyFrame: true,
		PTS: time.Duration(n) * pcm.Duration, Duration: pcm.Duration,
	}
}

func videoPacket(n int, key bool, data []byte) *codec.Packet {
	return &codec.Packet{
		Kind: codec.Video, Codec: codec.VP8, Data: data, KeyFrame: key,
		PTS: time.Duration(n) * time.Second / 30, Duration: time.Second / 30, Width: 64, Height: 48,
	}
}
