package rtc

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/plane"
	"tutti/transport/transporttest"
	"tutti/transport/transporttest/badlink"
)

// pauses measures the longest time between two packets.
type pauses struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	packets int
}

func (p *pauses) packet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.last.IsZero() {
		p.longest = max(p.longest, now.Sub(p.last))
	}
	p.last = now
	p.packets++
}

// begin forgets what was.
func (p *pauses) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.longest, p.packets = time.Now(), 0, 0
}

// end answers the longest pause, that which lasts included.
func (p *pauses) end() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.longest, time.Since(p.last))
}

// count answers how many packets there were.
func (p *pauses) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packets
}

// call is one client's session with sound in both directions, or only to it.
type call struct {
	*stage
	client   *transporttest.Client
	peer     *Peer
	up, down pauses
	sequence atomic.Uint32 // of the newest packet that the client has
	jumps    atomic.Int32  // of more than 100 in it
	stop     chan struct{}
	work     sync.WaitGroup
}

// newCall connects a client and keeps sound flowing, 50 packets a second, until
// hangUp.
func newCall(s *stage, cfg transporttest.ClientConfig, role mixer.Role) *call {
	c := &call{stage: s, stop: make(chan struct{})}
	s.tap(func(t *plane.Terms) {
		for i := range t.Inbound {
			take := t.Inbound[i].Take
			t.Inbound[i].Take = func(p *plane.Packet) { c.up.packet(); take(p) }
		}
	})
	cfg.OnAudio = func(_ time.Time, p *rtp.Packet) {
		c.down.packet()
		step := int16(p.SequenceNumber - uint16(c.sequence.Swap(uint32(p.SequenceNumber))))
		if (step > 100 || step < -100) && c.down.count() > 1 {
			c.jumps.Add(1)
		}
	}
	c.client = s.client(cfg)
	c.peer = s.join(c.client, "p1", role)
	s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
	sends := cfg.Audio == sendRecv
	c.work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			s.room.sub(0).cfg.Sink.WriteAudio(audioPacket(i, 20, byte(i)))
			if sends {
				_ = c.client.SendAudio([]byte{20, byte(i)}, 960, -30) // between two paths there is none
			}
		}
	})
	time.Sleep(2 * time.Second)
	return c
}

func (c *call) hangUp() {
	close(c.stop)
	c.work.Wait()
	if n := c.jumps.Load(); n > 0 {
		c.t.Errorf("the sequence numbers jumped %d times: the stream began anew", n)
	}
	if err := c.client.Close(); err != nil {
		c.t.Error(err)
	}
	c.stage.close()
}

// measure answers the longest pauses of that time while something happens.
func (c *call) measure(happens func(), lasts time.Duration) (up, down time.Duration) {
	c.up.begin()
	c.down.begin()
	happens()
	time.Sleep(lasts)
	up, down = c.up.end(), c.down.end()
	c.t.Logf("the longest pause: %v up, %v down", up, down)
	return up, down
}

// TestRestartPause restarts ICE while sound flows both ways.
func TestRestartPause(t *testing.T) {
	onBothPaths(t, func(t *testing.T, build func(Config) (*Gateway, error)) {
		synctest.Test(t, func(t *testing.T) {
			c := newCall(newStageOn(t, build, transporttest.Link{Delay: 30 * time.Millisecond}, nil), transporttest.ClientConfig{Audio: sendRecv}, mixer.Both)
			defer c.hangUp()
			up, down := c.measure(func() {
				if err := c.restart(); err != nil {
					t.Fatal(err)
				}
			}, 10*time.Second)
			if up > 500*time.Millisecond || down > 500*time.Millisecond {
				t.Errorf("the longest pause: %v up, %v down", up, down)
			}
		})
	})
}

// restart moves the session to new ICE credentials, as a client of WHIP does.
func (c *call) restart() error {
	answer := c.peer.Answer()
	offer, err := c.client.RestartOffer(c.t.Context())
	if err != nil {
		return err
	}
	fragment, err := c.peer.Restart(transporttest.Fragment(offer))
	if err != nil {
		return err
	}
	next, err := transporttest.Restarted(answer, fragment)
	if err != nil {
		return err
	}
	return c.client.Answer(next)
}

