package plane

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtcp"

	"tutti/codec"
	"tutti/transport/rtptime"
)

// inStream is one stream from the client. It belongs to the session's rx lock.
type inStream struct {
	Inbound
	bound    bool // its SSRC is known
	boundRTX bool

	received reception
	repair   reception // of the packets sent again, whose SSRC is another
	missing  missing
	camera   *camera // nil for sound
}

func newInStream(in Inbound) *inStream {
	s := &inStream{Inbound: in, bound: in.SSRC != 0, boundRTX: in.RTXSSRC != 0}
	s.received.clock, s.repair.clock = in.Clock, in.Clock
	if in.Kind == codec.Video {
		s.camera = &camera{ssrc: in.SSRC, bound: s.bound, pli: in.PLI, fir: in.FIR}
	}
	return s
}

// rebind gives the stream another SSRC: it begins anew.
func (s *inStream) rebind(ssrc uint32) {
	s.SSRC, s.bound = ssrc, true
	s.received = reception{clock: s.Clock}
	s.missing = missing{}
}

// takes reports whether a payload type is one of the stream's packets, or of
// those sent again.
func (s *inStream) takes(pt uint8, repair bool) bool {
	if repair {
		return pt == s.RTXPT
	}
	return pt == s.PT || s.REDPT != 0 && pt == s.REDPT
}

// sources are the SSRCs that authentic packets came from.
type sources []uint32

// admit reports whether another packet of an SSRC may be decrypted.
func (s sources) admit(ssrc uint32) bool { return len(s) < maxSources || slices.Contains(s, ssrc) }

func (s *sources) add(ssrc uint32) {
	if !slices.Contains(*s, ssrc) {
		*s = append(*s, ssrc)
	}
}

// unwrap undoes a retransmission in place (RFC 4588, section 4): the payload
// begins with the original sequence number. false where there is none: padding
// alone, a probe.
func (s *inStream) unwrap(p *Packet) bool {
	if len(p.Payload) < 2 {
		return false
	}
	p.SequenceNumber = binary.BigEndian.Uint16(p.Payload)
	p.Payload = p.Payload[2:]
	p.SSRC, p.PayloadType, p.Again = s.SSRC, s.PT, true
	return true
}

// senderReport takes the client's relation of RTP time to its clock.
func (s *inStream) senderReport(at time.Time, r *rtcp.SenderReport) {
	s.received.reportNTP, s.received.reportAt = rtptime.MiddleNTP(r.NTPTime), at
}
