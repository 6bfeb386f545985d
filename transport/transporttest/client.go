package transporttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// ClientConfig says what a client offers.
type ClientConfig struct {
	// Net is the client's host in a virtual network; nil for the real one,
	// loopback included.
	Net transport.Net
	// Loopback offers the loopback interface of Net too.
	Loopback bool
	// Audio and Video are the directions of the two m-sections; the zero value
	// leaves a section out.
	Audio, Video webrtc.RTPTransceiverDirection
	// NoLevels leaves out the audio level extension (RFC 6464).
	NoLevels bool
	// RED offers audio with redundancy (RFC 2198) besides plain Opus, as Chromium
	// does; its packets go to OnAudio as they are.
	RED bool
	// OnlyTCP offers no UDP: the client connects to the gateway by ICE-TCP.
	OnlyTCP bool
	// Renominates lets the client move to another of its candidates when that has
	// become the better one, as browsers do.
	Renominates bool
	// FirstSequence is the first RTP sequence number of what is sent, 1000 by
	// default.
	FirstSequence uint16
	// OnAudio and OnVideo are told every packet as it comes, in order of arrival;
	// they may not keep it. May be nil.
	OnAudio, OnVideo func(at time.Time, p *rtp.Packet)
	// OnFrame is told every VP8 frame that a decoder can take, in order; it may not
	// keep it. May be nil.
	OnFrame func(at time.Time, timestamp uint32, frame []byte)
}

// Client is the far end of a session.
type Client struct {
	cfg    ClientConfig
	pc     *webrtc.PeerConnection
	audio  *outgoing // nil where nothing is sent
	video  *outgoing
	state  chan struct{} // closed when connected
	closed chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	ended bool           // no more goroutines
	work  sync.WaitGroup // added to by spawn alone

	keyFramesWanted atomic.Uint64
	videoSSRC       atomic.Uint32
	counts          [2]atomic.Uint64 // packets of sound and of pictures received
	frames          atomic.Uint64
	reports         atomic.Uint64
	goodbyes        atomic.Uint64
}

// outgoing is one track that the client sends.
type outgoing struct {
	track  *webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	level  uint8 // identifier of the level extension, 0 for none
	mu     sync.Mutex
	seq    uint16
	ts     uint32
}

// NewClient makes a client; Close ends it.
func NewClient(cfg ClientConfig) (*Client, error) {
	api, err := clientAPI(cfg)
	if err != nil {
		return nil, fmt.Errorf("transporttest: set up client: %w", err)
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return nil, fmt.Errorf("transporttest: make client: %w", err)
	}
	c := &Client{cfg: cfg, pc: pc, state: make(chan struct{}), closed: make(chan struct{})}
	pc.OnTrack(c.onTrack)
	var up, down sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			up.Do(func() { close(c.state) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			down.Do(func() { close(c.closed) })
		}
	})
	if c.audio, err = c.add(cfg.Audio, webrtc.MimeTypeOpus, 48000, 2); err == nil {
		c.video, err = c.add(cfg.Video, webrtc.MimeTypeVP8, 90000, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transporttest: add track: %w", err), pc.Close())
	}
	return c, nil
}

func clientAPI(cfg ClientConfig) (*webrtc.API, error) {
	m, r := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	if cfg.RED {
		red := webrtc.RTPCodecParameters{PayloadType: 63, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111",
		}}
		if err := m.RegisterCodec(red, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	if !cfg.NoLevels {
		ext := webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}
		if err := m.RegisterHeaderExtension(ext, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	if err := webrtc.ConfigureNack(m, r); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureRTCPReports(r); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, r); err != nil {
		return nil, err
	}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	s := webrtc.SettingEngine{LoggerFactory: logs}
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIncludeLoopbackCandidate(cfg.Net == nil || cfg.Loopback)
	s.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	s.DisableActiveTCP(!cfg.OnlyTCP)
	if cfg.Net != nil {
		s.SetNet(cfg.Net)
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}
	if cfg.OnlyTCP {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}
	if cfg.Renominates {
		if err := s.SetICERenomination(); err != nil {
			return nil, err
		}
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)), nil
}

// add prepares one m-section.
func (c *Client) add(dir webrtc.RTPTransceiverDirection, mime string, rate uint32, channels uint16) (*outgoing, error) {
	if dir == webrtc.RTPTransceiverDirectionUnknown {
		return nil, nil
	}
	kind := webrtc.NewRTPCodecType(strings.SplitN(mime, "/", 2)[0])
	init := webrtc.RTPTransceiverInit{Direction: dir}
	if dir != webrtc.RTPTransceiverDirectionSendrecv && dir != webrtc.RTPTransceiverDirectionSendonly {
		_, err := c.pc.AddTransceiverFromKind(kind, init)
		return nil, err
	}
	ability := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: rate, Channels: channels}
	track, err := webrtc.NewTrackLocalStaticRTP(ability, kind.String(), "client")
	if err != nil {
		return nil, err
	}
	t, err := c.pc.AddTransceiverFromTrack(track, init)
	if err != nil {
		return nil, err
	}
	o := &outgoing{track: track, sender: t.Sender(), seq: c.cfg.FirstSequence, ts: 12345}
	if o.seq == 0 {
		o.seq = 1000
	}
	c.spawn(func() { c.readRTCP(o.sender) })
	return o, nil
}

