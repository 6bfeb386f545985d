package plane

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"

	"tutti/transport/rtptime"
)

const (
	// historySize is how many sent packets of a stream can be sent again: more
	// than a second of 1.5 Mbit/s. A power of two.
	historySize = 256
	// resendShare of the bytes that were sent may be sent again, so that a
	// receiver that asks for all of it does not double its own trouble.
	resendShare = 4 // a quarter
	// resendBurst may be sent again at once, in bytes.
	resendBurst = 64 << 10
	// resendAgain is the least time between two copies of a packet; a round trip
	// if that is more.
	resendAgain = 10 * time.Millisecond
	// resendTimes is how often a packet is sent again: where one in ten is lost, one
	// in 100,000 is then still missing. Receivers exist that ask for what they have.
	resendTimes = 4
	// maxWanted bounds what waits to be sent again.
	maxWanted = 256
)

// sentPacket is what a packet is made of once more. The payload is that of all
// subscribers of the rendition, which nobody writes any more.
type sentPacket struct {
	payload   []byte
	timestamp uint32
	seq       uint16
	transport uint16 // its transport-wide sequence number
	pt        uint8
	marker    bool
	copies    uint8 // times it was sent again
	again     time.Time
}

// outStream is one stream to the client. It belongs to the session's tx lock.
type outStream struct {
	Outbound
	seq    uint16 // of the next packet
	rtxSeq uint16

	packets, octets uint32
	budget          int // bytes that may be sent again
	history         []sentPacket
	wanted          []uint16 // to be sent again
}

func newOutStream(out Outbound) *outStream {
	s := &outStream{Outbound: out, seq: out.Sequence, rtxSeq: out.Sequence ^ 0x7fff, budget: resendBurst}
	if out.NACK {
		s.history = make([]sentPacket, historySize)
		s.wanted = make([]uint16, 0, 32)
	}
	return s
}

// timestamp answers the RTP time of a moment since the epoch.
func (s *outStream) timestamp(pts time.Duration) uint32 {
	return s.Base + uint32(rtptime.Ticks(pts, s.Clock))
}

// sent keeps account of a packet.
func (s *outStream) sent(p sentPacket) {
	s.packets++
	s.octets += uint32(len(p.payload))
	s.budget = min(resendBurst, s.budget+len(p.payload)/resendShare)
	if s.history != nil {
		s.history[p.seq&(historySize-1)] = p
	}
}

// want queues packets to be sent again.
func (s *outStream) want(pairs []rtcp.NackPair) {
	for _, pair := range pairs {
		s.wantOne(pair.PacketID)
		for i := range uint16(16) {
			if pair.LostPackets&(1<<i) != 0 {
				s.wantOne(pair.PacketID + i + 1)
			}
		}
	}
}

func (s *outStream) wantOne(seq uint16) {
	if s.history != nil && len(s.wanted) < maxWanted {
		s.wanted = append(s.wanted, seq)
	}
}

// again answers a packet to be sent again now, or nil: unknown, sent again less
// than a round trip ago or too often, or beyond the budget.
func (s *outStream) again(now time.Time, seq uint16, roundTrip time.Duration) *sentPacket {
	p := &s.history[seq&(historySize-1)]
	if p.payload == nil || p.seq != seq || p.copies == resendTimes || len(p.payload) > s.budget {
		return nil
	}
	if !p.again.IsZero() && now.Sub(p.again) < max(resendAgain, roundTrip) {
		return nil
	}
	p.again, p.copies = now, p.copies+1
	s.budget -= len(p.payload)
	return p
}

// senderReport answers the stream's report: one NTP time for all streams of the
// session at one moment, however long either took through its encoder, so that
// receivers play them in step (RFC 3550, section 6.4.1).
func (s *outStream) senderReport(now, epoch time.Time) *rtcp.SenderReport {
	return &rtcp.SenderReport{
		SSRC: s.SSRC, NTPTime: rtptime.NTP(now), RTPTime: s.timestamp(now.Sub(epoch)),
		PacketCount: s.packets, OctetCount: s.octets,
	}
}

// header writes an RTP header with the transport-wide sequence number where it
// was agreed on, as an extension of one byte's header (RFC 8285, section 4.2),
// and answers its size.
func (s *outStream) header(b []byte, pt uint8, ssrc uint32, seq uint16, p *sentPacket) int {
	b[0], b[1] = 0x80, pt
	if p.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], p.timestamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	if s.Ext.TransportCC == 0 {
		return 12
	}
	b[0] |= 0x10
	binary.BigEndian.PutUint32(b[12:], 0xbede0001) // profile, one word
	b[16] = s.Ext.TransportCC<<4 | 1               // two bytes follow
	binary.BigEndian.PutUint16(b[17:], p.transport)
	b[19] = 0
	return 20
}
