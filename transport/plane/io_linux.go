package plane

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
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

// mmsg is batchIO by recvmmsg and sendmmsg. x/net offers both, but allocates an
// address for each datagram that it reads.
type mmsg struct {
	raw  syscall.RawConn
	v6   bool
	recv batch
	send batch

	recvFunc, sendFunc func(uintptr) bool // made once: a closure a call would be allocated
}

// batch is the memory of one direction.
type batch struct {
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	addrs   []rawAddr
	control [][controlSize]byte
	data    [][maxDatagram]byte
	from    int // the first header of the call
	to      int // the end
	n       int // what the kernel said
	err     error
}

func newMmsg(conn *net.UDPConn) (batchIO, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	m := &mmsg{raw: raw, v6: conn.LocalAddr().(*net.UDPAddr).IP.To4() == nil}
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
	m.recvFunc, m.sendFunc = m.recvmmsg, m.sendmmsg
	// Where it can't be had the time of reading stands for that of arrival.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return m, nil
}

// recvmmsg is called by the runtime's poller until it answers true.
func (m *mmsg) recvmmsg(fd uintptr) bool {
	b := &m.recv
	b.n, b.err = multi(unix.SYS_RECVMMSG, fd, b.hdrs[:b.to])
	return !errors.Is(b.err, unix.EAGAIN)
}

func (m *mmsg) sendmmsg(fd uintptr) bool {
	b := &m.send
	b.n, b.err = multi(unix.SYS_SENDMMSG, fd, b.hdrs[b.from:b.to])
	return !errors.Is(b.err, unix.EAGAIN)
}

// multi calls recvmmsg or sendmmsg without waiting.
func multi(call, fd uintptr, hdrs []mmsghdr) (int, error) {
	for {
		n, _, errno := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&hdrs[0])), uintptr(len(hdrs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func (m *mmsg) read(dst []inDatagram) (int, error) {
	b := &m.recv
	b.to = min(len(dst), len(b.hdrs))
	for i := range b.to {
		h := &b.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	if err := m.raw.Read(m.recvFunc); err != nil {
		return 0, err
	}
	if b.err != nil {
		return 0, os.NewSyscallError("recvmmsg", b.err)
	}
	now := time.Now()
	for i := range b.n {
		h := &b.hdrs[i]
		dst[i] = inDatagram{
			data: b.data[i][:h.len], from: b.addrs[i].addrPort(),
			at: arrival(now, b.control[i][:h.hdr.Controllen]),
		}
	}
	return b.n, nil
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
	b := &m.send
	b.from, b.to = 0, len(src)
	for i := range src {
		b.iovs[i].Base = &src[i].data[0]
		b.iovs[i].SetLen(len(src[i].data))
		h := &b.hdrs[i].hdr
		h.Name, h.Namelen, h.Iov = &src[i].to.raw.data[0], src[i].to.raw.len, &b.iovs[i]
		h.SetIovlen(1)
	}
	for b.from < b.to {
		if err := m.raw.Write(m.sendFunc); err != nil {
			return refused, err
		}
		if b.err != nil { // of the first that is left
			refused++
			b.n = 1
		}
		b.from += b.n
	}
	return refused, nil
}

// kernelDrops answers how many datagrams the kernel dropped because the
// socket's buffer was full (sock_diag(7), SK_MEMINFO_DROPS).
func kernelDrops(conn syscall.Conn) uint64 {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 {
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
