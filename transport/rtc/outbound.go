package rtc

import (
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/transport/plane"
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
		switch {
		case stream < 0:
		case it.packet.Kind == codec.Audio:
			p.sent.add(time.Now(), p.sendAudio(w, it.packet))
		default:
			p.sent.add(time.Now(), sendVideo(w, stream, it))
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

// sendAudio writes one packet of sound and answers the bytes of its payload. The
// marker is that of the first of a talk spurt (RFC 3551, section 4.1): what
// continues no other.
func (p *Peer) sendAudio(w writer, packet *codec.Packet) (bytes int) {
	marker := !p.spurt.add(packet)
	if depth := int(p.redundancy.Load()); depth > 0 {
		if r := p.spurt.last(depth); r[1] != nil {
			payload := p.fan.redundancy(r, p.soundPT)
			w.Redundant(p.outAudio, payload, packet.PTS, marker)
			return len(payload)
		}
	}
	w.Packet(p.outAudio, packet.Data, packet.PTS, marker)
	return len(packet.Data)
}

// sendVideo writes one picture and answers the bytes of its payloads; the marker
// is that of the last (RFC 7741, section 4.1).
func sendVideo(w writer, stream int, it item) (bytes int) {
	for i, payload := range it.payloads {
		w.Packet(stream, payload, it.packet.PTS, i == len(it.payloads)-1)
		bytes += len(payload)
	}
	return bytes
}

// heardOf takes what the client reports of what it is sent, and chooses how its
// losses are made good: by redundancy where it takes that, else by an encode with
// in-band FEC.
func (p *Peer) heardOf(r plane.Reception) {
	if r.Stream != p.outAudio {
		return
	}
	p.mu.Lock()
	p.repair.report(r.At, r.Expected, r.Lost)
	depth, percent, sub := p.repair.depth(), p.repair.percent(), p.sub
	p.mu.Unlock()
	if p.takesRED {
		p.redundancy.Store(int32(depth))
	} else if sub != nil {
		sub.SetLoss(percent)
	}
}
