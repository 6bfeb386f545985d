package rtc

import (
	"context"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/transport/plane"
)

// connect makes the PeerConnection and the answer.
func (p *Peer) connect(ctx context.Context) error {
	p.ice.Lock()
	defer p.ice.Unlock()
	way, err := p.gateway.newMedia(p)
	if err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	api, err := way.api(p)
	if err != nil {
		way.close()
		return ErrSessionFailed.because("%w", err)
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: p.gateway.certs,
		BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
	})
	if err != nil {
		way.close()
		return ErrSessionFailed.because("%w", err)
	}
	if !p.adopt(pc, way) {
		way.close()
		return ErrSessionEnded.because("close: %v", pc.GracefulClose())
	}
	if err := p.addTracks(pc); err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	pc.OnConnectionStateChange(p.stateChanged)
	return p.negotiate(ctx, pc, p.offer)
}

// adopt takes the connection and its media; false where the peer has ended
// meanwhile, so that the shutdown will not close them.
func (p *Peer) adopt(pc *webrtc.PeerConnection, way media) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.pc, p.media = pc, way
	return true
}

// addTracks prepares one transceiver for each m-section, in their order, so that
// pion matches them one to one.
func (p *Peer) addTracks(pc *webrtc.PeerConnection) error {
	for i := range p.offer.desc.MediaDescriptions {
		s, kind := p.offer.video, codec.Video
		if a := p.offer.audio; a.offered() && a.index == i {
			s, kind = a, codec.Audio
		}
		if err := addTrack(pc, s, kind); err != nil {
			return err
		}
	}
	return nil
}

func addTrack(pc *webrtc.PeerConnection, s section, kind codec.Kind) error {
	t, err := newTrack(kind)
	if err != nil {
		return err
	}
	switch {
	case s.sends && s.receives:
		_, err = pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	case s.receives:
		_, err = pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	default:
		_, err = pc.AddTransceiverFromKind(t.Kind(), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	}
	return err
}

// negotiate answers the offer with all candidates in the answer, and sets the
// time for the client to connect.
func (p *Peer) negotiate(ctx context.Context, pc *webrtc.PeerConnection, o *offer) error {
	answer, err := p.exchange(ctx, pc, o)
	if err != nil {
		return err
	}
	desc, err := p.checkAnswer(answer)
	if err != nil {
		return err
	}
	settings, _ := p.room.Settings()
	describeSound(desc, settings.Audio.Stereo)
	text, err := desc.Marshal()
	if err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	if p.ETag() == "" { // a restart changes no stream
		if err := p.agree(pc, o, desc); err != nil {
			return err
		}
	}
	local, _ := desc.MediaDescriptions[0].Attribute("ice-ufrag")
	pwd, _ := desc.MediaDescriptions[0].Attribute("ice-pwd")
	p.way().credentials(plane.Credentials{LocalUfrag: local, LocalPwd: pwd, RemoteUfrag: o.ufrag, RemotePwd: o.pwd})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return ErrSessionEnded
	}
	p.answer, p.etag, p.offer = string(text), newETag(), o
	if !p.started && p.timer == nil {
		p.timer = time.AfterFunc(p.gateway.cfg.JoinTimeout, func() { p.leave("join_timeout") })
	}
	return nil
}

// exchange runs offer and answer through pion.
func (p *Peer) exchange(ctx context.Context, pc *webrtc.PeerConnection, o *offer) (string, error) {
	text, err := o.text()
	if err != nil {
		return "", ErrInvalidSDP.because("%w", err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}); err != nil {
		return "", ErrInvalidSDP.because("%w", err)
	}
	// A restart gathers at once, the first negotiation when the answer is set.
	gathered := webrtc.GatheringCompletePromise(pc)
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", ErrSessionFailed.because("%w", err)
	}
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", ErrSessionFailed.because("%w", err)
	}
	late := time.NewTimer(p.gateway.cfg.GatherTimeout)
	defer late.Stop()
	select {
	case <-gathered:
	case <-late.C:
		return "", ErrSessionFailed.because("no candidates in time")
	case <-ctx.Done():
		return "", ErrSessionFailed.because("%w", ctx.Err())
	}
	return pc.LocalDescription().SDP, nil
}

