package jitter

import (
	"time"

	"github.com/pion/rtp"

	"tutti/transport/rtptime"
)

// overtaken is how long a packet is taken to be merely reordered, so that a
// whole key frame further on is not yet preferred to it.
const overtaken = 30 * time.Millisecond

// lateFrames is how many packets on end may be late before the sender is taken
// to have begun anew: more than are retransmitted in vain.
const lateFrames = 64

// piece is one packet of a frame.
type piece struct {
	seq     int64
	ts      int64
	arrived time.Time
	desc    descriptor
	data    []byte
	held    bool
	filler  bool // padding: a sequence number without data
	marker  bool // last packet of its frame
}

// key reports whether the piece begins a key frame: the inverse key frame flag
// is the lowest bit of the frame (RFC 6386, section 9.1).
func (p *piece) key() bool {
	return p.held && !p.filler && p.desc.begins() && p.data[0]&1 == 0
}

// Assembler builds frames from the RTP packets of one VP8 stream (RFC 7741). It
// belongs to one goroutine.
//
// Frames come out in order, and only such that a decoder can decode who got all
// those before: after a gap nothing but a key frame.
type Assembler struct {
	cfg   AssemblerConfig
	stats AssemblerStats

	seq  rtptime.Sequence
	ts   rtptime.Timestamps
	high int64 // highest sequence number
	jump restarts

	ring    []piece
	free    [][]byte
	started bool
	fresh   bool  // nothing was passed yet, so earlier packets are welcome
	late    int   // late packets on end
	turn    int64 // sequence number with which the next frame begins

	// The frame under assembly is whole from turn to scan.
	scan int64
	size int

	waitKey bool // nothing but a key frame may come next
	blocked time.Time
	refs    references
	lastTS  int64
	out     []byte
}

// NewAssembler answers an Assembler that waits for its first key frame.
func NewAssembler(cfg AssemblerConfig) *Assembler {
	cfg = cfg.withDefaults()
	return &Assembler{
		cfg: cfg, waitKey: true,
		ring: make([]piece, cfg.MaxPackets),
		free: make([][]byte, 0, cfg.MaxPackets),
	}
}

// Push takes a packet that arrived at now and copies its payload. It answers
// false where the packet was of no use.
func (a *Assembler) Push(now time.Time, p *rtp.Packet) bool {
	if len(p.Payload) > MaxPayload {
		a.stats.Invalid++
		return false
	}
	in := piece{arrived: now, held: true, marker: p.Marker, filler: len(p.Payload) == 0}
	data := p.Payload
	if !in.filler {
		var err error
		if in.desc, data, err = parseDescriptor(data); err != nil || len(data) == 0 {
			a.stats.Invalid++
			return false
		}
	}
	if !a.place(&in, p) {
		return false
	}
	if s := a.at(in.seq); s.held && s.seq == in.seq {
		a.stats.Duplicates++
		return false
	}
	if in.seq < a.high {
		a.stats.Reordered++
	}
	if in.seq < a.turn {
		a.stats.Late++
		a.missed()
		return false
	}
	a.late = 0
	a.put(&in, data)
	return true
}

// place finds a packet's number and makes room for it.
func (a *Assembler) place(in *piece, p *rtp.Packet) bool {
	distance := 0
	if a.started {
		distance = int(int16(p.SequenceNumber - uint16(a.high)))
	}
	ignore, restart := a.jump.stray(p.SequenceNumber, distance, max(len(a.ring), maxJump))
	if ignore {
		a.stats.Invalid++
		return false
	}
	if restart {
		a.restart()
	}
	in.seq, in.ts = a.seq.Unwrap(p.SequenceNumber), a.ts.Unwrap(p.Timestamp)
	if !a.started {
		a.started, a.fresh, a.high = true, true, in.seq
		a.turnTo(in.seq)
	}
	a.high = max(a.high, in.seq)
	if a.fresh && in.seq < a.turn && a.high-in.seq < int64(len(a.ring)) {
		a.turnTo(in.seq)
	}
	if in.seq-a.turn >= int64(len(a.ring)) {
		a.breakOff()
		a.passTo(in.seq - int64(len(a.ring)) + 1)
	}
	return true
}

