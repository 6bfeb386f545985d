package link

import (
	"errors"
	"io"
	"net"
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

// descriptors answers what this process holds open, without what the runtime
// keeps: its poller, and the pipes that connections are spliced through, until
// the garbage collector takes them.
func descriptors(t *testing.T) (list []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		name, err := os.Readlink(l)
		if err == nil && !strings.Contains(name, "eventpoll") && !strings.HasPrefix(name, "pipe:") {
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

	// What is closed takes no harm and does none to what has its descriptors now.
	var new [16]int
	for i := range new {
		if new[i], err = unix.Eventfd(0, unix.EFD_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(new[i])
	}
	if err := l.Set(Up, badlink.Conditions{}); err != nil {
		t.Error(err)
	}
	for _, fd := range new {
		if _, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("it has written to somebody's file: %v", err)
		}
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
