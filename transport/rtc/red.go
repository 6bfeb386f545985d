package rtc

import (
	"encoding/binary"
	"errors"
	"time"

	"tutti/codec"
	"tutti/transport/plane"
	"tutti/transport/rtptime"
)

// Audio with redundancy (RFC 2198): each packet carries those before it once
// more, so that a loss is made good by the next packet that comes.

const (
	// maxRedundancy is how many packets before its own one carries at most.
	maxRedundancy = 3
	// redBlocks bounds the blocks of a packet that comes in: libwebrtc takes as many.
	redBlocks = 32
	// redHeader and redLast are the sizes of a redundant block's header and of the
	// primary's (RFC 2198, section 3), in bytes.
	redHeader, redLast = 4, 1
	// What the fields of a header hold: 14 bits of timestamp, 10 bits of length.
	maxRedOffset, maxRedLength = 1<<14 - 1, 1<<10 - 1
)

// run is a packet of sound and those right before it in the same talk spurt, the
// newest first, as one client was sent them; nil where there is none. Whoever
// was sent the same has the same redundancy.
type run [maxRedundancy + 1]*codec.Packet

// add puts a packet before the others and reports whether it continues them:
// false at the beginning and after a pause, when those before it are forgotten.
func (r *run) add(p *codec.Packet) (continues bool) {
	continues = r[0] != nil && r[0].PTS+r[0].Duration == p.PTS
	if !continues {
		*r = run{}
	}
	copy(r[1:], r[:maxRedundancy])
	r[0] = p
	return continues
}

// last answers the run without what is more than depth packets before its
// newest, or what does not fit: into a header's fields or a packet.
func (r run) last(depth int) run {
	size := redLast + len(r[0].Data)
	for i := 1; i < len(r); i++ {
		if r[i] == nil || i > depth || !r.fits(i) || size+redHeader+len(r[i].Data) > maxPayload {
			clear(r[i:])
			break
		}
		size += redHeader + len(r[i].Data)
	}
	return r
}

// fits reports whether a header can describe a packet of the run.
func (r *run) fits(i int) bool {
	return r.offset(i) <= maxRedOffset && len(r[i].Data) <= maxRedLength
}

// offset answers by how much a packet is before the newest, in ticks of RTP.
func (r *run) offset(i int) int64 {
	return rtptime.Ticks(r[0].PTS, codec.AudioClockRate) - rtptime.Ticks(r[i].PTS, codec.AudioClockRate)
}

// marshal writes the payload of a run of one payload type, the oldest first
// (RFC 2198, section 3):
//
//	1 PT:7 offset:14 length:10 | ... | 0 PT:7 | oldest ... newest
func (r *run) marshal(pt uint8) []byte {
	n, size := 1, redLast+len(r[0].Data)
	for ; n < len(r) && r[n] != nil; n++ {
		size += redHeader + len(r[n].Data)
	}
	b := make([]byte, 0, size)
	for i := n - 1; i > 0; i-- {
		head := 1<<31 | uint32(pt)<<24 | uint32(r.offset(i))<<10 | uint32(len(r[i].Data))
		b = binary.BigEndian.AppendUint32(b, head)
	}
	b = append(b, pt)
	for i := n - 1; i >= 0; i-- {
		b = append(b, r[i].Data...)
	}
	return b
}

// redBlock is one block of a packet with redundancy.
type redBlock struct {
	offset  uint32 // before the packet's timestamp, in ticks of RTP; 0 for the primary
	pt      uint8
	payload []byte
}

var errRED = errors.New("rtc: malformed redundancy")

// splitRED answers the blocks of a payload in their order, the primary last, as
// parts of it, in memory that is given.
func splitRED(p []byte, into *[redBlocks]redBlock) ([]redBlock, error) {
	n := 0
	var lengths [redBlocks]int
	sum := 0
	for ; ; n++ {
		if len(p) == 0 || n == redBlocks {
			return nil, errRED
		}
		if p[0]&0x80 == 0 {
			into[n] = redBlock{pt: p[0]}
			p = p[redLast:]
			break
		}
		if len(p) < redHeader {
			return nil, errRED
		}
		head := binary.BigEndian.Uint32(p)
		into[n] = redBlock{offset: head >> 10 & maxRedOffset, pt: uint8(head >> 24 & 0x7f)}
		lengths[n] = int(head & maxRedLength)
		sum += lengths[n]
		p = p[redHeader:]
	}
	if sum > len(p) {
		return nil, errRED
	}
	lengths[n] = len(p) - sum
	for i := range n + 1 {
		into[i].payload = p[:lengths[i]:lengths[i]]
		p = p[lengths[i]:]
	}
	return into[:n+1], nil
}

// pushRedundant takes a packet with redundancy as it comes: first the earlier
// ones that it carries, of which any may be missing, then its own.
func (a *audioIn) pushRedundant(p *plane.Packet, opus uint8) {
	var memory [redBlocks]redBlock
	blocks, err := splitRED(p.Payload, &memory)
	if err != nil {
		a.badCount.Add(1)
		return
	}
	last := len(blocks) - 1
	if blocks[last].pt != opus {
		a.badCount.Add(1)
		return
	}
	for i, b := range blocks[:last] {
		// Blocks are those of the packets right before, one each (RFC 2198, section 4).
		if b.pt == opus && b.offset > 0 && len(b.payload) > 0 {
			a.pushRepair(p.SequenceNumber-uint16(last-i), p.Timestamp-b.offset, b.payload, p.At)
		}
	}
	p.Payload = blocks[last].payload
	a.push(p)
}

// pushRepair takes a packet that another one carried once more: most of them are
// there already.
func (a *audioIn) pushRepair(seq uint16, timestamp uint32, payload []byte, at time.Time) {
	if n, ok := a.samples(payload); ok {
		a.buf.PushRepair(at, seq, timestamp, n, payload)
	}
}
