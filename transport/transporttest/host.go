package transporttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/deadline"
	"github.com/pion/transport/v5/vnet"
)

// host is a host of the virtual network whose sockets read from the network's
// paths.
type host struct {
	*vnet.Net
	network *Network
	addr    netip.Addr
}

// ListenPacket is that of transport.Net.
func (h *host) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := h.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return h.wrapPacket(conn)
}

// ListenUDP is that of transport.Net.
func (h *host) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := h.Net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	return h.wrap(conn), nil
}

// DialUDP is that of transport.Net.
func (h *host) DialUDP(network string, local, remote *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := h.Net.DialUDP(network, local, remote)
	if err != nil {
		return nil, err
	}
	return h.wrap(conn), nil
}

// Dial is that of transport.Net.
func (h *host) Dial(network, address string) (net.Conn, error) {
	conn, err := h.Net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return h.wrapPacket(conn)
}

// CreateDialer is that of transport.Net.
func (h *host) CreateDialer(*net.Dialer) transport.Dialer { return h }

// CreateListenConfig is that of transport.Net.
func (h *host) CreateListenConfig(*net.ListenConfig) transport.ListenConfig { return listenConfig{h} }

type listenConfig struct{ host *host }

// Listen is refused: the virtual network has datagrams alone.
func (listenConfig) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, transport.ErrNotSupported
}

// ListenPacket is that of transport.ListenConfig.
func (c listenConfig) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return c.host.ListenPacket(network, address)
}

// wrapPacket wraps what must be a UDP socket.
func (h *host) wrapPacket(conn io.Closer) (*socket, error) {
	udp, ok := conn.(transport.UDPConn)
	if !ok {
		return nil, fmt.Errorf("transporttest: a socket of kind %T", conn)
	}
	return h.wrap(udp), nil
}

// socket is a UDP socket that writes as that of vnet does and reads what the
// paths deliver.
type socket struct {
	transport.UDPConn
	network  *Network
	addr     netip.Addr
	inbox    chan datagram
	deadline *deadline.Deadline
	once     sync.Once
	closed   chan struct{}
}

// inboxSize is how many datagrams wait to be read, as in vnet; more are lost.
const inboxSize = 1024

func (h *host) wrap(conn transport.UDPConn) *socket {
	s := &socket{
		UDPConn: conn, network: h.network, addr: h.addr,
		inbox: make(chan datagram, inboxSize), deadline: deadline.New(), closed: make(chan struct{}),
	}
	n := h.network
	n.mu.Lock()
	n.sockets[s] = true
	n.mu.Unlock()
	n.work.Go(s.receive)
	return s
}

// receive puts what vnet delivers on its path, until the socket is closed.
func (s *socket) receive() {
	buf := make([]byte, 1<<16)
	for {
		size, from, err := s.UDPConn.ReadFrom(buf)
		if err != nil {
			return // no deadline is ever set there: it is closed
		}
		d := datagram{payload: append([]byte(nil), buf[:size]...), from: from, to: s}
		udp, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		if addr := udp.AddrPort().Addr().Unmap(); addr.IsLoopback() {
			s.deliver(d) // no path leads there
		} else {
			s.network.enter(addr, d)
		}
	}
}

// deliver hands over a datagram; one too many is lost.
func (s *socket) deliver(d datagram) {
	select {
	case s.inbox <- d:
	default:
	}
}

// Read is that of net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

// ReadFromUDP acts as ReadFrom.
func (s *socket) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := s.ReadFrom(b)
	addr, _ := from.(*net.UDPAddr)
	return n, addr, err
}

// ReadFrom is that of net.PacketConn. Of a datagram that is longer than b the
// rest is lost, which io.ErrShortBuffer tells.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	// Whoever closed it or let its time pass gets no more, though there is more.
	select {
	case <-s.closed:
		return 0, nil, s.failed(net.ErrClosed)
	case <-s.deadline.Done():
		return 0, nil, s.failed(os.ErrDeadlineExceeded)
	default:
	}
	select {
	case <-s.closed:
		return 0, nil, s.failed(net.ErrClosed)
	case <-s.deadline.Done():
		return 0, nil, s.failed(os.ErrDeadlineExceeded)
	case d := <-s.inbox:
		n := copy(b, d.payload)
		if n < len(d.payload) {
			return n, d.from, io.ErrShortBuffer
		}
		return n, d.from, nil
	}
}

func (s *socket) failed(err error) error {
	return &net.OpError{Op: "read", Net: "udp", Addr: s.LocalAddr(), Err: err}
}

// SetDeadline is SetReadDeadline, as writing never waits.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline is that of net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.deadline.Set(t)
	return nil
}

// Close ends reading and writing. What was written is on its way and arrives.
func (s *socket) Close() error {
	err := s.failed(net.ErrClosed)
	s.once.Do(func() {
		close(s.closed)
		s.deadline.Set(time.Time{}) // its timer must not outlive it
		err = s.UDPConn.Close()
		s.network.mu.Lock()
		delete(s.network.sockets, s)
		s.network.mu.Unlock()
	})
	return err
}
