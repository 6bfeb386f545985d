package rtc

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/transport/transporttest"
)

// Clients that have ICE-TCP alone (RFC 6544), on real sockets of the loopback
// interface.

// within waits in real time.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v passed and not: %s", d, what)
		}
	}
}

// connect opens a session for a client over real sockets; through may change
// the answer on its way.
func connect(t *testing.T, g *Gateway, r *fakeRoom, c *transporttest.Client, id string, role mixer.Role, through func(string) string) *Peer {
	t.Helper()
	offer, err := c.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.open(t.Context(), r, Request{ID: id, Role: role, Offer: offer})
	if err != nil {
		t.Fatal(err)
	}
	answer := p.Answer()
	if through != nil {
		answer = through(answer)
	}
	if err := c.Answer(answer); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Connected():
	case <-time.After(10 * time.Second):
		t.Fatalf("%s is not connected in 10 s", id)
	}
	return p
}

func newTestClient(t *testing.T, cfg transporttest.ClientConfig) *transporttest.Client {
	t.Helper()
	c, err := transporttest.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// subOf answers the subscription of the n-th to come, when it is there.
func subOf(t *testing.T, r *fakeRoom, n int) *fakeSub {
	t.Helper()
	within(t, 5*time.Second, "subscribed", func() bool { return r.sub(n) != nil })
	return r.sub(n)
}

// TestOverTCP sends sound and pictures both ways over ICE-TCP alone: nothing may
// be lost, nothing come twice or in another order.
func TestOverTCP(t *testing.T) {
	eye := &fakeVideo{}
	g := realGateway(t, func(c *Config) {
		c.Codecs.NewVideoDecoder = func(int, int) (VideoDecoder, error) { return eye, nil }
	})
	room := newFakeRoom()
	frame := bytes.Repeat(keyFrame(7), 400) // 4 packets
	var mu sync.Mutex
	var heard []uint16
	var wrong atomic.Int32
	c := newTestClient(t, transporttest.ClientConfig{
		Audio: sendRecv, Video: sendRecv, OnlyTCP: true,
		OnAudio: func(_ time.Time, p *rtp.Packet) {
			mu.Lock()
			heard = append(heard, p.SequenceNumber)
			mu.Unlock()
		},
		OnFrame: func(_ time.Time, _ uint32, f []byte) {
			if !bytes.Equal(f, frame) {
				wrong.Add(1)
			}
		},
	})
	p := connect(t, g, room, c, "p1", mixer.Both, nil)
	if pair, err := iceOf(p.pc).GetSelectedCandidatePair(); err != nil || pair == nil || pair.Remote.Protocol.String() != "tcp" {
		t.Fatalf("the path is %v: %v", pair, err)
	}
	sub := subOf(t, room, 0)
	in := room.seat(0).cfg
	in.Video.Show(32, 24, i420.Cover)
	const n = 150
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		if err := c.SendAudio([]byte{5, byte(i)}, 240, -30); err != nil {
			t.Fatal(err)
		}
		sub.cfg.Sink.WriteAudio(audioPacket(i, 20, byte(i)))
		if i%10 == 0 {
			if err := c.SendVideo(bytes.Repeat(keyFrame(byte(i)), 300), 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			sub.cfg.Sink.WriteVideo(videoPacket(i, true, frame))
		}
		<-tick.C
	}
	within(t, 5*time.Second, "all has come", func() bool {
		got := c.Counts()
		return got.AudioPackets >= n && got.Frames >= n/10 && eye.drawn.Load() >= n/10-1 && in.Audio.(*audioIn).buf.Stats().Received >= n
	})
	got := c.Counts()
	if got.AudioPackets != n || got.Frames != n/10 || wrong.Load() > 0 {
		t.Errorf("the client has %+v, %d frames were wrong", got, wrong.Load())
	}
	if b := in.Audio.(*audioIn).buf.Stats(); b.Received != n || b.Lost > 0 {
		t.Errorf("the room has %+v", b)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range heard[1:] {
		if heard[i+1] != heard[i]+1 {
			t.Fatalf("packet %d came after %d", heard[i+1], heard[i])
		}
	}
}

// stalling is a proxy for TCP that may stop to carry what the gateway sends, as
// a client does that reads no more.
type stalling struct {
	listener net.Listener
	stalled  atomic.Bool
	ended    chan struct{} // closed when the gateway has ended the connection
	work     sync.WaitGroup
}

func newStalling(t *testing.T, to string) *stalling {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stalling{listener: l, ended: make(chan struct{})}
	s.work.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		_ = far.(*net.TCPConn).SetReadBuffer(4096)
		s.work.Go(func() { _, _ = io.Copy(far, near) })
		buf := make([]byte, 4096)
		for !s.stalled.Load() {
			n, err := far.Read(buf)
			if err != nil {
				close(s.ended)
				return
			}
			if _, err := near.Write(buf[:n]); err != nil {
				return
			}
		}
		// Only a write tells that the gateway has gone, as nothing is read.
		for {
			time.Sleep(50 * time.Millisecond)
			if _, err := far.Write([]byte{0, 0}); err != nil { // an empty frame
				close(s.ended)
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.work.Wait()
	})
	return s
}

// TestTCPClientThatReadsNoMore lets one client of two take nothing any more: its
// connection ends, and the other misses nothing meanwhile.
func TestTCPClientThatReadsNoMore(t *testing.T) {
	g := realGateway(t, func(c *Config) { c.DisconnectedTimeout, c.FailedTimeout = time.Second, time.Second })
	slow, quick := newFakeRoom(), newFakeRoom()
	proxy := newStalling(t, g.Addresses()[0])
	cfg := transporttest.ClientConfig{Audio: recvOnly, Video: recvOnly, OnlyTCP: true}
	s := newTestClient(t, cfg)
	port := regexp.MustCompile(`127\.0\.0\.1 \d+ typ host tcptype`)
	instead := fmt.Sprintf("127.0.0.1 %d typ host tcptype", proxy.listener.Addr().(*net.TCPAddr).Port)
	p := connect(t, g, slow, s, "p1", mixer.Viewer, func(answer string) string { return port.ReplaceAllString(answer, instead) })
	var gap pauses
	cfg.OnAudio = func(time.Time, *rtp.Packet) { gap.packet() }
	q := newTestClient(t, cfg)
	connect(t, g, quick, q, "p2", mixer.Viewer, nil)
	a, b := subOf(t, slow, 0), subOf(t, quick, 0)
	frame := bytes.Repeat(keyFrame(7), 4000) // 44 kB
	b.cfg.Sink.WriteAudio(audioPacket(0, 20, 0))
	within(t, 5*time.Second, "the other hears", func() bool { return q.Counts().AudioPackets > 0 })
	gap.begin()
	proxy.stalled.Store(true)
	begin, sent := time.Now(), uint64(1)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; sent++ {
		a.cfg.Sink.WriteVideo(videoPacket(int(sent), true, frame))
		a.cfg.Sink.WriteAudio(audioPacket(int(sent), 20, byte(sent)))
		b.cfg.Sink.WriteAudio(audioPacket(int(sent), 20, byte(sent)))
		select {
		case <-p.Done():
			done = true
		case <-time.After(30 * time.Second):
			t.Fatal("the session of the client that reads no more goes on")
		case <-tick.C:
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("the session of the client that reads no more goes on after 30 s")
		}
	}
	t.Logf("it ended after %v; the other's longest pause was %v", time.Since(begin), gap.end())
	<-proxy.ended
	within(t, 5*time.Second, "the other has all", func() bool { return q.Counts().AudioPackets == sent })
	if gap.end() > time.Second {
		t.Errorf("the other heard nothing for %v", gap.end())
	}
	if g.Sessions() != 1 || g.Media().Sessions != 1 {
		t.Errorf("%d sessions, %d of them in the media plane", g.Sessions(), g.Media().Sessions)
	}
}
