package rtc

import (
	"net"
	"sync"

	"github.com/pion/transport/v5"
)

// nat is a client's network behind a translator of addresses: what the client
// takes for its sockets are others to the far end, and may become yet others
// without its knowledge.
type nat struct {
	transport.Net

	mu    sync.Mutex
	conns []*natConn
	deaf  bool                       // no media comes in
	pass  func(datagram []byte) bool // what may leave; nil: all
}

func newNAT(inside transport.Net) *nat { return &nat{Net: inside} }

// ListenUDP is that of transport.Net.
func (n *nat) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	c := &natConn{UDPConn: conn, nat: n, outside: conn}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

// rebind gives every socket another port of the host, or of another host.
func (n *nat) rebind(host transport.Net, ip string) error {
	n.mu.Lock()
	conns := n.conns
	n.mu.Unlock()
	for _, c := range conns {
		if err := c.rebind(host, ip); err != nil {
			return err
		}
	}
	return nil
}

// deafen lets no media in from now on.
func (n *nat) deafen() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = true
}

// enters reports whether a datagram that has come reaches the client.
func (n *nat) enters(b []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	media := len(b) > 0 && b[0] >= 128 && b[0] < 192 // RFC 7983, section 7
	return !n.deaf || !media
}

// filter lets pass only what the function says; nil lets all pass.
func (n *nat) filter(pass func([]byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pass = pass
}

func (n *nat) leaves(b []byte) bool {
	n.mu.Lock()
	pass := n.pass
	n.mu.Unlock()
	return pass == nil || pass(b)
}

// natConn is a socket of the client. The embedded one is that which the client
// has bound, of which its address is left when it has moved.
type natConn struct {
	transport.UDPConn
	nat *nat

	mu      sync.Mutex
	outside transport.UDPConn
	closed  bool
}

func (c *natConn) rebind(host transport.Net, ip string) error {
	next, err := host.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		return err
	}
	c.mu.Lock()
	old, closed := c.outside, c.closed
	if !closed {
		c.outside = next
	}
	c.mu.Unlock()
	if closed {
		return next.Close()
	}
	return old.Close() // its reader goes on with the next
}

func (c *natConn) now() (conn transport.UDPConn, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outside, c.closed
}

// ReadFrom is that of net.PacketConn.
func (c *natConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		conn, _ := c.now()
		n, from, err := conn.ReadFrom(b)
		if next, closed := c.now(); err != nil && !closed && next != conn {
			continue // moved meanwhile
		}
		if err == nil && !c.nat.enters(b[:n]) {
			continue
		}
		return n, from, err
	}
}

// WriteTo is that of net.PacketConn.
func (c *natConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.nat.leaves(b) {
		return len(b), nil
	}
	conn, _ := c.now()
	return conn.WriteTo(b, to)
}

// Close is that of net.PacketConn.
func (c *natConn) Close() error {
	c.mu.Lock()
	conn := c.outside
	c.closed = true
	c.mu.Unlock()
	return conn.Close()
}

// nothing passes no datagram: the client has died without a word.
func nothing([]byte) bool { return false }

// onlyChecks passes STUN alone: the handshake never begins.
func onlyChecks(b []byte) bool { return len(b) > 0 && b[0] < 4 }
