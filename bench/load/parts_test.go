package load

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tutti/transport/transporttest/badlink"
)

// hello builds a ServerHello in a record of its own.
func hello(random byte, extensions ...byte) []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	for i := range 32 {
		body[2+i] = random
	}
	body = append(body, 2, 7, 7, 0xc0, 0x2b, 0)
	if extensions != nil {
		body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
		body = append(body, extensions...)
	}
	return record(typeHandshake, message(typeServerHello, body))
}

func message(kind byte, body []byte) []byte {
	n := byte(len(body))
	return append([]byte{kind, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n}, body...)
}

func record(kind byte, body []byte) []byte {
	b := append([]byte{kind, 0xfe, 0xfd}, make([]byte, 8)...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

var profile7 = []byte{0xff, 1, 0, 1, 0, 0, useSRTP, 0, 5, 0, 2, 0, 7, 0} // renegotiation, then use_srtp

func TestFindServerHello(t *testing.T) {
	plain := hello(9, profile7...)
	certificate := message(11, []byte{1, 2, 3})
	together := record(typeHandshake, append(certificate, plain[recordHeader:]...))
	half := hello(9, profile7...)
	half[recordHeader+11]--                                             // one byte of it comes in another fragment
	half = append(half[:recordHeader-2], append([]byte{0, 0}, 1, 2)...) // and the record is cut
	for _, c := range []struct {
		name    string
		b       []byte
		found   bool
		profile uint16
	}{
		{"alone", plain, true, 7},
		{"without extensions", hello(9), true, 0},
		{"behind another record", append(record(typeHandshake, certificate), plain...), true, 7},
		{"behind another message", together, true, 7},
		{"a client's", record(typeHandshake, message(1, make([]byte, 60))), false, 0},
		{"encrypted", append(plain[:3:3], append([]byte{0, 1}, plain[5:]...)...), false, 0},
		{"application data", record(23, plain[recordHeader:]), false, 0},
		{"in pieces", half, false, 0},
		{"cut off", plain[:len(plain)-1], false, 0},
		{"nothing", nil, false, 0},
	} {
		h, ok := findServerHello(c.b)
		if ok != c.found || ok && (h.random[31] != 9 || h.suite != 0xc02b || uint16(h.profile) != c.profile) {
			t.Errorf("%s: %v %+v", c.name, ok, h)
		}
	}
}

func FuzzFindServerHello(f *testing.F) {
	f.Add(hello(1, profile7...))
	f.Add(append(record(typeHandshake, message(11, []byte{1})), hello(2)...))
	f.Add([]byte{typeHandshake, 0xfe, 0xfd})
	f.Fuzz(func(_ *testing.T, b []byte) { findServerHello(b) })
}

// TestExport holds the exporter against the definition with the pseudo-random
// function written out: PHash's first block is HMAC(secret, HMAC(secret, seed)
// + seed) with seed the label and both randoms (RFC 5705, section 4). The
// vector was computed so with Python's hmac.
func TestExport(t *testing.T) {
	var k keys
	if _, err := k.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 32); !errors.Is(err, errNoKeys) {
		t.Error(err)
	}
	secret, random := make([]byte, 48), make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	for i := range random {
		random[i] = byte(0x40 + i)
	}
	_, _ = k.Write([]byte("CLIENT_RANDOM " + hex.EncodeToString(random) + " " + hex.EncodeToString(secret) + "\n"))
	k.watch(hello(9, profile7...), true)
	got, err := k.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 32)
	if want := "fee93237caf9dbe6362b9352785624dfc3b481fc9dc6e9606a2e84170a58949a"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x, %v", got, err)
	}
	wide := hello(9, profile7...)
	wide[recordHeader+messageHeader+2+32+1+2+1] = 0x30 // 0xc030: SHA-384
	k.watch(wide, true)
	got, err = k.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 32)
	if want := "edbe4bc1170a279ae30706139ead1663ca24fc75eee5be8fc437e60a593dc503"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x, %v", got, err)
	}
	if !k.client {
		t.Error("who got the ServerHello is no client")
	}
}

func at(ms int) time.Time { return time.Unix(1000, int64(ms)*1e6) }

