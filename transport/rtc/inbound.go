package rtc

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// readBuffer holds the largest datagram that pion hands on.
const readBuffer = 1500

// rtpReader is what a recv goroutine needs of a webrtc.TrackRemote.
type rtpReader interface {
	Read([]byte) (int, interceptor.Attributes, error)
}

// onTrack starts the goroutines of a track that has begun to arrive. A client
// sends one of each kind; a further one is not read.
func (p *Peer) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	switch {
	case track.Kind() == webrtc.RTPCodecTypeAudio && p.audio != nil && p.audioTaken.CompareAndSwap(false, true):
		level := extension(receiver, sdp.AudioLevelURI)
		p.spawn("recv audio", func() {
			p.receive(track, func(now time.Time, packet *rtp.Packet) { p.audio.push(now, packet, level) })
		})
	case track.Kind() == webrtc.RTPCodecTypeVideo && p.video != nil && p.videoTaken.CompareAndSwap(false, true):
		p.videoSSRC.Store(uint32(track.SSRC()))
		p.spawn("recv video", func() {
			defer close(p.video.frames)
			p.receive(track, p.video.push)
		})
		p.spawn("decode", p.video.decodeAll)
	default:
		return
	}
	// Sender reports are read for the interceptor that answers them.
	p.spawn("rtcp", func() { discardRTCP(receiver) })
}

// extension answers the identifier of a negotiated header extension, or 0.
func extension(r *webrtc.RTPReceiver, uri string) uint8 {
	for _, e := range r.GetParameters().HeaderExtensions {
		if e.URI == uri {
			return uint8(e.ID)
		}
	}
	return 0
}

// receive reads packets into a buffer of its own until the track ends.
func (p *Peer) receive(r rtpReader, take func(now time.Time, packet *rtp.Packet)) {
	buf := make([]byte, readBuffer)
	var packet rtp.Packet
	var bad badReads
	for {
		n, _, err := r.Read(buf)
		if bad.ended(err) {
			return
		}
		if err != nil {
			continue
		}
		now := time.Now()
		p.received.add(now, n)
		if packet.Unmarshal(buf[:n]) == nil {
			take(now, &packet)
		}
	}
}

// maxBadReads is how many reads may fail in a row before a track counts as
// ended: one bad packet ends nothing, a reader that only fails must not spin.
const maxBadReads = 1000

// badReads tells a packet that could not be read from the end of a stream.
type badReads int

// ended takes the answer of one read.
func (b *badReads) ended(err error) bool {
	if err == nil {
		*b = 0
		return false
	}
	*b++
	return *b >= maxBadReads || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

func discardRTCP(r *webrtc.RTPReceiver) {
	buf := make([]byte, readBuffer)
	var bad badReads
	for {
		if _, _, err := r.Read(buf); bad.ended(err) {
			return
		}
	}
}

// askKeyFrame asks the client's camera for a key frame (RFC 4585, section 6.3.1).
func (p *Peer) askKeyFrame() {
	if pc := p.connection(); pc != nil {
		_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: p.videoSSRC.Load()}})
	}
}
