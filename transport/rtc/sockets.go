package rtc

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// socketBuffer is asked of the kernel for each direction of the UDP socket, in
// bytes: a quarter of a second of 128 Mbit/s.
const socketBuffer = 4 << 20

// sockets are the one UDP port and the one TCP port of all sessions.
type sockets struct {
	udp  ice.UDPMux
	tcp  ice.TCPMux // nil without ICE-TCP
	list net.Listener
}

// listen binds what the configuration asks for, or nothing.
func listen(cfg Config, logs logging.LoggerFactory) (*sockets, error) {
	s := &sockets{}
	if err := s.listenUDP(cfg, logs); err != nil {
		return nil, fmt.Errorf("rtc: bind media port: %w", err)
	}
	if cfg.DisableTCP || cfg.Net != nil || cfg.PacketConn != nil {
		return s, nil
	}
	if err := s.listenTCP(cfg, logs); err != nil {
		s.close()
		return nil, fmt.Errorf("rtc: bind ICE-TCP port: %w", err)
	}
	return s, nil
}

func (s *sockets) listenUDP(cfg Config, logs logging.LoggerFactory) error {
	conn := cfg.PacketConn
	addr, err := net.ResolveUDPAddr("udp", cfg.Listen)
	if err != nil {
		return err
	}
	switch {
	case conn != nil:
	case cfg.Net != nil:
		conn, err = cfg.Net.ListenPacket("udp", cfg.Listen)
	case addr.IP == nil || addr.IP.IsUnspecified():
		return s.listenEverywhere(cfg, addr.Port, logs)
	default:
		conn, err = listenOne(addr)
	}
	if err != nil {
		return err
	}
	s.udp = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Net: cfg.Net, Logger: logs.NewLogger("ice")})
	if cfg.Loopback && addr.IP.IsLoopback() && cfg.PacketConn == nil && cfg.Net == nil {
		s.listenWithin(conn, logs)
	}
	return nil
}

// listenWithin lets programs of this host in by its other addresses too, where
// they have them: Firefox offers no loopback candidate and pairs none with its
// own, so that it would never reach a server on 127.0.0.1. What comes from
// another host is dropped unread.
func (s *sockets) listenWithin(first net.PacketConn, logs logging.LoggerFactory) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	muxes := []ice.UDPMux{s.udp}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() {
			continue
		}
		conn, err := listenOne(&net.UDPAddr{IP: n.IP, Port: first.LocalAddr().(*net.UDPAddr).Port})
		if err != nil {
			continue // 127.0.0.1 serves all but Firefox
		}
		muxes = append(muxes, ice.NewUDPMuxDefault(ice.UDPMuxParams{
			UDPConn: withinHost{conn, n.IP}, Logger: logs.NewLogger("ice"),
		}))
	}
	if len(muxes) > 1 {
		s.udp = ice.NewMultiUDPMuxDefault(muxes...)
	}
}

// withinHost is a socket on one of the host's addresses that hears nobody but
// that address itself. The kernel takes no packet from the network that claims
// to come from one of the host's own addresses.
type withinHost struct {
	net.PacketConn
	ip net.IP
}

// ReadFrom reads the next datagram that was sent from the socket's own address.
func (w withinHost) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := w.PacketConn.ReadFrom(p)
		if err != nil {
			return n, from, err
		}
		if a, ok := from.(*net.UDPAddr); ok && a.IP.Equal(w.ip) {
			return n, from, nil
		}
	}
}

func listenOne(addr *net.UDPAddr) (net.PacketConn, error) {
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(socketBuffer) // the kernel's limit applies: less is no failure
	_ = conn.SetWriteBuffer(socketBuffer)
	return conn, nil
}

// listenEverywhere binds every interface by its own address, so that an answer
// leaves by the address that was asked.
func (s *sockets) listenEverywhere(cfg Config, port int, logs logging.LoggerFactory) error {
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	options := []ice.UDPMuxFromPortOption{
		ice.UDPMuxFromPortWithReadBufferSize(socketBuffer),
		ice.UDPMuxFromPortWithWriteBufferSize(socketBuffer),
		ice.UDPMuxFromPortWithLogger(logs.NewLogger("ice")),
	}
	if cfg.Loopback {
		options = append(options, ice.UDPMuxFromPortWithLoopback())
	}
	mux, err := ice.NewMultiUDPMuxFromPort(port, options...)
	if err != nil {
		return err
	}
	if len(mux.GetListenAddresses()) == 0 {
		return errors.Join(errors.New("no interface has an address"), mux.Close())
	}
	s.udp = mux
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
func (s *sockets) listenTCP(cfg Config, logs logging.LoggerFactory) error {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return err
	}
	port := s.udp.GetListenAddresses()[0].(*net.UDPAddr).Port
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	s.list = l
	s.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: l, Logger: logs.NewLogger("ice"),
		ReadBufferSize: 64, WriteBufferSize: socketBuffer,
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
	if s.udp != nil {
		_ = s.udp.Close()
	}
}
