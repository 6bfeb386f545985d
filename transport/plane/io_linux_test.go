package plane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// udp is a socket of the kernel, and its address as its peers see it.
func udp(t *testing.T, address string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		t.Skipf("%s can't be had here: %v", address, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	local := addrPort(c.LocalAddr())
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), local.Port())
	}
	return c, local
}

func batched(t *testing.T, address string) (socketIO, netip.AddrPort) {
	t.Helper()
	c, a := udp(t, address)
	m, err := newMmsg(c, &New().gate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.close() })
	return m, a
}

// families are ways on which two sockets of one machine reach each other.
var families = [][2]string{{"127.0.0.1:0", "127.0.0.1:0"}, {"[::1]:0", "[::1]:0"}, {"[::]:0", "127.0.0.1:0"}, {"127.0.0.1:0", "[::]:0"}}

// Batches arrive whole and in order, from the address that their peers know the
// socket by.
func TestBatches(t *testing.T) {
	for _, f := range families {
		t.Run(f[0]+" to "+f[1], func(t *testing.T) {
			a, from := batched(t, f[0])
			b, to := batched(t, f[1])
			d := destinationOf(to, to.Addr().Is6())
			const n = 3*readBatch + 5
			var got [][]byte
			for sent := 0; sent < n; {
				var batch []outDatagram
				for ; sent < n && len(batch) < writeBatch; sent++ {
					batch = append(batch, outDatagram{fmt.Appendf(nil, "datagram %d", sent), d})
				}
				if refused, err := a.write(batch); refused != 0 || err != nil {
					t.Fatalf("%d refused, %v", refused, err)
				}
			}
			var list [readBatch]inDatagram
			for len(got) < n {
				k, err := b.read(list[:])
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range list[:k] {
					if d.from != from {
						t.Fatalf("from %v, want %v", d.from, from)
					}
					got = append(got, slices.Clone(d.data))
				}
			}
			for i, g := range got {
				if want := fmt.Sprintf("datagram %d", i); string(g) != want {
					t.Fatalf("%q, want %q", g, want)
				}
			}
			if err := b.writeOne([]byte("back"), from); err != nil {
				t.Fatal(err)
			}
			if k, err := a.read(list[:]); err != nil || k != 1 || string(list[0].data) != "back" || list[0].from != to {
				t.Errorf("read %d %q from %v, %v", k, list[0].data, list[0].from, err)
			}
		})
	}
}

// What the kernel refuses is counted and keeps nothing else back.
func TestRefusedDestinations(t *testing.T) {
	a, _ := batched(t, "127.0.0.1:0")
	b, to := batched(t, "127.0.0.1:0")
	good, bad := destinationOf(to, false), destinationOf(netip.AddrPortFrom(to.Addr(), 0), false)
	batch := []outDatagram{{[]byte("1"), bad}, {[]byte("2"), good}, {[]byte("3"), bad}, {[]byte("4"), bad}, {[]byte("5"), good}, {[]byte("6"), bad}}
	if refused, err := a.write(batch); refused != 4 || err != nil {
		t.Errorf("%d refused, %v", refused, err)
	}
	got := ""
	var list [readBatch]inDatagram
	for len(got) < 2 {
		n, err := b.read(list[:])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list[:n] {
			got += string(d.data)
		}
	}
	if got != "25" {
		t.Errorf("arrived %q", got)
	}
	_ = a.close()
	if refused, err := a.write(batch); refused != len(batch) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %d refused, %v", refused, err)
	}
}

// The time of arrival is when the datagram reached the socket, not when it was
// read. The kernel begins to stamp datagrams a while after it was asked to, so
// that the first may have the time of reading.
func TestArrivalTime(t *testing.T) {
	a, _ := batched(t, "127.0.0.1:0")
	b, to := batched(t, "127.0.0.1:0")
	const slack, tries = time.Millisecond, 50 // slack between the kernel's clock and ours
	var list [readBatch]inDatagram
	for try := 1; ; try++ {
		before := time.Now()
		if _, err := a.write([]outDatagram{{[]byte("x"), destinationOf(to, false)}}); err != nil {
			t.Fatal(err)
		}
		after := time.Now()
		for time.Since(after) < 5*slack {
			time.Sleep(slack) // real sockets know no virtual time
		}
		if n, err := b.read(list[:]); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		at := list[0].at
		if at.Before(before.Add(-slack)) || at.After(time.Now()) {
			t.Fatalf("arrived %v after it was sent", at.Sub(before))
		}
		if !at.After(after.Add(slack)) {
			return
		}
		if try == tries {
			t.Fatalf("arrived %v after it was sent", at.Sub(before))
		}
	}
}

