package plane

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// controlQueue is how many STUN and DTLS datagrams wait for ICE.
const controlQueue = 256

// maxBadReads is how many reads may fail in a row before a socket counts as
// broken: one failure ends nothing, a socket that only fails must not spin.
const maxBadReads = 1000

// Socket is one UDP address of the plane, on one or several sockets of the
// kernel. For ICE it is a net.PacketConn on which all comes in that is not
// media.
type Socket struct {
	plane  *Plane
	legs   []*leg
	local  net.Addr
	filter func(netip.AddrPort) bool // nil: all are heard

	control chan controlDatagram
	free    sync.Pool // of *[maxDatagram]byte
	closed  chan struct{}
	once    sync.Once
}

// leg is one socket of the kernel.
type leg struct {
	io  socketIO
	out *sender
}

// controlDatagram waits for ICE.
type controlDatagram struct {
	buf  *[maxDatagram]byte
	n    int
	from netip.AddrPort
}

func (p *Plane) newSocket(conns []net.PacketConn, filter func(netip.AddrPort) bool) (*Socket, error) {
	s := &Socket{
		plane: p, filter: filter, control: make(chan controlDatagram, controlQueue), closed: make(chan struct{}),
		free: sync.Pool{New: func() any { return new([maxDatagram]byte) }}, local: conns[0].LocalAddr(),
	}
	for _, c := range conns {
		io, err := ioOf(c, &p.gate)
		if err != nil {
			for _, l := range s.legs {
				_ = l.io.close()
			}
			return nil, err
		}
		s.legs = append(s.legs, &leg{io: io, out: newSender(io, &p.counts)})
	}
	return s, nil
}

func ioOf(c net.PacketConn, g *gate) (socketIO, error) {
	if u, ok := c.(*net.UDPConn); ok {
		return newMmsg(u, g)
	}
	return newSingles(c, g), nil
}

// start begins to read and to send.
func (s *Socket) start() {
	for _, l := range s.legs {
		s.plane.work.Go(func() { s.read(l) })
		s.plane.work.Go(l.out.run)
	}
}

// read is the reading goroutine of a leg.
func (s *Socket) read(l *leg) {
	var batch [readBatch]inDatagram
	for bad := 0; bad < maxBadReads; bad++ {
		n, err := l.io.read(batch[:])
		select {
		case <-s.closed:
			return
		default:
		}
		if err != nil {
			continue
		}
		bad = 0
		s.plane.counts.reads.Add(1)
		for i := range n {
			s.take(l, &batch[i])
		}
	}
	_ = s.Close()
}

// take tells a datagram where it belongs.
func (s *Socket) take(l *leg, d *inDatagram) {
	c := &s.plane.counts
	c.received.Add(1)
	c.receivedBytes.Add(uint64(len(d.data)))
	if s.filter != nil && !s.filter(d.from) {
		c.stranger.Add(1)
		return
	}
	kind := classify(d.data)
	if kind == garbage {
		c.garbage.Add(1)
		return
	}
	r := s.plane.route(d.from)
	if r != nil && r.leg.Load() != l {
		r.leg.Store(l)
		if r.wanted.Swap(false) {
			r.session.prove(r)
		}
		r.session.Ready() // it may have waited for this
	}
	switch {
	case kind == control && (s.answered(l, d) || s.renewed(l, r, d)):
	case kind == control:
		s.pass(d)
	case r == nil && kind != control && s.stray(l, d, kind):
	case r == nil:
		c.stranger.Add(1)
	default:
		r.session.receive(r, d, kind)
	}
}

// pass hands a datagram to ICE, or drops it where ICE is too busy: checks and
// handshakes are sent again.
func (s *Socket) pass(d *inDatagram) {
	buf := s.free.Get().(*[maxDatagram]byte)
	n := copy(buf[:], d.data)
	select {
	case s.control <- controlDatagram{buf, n, d.from}:
		s.plane.counts.passed.Add(1)
	default:
		s.free.Put(buf)
		s.plane.counts.controlFull.Add(1)
	}
}

// ReadFromAddrPort answers the next datagram that is not media.
func (s *Socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.control:
		n := copy(b, d.buf[:d.n])
		s.free.Put(d.buf)
		return n, d.from, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// ReadFrom is ReadFromAddrPort with an address of package net.
func (s *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort sends a datagram of ICE or DTLS.
func (s *Socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := s.legs[0].io.writeOne(b, to); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteTo is WriteToAddrPort with an address of package net.
func (s *Socket) WriteTo(b []byte, to net.Addr) (int, error) {
	return s.WriteToAddrPort(b, addrPort(to))
}

// LocalAddr answers the address that is bound.
func (s *Socket) LocalAddr() net.Addr { return s.local }

// Close ends the socket.
func (s *Socket) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		for _, l := range s.legs {
			l.out.stop()
			if e := l.io.close(); err == nil {
				err = e
			}
		}
	})
	return err
}

// SetDeadline does nothing: ICE closes what it no longer reads.
func (s *Socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, as SetDeadline.
func (s *Socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: no write of ICE waits.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }

// kernelDrops sums what the kernel dropped.
func (s *Socket) kernelDrops() (n uint64) {
	for _, l := range s.legs {
		n += l.io.drops()
	}
	return n
}
