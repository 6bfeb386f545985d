package rtc

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/transport/plane"
	"tutti/transport/rtptime"
)

// The path that RTP takes in pion itself, through its tracks and interceptors:
// slow and obviously right. The media plane is held against it.

// onBothPaths runs a scenario over the media plane and over pion's own path.
func onBothPaths(t *testing.T, run func(t *testing.T, build func(Config) (*Gateway, error))) {
	t.Run("plane", func(t *testing.T) { run(t, New) })
	t.Run("pion", func(t *testing.T) { run(t, newReference) })
}

// newReference is New with pion's path: its mux reads the socket, and its ICE
// tells who is silent. cfg.Net must be set.
func newReference(cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	logs := loggerFactory{cfg.Logger}
	engine, err := newEngine()
	if err != nil {
		return nil, err
	}
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}
	conn, err := cfg.Net.ListenPacket("udp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Net: cfg.Net, Logger: logs.NewLogger("ice")})
	g := &Gateway{
		cfg: cfg, engine: engine, plane: plane.New(), certs: []webrtc.Certificate{*cert}, newMedia: newPionMedia,
		socket: &sockets{logs: logs, muxes: []ice.UDPMux{mux}, udp: mux}, peers: map[key]*Peer{}, fans: map[string]*fanout{},
	}
	if g.settings, err = settingEngine(cfg, g.socket, logs); err != nil {
		g.closeSockets()
		return nil, err
	}
	g.settings.SetICETimeouts(cfg.DisconnectedTimeout, cfg.FailedTimeout, cfg.KeepAlive)
	g.settings.SetSRTPReplayProtectionWindow(512)
	return g, nil
}

// pionMedia is media by pion's tracks and interceptors.
type pionMedia struct {
	peer *Peer
	wake chan struct{} // the ring has something
	done chan struct{} // closed when it ends
	rtt  atomic.Int64

	rxMu     sync.Mutex // held while a taker runs
	txMu     sync.Mutex // held while the peer sends
	ended    bool       // guarded by both
	pc       *webrtc.PeerConnection
	terms    plane.Terms
	outbound []*pionTrack
	reported bool // a report is to be sent
}

// pionTrack is one outbound stream.
type pionTrack struct {
	plane.Outbound
	track           *webrtc.TrackLocalStaticRTP
	packets, octets uint32
}

func newPionMedia(p *Peer) (media, error) {
	return &pionMedia{peer: p, wake: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

func (m *pionMedia) api(*Peer) (*webrtc.API, error) {
	registry := &interceptor.Registry{}
	ask, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(50 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	answer, err := nack.NewResponderInterceptor(nack.ResponderSize(256))
	if err != nil {
		return nil, err
	}
	received, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	feedback, err := twcc.NewSenderInterceptor()
	if err != nil {
		return nil, err
	}
	for _, f := range []interceptor.Factory{answer, ask, received, feedback} {
		registry.Add(f)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m.peer.gateway.engine), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(m.peer.gateway.settings)), nil
}

// credentials are not needed: pion checks addresses by itself.
func (m *pionMedia) credentials(plane.Credentials) {}

func (m *pionMedia) agree(pc *webrtc.PeerConnection, t plane.Terms) {
	m.pc, m.terms = pc, t
	for _, out := range t.Outbound {
		for _, s := range pc.GetSenders() {
			track, ok := s.Track().(*webrtc.TrackLocalStaticRTP)
			if !ok || track.Kind().String() != out.Kind.String() {
				continue
			}
			m.outbound = append(m.outbound, &pionTrack{Outbound: out, track: track})
			m.peer.spawn("rtcp", func() { m.readReports(s) })
		}
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		for _, in := range t.Inbound {
			if in.Kind.String() == track.Kind().String() {
				m.peer.spawn("recv", func() { m.receive(track, in) })
			}
		}
		// Sender reports are read for the interceptor that answers them.
		m.peer.spawn("rtcp", func() {
			for {
				if _, _, err := r.ReadRTCP(); err != nil {
					return
				}
			}
		})
	})
}

// receive hands the packets of a track to the stream's taker.
func (m *pionMedia) receive(track *webrtc.TrackRemote, in plane.Inbound) {
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		packet := &plane.Packet{Packet: *p, At: time.Now(), Size: p.MarshalSize()}
		if b := p.GetExtension(in.Ext.AudioLevel); in.Ext.AudioLevel != 0 && len(b) == 1 {
			packet.Ext.Level, packet.Ext.Voice, packet.Ext.HasLevel = -int8(b[0]&0x7f), b[0]&0x80 != 0, true
		}
		m.rxMu.Lock()
		if !m.ended {
			in.Take(packet)
		}
		m.rxMu.Unlock()
	}
}

