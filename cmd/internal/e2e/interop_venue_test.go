package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"

	"tutti/bench/link"
	"tutti/transport/transporttest/badlink"
)

// venue is a server and, at the other end of a link, where its clients are.
type venue struct {
	*server
	outside  place
	chromium *chromiumProcess // the browser that is there
	options  []chromedp.ExecAllocatorOption

	link   *link.Link // nil where none can be made: all is on this machine
	unable error      // why
}

// openVenue starts a server and a link to it. Where no link can be made the
// server is on loopback.
func openVenue(t *testing.T) *venue {
	t.Helper()
	l, err := link.New(link.Config{Seed: 1})
	if errors.Is(err, link.ErrUnavailable) {
		return &venue{server: start(t), outside: here, chromium: &chromium, unable: err}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	v := &venue{
		server: startBehind(t, l), outside: placeOn(l, link.Client), link: l, chromium: new(chromiumProcess),
		options: []chromedp.ExecAllocatorOption{chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			l.Enter(link.Client, cmd)
			dieWithUs(cmd)
		})},
	}
	t.Cleanup(v.chromium.close)
	return v
}

// delay is how long a packet takes over the link.
const delay = 20 * time.Millisecond

// make gives the link its condition, or skips the test where there is no link.
func (v *venue) make(t *testing.T, c condition) {
	t.Helper()
	if v.link == nil {
		if c.loss > 0 {
			t.Skip(v.unable)
		}
		t.Logf("on loopback: %v", v.unable)
		return
	}
	for _, d := range []link.Direction{link.Up, link.Down} {
		if err := v.link.Set(d, badlink.Conditions{Delay: delay, Loss: c.loss}); err != nil {
			t.Fatal(err)
		}
	}
}

// placeOn is a side of a link.
func placeOn(l *link.Link, side link.Side) place {
	return place{
		command: func(name string, args ...string) *exec.Cmd { return l.Command(side, name, args...) },
		dial: func(network, address string) (net.Conn, error) {
			return l.DialContext(context.Background(), side, network, address)
		},
	}
}

// startBehind runs a server at the far end of a link, where it asks for tokens.
// Its API is reached around the link, by the same address from here and from the
// clients' end: a loopback address, where browsers give pages their devices.
func startBehind(t *testing.T, l *link.Link) *server {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
	const key = "auth.key=that-of-the-interoperability-tests"
	s := &server{
		t: t, http: freePort(t), udp: link.Server.IP4().String() + ":7882", dir: t.TempDir(),
		at: placeOn(l, link.Server), net: netOn(t, l, link.Server), flags: []string{"--set", key},
	}
	for _, side := range []link.Side{link.Outside, link.Client} {
		if _, err := l.Relay(side, s.http, link.Server, s.http); err != nil {
			t.Fatal(err)
		}
	}
	token, err := exec.Command(program, "token", "--room", "*", "--role", "admin", "--set", key).Output()
	if err != nil {
		t.Fatalf("mint a token: %v", err)
	}
	s.token = strings.TrimSpace(string(token))
	s.begin()
	return s
}

// sideNet is the network as pion sees it on a side of a link.
type sideNet struct {
	*stdnet.Net
	l    *link.Link
	side link.Side
}

func netOn(t *testing.T, l *link.Link, side link.Side) transport.Net {
	t.Helper()
	n := sideNet{l: l, side: side}
	err := l.Do(side, func() (err error) {
		n.Net, err = stdnet.NewNet() // looks at the interfaces
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ListenUDP opens a socket on the side.
func (n sideNet) ListenUDP(network string, at *net.UDPAddr) (conn transport.UDPConn, err error) {
	err = n.l.Do(n.side, func() error {
		conn, err = net.ListenUDP(network, at)
		return err
	})
	return conn, err
}

const interopRoom = "interop"

// openRoom makes the room that all clients meet in.
func (v *venue) openRoom(t *testing.T) {
	t.Helper()
	settings := map[string]any{
		"canvas": map[string]any{"width": 640, "height": 360, "fps": 30}, "layout": map[string]any{"name": "grid"},
	}
	if _, err := v.call(http.MethodPut, "/v1/rooms/"+interopRoom, settings); err != nil {
		t.Fatal(err)
	}
}

func absolute(t *testing.T, path ...string) string {
	t.Helper()
	found, err := filepath.Abs(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
