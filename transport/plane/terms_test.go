package plane

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"tutti/codec"
)

// The sources and payload types that the tests agree on.
const (
	voiceSSRC, cameraSSRC, cameraRTX = 0x11, 0x22, 0x23
	soundSSRC, pictureSSRC           = 0x31, 0x32
	pictureRTX                       = 0x33
	opusPT, vp8PT, rtxPT             = 111, 96, 97
)

// extIDs are the extensions that the tests agree on.
var extIDs = ExtensionIDs{
	AudioLevel: 1, AbsSendTime: 2, TransportCC: 3, MID: 4, RID: 10, RepairedRID: 11, Orientation: 13, PlayoutDelay: 14,
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var cryptexOn = srtp.Cryptex(srtp.CryptexModeEnabled)

// taken collects what a taker was given.
type taken struct{ packets []Packet }

func (k *taken) take(p *Packet) {
	c := *p
	c.Payload = append([]byte(nil), p.Payload...)
	k.packets = append(k.packets, c)
}

// sequences answers the sequence numbers in order of arrival.
func (k *taken) sequences() []uint16 {
	var list []uint16
	for _, p := range k.packets {
		list = append(list, p.SequenceNumber)
	}
	return list
}

func voice(take func(*Packet)) Inbound {
	return Inbound{
		Kind: codec.Audio, MID: "0", SSRC: voiceSSRC, PT: opusPT, Clock: codec.AudioClockRate, Ext: extIDs, NACK: true, Take: take,
	}
}

func cameraIn(take func(*Packet)) Inbound {
	return Inbound{
		Kind: codec.Video, MID: "1", SSRC: cameraSSRC, RTXSSRC: cameraRTX, PT: vp8PT, RTXPT: rtxPT, Clock: codec.VideoClockRate,
		Ext: extIDs, NACK: true, PLI: true, FIR: true, Take: take,
	}
}

func sound() Outbound {
	return Outbound{
		Kind: codec.Audio, SSRC: soundSSRC, PT: opusPT, Clock: codec.AudioClockRate, Sequence: 65530, Base: 1 << 31,
	}
}

func picture() Outbound {
	return Outbound{
		Kind: codec.Video, SSRC: pictureSSRC, RTXSSRC: pictureRTX, PT: vp8PT, RTXPT: rtxPT, Clock: codec.VideoClockRate,
		NACK: true, Sequence: 65500, Base: 77,
	}
}

// packet is one of the client.
func packet(ssrc uint32, pt uint8, seq uint16, payload string) *rtp.Packet {
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, SSRC: ssrc, PayloadType: pt, SequenceNumber: seq, Timestamp: uint32(seq) * 960},
		Payload: []byte(payload),
	}
}

// repairOf is a packet sent again (RFC 4588, section 4).
func repairOf(ssrc uint32, seq uint16, original uint16, payload string) *rtp.Packet {
	return packet(ssrc, rtxPT, seq, string([]byte{byte(original >> 8), byte(original)})+payload)
}

// with adds header extensions to a packet.
func with(t testing.TB, p *rtp.Packet, id uint8, value string) *rtp.Packet {
	t.Helper()
	if err := p.SetExtension(id, []byte(value)); err != nil {
		t.Fatal(err)
	}
	return p
}
