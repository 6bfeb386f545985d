package jitter

import (
	"sync"
	"time"

	"tutti/transport/rtptime"
)

const (
	// ringSize is how many consecutive sequence numbers are kept apart: 640 ms of
	// the shortest packets. A power of two.
	ringSize = 256
	// lateRun is how many packets in order may be late or duplicate before the sender
	// is taken to have begun anew a little further back.
	lateRun = 8
	// repairMemory is how many packets ago a turn may have passed for a repair of it
	// to tell how long one would have to wait for repairs.
	repairMemory = 3
	// dtxPayload is the longest payload that announces a pause, in bytes: an Opus
	// packet of no frames (RFC 6716, section 3.1; RFC 7587, section 3.1.3).
	dtxPayload = 2
)

// slot is the place of one packet in the ring.
type slot struct {
	seq     int64
	media   int64 // media time, in samples
	wire    uint32
	samples int64
	arrived time.Duration
	payload []byte
	held    bool
	done    bool // it came and its turn is over
}

// Buffer restores the order and the pace of one participant's sound. One
// goroutine pushes, another pops; Stats and Reset are open to all.
type Buffer struct {
	cfg Config

	mu    sync.Mutex // guards all below
	epoch time.Time  // of all times below
	stats Stats

	line   timeline
	varies *variation
	drift  drift
	jump   restarts
	late   int   // late packets that followed on one another
	lateAt int64 // the newest of them

	ring [ringSize]slot
	held int      // slots held
	sum  int64    // their samples
	free [][]byte // payload memory not in use
	out  []byte   // payload handed out last
	next []byte   // copy of a following payload, handed out with Lost

	begun     bool  // something of this stream was played
	playing   bool  // packets follow on one another; false while waiting for the first
	turn      int64 // sequence number whose turn it is
	turnTS    int64 // its media time
	turnWire  uint32
	samples   int64 // duration of the packet played last
	credit    int64 // samples concealed at turnTS without passing it
	concealed int64 // samples concealed on end
	paused    bool  // the packet played last announced a pause
}

// NewBuffer answers an empty Buffer.
func NewBuffer(cfg Config) *Buffer {
	cfg = cfg.withDefaults()
	return &Buffer{cfg: cfg, varies: newVariation(cfg.Window), free: make([][]byte, 0, ringSize+1)}
}

// SetBounds changes Config.Floor and Config.Max, within the limits that hold
// for them; 0 stands for the default. What is held beyond the new maximum is
// dropped.
func (b *Buffer) SetBounds(floor, maximum time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cfg := b.cfg
	cfg.Floor, cfg.Max = floor, maximum
	cfg = cfg.withDefaults()
	b.cfg.Floor, b.cfg.Max = cfg.Floor, cfg.Max
	b.trim()
}

// Push takes a packet that arrived at now and lasts the given samples at 48 kHz.
// The payload is copied. It answers false where the packet was of no use: late,
// a duplicate or invalid; each is counted.
func (b *Buffer) Push(now time.Time, seq uint16, ts uint32, samples int, payload []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if samples < MinSamples || samples > MaxSamples || len(payload) > MaxPayload {
		b.stats.Invalid++
		return false
	}
	ignore, restart := b.jump.stray(seq, b.line.distance(seq), maxJump)
	if ignore {
		b.stats.Invalid++
		return false
	}
	if restart {
		b.restart()
	}
	at := b.since(now)
	p := slot{wire: ts, samples: int64(samples), arrived: at, held: true}
	high, first := b.line.high, !b.line.started
	sure := b.place(at, seq, &p)
	if first {
		b.turn = p.seq
	} else if p.seq < high && !b.known(p.seq) {
		b.stats.Reordered++
	}
	if b.known(p.seq) {
		b.stats.Duplicates++
		b.missed(p.seq)
		return false
	}
	b.measure(at, &p, sure)
	if !first && p.seq > high+1 && sure {
		// What repairs the one before, if it was lost, is in this packet.
		b.varies.insert(at, at-span(p.media-p.samples))
	}
	if !b.admit(&p, payload) {
		b.stats.Late++
		b.missed(p.seq)
		return false
	}
	b.late = 0
	return true
}

// PushRepair takes a packet that another one carried once more (RFC 2198), or
// that was sent again. It is worth something only where the first of it was
// lost: else, or where its turn is over, the answer is false and nothing is
// counted. It never begins a stream and proves nothing of the network; when it
// came counts only where it fills a hole, for that many packets can only be had
// by waiting so long.
func (b *Buffer) PushRepair(now time.Time, seq uint16, ts uint32, samples int, payload []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if samples < MinSamples || samples > MaxSamples || len(payload) > MaxPayload || !b.line.started {
		return false
	}
	d := b.line.distance(seq)
	if d < -ringSize || d > ringSize || b.known(b.line.high+int64(d)) {
		return false
	}
	at := b.since(now)
	p := slot{wire: ts, samples: int64(samples), arrived: at, held: true}
	if sure := b.place(at, seq, &p); sure && p.seq >= b.turn-repairMemory {
		b.varies.insert(at, at-span(p.media))
	}
	if !b.admit(&p, payload) {
		return false
	}
	b.stats.Repaired++
	return true
}

// place gives a packet its number and media time; false where that is a guess.
func (b *Buffer) place(at time.Duration, seq uint16, p *slot) (sure bool) {
	p.seq, p.media, sure = b.line.place(seq, p.wire, p.samples, func(media int64) bool {
		return at-span(media) < b.varies.base()-maxAhead
	})
	return sure
}

