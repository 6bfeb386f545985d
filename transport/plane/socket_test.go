package plane

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// hidden is a net.PacketConn that is not known to be a UDP socket, as those of
// virtual networks.
type hidden struct{ net.PacketConn }

func listenHidden(t *testing.T) (hidden, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return hidden{c}, addrPort(c.LocalAddr())
}

// A socket gives ICE what is not media and sends what ICE has, on sockets of the
// kernel and of virtual networks.
func TestSocketForICE(t *testing.T) {
	for _, virtual := range []bool{false, true} {
		p := New()
		conns, err := Listen(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if virtual {
			conns[0] = hidden{conns[0]}
		}
		peer, from := listenHidden(t)
		s, err := p.Adopt(conns, func(a netip.AddrPort) bool { return a == from })
		if err != nil {
			t.Fatal(err)
		}
		stranger, _ := listenHidden(t)
		for _, c := range []hidden{stranger, peer} {
			for _, b := range [][]byte{binding(8), []byte("garbage, garbage"), append([]byte{0x80, 96}, make([]byte, 40)...), hello(1200)} {
				if _, err := c.WriteTo(b, s.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
		}
		b := make([]byte, maxDatagram)
		n, a, err := s.ReadFromAddrPort(b)
		if err != nil || a != from || !bytes.Equal(b[:n], binding(8)) {
			t.Errorf("read %d from %v, %v", n, a, err)
		}
		n, na, err := s.ReadFrom(b)
		if err != nil || addrPort(na) != from || !bytes.Equal(b[:n], hello(1200)) {
			t.Errorf("read %d from %v, %v", n, na, err)
		}
		if n, err := s.WriteTo([]byte("an answer"), na); n != 9 || err != nil {
			t.Error(n, err)
		}
		_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, _, err := peer.ReadFrom(b); err != nil || string(b[:n]) != "an answer" {
			t.Errorf("the peer read %q, %v", b[:n], err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if st := p.Stats(); st.Garbage != 1 || st.Strangers != 4+1 || st.Received != 8 {
			t.Errorf("virtual %v: counts %+v", virtual, st)
		}
		if _, _, err := s.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after the end: %v", err)
		}
		if _, err := s.WriteTo(b[:20], na); !errors.Is(err, net.ErrClosed) {
			t.Errorf("written after the end: %v", err)
		}
		if _, err := p.Adopt([]net.PacketConn{noConn{}}, nil); err == nil {
			t.Error("adopted after the end")
		}
	}
}

// Where ICE does not keep up, checks and handshakes are dropped and counted:
// they are sent again. Media goes on.
func TestControlIsBounded(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(k.take)}}})
	for range controlQueue + 10 {
		r.arrive(binding(8))
	}
	r.send(epoch, packet(voiceSSRC, opusPT, 1, "x"))
	if s := r.counts(); s.ControlDropped != 10 || len(k.packets) != 1 {
		t.Errorf("%d taken, counts %+v", len(k.packets), s)
	}
	b := make([]byte, maxDatagram)
	for range controlQueue {
		if n, from, err := r.socket.ReadFromAddrPort(b); n != 28 || from != clientAddr || err != nil {
			t.Fatal(n, from, err)
		}
	}
}