// missed counts late packets on end. Where nothing else comes the sender has
// begun anew a little further back.
func (a *Assembler) missed() {
	if a.late++; a.late >= lateFrames {
		a.restart()
	}
}

// put stores a packet and a copy of its data.
func (a *Assembler) put(in *piece, data []byte) {
	if !in.filler {
		var mem []byte
		if n := len(a.free); n > 0 {
			mem, a.free = a.free[n-1], a.free[:n-1]
		}
		in.data = append(mem[:0], data...)
	}
	*a.at(in.seq) = *in
	a.stats.Packets++
	a.stats.Buffered++
}

// Pop answers the next frame in order once all of it and all before it is there.
// Call it after each Push until ok is false.
func (a *Assembler) Pop(now time.Time) (f Frame, ok bool) {
	for a.stats.Buffered > 0 {
		if a.waitKey && !a.seekKey(now) {
			return Frame{}, false
		}
		switch a.extend() {
		case whole:
			if f, ok = a.deliver(); ok {
				return f, true
			}
		case broken:
			a.breakOff()
			a.passTo(max(a.scan, a.turn+1))
		case waiting:
			if !a.giveUp(now) {
				return Frame{}, false
			}
		}
	}
	return Frame{}, false
}

// The states of a frame under assembly.
const (
	waiting = iota // something is missing
	whole
	broken // it cannot become a frame
)

// extend looks how far the frame under assembly goes without a gap.
func (a *Assembler) extend() int {
	for {
		p := a.at(a.scan)
		if !p.held || p.seq != a.scan {
			return waiting
		}
		if a.size == 0 { // fillers and the frame's beginning
			if !p.filler && !p.desc.begins() {
				return broken
			}
			if p.filler {
				a.passTo(a.scan + 1)
				continue
			}
		} else if !p.filler && p.ts != a.at(a.turn).ts {
			// The marker of the last frame was not set; the next one begins.
			if p.desc.begins() {
				return whole
			}
			return broken
		} else if !p.filler && p.desc.begins() {
			return broken // a second frame under the same timestamp
		}
		if a.size += len(p.data); a.size > a.cfg.MaxFrameBytes {
			return broken
		}
		if a.scan++; p.marker && !p.filler {
			return whole
		}
	}
}

// deliver hands out the whole frame from turn to scan, unless a frame that it
// builds on is missing.
func (a *Assembler) deliver() (Frame, bool) {
	first := a.at(a.turn)
	f := Frame{Timestamp: first.ts, KeyFrame: first.key(), PictureID: -1, TemporalLayer: int(first.desc.layer)}
	if first.desc.hasPicture {
		f.PictureID = int(first.desc.picture)
	}
	end := a.scan
	fate := a.refs.follow(&first.desc, f.KeyFrame)
	if fate == severed || !f.KeyFrame && f.Timestamp <= a.lastTS {
		a.breakOff()
	}
	if a.waitKey && !f.KeyFrame || fate == leftOut {
		a.passTo(end)
		return Frame{}, false
	}
	a.out = a.out[:0]
	for seq := a.turn; seq < end; seq++ {
		p := a.at(seq)
		a.out = append(a.out, p.data...)
		if p.arrived.After(f.Arrived) {
			f.Arrived = p.arrived
		}
		a.drop(p)
	}
	a.turnTo(end)
	a.fresh = false
	a.waitKey, a.lastTS = false, f.Timestamp
	a.stats.Frames++
	if f.KeyFrame {
		a.stats.KeyFrames++
	}
	f.Data = a.out[:len(a.out):len(a.out)]
	return f, true
}

