package plane

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/pion/ice/v4"
)

// candidateAddr answers where a candidate's datagrams come from.
func candidateAddr(c ice.Candidate) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(c.Address())
	if err != nil || c.Port() < 1 || c.Port() > 65535 {
		return netip.AddrPort{}, false
	}
	return canonical(netip.AddrPortFrom(a, uint16(c.Port()))), true
}

// socketBuffer is asked of the kernel for each direction of a socket, in bytes:
// a quarter of a second of 128 Mbit/s.
const socketBuffer = 4 << 20

// Listen binds count sockets to one UDP address, whose peers the kernel spreads
// over them; port 0 takes a free one.
func Listen(addr *net.UDPAddr, count int) ([]net.PacketConn, error) {
	first, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	if count <= 1 {
		return []net.PacketConn{sized(first)}, nil
	}
	// Sockets that share a port would also share it with another program's. The
	// one that is bound alone shows that there is none.
	bound := first.LocalAddr().(*net.UDPAddr)
	if err := first.Close(); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: reusePort}
	var conns []net.PacketConn
	for range count {
		c, err := lc.ListenPacket(context.Background(), "udp", net.JoinHostPort(bound.IP.String(), strconv.Itoa(bound.Port)))
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, err
		}
		conns = append(conns, sized(c.(*net.UDPConn)))
	}
	return conns, nil
}

func sized(c *net.UDPConn) net.PacketConn {
	_ = c.SetReadBuffer(socketBuffer) // the kernel's limit applies: less is no failure
	_ = c.SetWriteBuffer(socketBuffer)
	return c
}
