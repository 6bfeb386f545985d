package plane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAddr is a sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)).
type rawAddr struct {
	data [unix.SizeofSockaddrInet6]byte
	len  uint32
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// controlSize holds the one control message that is asked for, a timestamp.
const controlSize = 64

// mmsg is batchIO by recvmmsg and sendmmsg, past Go's poller: its reader is a
// thread that waits in the kernel for the socket itself. A datagram then costs
// one switch to that thread; by the poller it costs two or three, and those are
// what a packet path pays for (x/net's batches also allocate an address for each
// datagram that they read).
type mmsg struct {
	fd     int
	local  net.Addr
	closed atomic.Bool
	users  sync.RWMutex // held while the descriptor is used
	recv   batch
	send   batch
	woken  time.Time // when the reader began its last turn
}

// batch is the memory of one direction.
type batch struct {
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	addrs   []rawAddr
	control [][controlSize]byte
	data    [][maxDatagram]byte
}

// newMmsg takes the socket over from conn, which is of no use any more.
func newMmsg(conn *net.UDPConn) (socketIO, error) {
	fd, err := takeOver(conn)
	if err != nil {
		return nil, fmt.Errorf("plane: take over socket: %w", err)
	}
	m := &mmsg{fd: fd, local: conn.LocalAddr()}
	m.recv = batch{
		hdrs: make([]mmsghdr, readBatch), iovs: make([]unix.Iovec, readBatch), addrs: make([]rawAddr, readBatch),
		control: make([][controlSize]byte, readBatch), data: make([][maxDatagram]byte, readBatch),
	}
	m.send = batch{hdrs: make([]mmsghdr, writeBatch), iovs: make([]unix.Iovec, writeBatch)}
	for i := range m.recv.hdrs {
		h := &m.recv.hdrs[i].hdr
		m.recv.iovs[i].Base = &m.recv.data[i][0]
		m.recv.iovs[i].SetLen(maxDatagram)
		h.Name, h.Iov, h.Control = &m.recv.addrs[i].data[0], &m.recv.iovs[i], &m.recv.control[i][0]
		h.SetIovlen(1)
	}
	return m, nil
}

// takeOver answers a descriptor of the socket that the poller knows nothing of.
func takeOver(conn *net.UDPConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	if e := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil || err != nil {
		return 0, errors.Join(e, err)
	}
	if err := conn.Close(); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	// Where it can't be had the time of reading stands for that of arrival.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err := unix.SetNonblock(fd, false); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// multi calls recvmmsg or sendmmsg.
func multi(call uintptr, fd int, hdrs []mmsghdr, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&hdrs[0])), uintptr(len(hdrs)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

const (
	// busyBelow is the time between two turns of the reader below which it counts
	// as busy, and restFor how long it then waits for more to come: at 5,000
	// datagrams a second that saves half of the turns and delays none by more
	// than half a millisecond.
	busyBelow = time.Millisecond
	restFor   = 400 * time.Microsecond
)

func (m *mmsg) read(dst []inDatagram) (int, error) {
	b := &m.recv
	hdrs := b.hdrs[:min(len(dst), len(b.hdrs))]
	for i := range hdrs {
		hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		hdrs[i].hdr.SetControllen(controlSize)
	}
	if now := time.Now(); now.Sub(m.woken) < busyBelow {
		rest := unix.NsecToTimespec(int64(restFor))
		_ = unix.Nanosleep(&rest, nil)
	}
	n, err := multi(unix.SYS_RECVMMSG, m.fd, hdrs, unix.MSG_WAITFORONE)
	if m.closed.Load() {
		return 0, net.ErrClosed
	}
	if err != nil {
		return 0, os.NewSyscallError("recvmmsg", err)
	}
	now := time.Now()
	m.woken = now
	for i := range n {
		h := &hdrs[i]
		dst[i] = inDatagram{
			data: b.data[i][:h.len], from: b.addrs[i].addrPort(),
			at: arrival(now, b.control[i][:h.hdr.Controllen]),
		}
	}
	return n, nil
}

// arrival takes the kernel's time of arrival (socket(7), SO_TIMESTAMPNS) over
// to the clock of now, which does not jump.
func arrival(now time.Time, control []byte) time.Time {
	if len(control) < unix.SizeofCmsghdr+int(unsafe.Sizeof(unix.Timespec{})) {
		return now
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SO_TIMESTAMPNS {
		return now
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&control[unix.SizeofCmsghdr]))
	age := now.UnixNano() - ts.Nano()
	if age < 0 || age > int64(time.Second) { // the wall clock was set
		return now
	}
	return now.Add(-time.Duration(age))
}

func (a *rawAddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(a.data[2:])
	switch binary.NativeEndian.Uint16(a.data[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.data[4:8])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(a.data[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}

// destinationOf prepares an address for a socket. IPv4 is mapped where the socket
// speaks IPv6.
func destinationOf(to netip.AddrPort, v6 bool) *destination {
	d := &destination{addr: to}
	b := &d.raw.data
	binary.BigEndian.PutUint16(b[2:], to.Port())
	if v6 {
		binary.NativeEndian.PutUint16(b[:], unix.AF_INET6)
		ip := to.Addr().As16()
		copy(b[8:], ip[:])
		d.raw.len = unix.SizeofSockaddrInet6
		return d
	}
	binary.NativeEndian.PutUint16(b[:], unix.AF_INET)
	ip := to.Addr().As4()
	copy(b[4:], ip[:])
	d.raw.len = unix.SizeofSockaddrInet4
	return d
}

func (m *mmsg) write(src []outDatagram) (refused int, err error) {
	m.users.RLock()
	defer m.users.RUnlock()
	if m.closed.Load() {
		return len(src), net.ErrClosed
	}
	b := &m.send
	for i := range src {
		b.iovs[i].Base = &src[i].data[0]
		b.iovs[i].SetLen(len(src[i].data))
		h := &b.hdrs[i].hdr
		h.Name, h.Namelen, h.Iov = &src[i].to.raw.data[0], src[i].to.raw.len, &b.iovs[i]
		h.SetIovlen(1)
	}
	for left := b.hdrs[:len(src)]; len(left) > 0; {
		n, err := multi(unix.SYS_SENDMMSG, m.fd, left, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) && m.writable() {
			continue
		}
		if err != nil { // of the first that is left
			refused++
			n = 1
		}
		left = left[n:]
	}
	return refused, nil
}

// fullFor is how long a full send buffer is waited for.
const fullFor = 100 * time.Millisecond

// writable waits until the socket takes more.
func (m *mmsg) writable() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLOUT}}, int(fullFor.Milliseconds()))
	return n > 0 && err == nil && !m.closed.Load()
}

func (m *mmsg) writeOne(b []byte, to netip.AddrPort) error {
	m.users.RLock()
	defer m.users.RUnlock()
	if m.closed.Load() {
		return net.ErrClosed
	}
	var sa unix.Sockaddr
	if m.v6() {
		sa = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	} else {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().Unmap().As4()}
	}
	return os.NewSyscallError("sendto", unix.Sendto(m.fd, b, unix.MSG_DONTWAIT, sa))
}

func (m *mmsg) v6() bool { return m.local.(*net.UDPAddr).IP.To4() == nil }

// close wakes the reader, which a mere close of the descriptor would not.
func (m *mmsg) close() error {
	if m.closed.Swap(true) {
		return nil
	}
	// On a socket without a peer it says ENOTCONN and wakes the reader all the same.
	_ = unix.Shutdown(m.fd, unix.SHUT_RDWR)
	return nil
}

// free gives the descriptor back when nobody reads any more.
func (m *mmsg) free() {
	m.users.Lock()
	defer m.users.Unlock()
	_ = unix.Close(m.fd)
}

// drops answers how many datagrams the kernel dropped because the socket's
// buffer was full (sock_diag(7), SK_MEMINFO_DROPS).
func (m *mmsg) drops() uint64 {
	m.users.RLock()
	defer m.users.RUnlock()
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	if m.closed.Load() {
		return 0
	}
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(m.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(info[8])
}

// reusePort lets several sockets share one port; the kernel spreads the peers
// over them (socket(7), SO_REUSEPORT).
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}
