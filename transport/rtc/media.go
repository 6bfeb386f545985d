package rtc

import (
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/transport/plane"
)

// media is the way that RTP takes between a peer and its client. In service it
// is the media plane; tests put pion's own path in its place, which is slow and
// obviously right.
type media interface {
	// api answers pion's factory for the peer's one connection.
	api(p *Peer) (*webrtc.API, error)
	// agree takes what offer and answer agreed on, before the client can connect.
	agree(pc *webrtc.PeerConnection, t plane.Terms)
	// credentials tells those of the present ICE session.
	credentials(c plane.Credentials)
	// start lets media flow: the client has connected.
	start() error
	// ready says that the peer's ring has something. It never blocks.
	ready()
	// requestKeyFrame asks the client's camera for one.
	requestKeyFrame()
	// link answers what is known of the way to the client.
	link() plane.Link
	// close says goodbye and ends it; the peer is not called any more.
	close()
}

// writer is where a peer sends its packets in its turn.
type writer interface {
	// Packet sends a packet of a stream, which is an index of Terms.Outbound.
	Packet(stream int, payload []byte, pts time.Duration, marker bool)
	// Redundant is Packet for a payload with redundancy (RFC 2198).
	Redundant(stream int, payload []byte, pts time.Duration, marker bool)
	// Begun reports whether the stream has sent anything.
	Begun(stream int) bool
	// Report has sender reports sent now.
	Report()
}

// planeMedia is a session of the media plane.
type planeMedia struct {
	gateway *Gateway
	session *plane.Session
}

// newPlaneMedia begins a session for a peer.
func newPlaneMedia(p *Peer) (media, error) {
	cfg := p.gateway.cfg
	s, err := p.gateway.plane.NewSession(plane.Config{
		Feeder: feeder{p}, Patience: cfg.DisconnectedTimeout + cfg.FailedTimeout,
		Events: plane.Events{
			KeyFrameRequested: p.requestKeyFrame,
			Received:          p.heardOf,
			Silent:            func() { go p.leave("connection_lost") },
			Panicked:          func(reason any) { go p.panicked("media", reason) },
		},
	})
	if err != nil {
		return nil, err
	}
	return &planeMedia{p.gateway, s}, nil
}

// feeder fits a Peer to the plane.
type feeder struct{ peer *Peer }

// Feed sends what waits for the peer.
func (f feeder) Feed(w *plane.Writer) time.Duration {
	f.peer.drain(w)
	return 0
}

func (m *planeMedia) api(*Peer) (*webrtc.API, error) {
	settings := m.gateway.settings
	if err := m.session.Configure(&settings); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m.gateway.engine), webrtc.WithInterceptorRegistry(noInterceptors()),
		webrtc.WithSettingEngine(settings)), nil
}

func (m *planeMedia) agree(pc *webrtc.PeerConnection, t plane.Terms) {
	m.session.Agree(t)
	if ice := iceOf(pc); ice != nil {
		ice.OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
			if pair == nil || pair.Remote == nil {
				return
			}
			if a, err := netip.ParseAddr(pair.Remote.Address); err == nil {
				m.session.Select(netip.AddrPortFrom(a, pair.Remote.Port), pair.Remote.Protocol == webrtc.ICEProtocolTCP)
			}
		})
	}
}

// iceOf answers the one ICE transport of a bundled connection.
func iceOf(pc *webrtc.PeerConnection) *webrtc.ICETransport {
	for _, t := range pc.GetTransceivers() {
		if r := t.Receiver(); r != nil && r.Transport() != nil {
			return r.Transport().ICETransport()
		}
		if s := t.Sender(); s != nil && s.Transport() != nil {
			return s.Transport().ICETransport()
		}
	}
	return nil
}

// An ICE-lite agent sends no checks (RFC 8445, section 6.1.1).
func (m *planeMedia) credentials(c plane.Credentials) {
	if !m.gateway.cfg.Lite {
		m.session.SetCredentials(c)
	}
}

func (m *planeMedia) start() error     { return m.session.Start() }
func (m *planeMedia) ready()           { m.session.Ready() }
func (m *planeMedia) requestKeyFrame() { m.session.RequestKeyFrame() }
func (m *planeMedia) link() plane.Link { return m.session.Link() }
func (m *planeMedia) close()           { m.session.Close() }
