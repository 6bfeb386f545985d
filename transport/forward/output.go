package forward

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"tutti/codec"
	"tutti/transport/rtptime"
)

// The payload types, dynamic ones of RFC 3551, section 3.
const (
	audioPT = 111
	videoPT = 96
)

const (
	// maxPayload bounds an RTP payload of pictures: with all headers the datagram
	// stays below the 1280 bytes that every path carries (RFC 8200, section 5). An
	// Opus packet is never cut; only at more than 480 kbit/s one is longer.
	maxPayload = 1200
	// descriptorSize is that of the VP8 payload descriptor that is written.
	descriptorSize = 4
	// maxDatagram holds a payload of either kind with all that goes around it.
	maxDatagram = 2048
)

// output is one RTP stream to one port. All but ssrc and the sockets is owned by
// the forwarder's goroutine.
type output struct {
	kind  codec.Kind
	clock int
	cname string
	ssrc  uint32
	// rtp and rtcp are connected, so that nobody but the receiver is heard; they are
	// one where RTCP goes with the media.
	rtp, rtcp *net.UDPConn

	seal      *srtp.Context // nil where packets go plain
	header    rtp.Header    // of the next packet
	scratch   rtp.Header
	base      uint32        // the timestamp of PTS 0
	next      time.Duration // the PTS that goes on without a gap
	pictureID uint16        // of the next picture, 15 bits
	packets   uint32        // as sender reports count them
	octets    uint32
	plain     [maxDatagram]byte
	sealed    []byte
}

// newOutput answers a stream whose sockets are open.
func newOutput(kind codec.Kind, to netip.Addr, port int, mux bool, cname string, c cipher) (*output, error) {
	var seed [12]byte
	_, _ = rand.Read(seed[:]) // never fails
	word := func(i int) uint32 { return binary.BigEndian.Uint32(seed[4*i:]) }
	o := &output{
		kind: kind, clock: codec.AudioClockRate, cname: cname, ssrc: word(0), base: word(1),
		pictureID: uint16(word(2)) & 0x7fff, sealed: make([]byte, 0, maxDatagram),
	}
	pt := uint8(audioPT)
	if kind == codec.Video {
		o.clock, pt = codec.VideoClockRate, videoPT
	}
	o.header = rtp.Header{Version: 2, PayloadType: pt, SSRC: o.ssrc, SequenceNumber: uint16(word(2)>>16) & 0x7fff}
	var err error
	if o.seal, err = c.context(); err != nil {
		return nil, err
	}
	if o.rtp, err = dial(to, port); err != nil {
		return nil, err
	}
	o.rtcp = o.rtp
	if mux {
		return o, nil
	}
	if o.rtcp, err = dial(to, port+1); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func dial(to netip.Addr, port int) (*net.UDPConn, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, uint16(port))))
	if err != nil {
		return nil, fmt.Errorf("forward: open socket: %w", err)
	}
	return conn, nil
}

// close closes the sockets; whoever reads or writes there returns.
func (o *output) close() {
	_ = o.rtp.Close()
	if o.rtcp != nil && o.rtcp != o.rtp {
		_ = o.rtcp.Close()
	}
}

// begun reports whether anything was sent.
func (o *output) begun() bool { return o.packets > 0 }

// write cuts an access unit into datagrams and gives each to send, which must not
// keep it.
func (o *output) write(p *codec.Packet, send func(datagram []byte)) error {
	o.header.Timestamp = o.base + uint32(rtptime.Ticks(p.PTS, o.clock))
	if o.kind == codec.Video {
		return o.writePicture(p.Data, send)
	}
	// The marker is that of the first packet of a talk spurt (RFC 7587, section 4.2).
	spurt := !o.begun() || p.PTS != o.next
	o.next = p.PTS + p.Duration
	return o.packet(spurt, nil, p.Data, send)
}

// writePicture sends a frame in payloads of about one size, each behind a payload
// descriptor with a picture ID of 15 bits (RFC 7741, section 4.2):
//
//	X=1 R=0 N=0 S R=0 PID=0 | I=1 L=0 T=0 K=0 | M=1 PictureID
func (o *output) writePicture(frame []byte, send func([]byte)) error {
	const room = maxPayload - descriptorSize
	n := (len(frame) + room - 1) / room
	if n == 0 {
		return nil
	}
	size := (len(frame) + n - 1) / n
	for at := 0; at < len(frame); at += size {
		d := [descriptorSize]byte{0x80, 0x80, 0x80 | byte(o.pictureID>>8), byte(o.pictureID)}
		if at == 0 {
			d[0] |= 0x10 // S: the partition starts
		}
		end := min(len(frame), at+size)
		if err := o.packet(end == len(frame), d[:], frame[at:end], send); err != nil {
			return err
		}
	}
	o.pictureID = (o.pictureID + 1) & 0x7fff
	return nil
}

// packet makes one datagram and sends it.
func (o *output) packet(marker bool, descriptor, payload []byte, send func([]byte)) error {
	o.header.Marker = marker
	n, err := o.header.MarshalTo(o.plain[:])
	if err != nil {
		return fmt.Errorf("forward: write header: %w", err)
	}
	b := append(append(o.plain[:n], descriptor...), payload...)
	if o.seal != nil {
		if b, err = o.seal.EncryptRTP(o.sealed, b, &o.scratch); err != nil {
			return fmt.Errorf("forward: protect: %w", err)
		}
	}
	o.header.SequenceNumber++
	o.packets++
	o.octets += uint32(len(descriptor) + len(payload))
	send(b)
	return nil
}

// report answers a sender report with the stream's name (RFC 3550, section 6.1);
// bye adds that this was the last. epoch is when PTS was 0.
func (o *output) report(now, epoch time.Time, bye bool) ([]byte, error) {
	list := []rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: o.ssrc, NTPTime: rtptime.NTP(now), PacketCount: o.packets, OctetCount: o.octets,
			RTPTime: o.base + uint32(rtptime.Ticks(now.Sub(epoch), o.clock)),
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: o.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: o.cname}},
		}}},
	}
	if bye {
		list = append(list, &rtcp.Goodbye{Sources: []uint32{o.ssrc}})
	}
	b, err := rtcp.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("forward: write report: %w", err)
	}
	if o.seal != nil {
		if b, err = o.seal.EncryptRTCP(nil, b, nil); err != nil {
			return nil, fmt.Errorf("forward: protect: %w", err)
		}
	}
	return b, nil
}
