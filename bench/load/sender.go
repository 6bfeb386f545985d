package load

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
	"golang.org/x/sys/unix"

	"tutti/assets/speech"
	"tutti/transport/rtptime"
	"tutti/transport/transporttest/badlink"
)

// Times of the sender.
const (
	reportEvery = time.Second
	// behind is how much later than due a packet may leave before it counts as sent
	// late: then the machine, not the server, has delayed it.
	behind = 10 * time.Millisecond
	// glance is how often an idle sender looks whether there is something new.
	glance = 5 * time.Millisecond
)

// samples are what a packet lasts at 48 kHz.
const samples = 960

// task is something that a client does again and again.
type task struct {
	due    time.Time
	client *Client
	report bool // or the next packet
}

// tasks is a heap, the next one due first.
type tasks []task

func (t tasks) Len() int           { return len(t) }
func (t tasks) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t tasks) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *tasks) Push(x any) { *t = append(*t, x.(task)) }

// Pop implements heap.Interface.
func (t *tasks) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// sender is the thread that sends what is due, each packet at its own time:
// clients of the real world do not send in step.
type sender struct {
	done chan struct{}

	mu     sync.Mutex
	queue  tasks
	linked []*Client // that have a bad link
	ending bool
}

func newSender() *sender {
	s := &sender{done: make(chan struct{})}
	go s.run()
	return s
}

// add lets a client send from now on, at a phase of its own.
func (s *sender) add(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(c.says) > 0 {
		heap.Push(&s.queue, task{due: now.Add(rand.N(Interval)), client: c})
	}
	heap.Push(&s.queue, task{due: now.Add(rand.N(reportEvery)), client: c, report: true})
}

// remove ends it; when it returns, the sender does not touch the client.
func (s *sender) remove(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.queue[:0]
	for _, t := range s.queue {
		if t.client != c {
			kept = append(kept, t)
		}
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	heap.Init(&s.queue)
	s.linked = slices.DeleteFunc(s.linked, func(o *Client) bool { return o == c })
}

// close ends the thread; a second call does nothing.
func (s *sender) close() {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	<-s.done
}

func (s *sender) run() {
	defer close(s.done)
	// The runtime's timers are a millisecond coarse while a process is idle, which
	// would send all packets of a millisecond together.
	runtime.LockOSThread() // it ends with the goroutine
	first()
	for {
		wait, ok := s.work(time.Now())
		if !ok {
			return
		}
		if wait > 0 {
			t := unix.NsecToTimespec(int64(wait))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // interrupted: looks and sleeps again
		}
	}
}

// work does what is due and answers when there is more.
func (s *sender) work(now time.Time) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && !s.queue[0].due.After(now) {
		t := &s.queue[0]
		if t.report {
			t.client.report(now)
			t.due = t.due.Add(reportEvery)
		} else {
			t.client.say(t.due, now)
			t.due = t.due.Add(Interval)
		}
		heap.Fix(&s.queue, 0)
	}
	wait = glance
	if len(s.queue) > 0 {
		wait = min(wait, s.queue[0].due.Sub(now))
	}
	for _, c := range s.linked {
		if next, any := c.arrive(now); any {
			wait = min(wait, next.Sub(now))
		}
	}
	return wait, !s.ending
}

// voice is what a client sends; owned by the sender once prepared.
type voice struct {
	says   []speech.Packet
	out    *srtp.Context
	to     netip.AddrPort
	header rtp.Header
	level  [1]byte // of the header's extension, shared with it
	number [2]byte // the transport-wide one, likewise

	next         int // packet to be said
	due          time.Time
	sent, octets uint32
	sentLate     uint64
	unsent       uint64 // the kernel did not take them
	before       struct{ sent, late, unsent uint64 }

	plain, cipher []byte
	scratch       rtp.Header

	link *badlink.Pipe[[]byte] // to the server; nil: a perfect one
}

