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

	"tutti/api/guest"
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
	index int
	name  string
	film  *film
	log   *slog.Logger
}

// live keeps the person in the room until ctx ends or somebody puts them out;
// it fails only where the server refuses for good.
func (p *person) live(ctx context.Context) error {
	err := guest.Stay(ctx, guest.Config{Door: p.door, Open: p.open, Log: p.log})
	if errors.Is(err, guest.ErrRemoved) {
		p.log.Info("put out of the room", "room", p.door.Room)
		return nil
	}
	return err
}

// connecting is how long a connection may take.
const connecting = 15 * time.Second

// open joins and answers when media flows; from then on the person sends there
// until they leave. Two sessions at a time send the same, as what is due is
// read off the same clock.
func (p *person) open(ctx context.Context, resumes string) (guest.Session, error) {
	c, err := p.connect(ctx, resumes)
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(connecting)
	defer timeout.Stop()
	select {
	case <-c.connected:
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.ended:
		err = errNoMedia
	case <-timeout.C:
		err = errNoMedia
	}
	if err != nil {
		c.Leave()
		return nil, err
	}
	p.log.Info("in the room", "room", p.door.Room)
	c.begin()
	return c, nil
}

// errNoMedia says that a connection could not be made.
var errNoMedia = errors.New("no media connection to the server could be made")