// checkAnswer holds the answer against the offer: every section is taken (RFC
// 9725, section 4.4.3).
func (p *Peer) checkAnswer(text string) (*sdp.SessionDescription, error) {
	desc := &sdp.SessionDescription{}
	if err := desc.UnmarshalString(text); err != nil {
		return nil, ErrSessionFailed.because("%w", err)
	}
	if len(desc.MediaDescriptions) != len(p.offer.desc.MediaDescriptions) {
		return nil, ErrSessionFailed.because("the answer has %d sections", len(desc.MediaDescriptions))
	}
	for _, m := range desc.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			return nil, ErrUnsupportedCodec.because("m=%s could not be agreed on", m.MediaName.Media)
		}
	}
	return desc, nil
}

// agree tells the media what offer and answer have agreed on.
func (p *Peer) agree(pc *webrtc.PeerConnection, o *offer, answer *sdp.SessionDescription) error {
	t, err := terms(o, answer)
	if err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	t.Epoch = p.room.CreatedAt()
	p.takers(t.Inbound)
	if p.outAudio >= 0 {
		p.soundPT, p.takesRED = t.Outbound[p.outAudio].PT, t.Outbound[p.outAudio].REDPT != 0
	}
	p.way().agree(pc, t)
	return nil
}

// Trickle takes the candidates of an SDP fragment (RFC 8840). Candidates that
// cannot be used are passed over; ErrInvalidFragment for what is no fragment or
// belongs to another ICE session.
func (p *Peer) Trickle(text string) error {
	f, err := parseFragment(text, p.gateway.cfg.MaxSDPBytes)
	if err != nil {
		return err
	}
	p.ice.Lock()
	defer p.ice.Unlock()
	pc, o, err := p.live()
	if err != nil {
		return err
	}
	if f.ufrag != "" && f.ufrag != o.ufrag {
		return ErrInvalidFragment.because("its ice-ufrag is not that of the session")
	}
	for _, c := range f.candidates {
		if o.candidates >= maxCandidates {
			break
		}
		o.candidates++
		if err := pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.value, SDPMid: &c.mid}); err != nil {
			p.log.Debug("a candidate was passed over", "error", err)
		}
	}
	return nil
}

// Restart answers the fragment of a restarted ICE session (RFC 9725, section
// 4.3.3) and changes the ETag. A fragment that is refused changes nothing.
func (p *Peer) Restart(text string) (string, error) {
	f, err := parseFragment(text, p.gateway.cfg.MaxSDPBytes)
	if err != nil {
		return "", err
	}
	if err := checkCredentials(f.ufrag, f.pwd); err != nil {
		return "", ErrInvalidFragment.because("%w", err)
	}
	p.ice.Lock()
	defer p.ice.Unlock()
	pc, o, err := p.live()
	if err != nil {
		return "", err
	}
	if f.ufrag == o.ufrag || f.pwd == o.pwd {
		return "", ErrInvalidFragment.because("its credentials are not new")
	}
	next, err := o.restarted(f)
	if err != nil {
		return "", ErrRestartFailed.because("%w", err)
	}
	// From here on pion has forgotten the old session: no caller's deadline may
	// cut it short.
	if err := p.negotiate(context.Background(), pc, next); err != nil {
		return "", ErrRestartFailed.because("%w", err)
	}
	out, err := answerFragment(p.Answer())
	if err != nil {
		return "", ErrRestartFailed.because("%w", err)
	}
	return out, nil
}

// live answers the connection and the offer of a session that has not ended.
func (p *Peer) live() (*webrtc.PeerConnection, *offer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.pc == nil {
		return nil, nil, ErrSessionEnded
	}
	return p.pc, p.offer, nil
}
