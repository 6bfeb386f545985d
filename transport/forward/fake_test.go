package forward

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

// fakeRoom hands out what the test gives it.
type fakeRoom struct {
	id       string
	settings mixer.Settings
	created  time.Time
	done     chan struct{}

	mu   sync.Mutex
	subs []*fakeSub
}

type fakeSub struct {
	mixer.SubscribeConfig
	asked  chan time.Time
	closed chan struct{}
}

func (s *fakeSub) RequestKeyFrame() { s.asked <- time.Now() }
func (s *fakeSub) Close()           { close(s.closed) }

func newRoom(id string) *fakeRoom {
	return &fakeRoom{id: id, settings: mixer.DefaultSettings(), created: time.Now(), done: make(chan struct{})}
}

func (r *fakeRoom) ID() string                         { return r.id }
func (r *fakeRoom) CreatedAt() time.Time               { return r.created }
func (r *fakeRoom) Settings() (mixer.Settings, uint64) { return r.settings, 1 }
func (r *fakeRoom) Done() <-chan struct{}              { return r.done }

func (r *fakeRoom) subscribe(c mixer.SubscribeConfig) (subscription, error) {
	if c.Rendition != r.settings.Renditions[0].Name {
		return nil, &mixer.FieldError{Field: "rendition", Reason: "must be one of the room's renditions"}
	}
	s := &fakeSub{SubscribeConfig: c, asked: make(chan time.Time, 100), closed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, s)
	return s, nil
}

// last answers the newest subscription, waiting for one.
func (r *fakeRoom) last(t testing.TB) *fakeSub {
	t.Helper()
	var s *fakeSub
	eventually(t, "a subscription", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.subs); n > 0 {
			s = r.subs[n-1]
		}
		return s != nil
	})
	return s
}

func (s *fakeSub) play(packets ...*codec.Packet) {
	for _, p := range packets {
		switch {
		case p.Kind == codec.Audio && s.Audio:
			s.Sink.WriteAudio(p)
		case p.Kind == codec.Video && s.Video:
			s.Sink.WriteVideo(p)
		}
	}
}

// eventually waits for another goroutine to come to something.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

// local allows loopback.
var local = prefixes("127.0.0.0/8", "::1/128")

func newManager(t testing.TB, change func(*Config)) *Manager {
	t.Helper()
	c := Config{Allow: local, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	m := New(c)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// start begins a forwarder and answers where its room puts the packets.
func start(t testing.TB, m *Manager, r *fakeRoom, o Options) (Info, *fakeSub) {
	t.Helper()
	i, err := m.start(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return i, r.last(t)
}

// ear is a receiver of one stream: a port for RTP and the one above for RTCP.
type ear struct {
	t         testing.TB
	port      int
	rtp, rtcp *net.UDPConn
}

// listen binds two neighbouring ports, the first of them even.
func listen(t testing.TB) *ear {
	t.Helper()
	for range 200 {
		a, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		port := a.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			b, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + 1})
			if err == nil {
				_ = a.SetReadBuffer(1 << 20)
				e := &ear{t, port, a, b}
				t.Cleanup(e.close)
				return e
			}
		}
		_ = a.Close()
	}
	t.Fatal("no two neighbouring ports are free")
	return nil
}

func (e *ear) close() { _, _ = e.rtp.Close(), e.rtcp.Close() }

// read answers the next datagram of a socket and who sent it.
func read(t testing.TB, c *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 4096)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], from
}

// silent fails where a socket still gets something.
func silent(t testing.TB, c *net.UDPConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := c.Read(buf); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// film is a second of real sound and pictures.
var film = sync.OnceValue(func() func(testing.TB) []*codec.Packet {
	var once sync.Once
	var packets []*codec.Packet
	return func(t testing.TB) []*codec.Packet {
		once.Do(func() {
			packets = webmtest.Film{Width: 320, Height: 180, FPS: 15, Length: time.Second}.Make(t)
		})
		return packets
	}
})

func of(kind codec.Kind, packets []*codec.Packet) (list []*codec.Packet) {
	for _, p := range packets {
		if p.Kind == kind {
			list = append(list, p)
		}
	}
	return list
}
