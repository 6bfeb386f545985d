package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
)

// Command is exec.Command for a program that runs on a side.
func (l *Link) Command(side Side, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	l.Enter(side, cmd)
	return cmd
}

// Enter has a command that was not started yet run on a side. The command's
// process is the program's: it may be killed and waited for as ever.
func (l *Link) Enter(side Side, cmd *exec.Cmd) {
	if side != Outside {
		l.spaces[side-Client].enter(cmd)
	}
}

// Do calls f on a thread that is on that side: sockets that it opens are on
// that side for ever, processes that it starts too. What other goroutines do for
// f is not, and names of devices in addresses (%eth0) mean those outside: use their
// numbers.
func (l *Link) Do(side Side, f func() error) error {
	if side == Outside {
		return f()
	}
	return l.spaces[side-Client].do(f)
}

// Listen is net.Listen on a side.
func (l *Link) Listen(side Side, network, address string) (ln net.Listener, err error) {
	err = l.Do(side, func() error {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket is net.ListenPacket on a side.
func (l *Link) ListenPacket(side Side, network, address string) (conn net.PacketConn, err error) {
	err = l.Do(side, func() error {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// DialContext is that of net.Dialer on a side. The address is a literal one, as
// there is nobody on a side who knows names.
func (l *Link) DialContext(ctx context.Context, side Side, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("link: dial: %w", err)
	}
	// To one literal address a Dialer makes the socket here and not on a goroutine
	// of its own.
	err = l.Do(side, func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
