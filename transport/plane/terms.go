package plane

import (
	"time"

	"tutti/codec"
)

// Terms are what offer and answer agreed on.
type Terms struct {
	// CNAME names the source in reports (RFC 3550, section 6.5.1).
	CNAME string
	// Epoch is the time of RTP time Outbound.Base, for sender reports.
	Epoch time.Time
	// Cryptex says that the client takes encrypted headers (RFC 9335).
	Cryptex bool
	// Inbound are the streams that the client sends, at most one for a pair of
	// MID and RID; Outbound are those it takes.
	Inbound  []Inbound
	Outbound []Outbound
}

// ExtensionIDs are the identifiers of header extensions (RFC 8285), each 0 where
// it was not agreed on.
type ExtensionIDs struct {
	AudioLevel       uint8 // RFC 6464
	TransportCC      uint8 // draft-holmer-rmcat-transport-wide-cc-extensions-01
	AbsSendTime      uint8 // http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
	MID              uint8 // RFC 9143
	RID, RepairedRID uint8 // RFC 8852
	Orientation      uint8 // 3GPP TS 26.114, section 7.4.5
	PlayoutDelay     uint8 // http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
}

// Inbound is one stream from the client.
type Inbound struct {
	Kind codec.Kind
	// MID and RID name it in header extensions; RID is empty without simulcast.
	MID, RID string
	// SSRC and RTXSSRC are those that the offer declared, 0 where it declares
	// none: then MID and RID tell, or the payload type.
	SSRC, RTXSSRC uint32
	// PT is the payload type; RTXPT that of packets sent again (RFC 4588), 0 for
	// none.
	PT, RTXPT uint8
	// REDPT is the payload type of packets that carry earlier ones once more (RFC
	// 2198), 0 for none. Take gets them as they are: their PayloadType tells them.
	REDPT uint8
	Clock int // Hz
	Ext   ExtensionIDs
	// NACK, PLI and FIR are what the client answers (RFC 4585, RFC 5104).
	NACK, PLI, FIR bool
	// Take is called with each packet, in order of arrival.
	Take func(*Packet)
}

// Outbound is one stream to the client.
type Outbound struct {
	Kind          codec.Kind
	SSRC, RTXSSRC uint32
	PT, RTXPT     uint8
	REDPT         uint8 // of what Writer.Redundant sends (RFC 2198)
	Clock         int   // Hz
	Ext           ExtensionIDs
	// NACK keeps what was sent, so that it can be sent again.
	NACK bool
	// Sequence is the first sequence number and Base the timestamp at the epoch;
	// both begin at random (RFC 3550, section 5.1), the sequence below 1<<15 (RFC
	// 3711, section 3.3.1: nobody may miss its wrap).
	Sequence uint16
	Base     uint32
}
