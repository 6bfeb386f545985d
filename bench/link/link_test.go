package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tutti/transport/transporttest/badlink"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func newLink(t *testing.T, cfg Config) *Link {
	t.Helper()
	l, err := New(cfg)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// socket opens a UDP socket on a side whose buffer is large enough for all that
// a test sends.
func socket(t *testing.T, l *Link, side Side, ip netip.Addr) *net.UDPConn {
	t.Helper()
	conn, err := l.ListenPacket(side, "udp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	udp := conn.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return udp
}

func address(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// numbered is a datagram with a number, of that many bytes.
func numbered(n, size int) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(n))[:size]
}

// headers4 is what an IPv4 packet has besides the payload of UDP, in bytes.
const headers4 = 28

// send sends n datagrams whose packets have that size.
func send(t *testing.T, from, to *net.UDPConn, n, size int) {
	t.Helper()
	for i := range n {
		if _, err := from.WriteToUDPAddrPort(numbered(i, size-headers4), address(to)); err != nil {
			t.Fatal(err)
		}
	}
}

// receive answers the numbers of that many datagrams in the order of their
// arrival, and how long the last took from begin on.
func receive(t *testing.T, conn *net.UDPConn, n int, begin time.Time) (numbers []int, last time.Duration) {
	t.Helper()
	buf := make([]byte, 1<<16)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for len(numbers) < n {
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(numbers), n, err)
		}
		numbers = append(numbers, int(binary.BigEndian.Uint32(buf)))
	}
	return numbers, time.Since(begin)
}

// settled waits until all that was sent has come in, and all that came in has
// left or is lost, and answers the counts.
func settled(t *testing.T, stats func() Counts, sent int) Counts {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c := stats()
		if c.In+c.Missed == uint64(sent) && c.Waiting == 0 {
			return c
		}
		if time.Now().After(end) {
			t.Fatalf("of %d sent: %+v", sent, c)
		}
	}
}

func (l *Link) up() Counts   { return l.Stats().Up }
func (l *Link) down() Counts { return l.Stats().Down }

