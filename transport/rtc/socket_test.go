package rtc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/mixer"
	"tutti/transport/transporttest"
)

// realGateway opens a gateway on a real socket of the loopback interface.
func realGateway(t *testing.T, change func(*Config)) *Gateway {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", Codecs: fakeCodecs(), Logger: testLogger()}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := g.Close(ctx); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
	return g
}

// TestSockets connects over real sockets in every way they can be set up.
func TestSockets(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // in the answer
	}{
		{"one address", nil, []string{" 127.0.0.1 ", " tcp "}},
		{"every interface", func(c *Config) { c.Listen, c.Loopback = ":0", true }, []string{" 127.0.0.1 "}},
		{"lite", func(c *Config) { c.Lite = true }, []string{"a=ice-lite"}},
		{"public address", func(c *Config) { c.PublicIPs = []string{"192.0.2.7"} }, []string{" 192.0.2.7 "}},
		{"without TCP", func(c *Config) { c.DisableTCP = true }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := realGateway(t, tt.change)
			room := newFakeRoom()
			c, err := transporttest.NewClient(transporttest.ClientConfig{Audio: sendRecv})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			offer, err := c.Offer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			p, err := g.open(t.Context(), room, Request{ID: "p1", Role: mixer.Both, Offer: offer})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("the answer took %v", time.Since(begin))
			for _, want := range tt.want {
				if !strings.Contains(p.Answer(), want) {
					t.Errorf("the answer lacks %q:\n%s", want, p.Answer())
				}
			}
			if strings.Contains(p.Answer(), " tcp ") == (tt.name == "without TCP") {
				t.Errorf("ICE-TCP:\n%s", p.Answer())
			}
			if tt.name == "public address" {
				return // nobody is there
			}
			if err := c.Answer(p.Answer()); err != nil {
				t.Fatal(err)
			}
			select {
			case <-c.Connected():
			case <-time.After(10 * time.Second):
				t.Fatal("not connected in 10 s")
			}
		})
	}
}

// TestPortTaken fails at once and leaves nothing bound.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := Config{Listen: l.Addr().String(), Codecs: fakeCodecs(), Logger: testLogger()}
	if _, err := New(cfg); err == nil {
		t.Fatal("bound a port whose TCP side is taken")
	}
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatalf("the UDP port was left bound: %v", err)
	}
	u.Close()
}

// TestAnyPort goes on to another port where one is not free for all sockets, but
// not where one was asked for, nor for ever, nor for another reason.
func TestAnyPort(t *testing.T) {
	taken := fmt.Errorf("bind: %w", syscall.EADDRINUSE)
	for _, tt := range []struct {
		anyPort  bool
		failures int // before it succeeds
		err      error
		want     error
		tries    int
	}{
		{true, 3, taken, nil, 4},
		{true, 1000, taken, taken, bindTries},
		{false, 3, taken, taken, 1},
		{true, 3, net.ErrClosed, net.ErrClosed, 1},
	} {
		tries := 0
		_, err := bindFree(tt.anyPort, func() (*sockets, error) {
			if tries++; tries <= tt.failures {
				return nil, tt.err
			}
			return &sockets{}, nil
		})
		if err != tt.want || tries != tt.tries {
			t.Errorf("%+v: %v after %d tries", tt, err, tries)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no codecs":      func(c *Config) { c.Codecs = Codecs{} },
		"bad public IP":  func(c *Config) { c.PublicIPs = []string{"example.org"} },
		"bad address":    func(c *Config) { c.Listen = "nowhere" },
		"negative bytes": func(c *Config) { c.MaxSDPBytes = -1 },
		"negative time":  func(c *Config) { c.JoinTimeout = -time.Second },
	} {
		cfg := Config{Listen: "127.0.0.1:0", Codecs: fakeCodecs(), Logger: testLogger()}
		change(&cfg)
		if g, err := New(cfg); err == nil {
			g.Close(context.Background())
			t.Errorf("%s: taken", name)
		}
	}
}

// TestManySessionsLeaveNothing opens and ends sessions whose clients never come.
func TestManySessionsLeaveNothing(t *testing.T) {
	g := realGateway(t, nil)
	room := newFakeRoom()
	worst := time.Duration(0)
	for range 20 {
		begin := time.Now()
		p, err := g.open(t.Context(), room, Request{ID: "p1", Role: mixer.Both, Offer: sampleOffer})
		if err != nil {
			t.Fatal(err)
		}
		p.leave("done")
		<-p.Done()
		worst = max(worst, time.Since(begin))
	}
	t.Logf("the slowest took %v", worst)
	if g.Sessions() != 0 || len(g.fans) != 0 {
		t.Errorf("%d sessions, %d fan-outs are left", g.Sessions(), len(g.fans))
	}
}
