package rtc

import (
	"tutti/codec"
	"tutti/transport/plane"
)

// takers gives each inbound stream the one who takes its packets.
func (p *Peer) takers(streams []plane.Inbound) {
	for i := range streams {
		switch streams[i].Kind {
		case codec.Audio:
			pt, red := streams[i].PT, streams[i].REDPT
			streams[i].Take = func(packet *plane.Packet) { p.takeAudio(packet, pt, red) }
		case codec.Video:
			streams[i].Take = p.takeVideo
		}
	}
}

// takeAudio and takeVideo take packets as they come, one at a time.
func (p *Peer) takeAudio(packet *plane.Packet, pt, red uint8) {
	p.received.add(packet.At, packet.Size)
	if red != 0 && packet.PayloadType == red {
		p.audio.pushRedundant(packet, pt)
		return
	}
	p.audio.push(packet)
}

func (p *Peer) takeVideo(packet *plane.Packet) {
	p.received.add(packet.At, packet.Size)
	p.video.push(packet.At, &packet.Packet)
}

// askKeyFrame asks the client's camera for a key frame.
func (p *Peer) askKeyFrame() {
	if m := p.way(); m != nil {
		m.requestKeyFrame()
	}
}
