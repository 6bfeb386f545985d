package main

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/codec/pcm"
	"tutti/transport/plane"
)

// joinPion serves a participant on pion's own path.
func (p *pathProgram) joinPion(offer string) (string, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mix", "mix")
	if err != nil {
		return "", err
	}
	read := func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		b := make([]byte, 1500)
		for {
			if _, _, err := t.Read(b); err != nil {
				return
			}
			p.taken.Add(1)
		}
	}
	reports := func(_ *webrtc.PeerConnection, s *webrtc.RTPSender) {
		go func() {
			b := make([]byte, 1500)
			for {
				if _, _, err := s.Read(b); err != nil {
					return
				}
			}
		}()
	}
	return p.connect(offer, p.settings, track, read, reports, func() {
		p.sink(func(n int, payload []byte) {
			_ = track.WriteRTP(&rtp.Packet{
				Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * pcm.Samples}, Payload: payload,
			})
		})
	})
}

// pathFeeder sends one payload at a time.
type pathFeeder struct {
	n       atomic.Int64 // of the packet that waits, 0 for none
	payload []byte
}

// Feed sends what waits.
func (f *pathFeeder) Feed(w *plane.Writer) time.Duration {
	if n := f.n.Swap(0); n != 0 {
		w.Packet(0, f.payload, time.Duration(n)*pcm.Duration, false)
	}
	return 0
}

// joinPlane serves a participant on the media plane.
func (p *pathProgram) joinPlane(media *plane.Plane, offer string) (string, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mix", "mix")
	if err != nil {
		return "", err
	}
	f := &pathFeeder{payload: make([]byte, pathPayload)}
	s, err := media.NewSession(plane.Config{Feeder: f})
	if err != nil {
		return "", err
	}
	settings := p.settings
	if err := s.Configure(&settings); err != nil {
		return "", err
	}
	agree := func(_ *webrtc.PeerConnection, sender *webrtc.RTPSender) {
		s.Agree(plane.Terms{
			CNAME: "bench", Epoch: time.Now(),
			Inbound: []plane.Inbound{{
				Kind: codec.Audio, PT: 111, Clock: codec.AudioClockRate, Take: func(*plane.Packet) { p.taken.Add(1) },
			}},
			Outbound: []plane.Outbound{{
				Kind: codec.Audio, PT: 111, Clock: codec.AudioClockRate, SSRC: uint32(sender.GetParameters().Encodings[0].SSRC),
			}},
		})
	}
	return p.connect(offer, settings, track, nil, agree, func() {
		if s.Start() != nil {
			return
		}
		p.sink(func(n int, _ []byte) {
			f.n.Store(int64(n) + 1)
			s.Ready()
		})
	})
}
