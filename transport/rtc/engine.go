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
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
)

// nackPackets is how many sent packets of each stream are kept to be sent again:
// more than a second of 1.5 Mbit/s, a power of two.
const nackPackets = 256

// newAPI answers pion's factory with what Tutti speaks and nothing else.
func newAPI(cfg Config, s *sockets, logs logging.LoggerFactory) (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	if err := registerMedia(media); err != nil {
		return nil, fmt.Errorf("rtc: register codecs: %w", err)
	}
	registry := &interceptor.Registry{}
	if err := registerInterceptors(media, registry, logs); err != nil {
		return nil, fmt.Errorf("rtc: register interceptors: %w", err)
	}
	settings, err := settingEngine(cfg, s, logs)
	if err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings)), nil
}

func registerMedia(m *webrtc.MediaEngine) error {
	audio := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: codec.AudioClockRate, Channels: 2,
		SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}
	video := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: codec.VideoClockRate,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}},
	}}
	again := webrtc.RTPCodecParameters{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: codec.VideoClockRate, SDPFmtpLine: "apt=96",
	}}
	if err := m.RegisterCodec(audio, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	for _, c := range []webrtc.RTPCodecParameters{video, again} {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	return m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}, webrtc.RTPCodecTypeAudio,
		webrtc.RTPTransceiverDirectionRecvonly)
}

// registerInterceptors takes what is needed and no more: NACK both ways,
// receiver reports, and transport-wide feedback so that browsers raise their
// rate. Sender reports are our own (see report.go), since only they can lie on
// the room's clock.
func registerInterceptors(m *webrtc.MediaEngine, r *interceptor.Registry, logs logging.LoggerFactory) error {
	ask, err := nack.NewGeneratorInterceptor(nack.WithGeneratorLoggerFactory(logs), nack.GeneratorInterval(50*time.Millisecond))
	if err != nil {
		return err
	}
	answer, err := nack.NewResponderInterceptor(nack.WithResponderLoggerFactory(logs), nack.ResponderSize(nackPackets))
	if err != nil {
		return err
	}
	received, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(logs))
	if err != nil {
		return err
	}
	r.Add(answer)
	r.Add(ask)
	r.Add(received)
	return webrtc.ConfigureTWCCSenderWithOptions(m, r, twcc.WithLoggerFactory(logs))
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
	e.SetICETimeouts(cfg.DisconnectedTimeout, cfg.FailedTimeout, cfg.KeepAlive)
	e.SetLite(cfg.Lite)
	e.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	e.SetSRTPReplayProtectionWindow(512) // packets sent again come late
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
