package plane

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
)

// Packet is one that has come in: decrypted, authenticated, as it was before a
// retransmission. It and all that it refers to are the plane's again when Take
// returns.
type Packet struct {
	rtp.Packet
	// At is when it reached the socket; Size is that of its datagram, in bytes.
	At   time.Time
	Size int
	// Again tells a packet that was sent again (RFC 4588).
	Again bool
	Ext   Extensions
}

// Extensions are the header extensions of a packet, parsed once.
type Extensions struct {
	// Level is the audio level in dBov, 0 to -127, and Voice whether the client
	// takes it for voice (RFC 6464, section 3).
	Level           int8
	Voice, HasLevel bool
	// TransportSeq counts the packets of all streams of the session.
	TransportSeq    uint16
	HasTransportSeq bool
	// AbsSendTime is the time of sending: seconds of NTP in 6.18 bits.
	AbsSendTime    uint32
	HasAbsSendTime bool
	// MID, RID and RepairedRID name the stream; nil where absent.
	MID, RID, RepairedRID []byte
	// Rotation is how the picture is to be turned for display, in degrees
	// clockwise: 0, 90, 180 or 270; Flip mirrors it first.
	Rotation       int
	Flip           bool
	HasOrientation bool
	// MinDelay and MaxDelay bound the receiver's playout delay.
	MinDelay, MaxDelay time.Duration
	HasPlayoutDelay    bool
}

// parse reads what was agreed on; an extension of a wrong size counts as absent.
func (e *Extensions) parse(h *rtp.Header, ids *ExtensionIDs) {
	*e = Extensions{}
	if !h.Extension {
		return
	}
	if b := extensionValue(h, ids.AudioLevel); len(b) == 1 {
		e.Level, e.Voice, e.HasLevel = -int8(b[0]&0x7f), b[0]&0x80 != 0, true
	}
	if b := extensionValue(h, ids.TransportCC); len(b) >= 2 {
		e.TransportSeq, e.HasTransportSeq = binary.BigEndian.Uint16(b), true
	}
	if b := extensionValue(h, ids.AbsSendTime); len(b) == 3 {
		e.AbsSendTime, e.HasAbsSendTime = uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2]), true
	}
	e.MID, e.RID, e.RepairedRID = extensionValue(h, ids.MID), extensionValue(h, ids.RID), extensionValue(h, ids.RepairedRID)
	if b := extensionValue(h, ids.Orientation); len(b) == 1 {
		// 0 0 0 0 C F R1 R0, rotation counted anticlockwise by the sender.
		e.Rotation, e.Flip, e.HasOrientation = int(b[0]&3)*90, b[0]&4 != 0, true
	}
	if b := extensionValue(h, ids.PlayoutDelay); len(b) == 3 {
		const unit = 10 * time.Millisecond // 12 bits each
		e.MinDelay = time.Duration(uint16(b[0])<<4|uint16(b[1])>>4) * unit
		e.MaxDelay = time.Duration(uint16(b[1]&0xf)<<8|uint16(b[2])) * unit
		e.HasPlayoutDelay = true
	}
}

func extensionValue(h *rtp.Header, id uint8) []byte {
	if id == 0 {
		return nil
	}
	return h.GetExtension(id)
}

// headerSize answers the size of an RTP header that has been parsed without an
// error, which every length in it was checked by.
func headerSize(b []byte) int {
	n := 12 + 4*int(b[0]&0xf)
	if b[0]&0x10 != 0 {
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	return n
}

// payload answers what lies between header and padding; ok is false where the
// padding is longer than the packet (RFC 3550, section 5.1).
func payload(b []byte, h *rtp.Header) (p []byte, ok bool) {
	n, end := headerSize(b), len(b)
	if h.Padding {
		if end <= n || b[end-1] == 0 || int(b[end-1]) > end-n {
			return nil, false
		}
		end -= int(b[end-1])
	}
	return b[n:end], true
}

// class is what a datagram is by its first bytes (RFC 7983, section 7; RFC 5761,
// section 4).
type class uint8

const (
	garbage class = iota
	control       // STUN or DTLS
	media         // SRTP
	report        // SRTCP
)

func classify(b []byte) class {
	if len(b) < 12 {
		return garbage
	}
	switch first := b[0]; {
	case first < 4: // STUN, whose length is that of the datagram (RFC 8489, section 5)
		if len(b) < 20 || binary.BigEndian.Uint32(b[4:]) != 0x2112a442 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-20 {
			return garbage
		}
		return control
	case first >= 20 && first < 64:
		return control
	case first >= 128 && first < 192:
		if b[1] >= 192 && b[1] <= 223 {
			return report
		}
		return media
	}
	return garbage
}
