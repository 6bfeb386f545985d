package plane

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	// maxDatagram holds the largest datagram that is read; WebRTC sends none
	// beyond the path's MTU.
	maxDatagram = 1600
	// readBatch and writeBatch are how many datagrams cross into the kernel and
	// back at once.
	readBatch  = 32
	writeBatch = 64
)

// inDatagram is one that was read. Its bytes are the reader's until the next
// read.
type inDatagram struct {
	data []byte
	from netip.AddrPort // without zone, IPv4 never mapped into IPv6
	at   time.Time      // when it reached the socket, as far as the kernel tells
}

// outDatagram is one that is to be written.
type outDatagram struct {
	data []byte
	to   *destination
}

// destination is a peer's address and, ready for the kernel, its socket address.
type destination struct {
	addr netip.AddrPort
	raw  rawAddr
}

// batchIO reads and writes datagrams in batches. Reads belong to one goroutine,
// writes to another.
type batchIO interface {
	// read fills as much of dst as there is without waiting for more, but waits
	// for the first.
	read(dst []inDatagram) (int, error)
	// write sends all of src, while the gate is open. What the kernel refuses is
	// skipped and counted in refused; the error is net.ErrClosed or nil.
	write(src []outDatagram) (refused int, err error)
}

// socketIO is a whole socket.
type socketIO interface {
	batchIO
	// writeOne sends one datagram, from any goroutine.
	writeOne(b []byte, to netip.AddrPort) error
	// close ends reading and writing.
	close() error
	// drops answers how many datagrams the kernel dropped for want of room.
	drops() uint64
}

// singles is batchIO over any net.PacketConn: one datagram at a time. Virtual
// networks have no more.
type singles struct {
	conn net.PacketConn
	gate *gate
	buf  []byte
}

func newSingles(c net.PacketConn, g *gate) *singles {
	return &singles{c, g, make([]byte, maxDatagram)}
}

func (s *singles) read(dst []inDatagram) (int, error) {
	n, from, err := s.conn.ReadFrom(s.buf)
	if err != nil {
		return 0, err
	}
	dst[0] = inDatagram{data: s.buf[:n], from: addrPort(from), at: time.Now()}
	return 1, nil
}

func (s *singles) write(src []outDatagram) (refused int, err error) {
	if s.gate.stops(len(src)) {
		return 0, nil
	}
	for i := range src {
		err := s.writeOne(src[i].data, src[i].to.addr)
		if errors.Is(err, net.ErrClosed) {
			return refused, net.ErrClosed
		}
		if err != nil {
			refused++
		}
	}
	return refused, nil
}

func (s *singles) writeOne(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func (s *singles) close() error  { return s.conn.Close() }
func (s *singles) drops() uint64 { return 0 }

// addrPort answers an address in the form in which sessions are found by it.
func addrPort(a net.Addr) netip.AddrPort {
	switch u := a.(type) {
	case *net.UDPAddr:
		return canonical(u.AddrPort())
	case *net.TCPAddr:
		return canonical(u.AddrPort())
	}
	return netip.AddrPort{}
}

func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
