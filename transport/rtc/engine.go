package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
)

// newEngine answers what Tutti speaks and nothing else.
func newEngine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	if err := registerMedia(m); err != nil {
		return nil, fmt.Errorf("rtc: register codecs: %w", err)
	}
	return m, nil
}

// noInterceptors leaves RTP and RTCP to the media plane alone.
func noInterceptors() *interceptor.Registry { return &interceptor.Registry{} }

func registerMedia(m *webrtc.MediaEngine) error {
	audio := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: codec.AudioClockRate, Channels: 2,
		SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}
	redundant := webrtc.RTPCodecParameters{PayloadType: 63, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: "audio/red", ClockRate: codec.AudioClockRate, Channels: 2, SDPFmtpLine: "111/111",
	}}
	video := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: codec.VideoClockRate,
		RTCPFeedback: []webrtc.RTCPFeedback{
			{Type: "ccm", Parameter: "fir"},
			{Type: "nack"},
			{Type: "nack", Parameter: "pli"},
			{Type: webrtc.TypeRTCPFBTransportCC},
		},
	}}
	again := webrtc.RTPCodecParameters{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: codec.VideoClockRate, SDPFmtpLine: "apt=96",
	}}
	for _, c := range []webrtc.RTPCodecParameters{audio, redundant} {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	for _, c := range []webrtc.RTPCodecParameters{video, again} {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	// The camera's rate follows transport-wide feedback; sound has no need of it.
	for _, e := range []struct {
		uri  string
		kind webrtc.RTPCodecType
	}{
		{sdp.AudioLevelURI, webrtc.RTPCodecTypeAudio},
		{sdp.SDESMidURI, webrtc.RTPCodecTypeAudio},
		{sdp.SDESMidURI, webrtc.RTPCodecTypeVideo},
		{sdp.TransportCCURI, webrtc.RTPCodecTypeVideo},
	} {
		x := webrtc.RTPHeaderExtensionCapability{URI: e.uri}
		if err := m.RegisterHeaderExtension(x, e.kind, webrtc.RTPTransceiverDirectionRecvonly); err != nil {
			return err
		}
	}
	return nil
}

func settingEngine(cfg Config, s *sockets, logs logging.LoggerFactory) (webrtc.SettingEngine, error) {
	e := webrtc.SettingEngine{LoggerFactory: logs}
	e.SetICEUDPMux(s.udp)
	types := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if s.tcp != nil {
		e.SetICETCPMux(s.tcp)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(types)
	e.DisableActiveTCP(true)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetIncludeLoopbackCandidate(cfg.Loopback || onLoopback(cfg.Listen))
	// Media does not pass ICE, so that ICE can't tell who is silent: the media
	// plane does.
	e.SetICETimeouts(0, 0, cfg.KeepAlive)
	e.SetLite(cfg.Lite)
	e.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	if cfg.Net != nil {
		e.SetNet(cfg.Net)
	}
	if len(cfg.PublicIPs) > 0 {
		err := e.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: cfg.PublicIPs, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteReplace,
		})
		if err != nil {
			return e, fmt.Errorf("rtc: public IPs: %w", err)
		}
	}
	return e, nil
}

// onLoopback reports whether the address is one that only this host reaches.
func onLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// newCertificate makes the certificate of all DTLS sessions (RFC 8827, section
// 6.5: P-256).
func newCertificate() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("rtc: make DTLS key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("rtc: make DTLS certificate: %w", err)
	}
	return cert, nil
}