// admit puts a placed packet into the ring unless its turn is over.
func (b *Buffer) admit(p *slot, payload []byte) bool {
	if !b.begun && p.seq < b.turn && b.line.high-p.seq < ringSize {
		b.turn = p.seq
	}
	if p.seq < b.turn {
		if s := b.at(p.seq); s.seq <= p.seq && !s.held {
			*s = slot{seq: p.seq, done: true}
		}
		return false
	}
	if p.seq-b.turn >= ringSize {
		b.skip(p.seq - ringSize + 1)
	}
	b.put(p, payload)
	b.trim()
	b.stats.Received++
	return true
}

// trim drops the oldest as long as more is held than allowed.
func (b *Buffer) trim() {
	for b.full() {
		b.skip(b.first().seq + 1)
	}
}

// full reports whether more is held than allowed, be it in sound or, where
// packets between are missing, in the time that lies between oldest and newest.
func (b *Buffer) full() bool {
	limit := b.limit()
	return b.sum > limit || b.held > 0 && b.line.highTS+b.line.samples-b.first().media > limit
}

// put stores a packet and a copy of its payload.
func (b *Buffer) put(p *slot, payload []byte) {
	var mem []byte
	if n := len(b.free); n > 0 {
		mem, b.free = b.free[n-1], b.free[:n-1]
	}
	p.payload = append(mem[:0], payload...)
	*b.at(p.seq) = *p
	b.held++
	b.sum += p.samples
}

// measure lets a packet's arrival count toward the delay.
func (b *Buffer) measure(at time.Duration, p *slot, sure bool) {
	if !sure {
		return
	}
	transit := at - span(p.media)
	// Later than anything that could be buffered, with nothing left to play: the
	// sender's clock stood still, or the way became another. What was measured
	// before says nothing any more.
	if !b.playing && b.held == 0 && transit-b.varies.base() > b.cfg.Max {
		b.varies.reset()
		b.drift.forget()
	}
	b.varies.add(at, transit)
	b.drift.add(at, transit)
}

// missed counts packets of no use that follow on one another. While there is
// something to play they are stragglers or copies; when it has run out they are
// the stream.
func (b *Buffer) missed(seq int64) {
	if seq != b.lateAt+1 {
		b.late = 0
	}
	b.lateAt = seq
	if b.late++; b.late >= lateRun && b.held == 0 && !b.playing {
		b.restart()
	}
}

// known reports whether a packet of that number came before.
func (b *Buffer) known(seq int64) bool {
	s := b.at(seq)
	return s.seq == seq && (s.held || s.done)
}

func (b *Buffer) at(seq int64) *slot { return &b.ring[seq&(ringSize-1)] }

// first answers the held packet of the lowest number; there must be one.
func (b *Buffer) first() *slot {
	for seq := b.turn; ; seq++ {
		if s := b.at(seq); s.held {
			return s
		}
	}
}

// release takes a packet out of the ring and answers its payload.
func (b *Buffer) release(s *slot) []byte {
	mem := s.payload
	s.payload, s.held, s.done = nil, false, true
	b.held--
	b.sum -= s.samples
	return mem
}

// pass moves the turn beyond a held packet that is not played.
func (b *Buffer) pass(s *slot) {
	b.turn, b.turnTS, b.turnWire = s.seq+1, s.media+s.samples, s.wire+uint32(s.samples)
	b.free = append(b.free, b.release(s))
	b.credit = 0
}

// skip moves the turn to seq and drops what is held before it: there is no room.
func (b *Buffer) skip(seq int64) {
	for b.turn < seq {
		if s := b.at(b.turn); s.held {
			b.pass(s)
			b.stats.Overflowed++
			continue
		}
		b.turn++
		if b.begun {
			b.stats.Lost++
		}
	}
}

// restart forgets a stream that began anew within the same SSRC.
func (b *Buffer) restart() {
	b.stats.Resyncs++
	b.forget()
}

// forget drops all that is held and all that is known of the stream.
func (b *Buffer) forget() {
	for b.held > 0 {
		b.pass(b.first())
		b.stats.Overflowed++
	}
	for i := range b.ring {
		b.ring[i] = slot{}
	}
	b.line.reset()
	b.varies.reset()
	b.drift.forget()
	b.late, b.credit, b.concealed = 0, 0, 0
	b.begun, b.playing, b.paused = false, false, false
}

// Stats answers the counters and measures of the moment.
func (b *Buffer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Jitter = b.varies.jitter
	s.Target = b.target()
	s.DriftPPM = b.drift.ppm
	s.Buffered = span(b.sum)
	s.Resyncs += b.line.jumps
	return s
}

// Reset forgets the stream and what is buffered of it, for a new SSRC. The
// payload popped last stays valid until the next Pop.
func (b *Buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	b.jump, b.drift = restarts{}, drift{}
}

// since answers a moment as the time since the first push.
func (b *Buffer) since(now time.Time) time.Duration {
	if b.epoch.IsZero() {
		b.epoch = now
	}
	return now.Sub(b.epoch)
}

// limit answers Config.Max in samples.
func (b *Buffer) limit() int64 { return rtptime.Ticks(b.cfg.Max, Rate) }

// span converts samples to time.
func span(samples int64) time.Duration { return rtptime.Duration(samples, Rate) }
