package rtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"

	"tutti/transport/plane"
)

// tcpBuffer is how much of ICE waits for a slow connection, in bytes.
const tcpBuffer = 64 << 10

// sockets are the one UDP port and the one TCP port of all sessions, as ICE
// sees them: media is taken off before.
type sockets struct {
	plane *plane.Plane
	logs  logging.LoggerFactory
	muxes []ice.UDPMux // one an address
	udp   ice.UDPMux   // all of them
	tcp   ice.TCPMux   // nil without ICE-TCP
}

// listen binds what the configuration asks for, or nothing.
func listen(cfg Config, p *plane.Plane, logs logging.LoggerFactory) (*sockets, error) {
	_, port, _ := net.SplitHostPort(cfg.Listen)
	return bindFree(port == "0", func() (*sockets, error) { return bind(cfg, p, logs) })
}

// bindTries is how many free ports are tried.
const bindTries = 10

// bindFree tries again where any port will do and that which was free for UDP
// was taken for TCP or on another interface.
func bindFree(anyPort bool, bind func() (*sockets, error)) (s *sockets, err error) {
	for range bindTries {
		s, err = bind()
		if err == nil || !anyPort || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return s, err
}

// bind binds once.
func bind(cfg Config, p *plane.Plane, logs logging.LoggerFactory) (*sockets, error) {
	s := &sockets{plane: p, logs: logs}
	if err := s.listenUDP(cfg); err != nil {
		s.close()
		return nil, fmt.Errorf("rtc: bind media port: %w", err)
	}
	s.udp = s.muxes[0]
	if len(s.muxes) > 1 {
		s.udp = ice.NewMultiUDPMuxDefault(s.muxes...)
	}
	if cfg.DisableTCP || cfg.Net != nil || cfg.PacketConn != nil {
		return s, nil
	}
	if err := s.listenTCP(cfg); err != nil {
		s.close()
		return nil, fmt.Errorf("rtc: bind ICE-TCP port: %w", err)
	}
	return s, nil
}

func (s *sockets) listenUDP(cfg Config) error {
	addr, err := net.ResolveUDPAddr("udp", cfg.Listen)
	if err != nil {
		return err
	}
	switch {
	case cfg.PacketConn != nil:
		return s.adopt(cfg, []net.PacketConn{cfg.PacketConn}, nil)
	case cfg.Net != nil:
		conn, err := cfg.Net.ListenPacket("udp", cfg.Listen)
		if err != nil {
			return err
		}
		return s.adopt(cfg, []net.PacketConn{conn}, nil)
	case addr.IP == nil || addr.IP.IsUnspecified():
		return s.listenEverywhere(cfg, addr.Port)
	}
	if err := s.listenOne(cfg, addr, nil); err != nil {
		return err
	}
	if cfg.Loopback && addr.IP.IsLoopback() {
		s.listenWithin(cfg, s.muxes[0].GetListenAddresses()[0].(*net.UDPAddr).Port)
	}
	return nil
}

// perCPU is how many processors one socket has enough of.
const perCPU = 4

// legs answers how many sockets share an address.
func legs() int { return max(1, runtime.GOMAXPROCS(0)/perCPU) }

// listenOne binds one address.
func (s *sockets) listenOne(cfg Config, addr *net.UDPAddr, filter func(netip.AddrPort) bool) error {
	conns, err := plane.Listen(addr, legs())
	if err != nil {
		return err
	}
	return s.adopt(cfg, conns, filter)
}

// adopt gives connections of one address to the media plane, and what it does
// not take to ICE.
func (s *sockets) adopt(cfg Config, conns []net.PacketConn, filter func(netip.AddrPort) bool) error {
	socket, err := s.plane.Adopt(conns, filter)
	if err != nil {
		for _, c := range conns {
			_ = c.Close()
		}
		return err
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket, Net: cfg.Net, Logger: s.logs.NewLogger("ice")})
	s.muxes = append(s.muxes, mux)
	return nil
}

// listenWithin lets programs of this host in by its other addresses too, where
// they have them: Firefox offers no loopback candidate and pairs none with its
// own, so that it would never reach a server on 127.0.0.1. What comes from
// another host is dropped unread: the kernel takes no packet from the network
// that claims to come from one of the host's own addresses.
func (s *sockets) listenWithin(cfg Config, port int) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() {
			continue
		}
		// Where it can't be bound, 127.0.0.1 serves all but Firefox.
		_ = s.listenOne(cfg, &net.UDPAddr{IP: n.IP, Port: port}, from(n.IP))
	}
}

// from answers a filter that hears one address alone.
func from(ip net.IP) func(netip.AddrPort) bool {
	own, _ := netip.AddrFromSlice(ip)
	own = own.Unmap()
	return func(a netip.AddrPort) bool { return a.Addr() == own }
}

// listenEverywhere binds every interface by its own address, so that an answer
// leaves by the address that was asked.
func (s *sockets) listenEverywhere(cfg Config, port int) error {
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLinkLocalUnicast() || n.IP.IsLoopback() && !cfg.Loopback {
			continue
		}
		err := s.listenOne(cfg, &net.UDPAddr{IP: n.IP, Port: port}, nil)
		if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) { // an address that is being given up, or not yet the host's
			return err
		}
	}
	if len(s.muxes) == 0 {
		return errors.New("no interface has an address")
	}
	return nil
}

// freePort answers a UDP port that is free on every interface just now.
func freePort() (int, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port, nil
}

// listenTCP binds the number of the UDP port.
func (s *sockets) listenTCP(cfg Config) error {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return err
	}
	port := s.udp.GetListenAddresses()[0].(*net.UDPAddr).Port
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	s.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: s.plane.Listener(l), Logger: s.logs.NewLogger("ice"), ReadBufferSize: 64, WriteBufferSize: tcpBuffer,
	})
	return nil
}

func (s *sockets) addresses() []string {
	var out []string
	for _, a := range s.udp.GetListenAddresses() {
		out = append(out, a.String())
	}
	return out
}

// close ends the sockets; the multiplexers' errors say only that they were
// closed before.
func (s *sockets) close() {
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
	for _, m := range s.muxes {
		_ = m.Close()
	}
}
