package rtc

import (
	"context"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
)

// connect makes the PeerConnection and the answer.
func (p *Peer) connect(ctx context.Context) error {
	p.ice.Lock()
	defer p.ice.Unlock()
	pc, err := p.gateway.api.NewPeerConnection(webrtc.Configuration{
		Certificates: p.gateway.certs,
		BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
	})
	if err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	if !p.adopt(pc) {
		return ErrSessionEnded.because("close: %v", pc.GracefulClose())
	}
	if err := p.addTracks(pc); err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	pc.OnTrack(p.onTrack)
	pc.OnConnectionStateChange(p.stateChanged)
	if err := p.negotiate(ctx, pc, p.offer); err != nil {
		return err
	}
	p.startSenders(pc)
	return nil
}

// adopt takes the connection; false where the peer has ended meanwhile, so that
// the shutdown will not close it.
func (p *Peer) adopt(pc *webrtc.PeerConnection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.pc = pc
	return true
}

// addTracks prepares one transceiver for each m-section, in their order, so that
// pion matches them one to one.
func (p *Peer) addTracks(pc *webrtc.PeerConnection) error {
	var audio, video *outTrack
	for i := range p.offer.desc.MediaDescriptions {
		var err error
		if s := p.offer.audio; s.offered() && s.index == i {
			audio, err = addTrack(pc, s, codec.Audio)
		} else {
			video, err = addTrack(pc, p.offer.video, codec.Video)
		}
		if err != nil {
			return err
		}
	}
	// The seat is taken already: whoever lists participants may look.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outAudio, p.outVideo = audio, video
	return nil
}

func addTrack(pc *webrtc.PeerConnection, s section, kind codec.Kind) (*outTrack, error) {
	t := newOutTrack(kind)
	var err error
	switch {
	case s.sends && s.receives:
		_, err = pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	case s.receives:
		_, err = pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	default:
		_, err = pc.AddTransceiverFromKind(t.Kind(), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		t = nil
	}
	return t, err
}

// negotiate answers the offer with all candidates in the answer, and sets the
// time for the client to connect.
func (p *Peer) negotiate(ctx context.Context, pc *webrtc.PeerConnection, o *offer) error {
	answer, err := p.exchange(ctx, pc, o)
	if err != nil {
		return err
	}
	if err := p.checkAnswer(answer); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return ErrSessionEnded
	}
	p.answer, p.etag, p.offer = answer, newETag(), o
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
func (p *Peer) checkAnswer(text string) error {
	desc := &sdp.SessionDescription{}
	if err := desc.UnmarshalString(text); err != nil {
		return ErrSessionFailed.because("%w", err)
	}
	if len(desc.MediaDescriptions) != len(p.offer.desc.MediaDescriptions) {
		return ErrSessionFailed.because("the answer has %d sections", len(desc.MediaDescriptions))
	}
	for _, m := range desc.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			return ErrUnsupportedCodec.because("m=%s could not be agreed on", m.MediaName.Media)
		}
	}
	return nil
}

// startSenders reads what receivers say of the tracks.
func (p *Peer) startSenders(pc *webrtc.PeerConnection) {
	for _, s := range pc.GetSenders() {
		if s.Track() != nil {
			p.spawn("rtcp", func() { p.readReports(s) })
		}
	}
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
