package rtc

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/transport/rtptime"
)

// streamID names the one MediaStream that carries both tracks (RFC 9725,
// section 4.4.2); receivers play tracks of one stream in step.
const streamID = "tutti"

// reportEvery is the time between sender reports.
const reportEvery = time.Second

// outTrack is one peer's sound or picture, a webrtc.TrackLocal of its own: with
// sequence numbers and timestamps that no other peer shares.
type outTrack struct {
	kind  codec.Kind
	clock int // Hz

	bound   atomic.Pointer[binding]
	packets atomic.Uint32
	octets  atomic.Uint32

	// owned by the send goroutine
	header rtp.Header
	base   uint32 // the timestamp at the room's epoch
	err    error  // what the last write said
}

// binding is what pion negotiated for a track.
type binding struct {
	write webrtc.TrackLocalWriter
	ssrc  uint32
	pt    uint8
}

func newOutTrack(kind codec.Kind) *outTrack {
	t := &outTrack{kind: kind, clock: codec.AudioClockRate, base: rand.Uint32()}
	if kind == codec.Video {
		t.clock = codec.VideoClockRate
	}
	// RFC 3550, section 5.1: both begin at random.
	t.header = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}
	return t
}

// Bind takes what was negotiated; it is called by pion.
func (t *outTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	want := webrtc.MimeTypeOpus
	if t.kind == codec.Video {
		want = webrtc.MimeTypeVP8
	}
	for _, p := range c.CodecParameters() {
		if p.MimeType == want {
			t.bound.Store(&binding{c.WriteStream(), uint32(c.SSRC()), uint8(p.PayloadType)})
			return p, nil
		}
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("rtc: %s was not negotiated", want)
}

// Unbind ends the track; it is called by pion.
func (t *outTrack) Unbind(webrtc.TrackLocalContext) error {
	t.bound.Store(nil)
	return nil
}

// ID names the track within its stream.
func (t *outTrack) ID() string { return t.kind.String() }

// RID is empty: there is one layer.
func (t *outTrack) RID() string { return "" }

// StreamID names the stream.
func (t *outTrack) StreamID() string { return streamID }

// Kind tells pion sound from picture.
func (t *outTrack) Kind() webrtc.RTPCodecType {
	if t.kind == codec.Video {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// timestamp answers the RTP time of a moment since the room's epoch.
func (t *outTrack) timestamp(pts time.Duration) uint32 {
	return t.base + uint32(rtptime.Ticks(pts, t.clock))
}

// send writes one access unit and answers the bytes of its payloads. An error
// of the connection is no reason to stop: its end is told otherwise.
func (t *outTrack) send(it item) (bytes int) {
	b := t.bound.Load()
	if b == nil {
		return 0
	}
	ts := t.timestamp(it.packet.PTS)
	if it.payloads == nil {
		return t.write(b, it.packet.Data, ts, t.packets.Load() == 0)
	}
	for i, payload := range it.payloads {
		bytes += t.write(b, payload, ts, i == len(it.payloads)-1)
	}
	return bytes
}

// write sends one packet. The marker is that of the last packet of a picture,
// and of the first of a talk spurt (RFC 7741, section 4.1; RFC 3551, section 4.1).
func (t *outTrack) write(b *binding, payload []byte, ts uint32, marker bool) int {
	h := &t.header
	h.PayloadType, h.SSRC, h.Timestamp, h.Marker = b.pt, b.ssrc, ts, marker
	h.Extension, h.Extensions = false, h.Extensions[:0] // an interceptor may have added some
	_, t.err = b.write.WriteRTP(h, payload)
	h.SequenceNumber++
	t.packets.Add(1)
	t.octets.Add(uint32(len(payload)))
	return len(payload)
}

// report answers a sender report with the room's own clock: sound and picture
// of one PTS get one NTP time, however long either took through its encoder, so
// that receivers play them in step (RFC 3550, section 6.4.1).
func (t *outTrack) report(now, epoch time.Time) []rtcp.Packet {
	b := t.bound.Load()
	if b == nil || t.packets.Load() == 0 {
		return nil
	}
	return []rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: b.ssrc, NTPTime: rtptime.NTP(now), RTPTime: t.timestamp(now.Sub(epoch)),
			PacketCount: t.packets.Load(), OctetCount: t.octets.Load(),
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: b.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: streamID}},
		}}},
	}
}

