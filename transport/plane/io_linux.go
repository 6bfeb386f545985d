package plane

import (
	"encoding/binary"
	"fmt"
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

// mmsg is a socket by recvmmsg and sendmmsg. x/net offers both, but allocates an
// address for each datagram that it reads.
type mmsg struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	gate *gate
	recv batch
	send batch

	recvFunc, sendFunc func(uintptr) bool // made once: a closure a call would be allocated

	// Whether the kernel cuts runs of datagrams (udp(7), UDP_SEGMENT): the packets
	// of a picture to one client then pass its stack once. Off where it can't.
	segments bool
	counts   [writeBatch]int // datagrams of each header
}

// batch is the memory of one direction.
type batch struct {
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	addrs   []rawAddr
	control [][controlSize]byte
	data    [][maxDatagram]byte
	todo    []mmsghdr // of the call
	count   int       // headers of the batch, the last of which are todo
	n       int       // what the kernel said
	err     error
}

func newMmsg(conn *net.UDPConn, g *gate) (socketIO, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("plane: adopt socket: %w", err)
	}
	m := &mmsg{conn: conn, raw: raw, gate: g, segments: true}
	m.recv = batch{
		hdrs: make([]mmsghdr, readBatch), iovs: make([]unix.Iovec, readBatch), addrs: make([]rawAddr, readBatch),
		control: make([][controlSize]byte, readBatch), data: make([][maxDatagram]byte, readBatch),
	}
	m.send = batch{
		hdrs: make([]mmsghdr, writeBatch), iovs: make([]unix.Iovec, writeBatch), control: make([][controlSize]byte, writeBatch),
	}
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

// recvmmsg and sendmmsg are called by Go's poller until they answer true.
func (m *mmsg) recvmmsg(fd uintptr) bool { return m.recv.call(unix.SYS_RECVMMSG, fd) }

// The gate is looked at here, since the poller may have waited for room.
func (m *mmsg) sendmmsg(fd uintptr) bool {
	if b := &m.send; m.gate.look() != gateOpen {
		n := 0
		for _, c := range m.counts[b.count-len(b.todo) : b.count] {
			n += c
		}
		m.gate.stops(n)
		b.n, b.err = len(b.todo), nil
		return true
	}
	return m.send.call(unix.SYS_SENDMMSG, fd)
}

func (b *batch) call(number, fd uintptr) (done bool) {
	for {
		n, _, errno := unix.Syscall6(number, fd, uintptr(unsafe.Pointer(&b.todo[0])), uintptr(len(b.todo)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.n, b.err = int(n), nil
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			b.n, b.err = 0, errno
			return true
		}
	}
}

func (m *mmsg) read(dst []inDatagram) (int, error) {
	b := &m.recv
	b.todo = b.hdrs[:min(len(dst), len(b.hdrs))]
	for i := range b.todo {
		b.todo[i].hdr.Namelen = unix.SizeofSockaddrInet6
		b.todo[i].hdr.SetControllen(controlSize)
	}
	if err := m.raw.Read(m.recvFunc); err != nil {
		return 0, err
	}
	if b.err != nil {
		return 0, os.NewSyscallError("recvmmsg", b.err)
	}
	now := time.Now()
	for i := range b.n {
		h := &b.todo[i]
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
	for len(src) > 0 {
		n := m.prepare(src)
		sent := 0
		b.count = n
		for b.todo = b.hdrs[:n]; len(b.todo) > 0; b.todo = b.todo[b.n:] {
			if err := m.raw.Write(m.sendFunc); err != nil {
				return refused + len(src), net.ErrClosed
			}
			first := n - len(b.todo)
			if b.err != nil { // of the first that is left
				if m.counts[first] > 1 {
					m.segments = false // it is sent again, one by one
					break
				}
				refused++
				b.n = 1
			}
			for _, c := range m.counts[first : first+b.n] {
				sent += c
			}
		}
		src = src[sent:]
	}
	return refused, nil
}

// prepare writes headers for all of src and answers how many: one for each
// datagram, or run of datagrams that the kernel is to cut.
func (m *mmsg) prepare(src []outDatagram) (n int) {
	b := &m.send
	for i := range src {
		b.iovs[i].Base = &src[i].data[0]
		b.iovs[i].SetLen(len(src[i].data))
	}
	for i := 0; i < len(src); n++ {
		run := 1
		if m.segments {
			run = runLength(src[i:])
		}
		h := &b.hdrs[n].hdr
		h.Name, h.Namelen, h.Iov = &src[i].to.raw.data[0], src[i].to.raw.len, &b.iovs[i]
		h.SetIovlen(run)
		h.Control = nil
		h.SetControllen(0)
		if run > 1 {
			h.Control = &b.control[n][0]
			h.SetControllen(segmentControl(b.control[n][:], len(src[i].data)))
		}
		m.counts[n] = run
		i += run
	}
	return n
}

// maxRun bounds the bytes of a run: it is one datagram until it is cut.
const maxRun = 60000

// runLength answers how many of the first datagrams go to one client and are of
// one size, but for the last, which may be shorter.
func runLength(src []outDatagram) int {
	size, sum := len(src[0].data), len(src[0].data)
	for i := 1; i < len(src); i++ {
		n := len(src[i].data)
		if sum += n; src[i].to != src[0].to || n > size || sum > maxRun {
			return i
		}
		if n < size {
			return i + 1
		}
	}
	return len(src)
}

// segmentControl writes the control message that asks for datagrams of a size,
// and answers its length.
func segmentControl(b []byte, size int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return unix.CmsgSpace(2)
}

func (m *mmsg) writeOne(b []byte, to netip.AddrPort) error {
	_, err := m.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (m *mmsg) close() error { return m.conn.Close() }

// drops answers how many datagrams the kernel dropped because the socket's
// buffer was full (sock_diag(7), SK_MEMINFO_DROPS).
func (m *mmsg) drops() uint64 {
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err := m.raw.Control(func(fd uintptr) {
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
