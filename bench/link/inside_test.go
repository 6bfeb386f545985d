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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
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

	// Where nobody listens the connection ends.
	nobody, err := l.Relay(Outside, "127.0.0.1:0", Client, "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", nobody.String())
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

// descriptors answers what this process holds open, without what the runtime
// opens once and keeps.
func descriptors(t *testing.T) (list []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		name, err := os.Readlink(l)
		if err == nil && !strings.Contains(name, "eventpoll") {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func TestCloseLeavesNothing(t *testing.T) {
	newLink(t, Config{}) // skips, and the runtime has opened all it keeps
	ignore := goleak.IgnoreCurrent()
	before := descriptors(t)
	l, err := New(Config{Up: badlink.Conditions{Delay: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{l.spaces[0].name, l.spaces[1].name}
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	send(t, client, server, 10, 100) // they are on their way when it closes

	// A relay with a connection, and programs: one that ends when it is asked, one
	// that does not, and one that nobody is the parent of.
	relay, err := l.Relay(Outside, "127.0.0.1:0", Client, "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := l.Listen(Client, "tcp", "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", relay.String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	programs := []*exec.Cmd{
		l.Command(Client, "sleep", "1000"),
		l.Command(Server, "sh", "-c", "trap '' TERM INT HUP; echo ready; while :; do sleep 1000; done"),
		l.Command(Server, "sh", "-c", "setsid sleep 1000 & echo ready; exec sleep 1000"),
	}
	for _, p := range programs {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		a, _ := l.spaces[0].processes()
		b, err := l.spaces[1].processes()
		if err != nil {
			t.Fatal(err)
		}
		if len(a) == 1 && len(b) == 4 {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("%v and %v are there", a, b)
		}
	}
	// Kept, to see what is in a namespace when nobody else has it.
	kept, err := unix.Dup(int(l.spaces[0].file.Fd()))
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range programs {
		if err := p.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("%v ends with %v", p.Args[4:], err)
		}
	}
	if _, err := accepted.Read(make([]byte, 1)); err == nil {
		t.Error("the relay's connection is there")
	}
	for _, c := range []io.Closer{client, server, ln, conn, accepted} { // the test's own
		c.Close()
	}
	gone(t, names, kept)
	if after := descriptors(t); !slices.Equal(after, before) {
		t.Errorf("open are %v, not %v", after, before)
	}
	goleak.VerifyNone(t, ignore)

	// What is closed takes no harm.
	if err := l.Set(Up, badlink.Conditions{}); err != nil {
		t.Error(err)
	}
	if c := l.Stats().Up; c.In != 10 || c.Waiting != 10 {
		t.Errorf("%+v", c)
	}
	if _, err := l.Listen(Client, "tcp", "127.0.0.1:82"); err == nil {
		t.Error("a socket in a namespace that is gone")
	}
	if _, err := l.Relay(Outside, "127.0.0.1:0", Outside, "127.0.0.1:82"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a relay: %v", err)
	}
	if err := l.Command(Client, "true").Run(); err == nil {
		t.Error("a program in a namespace that is gone")
	}
}

// gone checks that neither process nor thread nor mount holds the namespaces,
// and that the first, of which kept is a descriptor, has no TUN device any more.
func gone(t *testing.T, names []string, kept int) {
	t.Helper()
	holders, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil || len(holders) < 2 {
		t.Fatalf("%d threads, %v", len(holders), err)
	}
	for _, h := range holders {
		if name, err := os.Readlink(h); err == nil && slices.Contains(names, name) {
			t.Errorf("%s is %s", h, name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(mounts), name) {
			t.Errorf("%s is mounted", name)
		}
	}
	inside := namespace{file: os.NewFile(uintptr(kept), "kept")}
	err = inside.do(func() error {
		list, err := net.Interfaces()
		if err == nil && (len(list) != 1 || list[0].Name != "lo") {
			t.Errorf("its devices are %v", list)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	inside.file.Close()
}

// without calls f on a thread that lacks a capability.
func without(t *testing.T, capability int, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		t.Fatal(err)
	}
	fewer := has
	fewer[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &fewer[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &has[0]); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

func TestUnavailableSaysWhy(t *testing.T) {
	newLink(t, Config{}) // skips where it really is
	check := func(what, reason string) {
		t.Helper()
		l, err := New(Config{})
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, not %q", what, err, reason)
		}
	}
	before := descriptors(t)
	without(t, unix.CAP_SYS_ADMIN, func() { check("no rights", "no network namespace: operation not permitted") })
	without(t, unix.CAP_NET_ADMIN, func() { check("no rights over devices", "no TUN device: operation not permitted") })
	t.Setenv("PATH", "")
	check("no programs", "iproute2")
	if after := descriptors(t); !slices.Equal(after, before) {
		t.Errorf("open are %v, not %v", after, before)
	}
}