// giveUp decides whether to wait on for what is missing at scan. It answers true
// where it moved on.
func (a *Assembler) giveUp(now time.Time) bool {
	if a.high < a.scan {
		a.blocked = time.Time{}
		return false // nothing is missing, the rest is to come
	}
	if a.blocked.IsZero() {
		a.blocked = now
	}
	since := now.Sub(a.blocked)
	if since >= overtaken {
		if begin, ok := a.wholeKeyAfter(a.scan); ok {
			a.breakOff()
			a.passTo(begin)
			return true
		}
	}
	if since < a.cfg.Wait {
		return false
	}
	a.breakOff()
	a.passTo(a.scan + 1)
	return true
}

// breakOff stops delivery until the next key frame.
func (a *Assembler) breakOff() {
	if !a.waitKey || a.size > 0 { // a key frame under assembly counts as well
		a.stats.Gaps++
	}
	a.waitKey = true
}

// seekKey moves to the first held piece that begins a key frame. Where there is
// none it throws away what is too old to be the rest of one that is still to be
// repaired.
func (a *Assembler) seekKey(now time.Time) bool {
	old := a.turn
	for seq := a.turn; seq <= a.high; seq++ {
		p := a.at(seq)
		if p.key() {
			if seq != a.turn {
				a.passTo(seq)
			}
			return true
		}
		if p.held && now.Sub(p.arrived) >= a.cfg.Wait {
			old = seq + 1
		}
	}
	if old > a.turn {
		a.passTo(old)
	}
	return false
}

// wholeKeyAfter answers where a whole key frame begins that is held beyond seq.
func (a *Assembler) wholeKeyAfter(seq int64) (begin int64, ok bool) {
	var ts int64
	for ; seq <= a.high; seq++ {
		p := a.at(seq)
		switch {
		case p.key():
			begin, ts, ok = seq, p.ts, true
		case !p.held || !p.filler && (p.ts != ts || p.desc.begins()):
			ok = false
		}
		if ok && p.marker && !p.filler {
			return begin, true
		}
	}
	return 0, false
}

// passTo drops all before seq.
func (a *Assembler) passTo(seq int64) {
	for s := a.turn; s < seq && a.stats.Buffered > 0; s++ {
		if p := a.at(s); p.held {
			if !p.filler {
				a.stats.Dropped++
			}
			a.drop(p)
		}
	}
	a.turnTo(seq)
	a.fresh = false
}

// turnTo lets the next frame begin at seq.
func (a *Assembler) turnTo(seq int64) {
	a.turn, a.scan, a.size = seq, seq, 0
	a.blocked = time.Time{}
}

// drop frees a piece.
func (a *Assembler) drop(p *piece) {
	if p.data != nil {
		a.free = append(a.free, p.data)
	}
	*p = piece{seq: p.seq}
	a.stats.Buffered--
}

func (a *Assembler) at(seq int64) *piece { return &a.ring[seq&int64(len(a.ring)-1)] }

// NeedKeyFrame reports whether nothing can be delivered until the sender makes
// a key frame and none is on its way. The caller asks the sender, and bounds how
// often.
func (a *Assembler) NeedKeyFrame() bool {
	return a.waitKey && !(a.started && a.at(a.turn).key())
}

// Stats answers the counters.
func (a *Assembler) Stats() AssemblerStats { return a.stats }

// Reset forgets the stream, for a new SSRC; the next frame is a key frame.
func (a *Assembler) Reset() {
	a.forget()
	a.ts = rtptime.Timestamps{}
}

// restart begins anew in the same stream, whose timestamps go on.
func (a *Assembler) restart() {
	a.stats.Resyncs++
	a.forget()
}

// forget drops all that is held and all that is known of the sequence.
func (a *Assembler) forget() {
	for i := range a.ring {
		if p := &a.ring[i]; p.held {
			if !p.filler {
				a.stats.Dropped++
			}
			a.drop(p)
		}
		a.ring[i].seq = 0
	}
	a.seq, a.jump = rtptime.Sequence{}, restarts{}
	a.started, a.waitKey, a.late = false, true, 0
	a.turnTo(0)
}
