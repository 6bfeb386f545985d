package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// patience bounds the steps of joining and leaving.
const patience = 30 * time.Second

var errNotConnected = errors.New("not connected in time")

// Client is one of a load's clients.
//
// pion has the same SRTP keys, and must never send with them: there are no
// interceptors, and nothing is written to its tracks, or one key would be used
// with one index twice.
type Client struct {
	index  int
	cfg    *Config
	socket *Socket
	pipe   *pipe
	keys   keys
	mux    *ice.UDPMuxDefault
	pc     *webrtc.PeerConnection
	up     chan struct{} // closed when connected
	down   chan struct{} // closed when that has failed
	leave  func(context.Context)
	loop   *loop
	sender *sender

	onSound func(at time.Time, payload []byte) // may be nil
	mute    atomic.Bool                        // what comes is not what is listened to
	last    atomic.Int64                       // when something authentic came, in Unix nanoseconds

	receiver // owned by the loop
	voice    // owned by the sender
}

// join makes a client and takes it through offer, answer and handshake.
func (l *Load) join(ctx context.Context, i int, join Join) (*Client, error) {
	c, err := l.newClient(i)
	if err != nil {
		return nil, err
	}
	return c.joined(ctx, join)
}

// joined takes a new client through offer, answer and handshake; where that
// fails nothing of it is left.
func (c *Client) joined(ctx context.Context, join Join) (*Client, error) {
	if err := c.negotiate(ctx, join); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *Client) negotiate(ctx context.Context, join Join) error {
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("load: create offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("load: set offer: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-gathered:
	case <-ctx.Done():
		return fmt.Errorf("load: gather candidates: %w", ctx.Err())
	}
	answer, leave, err := join(ctx, c.index, c.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	c.leave = leave
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("load: take answer: %w", err)
	}
	select {
	case <-c.up:
		return c.begin()
	case <-c.down:
		return errors.New("load: the connection failed")
	case <-ctx.Done():
		return fmt.Errorf("load: %w", errNotConnected)
	}
}

func (l *Load) newClient(i int) (*Client, error) {
	socket, err := Bind(netip.AddrPortFrom(l.cfg.Local, 0))
	if err != nil {
		return nil, err
	}
	c := &Client{
		index: i, cfg: &l.cfg, socket: socket, loop: l.loop, sender: l.sender,
		up: make(chan struct{}), down: make(chan struct{}),
	}
	if told := l.cfg.OnSound; told != nil {
		c.onSound = func(at time.Time, payload []byte) { told(i, at, payload) }
	}
	c.pipe = newPipe(socket, &c.keys)
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	c.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: c.pipe, Logger: logs.NewLogger("ice")})
	if err := c.loop.add(c); err != nil {
		return nil, errors.Join(err, c.mux.Close())
	}
	if err := c.connect(l, logs); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// connect makes the peer connection.
func (c *Client) connect(l *Load, logs *logging.DefaultLoggerFactory) error {
	media := &webrtc.MediaEngine{}
	if err := registerMedia(media, l.cfg.Feedback); err != nil {
		return fmt.Errorf("load: register codecs: %w", err)
	}
	s := webrtc.SettingEngine{LoggerFactory: logs}
	s.SetICEUDPMux(c.mux)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	here := func(ip net.IP) bool { return ip.Equal(l.cfg.Local.AsSlice()) }
	s.SetIPFilter(here)
	s.SetRemoteIPFilter(here) // load never leaves the host
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.DisableActiveTCP(true)
	s.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	s.SetDTLSKeyLogWriter(&c.keys)
	// What browsers offer, and in their order.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(&interceptor.Registry{}), webrtc.WithSettingEngine(s))
	var err error
	c.pc, err = api.NewPeerConnection(webrtc.Configuration{
		BundlePolicy: webrtc.BundlePolicyMaxBundle, Certificates: []webrtc.Certificate{l.cert},
	})
	if err != nil {
		return fmt.Errorf("load: make connection: %w", err)
	}
	var up, down sync.Once
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			up.Do(func() { close(c.up) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			down.Do(func() { close(c.down) })
		}
	})
	return c.addMedia()
}

