package rtc

import (
	"net"
	"testing"
)

// replay is a socket that reads the same datagram from one sender after the other.
type replay struct {
	net.PacketConn
	from []string
}

func (r *replay) ReadFrom(p []byte) (int, net.Addr, error) {
	if len(r.from) == 0 {
		return 0, nil, net.ErrClosed
	}
	a := &net.UDPAddr{IP: net.ParseIP(r.from[0]), Port: 9}
	r.from = r.from[1:]
	return copy(p, "x"), a, nil
}

// A server for development hears nobody from another host.
func TestWithinHostHearsOnlyItself(t *testing.T) {
	w := withinHost{&replay{from: []string{"192.0.2.7", "10.0.0.1", "192.0.2.2", "203.0.113.5"}}, net.IPv4(192, 0, 2, 2)}
	_, from, err := w.ReadFrom(make([]byte, 9))
	if err != nil || from.(*net.UDPAddr).IP.String() != "192.0.2.2" {
		t.Fatalf("heard %v, %v", from, err)
	}
	if _, from, err = w.ReadFrom(make([]byte, 9)); err == nil {
		t.Errorf("heard %v", from)
	}
}