// A datagram crosses into the kernel and back without an allocation.
func TestNoAllocationInTheKernel(t *testing.T) {
	for _, f := range families {
		t.Run(f[0]+" to "+f[1], func(t *testing.T) {
			a, _ := batched(t, f[0])
			b, to := batched(t, f[1])
			d := destinationOf(to, to.Addr().Is6())
			batch := []outDatagram{{make([]byte, 1000), d}, {make([]byte, 100), d}, {make([]byte, 10), d}}
			var list [readBatch]inDatagram
			if n := allocations(t, func() {
				if _, err := a.write(batch); err != nil {
					t.Fatal(err)
				}
				for left := len(batch); left > 0; {
					n, err := b.read(list[:])
					if err != nil {
						t.Fatal(err)
					}
					left -= n
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// What does not fit into the socket's buffer is counted.
func TestKernelDrops(t *testing.T) {
	a, _ := batched(t, "127.0.0.1:0")
	c, to := udp(t, "127.0.0.1:0")
	if err := c.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	b, err := newMmsg(c, &New().gate)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.close() }()
	const n = 500
	for range n {
		if err := a.writeOne(make([]byte, 1000), to); err != nil {
			t.Fatal(err)
		}
	}
	drops := int(b.drops())
	if drops == 0 || drops == n {
		t.Fatalf("%d of %d dropped", drops, n)
	}
	var list [readBatch]inDatagram
	for left := n - drops; left > 0; {
		k, err := b.read(list[:])
		if err != nil {
			t.Fatal(err)
		}
		left -= k
	}
	p := New()
	s, err := p.newSocket([]net.PacketConn{noConn{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.legs[0].io = b
	p.sockets = append(p.sockets, s)
	if got := p.Stats().KernelDropped; got != uint64(drops) {
		t.Errorf("the plane counts %d, want %d", got, drops)
	}
}

// Several sockets share a port that was free: peers of all of them are served,
// and a port that another program has is refused.
func TestListenOnSeveralSockets(t *testing.T) {
	conns, err := Listen(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, rigConfig{})
	socket, err := r.plane.Adopt(conns, nil)
	if err != nil {
		t.Fatal(err)
	}
	for count := 1; count <= 3; count += 2 {
		if more, err := Listen(socket.LocalAddr().(*net.UDPAddr), count); err == nil {
			t.Errorf("%d more sockets on a port that is taken", len(more))
		}
	}
	const peers = 60
	legs := map[*leg]int{}
	for range peers {
		c, from := udp(t, "127.0.0.1:0")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		s, client := r.addSession(from, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}, Outbound: []Outbound{sound()}}, cfg: Config{
			Feeder: feedFunc(func(w *Writer) time.Duration { w.Packet(0, []byte("x"), 0, false); return 0 }),
		}})
		r.plane.route(from).leg.Store(nil)
		s.queued.Store(false)
		s.Ready()
		if _, err := c.WriteTo(client.seal(packet(voiceSSRC, opusPT, 1, "x")), socket.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, maxDatagram)
		n, a, err := c.ReadFrom(b) // it was waiting for its leg
		if err != nil {
			t.Fatal(err)
		}
		if p := client.open(b[:n]); p.SSRC != soundSSRC || a.String() != socket.LocalAddr().String() {
			t.Errorf("%v from %v", p, a)
		}
		legs[r.plane.route(from).leg.Load()]++
		s.Close()
	}
	if len(legs) != 3 {
		t.Errorf("peers by socket: %v", legs)
	}
	if err := r.plane.Close(); err != nil {
		t.Error(err)
	}
}