// TestStream counts a stream by hand.
func TestStream(t *testing.T) {
	s := newStream(Sound, 1)
	take := func(n int, ms int) {
		s.take(datagram{b: make([]byte, 100), at: at(ms)}, uint16(65530+n), uint32(n)*960, 100*time.Millisecond)
	}
	take(0, 5) // 5 ms after the fastest
	take(1, 20)
	take(3, 70)  // 10 ms, overtakes
	take(2, 71)  // 31 ms
	take(5, 201) // 101 ms: late; 4 is lost
	take(20, 400)
	if s.expected() != 21 || s.received != 6 || s.lost() != 15 || s.late != 1 || s.bytes != 600 {
		t.Errorf("%+v", s)
	}
	// The first is counted before the fastest is known: as the fastest itself.
	if p50, all := s.delays.percentile(0.5), s.delays.percentile(1); p50 != time.Millisecond || all != 102*time.Millisecond {
		t.Errorf("%v %v", p50, all)
	}
	s.reset()
	if s.expected() != 0 || s.lost() != 0 || s.late != 0 || s.delays.percentile(1) != 0 {
		t.Errorf("%+v", s)
	}
	take(19, 401) // of before
	take(22, 440) // 21 was lost between two packets that came
	if s.expected() != 2 || s.received != 1 || s.lost() != 1 {
		t.Errorf("expected %d, received %d", s.expected(), s.received)
	}
}

// TestJitter holds the estimate against RFC 3550, appendix A.8, for packets
// that are by turns 16 ms early and late: each step adds (32 - J)/16.
func TestJitter(t *testing.T) {
	s := newStream(Sound, 1)
	want := 0.0
	for n := range 100 {
		s.take(datagram{at: at(n*20 + n%2*32)}, uint16(n), uint32(n)*960, time.Second)
		if n > 0 {
			want += (32 - want) / 16
		}
	}
	if got := s.jitter.Seconds() * 1000; got < want-0.01 || got > want+0.01 {
		t.Errorf("%v ms, not %v", got, want)
	}
	if b := s.block(at(2000)); b.Jitter != uint32(s.jitter.Seconds()*48000+0.5) || b.FractionLost != 0 {
		t.Errorf("%+v", b)
	}
	s.take(datagram{at: at(2100)}, 103, 103*960, time.Second)
	if b := s.block(at(2100)); b.FractionLost != 192 || b.TotalLost != 3 || b.LastSequenceNumber != 103 {
		t.Errorf("%+v", b)
	}
}

func TestSigned24(t *testing.T) {
	for n, want := range map[uint32]int32{0: 0, 5: 5, 0xffffff: -1, 0x7fffff: 0x7fffff} {
		if got := signed24(n); got != want {
			t.Errorf("%x is %d", n, got)
		}
	}
}

// TestSocket sends a batch and reads it, with addresses and times.
func TestSocket(t *testing.T) {
	here := netip.MustParseAddrPort("127.0.0.1:0")
	from, err := Bind(netip.MustParseAddrPort("127.1.2.3:0"))
	check(t, err)
	to, err := Bind(here)
	check(t, err)
	before := time.Now()
	n, err := from.SendBatch([][]byte{[]byte("a"), []byte("bc"), make([]byte, 1400)}, to.Local())
	if n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	check(t, from.Send([]byte("last"), to.Local()))
	in := newInbox()
	for round := range 2 {
		if n := in.read(to.fd); n != 4 {
			t.Fatalf("%d read", n)
		}
		for i, want := range []int{1, 2, 1400, 4} {
			d := in.get(i, time.Time{})
			if len(d.b) != want || d.from != from.Local() || d.at.Before(before.Add(-time.Millisecond)) || d.at.After(time.Now()) {
				t.Errorf("round %d: %d bytes from %v at %v", round, len(d.b), d.from, d.at)
			}
		}
		if in.read(to.fd) != 0 {
			t.Error("read twice")
		}
		if round == 0 {
			_, err := from.SendBatch([][]byte{{1}, {2, 3}, make([]byte, 1400), {4, 4, 4, 4}}, to.Local())
			check(t, err)
		}
	}
	check(t, from.Close())
	check(t, from.Close())
	if err := from.Send([]byte("x"), to.Local()); !errors.Is(err, unix.EBADF) {
		t.Error(err)
	}
	check(t, to.Close())
	if _, err := Bind(netip.MustParseAddrPort("192.0.2.77:0")); err == nil {
		t.Error("bound to an address of nobody here")
	}
}

