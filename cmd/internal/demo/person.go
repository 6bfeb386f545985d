package demo

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// newAPI answers what makes the people's peer connections: Opus and VP8, and
// the level extension.
func newAPI() (*webrtc.API, error) {
	media := new(webrtc.MediaEngine)
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	for _, c := range []struct {
		kind webrtc.RTPCodecType
		webrtc.RTPCodecParameters
	}{
		{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		}}},
		{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback,
		}}},
	} {
		if err := media.RegisterCodec(c.RTPCodecParameters, c.kind); err != nil {
			return nil, err
		}
	}
	level := webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}
	if err := media.RegisterHeaderExtension(level, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	interceptors := new(interceptor.Registry)
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		return nil, err
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled // what matters is told by state changes
	settings := webrtc.SettingEngine{LoggerFactory: quiet}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	settings.SetICETimeouts(3*time.Second, 5*time.Second, time.Second)
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings)), nil
}

// person is one synthetic participant.
type person struct {
	*cast
	*signalling
	index int
	name  string
	film  *film
	log   *slog.Logger
}

// live keeps the person in the room until ctx ends; it fails only where the
// server refuses for good.
func (p *person) live(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		connected, err := p.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errRefused):
			return err
		case connected:
			attempt = 1
		}
		wait := backoff(attempt, p.index)
		p.log.Warn("not in the room; trying again", "in", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// errGone says that the server ended a session or is no more.
var errGone = errors.New("the connection has ended")

// session joins, sends until the connection ends or ctx does, and leaves. It
// answers whether media ever flowed.
func (p *person) session(ctx context.Context) (connected bool, err error) {
	c, err := p.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.close()
	select {
	case <-ctx.Done():
		return false, nil
	case <-c.ended:
		return false, errGone
	case <-c.connected:
	}
	p.log.Info("in the room", "room", p.room)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- p.send(sending, c) }()
	select {
	case <-c.ended:
		err = errGone
		stop()
		<-failed
	case err = <-failed: // ctx has ended, or writing failed
	}
	return true, err
}
