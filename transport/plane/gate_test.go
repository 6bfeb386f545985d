package plane

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// keeping is a PacketConn that counts what is written to it.
type keeping struct {
	noConn
	written int
}

func (k *keeping) WriteTo(b []byte, _ net.Addr) (int, error) { k.written++; return len(b), nil }
func (k *keeping) Close() error                              { return nil }

// The verdict changes at the moment that was told, and nobody reads a clock
// where no moment was.
func TestGateVerdicts(t *testing.T) {
	p := New()
	now, read := int64(1000), 0
	p.gate.clock = func() int64 { read++; return now }
	if v := p.gate.look(); v != gateOpen || read != 0 {
		t.Fatalf("never set: %v after %d looks at the clock", v, read)
	}
	p.SendUntil(2000)
	for _, step := range []struct {
		at   int64
		want verdict
	}{{1000, gateOpen}, {1999, gateOpen}, {2000, gateExpired}, {5000, gateExpired}} {
		if now = step.at; p.gate.look() != step.want {
			t.Errorf("at %d: %v, want %v", now, p.gate.look(), step.want)
		}
	}
	p.SendUntil(6000)
	if p.gate.look() != gateOpen {
		t.Error("a gate that was prolonged stays shut")
	}
	p.SendUntil(0)
	now = 1
	if p.gate.look() != gateShut {
		t.Error("0 does not shut the gate")
	}
}

// What goes to the kernel by any way is stopped and counted; checks of ICE are
// not.
func TestGateStopsEveryWay(t *testing.T) {
	p := New()
	now := int64(1000)
	p.gate.clock = func() int64 { return now }
	k := &keeping{}
	one, err := ioOf(k, &p.gate)
	if err != nil {
		t.Fatal(err)
	}
	c, to := udp(t, "127.0.0.1:0")
	many, err := ioOf(c, &p.gate)
	if err != nil {
		t.Fatal(err)
	}
	far, near := overTCP(t, p, 1000, nil)
	defer func() { _ = far.Close() }()
	framed := make(chan int, 1)
	go func() {
		b, _ := io.ReadAll(far)
		framed <- len(b)
	}()
	d := destinationOf(to, false)
	batch := []outDatagram{{[]byte("one"), d}, {[]byte("two"), d}, {[]byte("3"), d}}
	all := func() {
		t.Helper()
		for _, w := range []batchIO{one, many, near} {
			if refused, err := w.write(batch); refused != 0 || err != nil {
				t.Fatalf("%T: %d refused, %v", w, refused, err)
			}
		}
	}
	arrived := func(n int) {
		t.Helper()
		b := make([]byte, 100)
		for range n {
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, _, err := c.ReadFrom(b); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, _, err := c.ReadFrom(b); err == nil {
			t.Fatalf("%q got out", b[:n])
		}
	}
	all()
	arrived(3)
	p.SendUntil(1001)
	all()
	arrived(3)
	now = 1001
	all()
	arrived(0)
	p.SendUntil(0)
	all()
	if err := many.writeOne([]byte("check"), to); err != nil {
		t.Fatal(err)
	}
	arrived(1)
	if s := p.Stats(); k.written != 6 || s.StoppedExpired != 9 || s.StoppedShut != 9 {
		t.Errorf("%d written one by one, stopped: %d expired, %d shut", k.written, s.StoppedExpired, s.StoppedShut)
	}
	_ = near.Close()
	if n := <-framed; n != 2*(2+3+2+3+2+1) {
		t.Errorf("%d bytes by TCP", n)
	}
	_ = many.close()
}

// A goodbye is media, too.
func TestGateStopsGoodbyes(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
	r.feed(epoch, func(w *Writer) { w.Packet(0, []byte("x"), 0, false) })
	r.plane.SendUntil(0)
	r.session.goodbye()
	if sent := r.wire.take(); len(sent) != 0 || r.plane.Stats().StoppedShut != 1 {
		t.Errorf("%d sent, %d stopped", len(sent), r.plane.Stats().StoppedShut)
	}
	r.plane.SendUntil(noLimit)
	r.session.goodbye()
	if len(r.wire.take()) != 1 {
		t.Error("no goodbye through an open gate")
	}
}

// A write that waits for a client on TCP ends when the gate is shut.
func TestGateInterruptsTCP(t *testing.T) {
	p := New()
	far, near := overTCP(t, p, 1000, nil) // a pipe: what nobody reads waits
	defer func() { _ = far.Close() }()
	done := make(chan error, 1)
	go func() {
		_, err := near.write([]outDatagram{{[]byte("waits"), &destination{addr: netip.AddrPort{}}}})
		done <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 2)); err != nil { // it is within the write
		t.Fatal(err)
	}
	began := time.Now()
	p.SendUntil(0)
	if err := <-done; !errors.Is(err, net.ErrClosed) || time.Since(began) > tcpWriteTimeout/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// The clock of boot goes on, and a look at a gate with a limit allocates nothing.
func TestGateClock(t *testing.T) {
	a := bootNow()
	time.Sleep(time.Millisecond)
	if b := bootNow(); a <= 0 || b-a < int64(time.Millisecond) {
		t.Errorf("%d, then %d", a, b)
	}
	p := New()
	p.SendUntil(time.Duration(bootNow()) + time.Hour)
	if n := testing.AllocsPerRun(100, func() { p.gate.stops(1) }); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
}

func BenchmarkGate(b *testing.B) {
	for name, until := range map[string]time.Duration{"never set": noLimit, "limit": time.Duration(bootNow()) + time.Hour} {
		b.Run(name, func(b *testing.B) {
			p := New()
			p.SendUntil(until)
			for b.Loop() {
				p.gate.stops(64)
			}
		})
	}
}
