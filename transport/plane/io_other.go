//go:build !linux

package plane

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// rawAddr is not needed where datagrams are written one at a time.
type rawAddr struct{}

func newMmsg(conn *net.UDPConn, g *gate) (socketIO, error) { return newSingles(conn, g), nil }

func destinationOf(to netip.AddrPort, _ bool) *destination { return &destination{addr: to} }

func reusePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("plane: several sockets on one port are for Linux only")
}
