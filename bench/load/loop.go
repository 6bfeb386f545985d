package load

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"golang.org/x/sys/unix"

	"tutti/transport/rtptime"
)

// loop is the thread that reads the sockets of all clients.
type loop struct {
	epoll, wake int
	done        chan struct{}
	in          *inbox
	events      [256]unix.EpollEvent

	mu      sync.Mutex // held while packets are counted
	clients map[int32]*Client
	ending  bool
}

func newLoop() (*loop, error) {
	l := &loop{done: make(chan struct{}), in: newInbox(), clients: map[int32]*Client{}}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("load: make epoll: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.wake)})
	}
	if err != nil {
		_ = unix.Close(l.epoll)
		return nil, fmt.Errorf("load: make wake-up: %w", err)
	}
	go l.run()
	return l, nil
}

// add reads a client's socket from now on; all of it goes to pion until begin.
func (l *loop) add(c *Client) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := int32(c.socket.fd)
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}); err != nil {
		return fmt.Errorf("load: watch socket: %w", err)
	}
	l.clients[fd] = c
	return nil
}

// begin gives a client what it takes media with.
func (l *loop) begin(c *Client, r receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.receiver = r
}

// remove stops reading; when it returns, the loop does not touch the client any
// more and its socket may be closed.
func (l *loop) remove(c *Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := int32(c.socket.fd)
	if l.clients[fd] == c {
		delete(l.clients, fd)
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(fd), nil)
	}
}

func (l *loop) close() error {
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	if _, err := unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("load: end the loop: %w", err)
	}
	<-l.done
	_ = unix.Close(l.wake)
	return unix.Close(l.epoll)
}

func (l *loop) run() {
	defer close(l.done)
	runtime.LockOSThread() // it is in the kernel most of the time, and ends with the goroutine
	first()
	for {
		n, err := unix.EpollWait(l.epoll, l.events[:], -1)
		if err != nil && err != unix.EINTR {
			panic(err) // only a descriptor that is none
		}
		if !l.ready(max(n, 0)) {
			return
		}
	}
}

// ready reads the sockets that have something, each once: what is left is
// ready again at once.
func (l *loop) ready(n int) bool {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events[:n] {
		c := l.clients[e.Fd]
		if c == nil {
			continue
		}
		for i := range l.in.read(int(e.Fd)) {
			c.take(l.in.get(i, now))
		}
	}
	return !l.ending
}

// receiver is how a client takes media; owned by the loop.
type receiver struct {
	in      *srtp.Context // nil until the handshake is done
	remote  netip.AddrPort
	names   [128]Kind // of payload types
	streams map[uint32]*stream
	heard   rtp.Header
	control rtcp.Header
	ssrc    uint32 // of what the client sends

	early, refused, foreign, resent, wanted, reports uint64

	lostThere, lostBefore uint32 // as the server's reports say, now and at the last reset
	dropped               uint32 // by the kernel at the last reset
}

// take handles a datagram (RFC 7983, section 7).
func (c *Client) take(d datagram) {
	switch {
	case len(d.b) == 0:
	case d.b[0] < 128 || d.b[0] > 191:
		c.keys.watch(d.b, true)
		c.pipe.put(d)
	case c.in == nil:
		c.early++
	case d.from != c.remote:
		c.foreign++
	case len(d.b) > 1 && d.b[1] >= 192 && d.b[1] <= 223: // RFC 5761, section 4
		c.takeControl(d)
	default:
		c.takeMedia(d)
	}
}

func (c *Client) takeMedia(d datagram) {
	plain, err := c.in.DecryptRTP(d.b[:0], d.b, &c.heard)
	if err != nil {
		c.refused++
		return
	}
	s := c.streams[c.heard.SSRC]
	if s == nil {
		s = newStream(c.names[c.heard.PayloadType&0x7f], c.heard.SSRC)
		c.streams[c.heard.SSRC] = s
	}
	if s.kind >= kinds {
		c.resent++
		return
	}
	s.take(d, c.heard.SequenceNumber, c.heard.Timestamp, c.cfg.Late)
	c.last.Store(d.at.UnixNano())
	if s.kind == Sound && c.onSound != nil && !c.mute.Load() {
		c.onSound(d.at, plain[c.heard.MarshalSize():])
	}
}

func (c *Client) takeControl(d datagram) {
	plain, err := c.in.DecryptRTCP(nil, d.b, &c.control)
	if err != nil {
		c.refused++
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		c.refused++
		return
	}
	c.last.Store(d.at.UnixNano())
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			if s := c.streams[p.SSRC]; s != nil {
				s.report.ntp, s.report.at = rtptime.MiddleNTP(p.NTPTime), d.at
			}
			c.takeBlocks(p.Reports)
		case *rtcp.ReceiverReport:
			c.takeBlocks(p.Reports)
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			c.wanted++
		}
	}
}

func (c *Client) takeBlocks(blocks []rtcp.ReceptionReport) {
	for _, b := range blocks {
		if b.SSRC == c.ssrc {
			c.lostThere = b.TotalLost
			c.reports++
		}
	}
}

// blocks answers the report blocks about what the client receives (RFC 3550,
// section 6.4.1).
func (l *loop) blocks(c *Client, now time.Time) []rtcp.ReceptionReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []rtcp.ReceptionReport
	for _, s := range c.streams {
		if s.kind < kinds && s.received > 0 {
			out = append(out, s.block(now))
		}
	}
	return out
}

func (s *stream) block(now time.Time) rtcp.ReceptionReport {
	expected := s.expected() - s.reported.expected
	received := s.received - s.reported.received
	s.reported.expected, s.reported.received = s.expected(), s.received
	b := rtcp.ReceptionReport{
		SSRC: s.ssrc, TotalLost: uint32(min(s.lost(), 1<<23-1)), LastSequenceNumber: uint32(s.high),
		Jitter: uint32(rtptime.Ticks(s.jitter, s.kind.clockRate())),
	}
	if expected > received {
		b.FractionLost = uint8((expected - received) << 8 / expected)
	}
	if s.report.ntp != 0 {
		b.LastSenderReport, b.Delay = s.report.ntp, rtptime.ToMiddle(now.Sub(s.report.at))
	}
	return b
}