// prepare takes what was negotiated.
func (v *voice) prepare(out *srtp.Context, p webrtc.RTPSendParameters, to netip.AddrPort) error {
	v.out, v.to = out, to
	v.plain, v.cipher = make([]byte, maxDatagram), make([]byte, 0, maxDatagram)
	v.header = rtp.Header{
		Version: 2, SSRC: rand.Uint32(), SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(),
	}
	if len(v.says) == 0 {
		return nil // the SSRC is that of its receiver reports
	}
	if len(p.Encodings) == 0 || len(p.Codecs) == 0 {
		return fmt.Errorf("load: the server takes no sound")
	}
	v.header.SSRC, v.header.PayloadType = uint32(p.Encodings[0].SSRC), uint8(p.Codecs[0].PayloadType)
	for _, e := range p.HeaderExtensions {
		var value []byte
		switch e.URI {
		case sdp.AudioLevelURI:
			value = v.level[:]
		case sdp.TransportCCURI:
			value = v.number[:]
		default:
			continue
		}
		if err := v.header.SetExtension(uint8(e.ID), value); err != nil {
			return fmt.Errorf("load: header extension: %w", err)
		}
	}
	return nil
}

// say sends the next packet, or lets its time pass where it is empty.
func (c *Client) say(due, now time.Time) {
	v := &c.voice
	p := v.says[v.next%len(v.says)]
	v.next++
	v.due = due
	if len(p.Opus) == 0 {
		v.header.Timestamp += samples
		return
	}
	v.level[0] = uint8(-p.LevelDBOV) & 0x7f
	binary.BigEndian.PutUint16(v.number[:], uint16(v.sent))
	n, err := v.header.MarshalTo(v.plain)
	if err != nil {
		panic(err) // the header is our own
	}
	n += copy(v.plain[n:], p.Opus)
	v.header.SequenceNumber++
	v.header.Timestamp += samples
	b, err := v.out.EncryptRTP(v.cipher[:0], v.plain[:n], &v.scratch)
	if err != nil {
		panic(err) // 2^48 packets were sent
	}
	if c.cfg.OnSaid != nil {
		c.cfg.OnSaid(c.index, now, p.Opus)
	}
	c.send(now, b)
	v.sent++
	v.octets += uint32(len(p.Opus))
	if now.Sub(due) > behind {
		v.sentLate++
	}
}

// report sends a sender report, or a receiver report where the client sends
// nothing (RFC 3550, section 6.4).
func (c *Client) report(now time.Time) {
	v := &c.voice
	blocks := c.loop.blocks(c, now)
	var p rtcp.Packet = &rtcp.ReceiverReport{SSRC: v.header.SSRC, Reports: blocks}
	if v.sent > 0 {
		p = &rtcp.SenderReport{
			SSRC: v.header.SSRC, NTPTime: rtptime.NTP(now), PacketCount: v.sent, OctetCount: v.octets, Reports: blocks,
			RTPTime: v.header.Timestamp - samples + uint32(rtptime.Ticks(now.Sub(v.due), 48000)),
		}
	}
	plain, err := p.Marshal()
	if err != nil {
		panic(err) // at most two blocks
	}
	b, err := v.out.EncryptRTCP(v.cipher[:0], plain, nil)
	if err != nil {
		panic(err) // 2^31 reports were sent
	}
	c.send(now, b)
}

// send puts a datagram on the client's link, if it has one, or sends it.
func (c *Client) send(now time.Time, b []byte) {
	if c.link == nil {
		c.transmit(b)
		return
	}
	c.link.Push(now, len(b), append([]byte(nil), b...))
}

// arrive sends what has come through the client's link, and answers when more
// will have.
func (c *Client) arrive(now time.Time) (next time.Time, any bool) {
	for b, _, ok := c.link.Pop(now); ok; b, _, ok = c.link.Pop(now) {
		c.transmit(b)
	}
	return c.link.Next()
}

// SetUp makes the client's link to the server as bad as that from now on; in the
// beginning it is perfect. All that it sends after the handshake takes it, but
// what pion sends.
func (c *Client) SetUp(conditions badlink.Conditions) error {
	if err := conditions.Check(); err != nil {
		return fmt.Errorf("load: link: %w", err)
	}
	c.sender.mu.Lock()
	defer c.sender.mu.Unlock()
	c.setUp(time.Now(), conditions)
	return nil
}

func (c *Client) setUp(now time.Time, conditions badlink.Conditions) {
	if c.link != nil {
		c.link.Set(now, conditions)
		return
	}
	c.link = badlink.New(now, badlink.Config[[]byte]{Seed: rand.Uint64(), Conditions: conditions})
	c.sender.linked = append(c.sender.linked, c)
}

func (c *Client) transmit(b []byte) {
	if err := c.socket.Send(b, c.to); err != nil {
		c.unsent++
		return
	}
	if c.cfg.OnSent != nil {
		c.cfg.OnSent(c.index, b)
	}
}
