package load

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BatchSize is how many datagrams one system call takes at most.
const BatchSize = 64

// maxDatagram is the largest datagram that is read, in bytes; a longer one is
// cut off. RTP and DTLS stay below the MTU.
const maxDatagram = 2048

// Socket is a UDP socket over IPv4 that reads and writes in batches and never
// waits. Writes may come from any goroutine, reads from one at a time.
type Socket struct {
	fd    int
	local netip.AddrPort

	mu     sync.Mutex // writing, and the end
	closed bool
	out    *outbox // made by the first batch
}

// Bind makes a socket on that local address; port 0 lets the kernel choose.
func Bind(local netip.AddrPort) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("load: make socket: %w", err)
	}
	s := &Socket{fd: fd}
	if err := s.bind(local); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("load: bind %v: %w", local, err)
	}
	return s, nil
}

func (s *Socket) bind(local netip.AddrPort) error {
	// The kernel's stamp tells when the datagram came, however long this process
	// took to look.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, &unix.SockaddrInet4{Addr: local.Addr().As4(), Port: int(local.Port())}); err != nil {
		return err
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	bound, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return unix.EAFNOSUPPORT
	}
	s.local = netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))
	return nil
}

// Local answers the address that the socket is bound to.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Close ends the socket; a second call does nothing.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return unix.Close(s.fd)
}

// Send sends one datagram. A full socket buffer is an error, unix.EAGAIN.
func (s *Socket) Send(b []byte, to netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return unix.EBADF
	}
	name := rawName(to)
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&name)), unix.SizeofSockaddrInet4)
	if errno != 0 {
		return errno
	}
	return nil
}

// SendBatch sends up to BatchSize datagrams to one address in one system call,
// and answers how many the kernel took.
func (s *Socket) SendBatch(batch [][]byte, to netip.AddrPort) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, unix.EBADF
	}
	if s.out == nil {
		s.out = &outbox{}
	}
	return s.out.send(s.fd, batch, nil, rawName(to))
}

// SendSpoofed is SendBatch with a source address of its own for each datagram,
// which must be one of this host's, such as any of 127.0.0.0/8, where the socket
// is bound to none (ip(7), IP_PKTINFO); the port is the socket's. Servers that
// keep something for each address they hear of are to be tested with it.
func (s *Socket) SendSpoofed(batch [][]byte, sources []netip.Addr, to netip.AddrPort) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, unix.EBADF
	}
	if s.out == nil {
		s.out = &outbox{}
	}
	return s.out.send(s.fd, batch[:min(len(batch), len(sources))], sources, rawName(to))
}

// header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32 // bytes received or sent
}

// outbox is the kernel's view of a batch that goes out.
type outbox struct {
	name    unix.RawSockaddrInet4
	vectors [BatchSize]unix.Iovec
	headers [BatchSize]header
	sources [BatchSize]source
}

// source is the control message that names the address to send from.
type source struct {
	unix.Cmsghdr
	info unix.Inet4Pktinfo
	_    [4]byte // to the alignment of CMSG_SPACE
}

func (o *outbox) send(fd int, batch [][]byte, sources []netip.Addr, to unix.RawSockaddrInet4) (int, error) {
	o.name = to
	batch = batch[:min(len(batch), BatchSize)]
	if len(batch) == 0 {
		return 0, nil
	}
	for i, b := range batch {
		o.vectors[i].Base = unsafe.SliceData(b)
		o.vectors[i].SetLen(len(b))
		h := &o.headers[i].Msghdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&o.name)), unix.SizeofSockaddrInet4
		h.Iov = &o.vectors[i]
		h.SetIovlen(1)
		h.Control = nil
		h.SetControllen(0)
		if sources != nil {
			o.from(i, sources[i])
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&o.headers)), uintptr(len(batch)), unix.MSG_DONTWAIT, 0, 0)
	clear(o.vectors[:len(batch)]) // the caller's bytes are not kept
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// from makes the i-th datagram leave by an address.
func (o *outbox) from(i int, a netip.Addr) {
	s := &o.sources[i]
	s.Level, s.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	s.SetLen(int(unsafe.Offsetof(s.info) + unsafe.Sizeof(s.info)))
	s.info.Spec_dst = a.As4()
	h := &o.headers[i].Msghdr
	h.Control = (*byte)(unsafe.Pointer(s))
	h.SetControllen(int(unsafe.Sizeof(*s)))
}

// datagram is one that came; its bytes are valid until the next read.
type datagram struct {
	b    []byte
	from netip.AddrPort
	at   time.Time
}

// inbox is where a batch of datagrams is read into; it belongs to one thread.
type inbox struct {
	bytes    [BatchSize][maxDatagram]byte
	names    [BatchSize]unix.RawSockaddrInet4
	controls [BatchSize]control
	vectors  [BatchSize]unix.Iovec
	headers  [BatchSize]header
	used     int // headers that the kernel has written, or never saw
}

// control is room for the one control message that is asked for, a time
// (cmsg(3)).
type control struct {
	unix.Cmsghdr
	at unix.Timespec
}

func newInbox() *inbox { return &inbox{used: BatchSize} }

// read takes what has come, up to BatchSize datagrams, and does not wait.
func (in *inbox) read(fd int) int {
	for i := range min(in.used, BatchSize) {
		in.vectors[i].Base = &in.bytes[i][0]
		in.vectors[i].SetLen(maxDatagram)
		h := &in.headers[i].Msghdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&in.names[i])), unix.SizeofSockaddrInet4
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&in.controls[i]))
		h.SetControllen(int(unsafe.Sizeof(in.controls[i])))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.headers)), BatchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		n = 0 // nothing there any more, or an ICMP error of what was sent before
	}
	in.used = int(n)
	return in.used
}

// get answers the i-th datagram of the batch; it came at the kernel's time, or
// now where the kernel gave none.
func (in *inbox) get(i int, now time.Time) datagram {
	h := &in.headers[i]
	d := datagram{b: in.bytes[i][:h.n:h.n], at: now}
	name := &in.names[i]
	port := *(*[2]byte)(unsafe.Pointer(&name.Port))
	d.from = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(port[0])<<8|uint16(port[1]))
	c := &in.controls[i]
	if int(h.Controllen) >= int(unsafe.Sizeof(*c)) && c.Level == unix.SOL_SOCKET && c.Type == unix.SO_TIMESTAMPNS {
		d.at = time.Unix(c.at.Unix())
	}
	return d
}

// first asks the kernel to run this thread before others, since real clients
// have a machine of their own; without the privilege it is a thread like others.
func first() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -10) }

// rawName answers an address as the kernel takes it: in network byte order.
func rawName(a netip.AddrPort) unix.RawSockaddrInet4 {
	name := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().Unmap().As4()}
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	return name
}