// TestAddressChanges moves a client to another port, and to another host, while
// ICE at its end does not know: a translator of addresses has forgotten it. The
// gateway checks the new address as soon as media comes from it, or a viewer's
// next report, which pion makes every second.
func TestAddressChanges(t *testing.T) {
	for _, tt := range []struct {
		name      string
		role      mixer.Role
		direction webrtc.RTPTransceiverDirection
		elsewhere bool
		within    time.Duration
	}{
		{"another port", mixer.Both, sendRecv, false, 500 * time.Millisecond},
		{"another host", mixer.Both, sendRecv, true, 500 * time.Millisecond},
		{"a viewer", mixer.Viewer, recvOnly, true, 1200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, transporttest.Link{Delay: 30 * time.Millisecond}, nil)
				host, ip := s.host()
				n := newNAT(host)
				c := newCall(s, transporttest.ClientConfig{Net: n, Audio: tt.direction}, tt.role)
				defer c.hangUp()
				if tt.elsewhere {
					host, ip = s.host()
				}
				up, down := c.measure(func() {
					if err := n.rebind(host, ip); err != nil {
						t.Fatal(err)
					}
				}, 10*time.Second)
				if down > tt.within || tt.direction == sendRecv && up > tt.within {
					t.Errorf("the longest pause: %v up, %v down", up, down)
				}
				if at := c.selects(); at != ip { // where ICE says goodbye, too
					t.Errorf("ICE is at %s, not %s", at, ip)
				}
				if n := s.gateway.Sessions(); n != 1 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// twoHosts is the network of a client with two addresses.
type twoHosts struct {
	transport.Net
	second   transport.Net
	secondIP string
}

// Interfaces is that of transport.Net.
func (h twoHosts) Interfaces() ([]*transport.Interface, error) {
	a, errA := h.Net.Interfaces()
	b, errB := h.second.Interfaces()
	return append(a, b...), errors.Join(errA, errB)
}

// ListenUDP is that of transport.Net.
func (h twoHosts) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	if local.IP.String() == h.secondIP {
		return h.second.ListenUDP(network, local)
	}
	return h.Net.ListenUDP(network, local)
}

// selects answers the client's address that ICE has selected.
func (c *call) selects() string {
	pair, err := iceOf(c.peer.pc).GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return ""
	}
	return pair.Remote.Address
}

// twoPaths answers a call of a client with two addresses, and them: first that
// which is in use.
func twoPaths(t *testing.T) (c *call, used, other string) {
	s := newStage(t, transporttest.Link{Delay: 20 * time.Millisecond}, nil)
	first, a := s.host()
	second, b := s.host()
	c = newCall(s, transporttest.ClientConfig{Net: twoHosts{first, second, b}, Audio: sendRecv, Renominates: true}, mixer.Both)
	if c.selects() == b {
		a, b = b, a
	}
	return c, a, b
}

// TestSecondPath lets the path of a client with two addresses become bad: it
// moves to the other by itself, and nothing is lost but what was on its way.
func TestSecondPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, used, other := twoPaths(t)
		defer c.hangUp()
		up, down := c.measure(func() {
			slow := badlink.Conditions{Delay: 200 * time.Millisecond}
			if err := errors.Join(c.net.Set(used, serverIP, slow), c.net.Set(serverIP, used, slow)); err != nil {
				t.Fatal(err)
			}
		}, 15*time.Second)
		if at := c.selects(); at != other {
			t.Errorf("the client is at %s, not %s", at, other)
		}
		if up > 500*time.Millisecond || down > 500*time.Millisecond {
			t.Errorf("the longest pause: %v up, %v down", up, down)
		}
	})
}

// TestFirstPathIsCut cuts the path of a client with two addresses. Its program
// is told by its system and restarts ICE, after which the other path serves.
func TestFirstPathIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, used, other := twoPaths(t)
		defer c.hangUp()
		up, down := c.measure(func() {
			c.net.Cut(used)
			time.Sleep(100 * time.Millisecond)
			if err := c.restart(); err != nil {
				t.Fatal(err)
			}
		}, 10*time.Second)
		if at := c.selects(); at != other {
			t.Errorf("the client is at %s, not %s", at, other)
		}
		if up > 700*time.Millisecond || down > 700*time.Millisecond {
			t.Errorf("the longest pause: %v up, %v down", up, down)
		}
	})
}

