package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tutti/transport/transporttest/badlink"
)

func TestSidesAreWholeHosts(t *testing.T) {
	l := newLink(t, Config{MTU: 1400})
	for _, side := range []Side{Client, Server} {
		err := l.Do(side, func() error {
			list, err := net.Interfaces()
			if err != nil {
				return err
			}
			for _, i := range list {
				addrs, err := i.Addrs()
				if err != nil {
					return err
				}
				want := map[string]string{
					"lo":   "[127.0.0.1/8 ::1/128]",
					"eth0": fmt.Sprintf("[%v/24 %v/64]", side.IP4(), side.IP6()),
				}[i.Name]
				if fmt.Sprint(addrs) != want || i.Flags&net.FlagUp == 0 {
					t.Errorf("%v has %s with %v, %v, not %s", side, i.Name, addrs, i.Flags, want)
				}
				if i.Name == "eth0" && i.MTU != 1400 {
					t.Errorf("the MTU is %d", i.MTU)
				}
			}
			if len(list) != 2 {
				t.Errorf("%d devices", len(list))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, mtu := range []int{-1, 1279, 65536} {
		if _, err := New(Config{MTU: mtu}); err == nil {
			t.Errorf("mtu %d is taken", mtu)
		}
	}
	if _, err := New(Config{Up: badlink.Conditions{Loss: 2}}); !errors.Is(err, badlink.ErrConditions) {
		t.Errorf("bad conditions: %v", err)
	}
}

func TestProgramsRunOnTheirSide(t *testing.T) {
	l := newLink(t, Config{})
	seen := map[string]Side{}
	for _, side := range []Side{Outside, Client, Server} {
		out, err := l.Command(side, "readlink", "/proc/self/ns/net").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", side, err, out)
		}
		if other, twice := seen[string(out)]; twice {
			t.Errorf("%v is where %v is: %s", side, other, out)
		}
		seen[string(out)] = side
	}
	if err := l.Command(Client, "no-such-program").Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
	err := l.Command(Client, "sh", "-c", "exit 3").Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("a program that exits with 3: %v", err)
	}

	// The process is the program: a signal reaches it.
	cmd := exec.Command("sleep", "1000")
	l.Enter(Server, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		if string(name) == "sleep\n" {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("the process is %s", name)
		}
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ends with %v", err)
	}
}

func serve(t *testing.T, l *Link, side Side, address string) {
	t.Helper()
	ln, err := l.Listen(side, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			_, _ = w.Write(body)
		}
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close() })
}

// post sends a text to a server and answers what it answers.
func post(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), url, text string) string {
	t.Helper()
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: patience}
	r, err := client.Post(url, "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestConnectionsGoOverTheLink(t *testing.T) {
	l := newLink(t, Config{Up: badlink.Conditions{Loss: 0.01}, Down: badlink.Conditions{Delay: 20 * time.Millisecond}})
	serve(t, l, Server, ":80")
	text := strings.Repeat("all of it", 10_000)
	for _, ip := range []string{Server.IP4().String(), "[" + Server.IP6().String() + "]"} {
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			return l.DialContext(ctx, Client, network, address)
		}
		if got := post(t, dial, "http://"+ip, text); got != text {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	}
	if c := l.Stats(); c.Up.InBytes < uint64(len(text)) || c.Down.InBytes < uint64(len(text)) {
		t.Errorf("%+v", c)
	}
	serve(t, l, Client, ":80")
	if conn, err := l.DialContext(t.Context(), Client, "tcp", "localhost:80"); err == nil {
		conn.Close()
		t.Error("a name was found")
	}
}

func TestRelaysGoAroundTheLink(t *testing.T) {
	dead := badlink.Conditions{Loss: 1}
	l := newLink(t, Config{Up: dead, Down: dead})
	serve(t, l, Server, "127.0.0.1:80")
	text := strings.Repeat("all of it", 10_000)
	outside, err := l.Relay(Outside, "127.0.0.1:0", Server, "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, new(net.Dialer).DialContext, "http://"+outside.String(), text); got != text {
		t.Errorf("from outside: %d bytes of %d", len(got), len(text))
	}
	client, err := l.Relay(Client, "127.0.0.1:0", Server, "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.DialContext(ctx, Client, network, address)
	}
	if got := post(t, dial, "http://"+client.String(), text); got != text {
		t.Errorf("from the client: %d bytes of %d", len(got), len(text))
	}
	if c := l.Stats(); c.Up.In+c.Down.In != 0 {
		t.Errorf("over the link: %+v", c)
	}

	// Each way ends by itself.
	ln, err := l.Listen(Server, "tcp", "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			text, _ := io.ReadAll(conn)
			_, _ = conn.Write(text)
			conn.Close()
		}
	}()
	half, err := l.Relay(Outside, "127.0.0.1:0", Server, "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", half.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte("all of it"))
	_ = conn.(*net.TCPConn).CloseWrite()
	if text, err := io.ReadAll(conn); string(text) != "all of it" || err != nil {
		t.Errorf("half closed: %q, %v", text, err)
	}

	// Where nobody listens the connection ends.
	nobody, err := l.Relay(Outside, "127.0.0.1:0", Client, "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	conn, err = net.Dial("tcp", nobody.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := l.Relay(Outside, "127.0.0.1:99999", Client, "127.0.0.1:81"); err == nil {
		t.Error("a relay at no port")
	}
}
