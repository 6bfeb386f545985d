package load

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Received is what all clients have received of a kind since the last Reset.
type Received struct {
	Packets, Bytes uint64 // authentic and new; bytes of datagrams
	Lost           uint64 // by gaps in the sequence numbers
	Late           uint64 // by more than Config.Late
	// Skips counts packets of sound that follow the one before by their number but
	// not, 20 ms later, by their timestamp. A pause of the server's counts as one.
	Skips       uint64
	Streams     int    // that are counted
	Troubled    int    // of those, with a lost or a late packet or a skip
	Least, Most uint64 // packets of the streams that got fewest and most
	// How much later than the fastest of its stream a packet came (RFC 5481, section
	// 4.2): half, 99 % and 99.9 % of them at most so much, all of them Slowest. Up to
	// 511 ms, rounded up to one.
	P50, P99, P999, Slowest time.Duration
}

// Stats is what was counted since the last Reset.
type Stats struct {
	Clients        int
	Sound, Picture Received
	Resent         uint64 // packets of no stream that is counted: those sent again (RFC 4588)
	Refused        uint64 // that authentication, replay protection or a parser refused
	Foreign        uint64 // media from other addresses than the server's
	Dropped        uint64 // by the kernel since the clients' sockets were full
	Sent           uint64 // packets of sound
	SentLate       uint64 // over 10 ms after they were due, since this process had no time
	Unsent         uint64 // that the kernel did not take
	LostThere      int64  // packets of sound that the server misses, by its reports
	Reports        uint64 // of the server about what is sent
	Wanted         uint64 // key frames
}

// Reset begins all counts anew.
func (l *Load) Reset() {
	clients := l.all()
	l.loop.mu.Lock()
	for _, c := range clients {
		for _, s := range c.streams {
			s.reset()
		}
		c.early, c.refused, c.foreign, c.resent, c.wanted, c.reports = 0, 0, 0, 0, 0, 0
		c.lostBefore = c.lostThere
		c.dropped = c.socket.dropped()
	}
	l.loop.mu.Unlock()
	l.sender.mu.Lock()
	for _, c := range clients {
		c.before.sent, c.before.late, c.before.unsent = uint64(c.sent), c.sentLate, c.unsent
	}
	l.sender.mu.Unlock()
}

// Stats answers the sums over all clients.
func (l *Load) Stats() Stats {
	clients := l.all()
	s := Stats{Clients: len(clients)}
	var sound, picture delays
	l.loop.mu.Lock()
	for _, c := range clients {
		for _, in := range c.streams {
			switch in.kind {
			case Sound:
				s.Sound.add(in, &sound)
			case Picture:
				s.Picture.add(in, &picture)
			}
		}
		s.Resent, s.Refused, s.Foreign = s.Resent+c.resent, s.Refused+c.refused, s.Foreign+c.foreign
		s.Wanted, s.Reports = s.Wanted+c.wanted, s.Reports+c.reports
		s.LostThere += int64(signed24(c.lostThere) - signed24(c.lostBefore))
		s.Dropped += uint64(c.socket.dropped() - c.dropped)
	}
	l.loop.mu.Unlock()
	l.sender.mu.Lock()
	for _, c := range clients {
		s.Sent += uint64(c.sent) - c.before.sent
		s.SentLate += c.sentLate - c.before.late
		s.Unsent += c.unsent - c.before.unsent
	}
	l.sender.mu.Unlock()
	s.Sound.spread(&sound)
	s.Picture.spread(&picture)
	return s
}

func (r *Received) add(s *stream, d *delays) {
	if r.Streams == 0 || s.received < r.Least {
		r.Least = s.received
	}
	r.Streams++
	r.Most = max(r.Most, s.received)
	r.Packets, r.Bytes = r.Packets+s.received, r.Bytes+s.bytes
	r.Lost, r.Late, r.Skips = r.Lost+s.lost(), r.Late+s.late, r.Skips+s.skips
	if s.lost()+s.late+s.skips > 0 {
		r.Troubled++
	}
	d.merge(&s.delays)
}

func (r *Received) spread(d *delays) {
	r.P50, r.P99, r.P999, r.Slowest = d.percentile(0.5), d.percentile(0.99), d.percentile(0.999), d.percentile(1)
}

// signed24 reads the cumulative number of packets lost, a signed number of 24
// bits (RFC 3550, section 6.4.1).
func signed24(n uint32) int32 { return int32(n<<8) >> 8 }

// dropped answers how many datagrams the kernel has dropped since the socket's
// buffer was full (SO_MEMINFO), wrapping at 32 bits.
func (s *Socket) dropped() uint32 {
	const drops = 8 // SK_MEMINFO_DROPS
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return info[drops]
}