func TestDatagramsPassBothWays(t *testing.T) {
	const delay = 30 * time.Millisecond
	l := newLink(t, Config{Up: badlink.Conditions{Delay: delay}, Down: badlink.Conditions{Delay: 2 * delay}})
	for _, ip := range []func(Side) netip.Addr{Side.IP4, Side.IP6} {
		client, server := socket(t, l, Client, ip(Client)), socket(t, l, Server, ip(Server))
		begin := time.Now()
		send(t, client, server, 100, 1000)
		numbers, took := receive(t, server, 100, begin)
		if !slices.IsSorted(numbers) || took < delay {
			t.Errorf("up: %v after %v", numbers, took)
		}
		begin = time.Now()
		send(t, server, client, 100, 1000)
		numbers, took = receive(t, client, 100, begin)
		if !slices.IsSorted(numbers) || took < 2*delay {
			t.Errorf("down: %v after %v", numbers, took)
		}
	}
	const bytes = 100*1000 + 100*1020 // IPv6 has 20 more
	for _, c := range []Counts{l.up(), l.down()} {
		if c.In != 200 || c.Out != 200 || c.InBytes != bytes || c.OutBytes != bytes || c.Missed+c.Refused != 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestLuckIsThatOfThePipe: real packets are lost as in virtual time.
func TestLuckIsThatOfThePipe(t *testing.T) {
	const n, seed = 500, 7
	conditions := badlink.Conditions{Loss: 0.1, Burst: badlink.Bursts(0.2, 3)}
	l := newLink(t, Config{Seed: seed, Up: conditions})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())

	virtual := badlink.New(time.Time{}, badlink.Config[int]{Seed: seed, Conditions: conditions})
	var want []int
	for i := range n {
		if virtual.Push(time.Time{}, 100, i) == badlink.Carried {
			want = append(want, i)
		}
	}
	begin := time.Now()
	send(t, client, server, n, 100)
	if got, _ := receive(t, server, len(want), begin); !slices.Equal(got, want) {
		t.Errorf("%v arrived, not %v", got, want)
	}
	if c := settled(t, l.up, n); c.Lost != uint64(n-len(want)) || c.Out != uint64(len(want)) {
		t.Errorf("%+v", c)
	}
}

func TestRateAndQueueAreHeld(t *testing.T) {
	const n, size, queue = 200, 1000, 20_000 // 4 ms each
	l := newLink(t, Config{Down: badlink.Conditions{RateBPS: 2_000_000, QueueBytes: queue}})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	begin := time.Now()
	send(t, server, client, n, size)
	c := settled(t, l.down, n)
	if c.Dropped == 0 || c.Dropped+c.Out != n || c.MaxQueueBytes > queue || c.MaxQueueBytes <= queue-size {
		t.Errorf("%+v", c)
	}
	if _, took := receive(t, client, int(c.Out), begin); took < time.Duration(c.Out)*4*time.Millisecond {
		t.Errorf("%d took %v", c.Out, took)
	}
}

func TestDatagramsAreDoubledAndOvertaken(t *testing.T) {
	l := newLink(t, Config{Up: badlink.Conditions{Duplicate: 1, Reorder: 0.3, ReorderDelay: 200 * time.Millisecond}})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	begin := time.Now()
	send(t, client, server, 100, 1000)
	numbers, took := receive(t, server, 200, begin)
	if took < 200*time.Millisecond || slices.IsSorted(numbers) {
		t.Errorf("in order after %v: %v", took, numbers)
	}
	for i := range 100 {
		numbers = slices.DeleteFunc(numbers, func(n int) bool { return n == i })
		if len(numbers) != 200-2*(i+1) {
			t.Fatalf("%d has not come twice", i)
		}
	}
	if c := l.up(); c.Duplicated != 100 || c.Reordered == 0 || c.Out != 200 {
		t.Errorf("%+v", c)
	}
}

func TestTraceIsPlayed(t *testing.T) {
	l := newLink(t, Config{Up: badlink.Conditions{Delay: time.Hour}})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	const step = time.Second
	trace, err := badlink.Parse("at 0s up loss=100%\nat 0s down delay=100ms\nat 1s up loss=0%")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := l.Play(trace); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				send(t, client, server, 1, 100)
			}
		}
	}()
	_, took := receive(t, server, 1, begin)
	close(stop)
	<-stopped
	if took < step {
		t.Errorf("the first arrives after %v", took)
	}
	if c := l.up(); c.Lost == 0 || c.Waiting != 0 {
		t.Errorf("%+v", c)
	}
	begin = time.Now()
	send(t, server, client, 1, 100)
	if _, took := receive(t, client, 1, begin); took < 100*time.Millisecond {
		t.Errorf("down it takes %v", took)
	}

	if err := l.Set(Down, badlink.Conditions{Loss: 1}); err != nil {
		t.Fatal(err)
	}
	send(t, server, client, 10, 100)
	if c := settled(t, l.down, 11); c.Lost != 10 {
		t.Errorf("%+v", c)
	}
	if err := l.Set(Down, badlink.Conditions{Loss: 2}); !errors.Is(err, badlink.ErrConditions) {
		t.Errorf("bad conditions: %v", err)
	}
	if err := l.Play(badlink.Trace{Repeat: -1}); !errors.Is(err, badlink.ErrConditions) {
		t.Errorf("bad trace: %v", err)
	}
}