// WriteAudio takes a packet of sound from the room; it never blocks.
func (p *Peer) WriteAudio(packet *codec.Packet) { p.ring.pushAudio(packet) }

// WriteVideo takes a picture from the room; it never blocks.
func (p *Peer) WriteVideo(packet *codec.Packet) { p.ring.pushVideo(packet, p.fan.payloads) }

// sendAll is the send goroutine: it ends when the ring is closed.
func (p *Peer) sendAll() {
	reports := time.NewTicker(reportEvery)
	defer reports.Stop()
	reported := false
	for {
		select {
		case <-p.ring.ready:
			if p.ring.isClosed() {
				return
			}
			p.drain()
			if !reported && (p.outAudio == nil || p.outAudio.packets.Load() > 0) &&
				(p.outVideo == nil || p.outVideo.packets.Load() > 0) {
				reported = true
				p.sendReports(time.Now())
			}
		case now := <-reports.C:
			p.sendReports(now)
		}
	}
}

// drain sends what waits.
func (p *Peer) drain() {
	for it, ok := p.ring.pop(); ok; it, ok = p.ring.pop() {
		t := p.outAudio
		if it.packet.Kind == codec.Video {
			t = p.outVideo
		}
		if t != nil {
			p.sent.add(time.Now(), t.send(it))
		}
	}
	if p.ring.wantsKeyFrame() {
		p.requestKeyFrame()
	}
}

func (p *Peer) sendReports(now time.Time) {
	for _, t := range []*outTrack{p.outAudio, p.outVideo} {
		if t == nil {
			continue
		}
		if packets := t.report(now, p.room.CreatedAt()); packets != nil {
			_ = p.connection().WriteRTCP(packets) // the connection's end is told otherwise
		}
	}
}

// bye tells the receiver that the tracks end (RFC 3550, section 6.6).
func (p *Peer) bye(pc *webrtc.PeerConnection) {
	var sources []uint32
	for _, t := range []*outTrack{p.outAudio, p.outVideo} {
		if t == nil {
			continue
		}
		if b := t.bound.Load(); b != nil && t.packets.Load() > 0 {
			sources = append(sources, b.ssrc)
		}
	}
	if len(sources) > 0 {
		_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.Goodbye{Sources: sources}})
	}
}

// readReports is the rtcp goroutine of one sender: it takes the receiver's
// requests and reports. pion answers NACK only while it reads.
func (p *Peer) readReports(s *webrtc.RTPSender) {
	var bad badReads
	for {
		packets, _, err := s.ReadRTCP()
		if bad.ended(err) {
			return
		}
		for _, packet := range packets {
			p.takeReport(time.Now(), packet)
		}
	}
}

func (p *Peer) takeReport(now time.Time, packet rtcp.Packet) {
	switch r := packet.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		p.requestKeyFrame()
	case *rtcp.ReceiverReport:
		p.takeReception(now, r.Reports)
	case *rtcp.SenderReport:
		p.takeReception(now, r.Reports)
	}
}

// takeReception takes the round trip from reception reports: what is left of
// the time since our report when its stay with the receiver is taken off
// (RFC 3550, section 6.4.1).
func (p *Peer) takeReception(now time.Time, reports []rtcp.ReceptionReport) {
	for _, r := range reports {
		if r.LastSenderReport == 0 {
			continue
		}
		rtt := rtptime.MiddleNTP(rtptime.NTP(now)) - r.LastSenderReport - r.Delay
		if rtt < 1<<31 {
			p.rtt.Store(int64(rtptime.FromMiddle(rtt)))
		}
	}
}