// readReports takes what the client says of a stream to it.
func (m *pionMedia) readReports(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch r := packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				m.peer.requestKeyFrame()
			case *rtcp.ReceiverReport:
				m.takeReception(time.Now(), r.Reports)
			case *rtcp.SenderReport:
				m.takeReception(time.Now(), r.Reports)
			}
		}
	}
}

// takeReception takes the round trip (RFC 3550, section 6.4.1).
func (m *pionMedia) takeReception(now time.Time, reports []rtcp.ReceptionReport) {
	for _, r := range reports {
		if r.LastSenderReport == 0 {
			continue
		}
		if rtt := rtptime.MiddleNTP(rtptime.NTP(now)) - r.LastSenderReport - r.Delay; rtt < 1<<31 {
			m.rtt.Store(int64(rtptime.FromMiddle(rtt)))
		}
	}
}

func (m *pionMedia) start() error {
	m.peer.spawn("send", m.send)
	return nil
}

// send drains the peer's ring and reports once a second.
func (m *pionMedia) send() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		due := false
		select {
		case <-m.done:
			return
		case <-m.wake:
		case <-every.C:
			due = true
		}
		m.txMu.Lock()
		if !m.ended {
			m.peer.drain(m)
			if due || m.reported {
				m.reported = false
				m.sendReports(time.Now())
			}
		}
		m.txMu.Unlock()
	}
}

func (m *pionMedia) Packet(stream int, payload []byte, pts time.Duration, marker bool) {
	t := m.outbound[stream]
	// The track writes payload type and SSRC. An error of the connection is told
	// otherwise.
	_ = t.track.WriteRTP(&rtp.Packet{
		Header: rtp.Header{
			Version: 2, Marker: marker, SequenceNumber: t.Sequence,
			Timestamp: t.Base + uint32(rtptime.Ticks(pts, t.Clock)),
		},
		Payload: payload,
	})
	t.Sequence++
	t.packets++
	t.octets += uint32(len(payload))
}

// Redundant is never called: nobody tells the peer of a loss here.
func (m *pionMedia) Redundant(int, []byte, time.Duration, bool) { panic("redundancy on pion's path") }

func (m *pionMedia) Begun(stream int) bool { return m.outbound[stream].packets > 0 }
func (m *pionMedia) Report()               { m.reported = true }

func (m *pionMedia) sendReports(now time.Time) {
	for _, t := range m.outbound {
		if t.packets == 0 {
			continue
		}
		_ = m.pc.WriteRTCP([]rtcp.Packet{
			&rtcp.SenderReport{
				SSRC: t.SSRC, NTPTime: rtptime.NTP(now), PacketCount: t.packets, OctetCount: t.octets,
				RTPTime: t.Base + uint32(rtptime.Ticks(now.Sub(m.terms.Epoch), t.Clock)),
			},
			&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
				Source: t.SSRC, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: m.terms.CNAME}},
			}}},
		})
	}
}

func (m *pionMedia) ready() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *pionMedia) requestKeyFrame() {
	for _, r := range m.pc.GetReceivers() {
		for _, t := range r.Tracks() {
			if t.Kind() == webrtc.RTPCodecTypeVideo && t.SSRC() != 0 {
				_ = m.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}})
			}
		}
	}
}

func (m *pionMedia) link() plane.Link { return plane.Link{RoundTrip: time.Duration(m.rtt.Load())} }

func (m *pionMedia) close() {
	m.rxMu.Lock()
	m.txMu.Lock()
	defer m.rxMu.Unlock()
	defer m.txMu.Unlock()
	if m.ended {
		return
	}
	m.ended = true
	close(m.done)
	var sources []uint32
	for _, t := range m.outbound {
		if t.packets > 0 {
			sources = append(sources, t.SSRC)
		}
	}
	if len(sources) > 0 {
		_ = m.pc.WriteRTCP([]rtcp.Packet{&rtcp.Goodbye{Sources: sources}})
	}
}