// TestSpoofed sends each datagram from an address of its own, and by the plain
// way afterwards.
func TestSpoofed(t *testing.T) {
	from, err := Bind(netip.MustParseAddrPort("0.0.0.0:0"))
	check(t, err)
	defer from.Close()
	to, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer to.Close()
	sources := []netip.Addr{netip.MustParseAddr("127.9.8.7"), netip.MustParseAddr("127.200.1.1")}
	n, err := from.SendSpoofed([][]byte{{1}, {2}, {3}}, sources, to.Local())
	if n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	_, err = from.SendBatch([][]byte{{3}}, to.Local())
	check(t, err)
	in := newInbox()
	if n := in.read(to.fd); n != 3 {
		t.Fatalf("%d read", n)
	}
	for i, want := range []string{"127.9.8.7", "127.200.1.1", "127.0.0.1"} {
		d := in.get(i, time.Time{})
		if d.from.Addr().String() != want || d.from.Port() != from.Local().Port() || d.b[0] != byte(i+1) {
			t.Errorf("%v from %v, not %v", d.b, d.from, want)
		}
	}
}

// TestDropped fills a socket's buffer.
func TestDropped(t *testing.T) {
	a, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer a.Close()
	b, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer b.Close()
	check(t, unix.SetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096))
	const sent = 50
	for range sent {
		check(t, a.Send(make([]byte, 1000), b.Local()))
	}
	in := newInbox()
	came := in.read(b.fd)
	if got := int(b.dropped()); got == 0 || got+came != sent {
		t.Errorf("%d came, %d dropped", came, got)
	}
}

// TestHotPathsAllocateNothing measures what is done for each packet.
func TestHotPathsAllocateNothing(t *testing.T) {
	a, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer a.Close()
	b, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer b.Close()
	payload, in, s := make([]byte, 100), newInbox(), newStream(Sound, 1)
	n := testing.AllocsPerRun(100, func() {
		_ = a.Send(payload, b.Local())
		for i := range in.read(b.fd) {
			s.take(in.get(i, time.Time{}), 1, 1, time.Second)
		}
	})
	if n != 0 || s.received == 0 {
		t.Errorf("%v allocations, %d packets", n, s.received)
	}
}

// TestSkips counts packets whose times do not follow one another though their
// numbers do.
func TestSkips(t *testing.T) {
	s := newStream(Sound, 1)
	take := func(n int, ts uint32) { s.take(datagram{at: at(20 * n)}, uint16(65534+n), ts, time.Second) }
	take(0, 0)
	take(1, 960)
	take(2, 1920)
	take(4, 3840) // 3 comes late: no skip of the sender's
	take(3, 2880)
	if s.expected() != 5 {
		t.Errorf("%d expected, not 5", s.expected())
	}
	take(5, 4800)
	if s.skips != 0 {
		t.Errorf("%d skips in a stream without", s.skips)
	}
	take(6, 5760+20*960) // a pause
	take(7, 6720+20*960)
	take(8, 6720+20*960) // time stands still
	if s.skips != 2 {
		t.Errorf("%d skips, not 2", s.skips)
	}
	s.reset()
	take(9, 0) // after a pause across the reset
	if s.skips != 1 {
		t.Errorf("%d skips after the reset, not 1", s.skips)
	}
	var r Received
	r.add(s, &delays{})
	if r.Skips != 1 || r.Troubled != 1 {
		t.Errorf("%+v", r)
	}
}

// TestLink delays what a client sends, in virtual time.
func TestLink(t *testing.T) {
	from, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer from.Close()
	to, err := Bind(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer to.Close()
	c := &Client{cfg: &Config{}, socket: from, sender: &sender{}}
	c.to = to.Local()
	in := newInbox()
	came := func(ms int, want int) (wait time.Duration) {
		t.Helper()
		wait, _ = c.sender.work(at(ms))
		if n := in.read(to.fd); n != want {
			t.Errorf("after %d ms %d came, not %d", ms, n, want)
		}
		return wait
	}
	c.send(at(0), []byte("at once"))
	came(0, 1)
	c.setUp(at(0), badlink.Conditions{Delay: 30 * time.Millisecond})
	c.send(at(0), []byte("a"))
	c.send(at(10), []byte("b"))
	came(10, 0)
	if wait := came(29, 0); wait != time.Millisecond {
		t.Errorf("looks again in %v, though the next leaves in 1ms", wait)
	}
	came(30, 1)
	c.setUp(at(31), badlink.Conditions{})
	c.send(at(31), []byte("c"))
	came(31, 0) // in order: behind b
	came(40, 2)
	c.sender.remove(c)
	c.send(at(50), []byte("d"))
	came(50, 0)
	if err := c.SetUp(badlink.Conditions{Loss: 2}); !errors.Is(err, badlink.ErrConditions) {
		t.Error(err)
	}
}