// Offer answers the client's offer with all of its candidates.
func (c *Client) Offer(ctx context.Context) (string, error) { return c.offer(ctx, nil) }

// RestartOffer answers an offer that restarts ICE. Answer takes what the
// gateway says, once it was made a whole answer again (see Fragment).
func (c *Client) RestartOffer(ctx context.Context) (string, error) {
	return c.offer(ctx, &webrtc.OfferOptions{ICERestart: true})
}

func (c *Client) offer(ctx context.Context, o *webrtc.OfferOptions) (string, error) {
	offer, err := c.pc.CreateOffer(o)
	if err != nil {
		return "", fmt.Errorf("transporttest: create offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return "", fmt.Errorf("transporttest: set offer: %w", err)
	}
	select {
	case <-gathered:
		return c.pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("transporttest: gather candidates: %w", ctx.Err())
	}
}

// Answer takes the gateway's answer; the connection comes up by itself.
func (c *Client) Answer(text string) error {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		return fmt.Errorf("transporttest: take answer: %w", err)
	}
	if c.audio != nil {
		c.audio.mu.Lock()
		defer c.audio.mu.Unlock()
		for _, e := range c.audio.sender.GetParameters().HeaderExtensions {
			if e.URI == sdp.AudioLevelURI {
				c.audio.level = uint8(e.ID)
			}
		}
	}
	return nil
}

// Connected is closed when media may flow.
func (c *Client) Connected() <-chan struct{} { return c.state }

// Ended is closed when the connection has failed or was closed by either side.
func (c *Client) Ended() <-chan struct{} { return c.closed }

// Close ends the client and waits until nothing of it is left. The far end is
// told.
func (c *Client) Close() error {
	err := c.pc.GracefulClose()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.work.Wait()
	return err
}

// spawn runs fn in a goroutine that Close waits for, unless it has been: pion
// may tell of a track while it closes.
func (c *Client) spawn(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.work.Go(fn)
	}
}

// SendAudio sends one packet of Opus that lasts so many samples at 48 kHz and
// announces its level in dBov, 0 to -127.
func (c *Client) SendAudio(payload []byte, samples int, dbov int) error {
	return c.audio.send(payload, uint32(samples), true, func(p *rtp.Packet, id uint8) error {
		return p.SetExtension(id, []byte{byte(-dbov) & 0x7f})
	})
}

// SkipAudio lets time pass without a packet, as discontinuous transmission does.
func (c *Client) SkipAudio(samples int) {
	c.audio.mu.Lock()
	defer c.audio.mu.Unlock()
	c.audio.ts += uint32(samples)
}

// DropAudio lets a packet of so many samples be lost on its way.
func (c *Client) DropAudio(samples int) {
	c.audio.mu.Lock()
	defer c.audio.mu.Unlock()
	c.audio.seq++
	c.audio.ts += uint32(samples)
}

func (o *outgoing) send(payload []byte, ticks uint32, marker bool, mark func(*rtp.Packet, uint8) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: o.seq, Timestamp: o.ts, Marker: marker}, Payload: payload}
	o.seq++
	o.ts += ticks
	if o.level != 0 && mark != nil {
		if err := mark(p, o.level); err != nil {
			return err
		}
	}
	return o.track.WriteRTP(p)
}

// SendVideo sends one VP8 frame that lasts so long.
func (c *Client) SendVideo(frame []byte, lasts time.Duration) error {
	const room = 1180
	for first := true; first || len(frame) > 0; first = false {
		n := min(room, len(frame))
		head := byte(0)
		if first {
			head = 0x10 // RFC 7741, section 4.2: start of the partition
		}
		payload := append([]byte{head}, frame[:n]...)
		frame = frame[n:]
		ticks := uint32(0)
		if len(frame) == 0 {
			ticks = uint32(lasts * 90000 / time.Second)
		}
		if err := c.video.send(payload, ticks, len(frame) == 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// RequestKeyFrame sends a picture loss indication.
func (c *Client) RequestKeyFrame() error {
	return c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: c.videoSSRC.Load()}})
}

// Counts is what a client has received so far.
type Counts struct {
	AudioPackets, VideoPackets uint64
	Frames                     uint64 // whole, decodable, in order
	KeyFramesWanted            uint64 // picture loss indications
	SenderReports              uint64
	Goodbyes                   uint64
}

// Counts answers what was received so far.
func (c *Client) Counts() Counts {
	return Counts{
		AudioPackets: c.counts[0].Load(), VideoPackets: c.counts[1].Load(), Frames: c.frames.Load(),
		KeyFramesWanted: c.keyFramesWanted.Load(), SenderReports: c.reports.Load(), Goodbyes: c.goodbyes.Load(),
	}
}

// Tracks answers how many tracks of each kind the gateway has sent.
func (c *Client) Tracks() (audio, video int) {
	for _, r := range c.pc.GetReceivers() {
		for _, t := range r.Tracks() {
			switch {
			case t.SSRC() == 0:
			case t.Kind() == webrtc.RTPCodecTypeAudio:
				audio++
			default:
				video++
			}
		}
	}
	return audio, video
}

func (c *Client) readRTCP(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				c.keyFramesWanted.Add(1)
			}
		}
	}
}
