package plane

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// tcpWriteTimeout is how long a client may leave a frame untaken; then its
// connection ends. It stalls nobody but itself.
const tcpWriteTimeout = 5 * time.Second

// Listener takes media off ICE-TCP connections (RFC 6544; frames by RFC 4571),
// for a mux that accepts from it.
func (p *Plane) Listener(l net.Listener) net.Listener { return tcpListener{l, p} }

type tcpListener struct {
	net.Listener
	plane *Plane
}

func (l tcpListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.plane.newTCPConn(c)
}

// tcpConn is one connection. Its reader, ICE, gets every frame that is not
// media; what is media is taken while it reads.
type tcpConn struct {
	net.Conn
	plane *Plane
	from  netip.AddrPort
	out   *sender
	once  sync.Once

	writeMu sync.Mutex // frames are written whole; guards the memory of a batch
	frames  [2 * writeBatch][]byte
	sizes   [writeBatch][2]byte
	list    net.Buffers

	mu    sync.Mutex
	route *route

	// owned by the reader
	frame []byte // its length in two bytes before it
	have  []byte // what ICE has not read of the frame
}

func (p *Plane) newTCPConn(c net.Conn) (net.Conn, error) {
	t := &tcpConn{Conn: c, plane: p, from: addrPort(c.RemoteAddr()), frame: make([]byte, 2+maxDatagram)}
	t.out = newSender(t, &p.counts)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	p.tcp[t.from] = t
	return t, nil
}

// tcpRoute answers the route of a connection for a session, or nil.
func (p *Plane) tcpRoute(s *Session, a netip.AddrPort) *route {
	p.mu.Lock()
	t := p.tcp[a]
	p.mu.Unlock()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.route == nil {
		t.route = &route{session: s, to: &destination{addr: a}, tcp: t}
		p.work.Go(t.out.run)
	}
	if t.route.session != s {
		p.counts.conflicts.Add(1)
		return nil
	}
	return t.route
}

// Read gives ICE the next frame that is not media, its length before it.
func (t *tcpConn) Read(b []byte) (int, error) {
	for len(t.have) == 0 {
		if err := t.readFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(b, t.have)
	t.have = t.have[n:]
	return n, nil
}

// readFrame reads one frame and takes it where it is media.
func (t *tcpConn) readFrame() error {
	if _, err := io.ReadFull(t.Conn, t.frame[:2]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(t.frame[:2]))
	if size := t.frame[:2]; len(t.frame) < 2+n {
		t.frame = append(make([]byte, 0, 2+n), size...)[:2+n]
	}
	data := t.frame[2 : 2+n]
	if _, err := io.ReadFull(t.Conn, data); err != nil {
		return err
	}
	c := &t.plane.counts
	c.received.Add(1)
	c.receivedBytes.Add(uint64(n))
	switch kind := classify(data); kind {
	case garbage:
		c.garbage.Add(1)
	case control:
		c.passed.Add(1)
		t.have = t.frame[:2+n]
	default:
		t.mu.Lock()
		r := t.route
		t.mu.Unlock()
		if r == nil {
			c.stranger.Add(1)
			return nil
		}
		r.session.receive(r, &inDatagram{data: data, from: t.from, at: time.Now()}, kind)
	}
	return nil
}

// Write writes frames of ICE.
func (t *tcpConn) Write(b []byte) (int, error) {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	_ = t.Conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout))
	return t.Conn.Write(b)
}

// read is not used: ICE reads.
func (t *tcpConn) read([]inDatagram) (int, error) { return 0, errors.ErrUnsupported }

// write frames and writes a batch. A client that takes nothing for too long has
// its connection closed.
func (t *tcpConn) write(src []outDatagram) (refused int, err error) {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	_ = t.Conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout)) // before the look at the gate, see interrupt
	if t.plane.gate.stops(len(src)) {
		return 0, nil
	}
	t.list = t.frames[:0]
	for i := range src {
		binary.BigEndian.PutUint16(t.sizes[i][:], uint16(len(src[i].data)))
		t.list = append(t.list, t.sizes[i][:], src[i].data)
	}
	if _, err := t.list.WriteTo(t.Conn); err != nil {
		_ = t.Conn.Close()
		return len(src), net.ErrClosed
	}
	return 0, nil
}

// interrupt ends a write that waits for the client, and the connection with it:
// a frame that was written in part can't be taken back.
func (t *tcpConn) interrupt() {
	if t.writeMu.TryLock() {
		t.writeMu.Unlock()
		return
	}
	_ = t.Conn.SetWriteDeadline(time.Now())
}

// Close ends the connection.
func (t *tcpConn) Close() error {
	t.once.Do(func() {
		t.out.stop()
		t.plane.mu.Lock()
		if t.plane.tcp[t.from] == t {
			delete(t.plane.tcp, t.from)
		}
		t.plane.mu.Unlock()
	})
	return t.Conn.Close()
}

// writeNow sends one datagram outside of the sender's turns.
func (r *route) writeNow(data []byte) {
	switch l := r.leg.Load(); {
	case r.tcp != nil:
		_, _ = r.tcp.write([]outDatagram{{data, r.to}})
	case l != nil && !r.session.plane.gate.stops(1):
		_ = l.io.writeOne(data, r.to.addr)
	}
}