// TestSetWakesWhatSleeps: new conditions hold for what waits at once, not when
// the next packet comes.
func TestSetWakesWhatSleeps(t *testing.T) {
	l := newLink(t, Config{Up: badlink.Conditions{RateBPS: 8, QueueTime: time.Hour}}) // 100 s each
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	begin := time.Now()
	send(t, client, server, 5, 100)
	for l.up().Waiting < 5 {
		if time.Since(begin) > patience {
			t.Fatalf("%+v", l.up())
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Set(Up, badlink.Conditions{}); err != nil {
		t.Fatal(err)
	}
	receive(t, server, 5, begin)
}

func TestStrangersPacketsGoNowhere(t *testing.T) {
	l := newLink(t, Config{})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	client6 := socket(t, l, Client, Client.IP6())
	for _, to := range []string{"192.0.2.1:9", "10.0.0.77:9", "224.0.0.251:5353"} {
		if _, err := client.WriteToUDPAddrPort([]byte{1}, netip.MustParseAddrPort(to)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	var eth0 *net.Interface // by its number: Go looks names up outside
	if err := l.Do(Client, func() (err error) { eth0, err = net.InterfaceByName(device); return err }); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"[2001:db8::1]:9", fmt.Sprintf("[ff02::fb%%%d]:5353", eth0.Index)} {
		if _, err := client6.WriteToUDPAddrPort([]byte{1}, netip.MustParseAddrPort(to)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	send(t, client, server, 1, 100) // behind them
	receive(t, server, 1, time.Now())
	if c := l.up(); c.In != 1 || c.Stray < 5 {
		t.Errorf("%+v", c)
	}
	// The kernel may have said something of its own, such as multicast reports,
	// but nothing for the client.
	if c := l.down(); c.In != 0 {
		t.Errorf("down: %+v", c)
	}
}

// TestNothingIsForgotten sends while nobody carries, more than a device holds:
// all is counted, and what was held is carried.
func TestNothingIsForgotten(t *testing.T) {
	const n = queueLength * 3 / 2
	l := newLink(t, Config{Up: badlink.Conditions{Delay: 5 * time.Millisecond, Loss: 0.01}})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	l.ways[Up].mu.Lock()
	send(t, client, server, n, 200)
	l.ways[Up].mu.Unlock()
	c := settled(t, l.up, n)
	if c.Out+c.Lost != c.In || c.Refused != 0 || c.In < queueLength || c.Missed == 0 {
		t.Errorf("%+v", c)
	}
	receive(t, server, int(c.Out), time.Now())
}

func TestRefusedIsCounted(t *testing.T) {
	l := newLink(t, Config{})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	if out, err := l.Command(Server, "ip", "link", "set", "dev", device, "down").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	send(t, client, server, 3, 100)
	for begin := time.Now(); l.up().Refused < 3; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%+v", l.up())
		}
	}
}

func TestLinksDoNotMix(t *testing.T) {
	a, b := newLink(t, Config{}), newLink(t, Config{Up: badlink.Conditions{Loss: 1}})
	for _, l := range []*Link{a, b} {
		client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
		send(t, client, server, 10, 100)
	}
	if c := settled(t, a.up, 10); c.Out != 10 {
		t.Errorf("%+v", c)
	}
	if c := settled(t, b.up, 10); c.Lost != 10 {
		t.Errorf("%+v", c)
	}
}

func TestChangesAtAnyTime(t *testing.T) {
	l := newLink(t, Config{})
	client, server := socket(t, l, Client, Client.IP4()), socket(t, l, Server, Server.IP4())
	trace, err := badlink.Parse("at 0s duplicate=50% jitter=5ms scatter=yes\nat 1ms rate=1Mbit/s\nat 2ms repeat")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for _, f := range []func() error{
		func() error { send(t, client, server, 10, 100); return nil },
		func() error { return l.Play(trace) },
		func() error { return l.Set(Up, badlink.Conditions{Duplicate: 1, RateBPS: 1e6, QueueTime: time.Hour}) },
		func() error { l.Stats(); return nil },
	} {
		work.Go(func() {
			for range 100 {
				if err := f(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if err := l.Set(Up, badlink.Conditions{}); err != nil {
		t.Error(err)
	}
	c := settled(t, l.up, 1000)
	if c.In+c.Duplicated != c.Out+c.Lost+c.Dropped {
		t.Errorf("%+v", c)
	}
}