func registerMedia(m *webrtc.MediaEngine, feedback bool) error {
	audio := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}
	if feedback {
		audio.RTCPFeedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBTransportCC}}
	}
	video := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: 90000,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}},
	}}
	resent := webrtc.RTPCodecParameters{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96",
	}}
	if err := m.RegisterCodec(audio, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	for _, v := range []webrtc.RTPCodecParameters{video, resent} {
		if err := m.RegisterCodec(v, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	extensions := []string{sdp.AudioLevelURI}
	if feedback {
		extensions = append(extensions, sdp.TransportCCURI)
	}
	for _, uri := range extensions {
		ext := webrtc.RTPHeaderExtensionCapability{URI: uri}
		if err := m.RegisterHeaderExtension(ext, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	return nil
}

// addMedia prepares the m-sections.
func (c *Client) addMedia() error {
	if c.cfg.Voice != nil {
		c.says = c.cfg.Voice(c.index)
	}
	receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	var err error
	switch {
	case len(c.says) > 0:
		err = c.addVoice()
	case c.cfg.Listen:
		_, err = c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, receive)
	}
	if err == nil && c.cfg.Watch {
		_, err = c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, receive)
	}
	if err != nil {
		return fmt.Errorf("load: add media: %w", err)
	}
	return nil
}

func (c *Client) addVoice() error {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "voice", "load")
	if err != nil {
		return err
	}
	dir := webrtc.RTPTransceiverDirectionSendonly
	if c.cfg.Listen {
		dir = webrtc.RTPTransceiverDirectionSendrecv
	}
	_, err = c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: dir})
	return err
}

// begin takes the media off pion.
func (c *Client) begin() error {
	in, out, err := c.keys.contexts()
	if err != nil {
		return err
	}
	var remote netip.AddrPort
	var names [128]Kind
	for i := range names {
		names[i] = unknown
	}
	var sending webrtc.RTPSendParameters
	for _, t := range c.pc.GetTransceivers() {
		if remote, err = far(t); err != nil {
			return err
		}
		if r := t.Receiver(); r != nil {
			for _, p := range r.GetParameters().Codecs {
				names[p.PayloadType&0x7f] = kindOf(p.MimeType)
			}
		}
		if s := t.Sender(); s != nil && t.Kind() == webrtc.RTPCodecTypeAudio && len(c.says) > 0 {
			sending = s.GetParameters()
		}
	}
	if err := c.voice.prepare(out, sending, remote); err != nil {
		return err
	}
	c.loop.begin(c, receiver{
		in: in, remote: remote, names: names, streams: map[uint32]*stream{}, ssrc: c.voice.header.SSRC,
	})
	c.sender.add(c)
	return nil
}

// far answers the server's address.
func far(t *webrtc.RTPTransceiver) (netip.AddrPort, error) {
	var transport *webrtc.DTLSTransport
	if r := t.Receiver(); r != nil {
		transport = r.Transport()
	} else if s := t.Sender(); s != nil {
		transport = s.Transport()
	}
	if transport == nil {
		return netip.AddrPort{}, errors.New("load: the answer has refused a section")
	}
	pair, err := transport.ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return netip.AddrPort{}, fmt.Errorf("load: no pair of candidates: %w", err)
	}
	addr, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("load: candidate: %w", err)
	}
	return netip.AddrPortFrom(addr.Unmap(), pair.Remote.Port), nil
}

func kindOf(mime string) Kind {
	switch strings.ToLower(mime) {
	case strings.ToLower(webrtc.MimeTypeOpus):
		return Sound
	case strings.ToLower(webrtc.MimeTypeVP8):
		return Picture
	case strings.ToLower(webrtc.MimeTypeRTX):
		return again
	}
	return unknown
}

// Socket answers the client's socket, for who wants to send in its name; the
// client reads and closes it.
func (c *Client) Socket() *Socket { return c.socket }

// Remote answers where the server receives the client's media.
func (c *Client) Remote() netip.AddrPort {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return c.remote
}

// SSRC answers the synchronisation source of what the client sends.
func (c *Client) SSRC() uint32 {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return c.ssrc
}

// close ends the session on both sides.
func (c *Client) close() error {
	c.sender.remove(c)
	if c.leave != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		c.leave(ctx)
		cancel()
	}
	var err error
	if c.pc != nil {
		err = c.pc.GracefulClose()
	}
	err = errors.Join(err, c.mux.Close())
	c.loop.remove(c)
	return errors.Join(err, c.socket.Close())
}

// pipe is what pion has for a socket: it writes to the socket, and reads what
// the loop puts in, which is all but SRTP.
type pipe struct {
	socket *Socket
	keys   *keys
	queue  chan datagram
	closed chan struct{}
	once   sync.Once
}

func newPipe(s *Socket, k *keys) *pipe {
	return &pipe{socket: s, keys: k, queue: make(chan datagram, 64), closed: make(chan struct{})}
}

// put hands a datagram to pion; like a socket's buffer it may be full.
func (p *pipe) put(d datagram) {
	d.b = append([]byte(nil), d.b...)
	select {
	case p.queue <- d:
	default:
	}
}

// ReadFrom waits for the next datagram.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.queue:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends a datagram.
func (p *pipe) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("no UDP address")
	}
	p.keys.watch(b, false)
	if err := p.socket.Send(b, a.AddrPort()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends reading.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// LocalAddr is the socket's.
func (p *pipe) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.socket.Local()) }

// SetDeadline does nothing: Close ends a read, and no write waits.
func (p *pipe) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (p *pipe) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
