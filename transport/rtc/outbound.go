package rtc

import (
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/codec"
)

// streamID names the one MediaStream that carries both tracks (RFC 9725,
// section 4.4.2); receivers play tracks of one stream in step.
const streamID = "tutti"

// newTrack answers a track for the answer's sake. Nothing is ever written to it:
// see package plane.
func newTrack(kind codec.Kind) (webrtc.TrackLocal, error) {
	ability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: codec.AudioClockRate, Channels: 2}
	if kind == codec.Video {
		ability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: codec.VideoClockRate}
	}
	return webrtc.NewTrackLocalStaticRTP(ability, kind.String(), streamID)
}

// WriteAudio takes a packet of sound from the room; it never blocks.
func (p *Peer) WriteAudio(packet *codec.Packet) { p.ring.pushAudio(packet) }

// WriteVideo takes a picture from the room; it never blocks.
func (p *Peer) WriteVideo(packet *codec.Packet) { p.ring.pushVideo(packet, p.fan.payloads) }

// drain sends what waits. With the first packets of all streams go the first
// reports, since only then the receiver can play them in step.
func (p *Peer) drain(w writer) {
	for it, ok := p.ring.pop(); ok; it, ok = p.ring.pop() {
		stream := p.outAudio
		if it.packet.Kind == codec.Video {
			stream = p.outVideo
			p.seen.Store(true)
		}
		if stream >= 0 {
			p.sent.add(time.Now(), send(w, stream, it))
		}
	}
	if p.ring.wantsKeyFrame() {
		p.requestKeyFrame()
	}
	if !p.reported && (p.outAudio < 0 || w.Begun(p.outAudio)) && (p.outVideo < 0 || w.Begun(p.outVideo)) {
		p.reported = true
		w.Report()
	}
}

// send writes one access unit and answers the bytes of its payloads. The marker
// is that of the last packet of a picture, and of the first of a talk spurt
// (RFC 7741, section 4.1; RFC 3551, section 4.1).
func send(w writer, stream int, it item) (bytes int) {
	if it.payloads == nil {
		w.Packet(stream, it.packet.Data, it.packet.PTS, !w.Begun(stream))
		return len(it.packet.Data)
	}
	for i, payload := range it.payloads {
		w.Packet(stream, payload, it.packet.PTS, i == len(it.payloads)-1)
		bytes += len(payload)
	}
	return bytes
}