// TestRollover takes the sequence numbers of both directions over their wrap on
// a link that loses 5 %: whoever lost count of the rollovers would take nothing
// any more (RFC 3711, section 3.3.1).
func TestRollover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Lossy, nil)
		s.tap(func(t *plane.Terms) {
			for i := range t.Outbound {
				t.Outbound[i].Sequence = 65500
			}
		})
		cfg := transporttest.ClientConfig{Audio: sendRecv, FirstSequence: 65500}
		c := newCall(s, cfg, mixer.Both)
		defer c.hangUp()
		up, down := c.measure(func() {}, 20*time.Second)
		if n := c.up.count(); n < 920 || up > 200*time.Millisecond {
			t.Errorf("%d of 1000 packets came, the longest pause was %v", n, up)
		}
		if n := c.down.count(); n < 920 || down > 200*time.Millisecond {
			t.Errorf("%d of 1000 packets arrived at the client, the longest pause was %v", n, down)
		}
		if st := s.gateway.Media(); st.Forged+st.Replayed+st.Malformed > 0 {
			t.Errorf("counts %+v", st)
		}
	})
}

// TestFirstPacketsAreLost lets a client miss the beginning. It takes the first
// sequence number that it sees for one before any rollover, so that one that
// began high and has wrapped meanwhile would leave it deaf for good (RFC 3711,
// section 3.3.1): streams begin in the lower half.
func TestFirstPacketsAreLost(t *testing.T) {
	for range 100 {
		if s := (&agreed{}).outbound(codec.Audio).Sequence; s >= 1<<15 {
			t.Fatalf("a stream begins with %d", s)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		s.tap(func(t *plane.Terms) { t.Outbound[0].Sequence = 1<<15 - 1 })
		var heard pauses
		c := s.client(transporttest.ClientConfig{Audio: recvOnly, OnAudio: func(time.Time, *rtp.Packet) { heard.packet() }})
		defer c.Close()
		s.join(c, "p1", mixer.Viewer)
		s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
		for i := range 200 {
			if i == 0 || i == 100 {
				if err := s.net.Set(serverIP, "10.0.0.2", badlink.Conditions{Loss: 1 - float64(i)/100}); err != nil {
					t.Fatal(err)
				}
			}
			s.room.sub(0).cfg.Sink.WriteAudio(audioPacket(i, 20, byte(i)))
			time.Sleep(20 * time.Millisecond)
		}
		if n := heard.count(); n != 100 {
			t.Errorf("%d of the last 100 packets arrived", n)
		}
	})
}

// TestReplayedCheckMovesNothing replays a client's own connectivity check, which
// anybody on its path can record, from another address: nothing but ICE may
// ever be sent there, and the client must go on being served.
func TestReplayedCheckMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		host, _ := s.host()
		n := newNAT(host)
		var mu sync.Mutex
		var checks [][]byte
		n.filter(func(b []byte) bool {
			m := &stun.Message{Raw: append([]byte(nil), b...)}
			if onlyChecks(b) && m.Decode() == nil && m.Type == stun.BindingRequest {
				mu.Lock()
				checks = append(checks, m.Raw)
				mu.Unlock()
			}
			return true
		})
		c := newCall(s, transporttest.ClientConfig{Net: n, Audio: recvOnly}, mixer.Viewer)
		defer c.hangUp()
		other, ip := s.host()
		conn, err := other.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Fatal(err)
		}
		var media int
		var work sync.WaitGroup
		work.Go(func() {
			buf := make([]byte, 1500)
			for {
				n, _, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				if !onlyChecks(buf[:n]) {
					media++
				}
			}
		})
		mu.Lock()
		recorded := checks
		mu.Unlock()
		if len(recorded) < 2 {
			t.Fatalf("%d checks were seen", len(recorded))
		}
		to := &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 7882}
		_, down := c.measure(func() {
			for range 20 {
				for _, b := range recorded {
					if _, err := conn.WriteTo(b, to); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(250 * time.Millisecond)
			}
		}, time.Second)
		_ = conn.Close()
		work.Wait()
		if media > 0 || down > 100*time.Millisecond {
			t.Errorf("%d datagrams of media were sent to a stranger; the client's longest pause was %v", media, down)
		}
	})
}
