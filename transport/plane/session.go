package plane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	// maxEarly datagrams are kept that come between the client's end of the
	// handshake and ours.
	maxEarly = 32
	// maxRoutes bounds the addresses of a session: a client has few at a time.
	maxRoutes = 16
	// maxRebinds bounds how often streams may change their SSRC in a session.
	maxRebinds = 64
	// maxSources bounds the SSRCs of a client, each way, for each of which its SRTP
	// context keeps a state.
	maxSources = 128
	// reportEvery is the time between reports, feedbackEvery that between
	// transport-wide feedback; where hardly anything flows, as in a pause, the former
	// is quietReports times as long, and feedback waits for a few packets or
	// feedbackAtLast. Each would wake somebody for next to nothing.
	reportEvery    = time.Second
	quietReports   = 4
	quietPackets   = 10 // of media in reportEvery, both ways together
	feedbackEvery  = 100 * time.Millisecond
	feedbackAfter  = 4 // packets
	feedbackAtLast = 5 * feedbackEvery
	// switchAfter is the silence of an address after which another that has
	// passed a check and that authentic media comes from is sent to.
	switchAfter = 200 * time.Millisecond
)

// Feeder has what a session sends.
type Feeder interface {
	// Feed sends all that is due now by w, and answers in what time it wants to be
	// asked again; 0: when Ready is called. Called from the sending goroutine, one
	// call at a time.
	Feed(w *Writer) (again time.Duration)
}

// Events are what a session tells; nil functions are not called. They must not
// block; they come from the plane's goroutines.
type Events struct {
	// KeyFrameRequested says that the client asks for a key frame of an outbound
	// stream (PLI or FIR).
	KeyFrameRequested func()
	// Acknowledged says what the client has received of what was sent, where
	// transport-wide feedback was agreed on for an outbound stream. The list is good
	// until it returns.
	Acknowledged func([]Acknowledgement)
	// Received says what the client reports of an outbound stream. It comes at its
	// own pace, every few seconds for sound alone.
	Received func(Reception)
	// Silent says, once, that nothing authentic came for the session's patience.
	Silent func()
	// Panicked says that a taker or feeder panicked, with what it said. The session
	// takes and sends nothing any more.
	Panicked func(reason any)
}

// Config says what a session is for.
type Config struct {
	Feeder Feeder // nil where nothing is sent
	Events Events
	// Patience is how long a started session waits for a sign of life.
	Patience time.Duration
}

// Session is the media of one client.
type Session struct {
	plane *Plane
	cfg   Config
	keys  handshakeKeys
	ssrc  uint32 // of reports where nothing is sent

	heard     atomic.Int64 // Unix time in nanoseconds of the last sign of life
	roundTrip atomic.Int64 // nanoseconds, 0 while unknown
	remb      atomic.Uint64
	queued    atomic.Bool // on the list of a sender
	path      atomic.Pointer[route]
	selected  atomic.Pointer[route] // by ICE
	broken    atomic.Bool           // panicked
	silent    atomic.Bool

	strayAt atomic.Int64 // Unix time in nanoseconds of the last packet that was tried from an unknown address

	mu          sync.Mutex
	routes      []*route
	closed      bool
	credentials Credentials
	checkedAt   time.Time // when the last check was sent

	flowed atomic.Uint64 // packets of media, both ways

	rxMu      sync.Mutex // guards all below; held while a taker runs
	rx        *srtp.Context
	tagSize   int // of its packets, in bytes
	in        []*inStream
	early     [][]byte
	rebinds   int
	sources   sources // of SRTP
	reporters sources // of SRTCP
	packet    Packet
	arrivals  *twcc.Recorder // nil without transport-wide feedback
	told      []told         // what was reported of the outbound streams
	started   bool
	report    time.Time // when the next report is due
	skipped   int       // how many were not sent since then, as all was quiet
	counted   uint64    // of flowed, at the last report
	feedback  time.Time
	arrived   int       // packets that feedback was not yet sent of
	arrivedAt time.Time // the first of them

	post post // from the reading side to the sending side; its lock is taken last

	txMu      sync.Mutex // guards all below; held while the feeder runs
	tx        *srtp.Context
	txHeader  rtp.Header
	cname     string
	cryptex   bool
	epoch     time.Time
	out       []*outStream
	transport uint16  // the next transport-wide sequence number
	mail      letters // of the post, being worked off
	sentLog   sentLog
}

// NewSession begins a session, which Close ends.
func (p *Plane) NewSession(cfg Config) (*Session, error) {
	s := &Session{plane: p, cfg: cfg, ssrc: rand.Uint32(), skipped: quietReports} // the first report is sent whatever flows
	s.heard.Store(time.Now().UnixNano())
	if err := p.admit(s); err != nil {
		return nil, fmt.Errorf("plane: new session: %w", err)
	}
	return s, nil
}

// Configure prepares the settings of the session's one PeerConnection: its keys
// and the addresses that pass its checks become known here.
func (s *Session) Configure(e *webrtc.SettingEngine) error {
	e.SetICEBindingRequestHandler(s.checked)
	return s.keys.configure(e)
}

// Agree takes what offer and answer agreed on, before Start.
func (s *Session) Agree(t Terms) {
	s.rxMu.Lock()
	s.in = nil
	var cameras []*camera
	for _, in := range t.Inbound {
		x := newInStream(in)
		s.in = append(s.in, x)
		if x.camera != nil {
			cameras = append(cameras, x.camera)
		}
		if in.Ext.TransportCC != 0 && s.arrivals == nil {
			s.arrivals = twcc.NewRecorder(s.ssrc)
		}
	}
	s.told = nil
	for i, out := range t.Outbound {
		s.told = append(s.told, told{ssrc: out.SSRC, stream: i, high: uint32(out.Sequence) - 1})
	}
	s.rxMu.Unlock()
	s.post.setCameras(cameras)
	for _, in := range t.Inbound {
		s.plane.claim(s, in.SSRC)
	}
	s.txMu.Lock()
	s.cname, s.epoch, s.cryptex, s.out = t.CNAME, t.Epoch, t.Cryptex, nil
	for _, out := range t.Outbound {
		s.out = append(s.out, newOutStream(out))
	}
	s.txMu.Unlock()
}

// Start lets media flow: the DTLS handshake is over and the client's certificate
// is the one that its offer named. What came meanwhile is taken now.
func (s *Session) Start() error {
	s.txMu.Lock()
	cryptex := s.cryptex
	s.txMu.Unlock()
	in, out, err := s.keys.contexts(cryptex)
	if err != nil {
		return err
	}
	early, err := s.begin(in, out)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, b := range early {
		if r := s.path.Load(); r != nil {
			s.receive(r, &inDatagram{data: b, at: now}, classify(b))
		}
	}
	s.Ready()
	return nil
}

// begin puts the contexts in their place, unless the session was closed
// meanwhile, and answers what came before them.
func (s *Session) begin(in, out *srtp.Context) (early [][]byte, err error) {
	s.mu.Lock() // against Close, which takes them away
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	now := time.Now()
	s.heard.Store(now.UnixNano())
	s.txMu.Lock()
	s.tx = out
	s.txMu.Unlock()
	s.rxMu.Lock()
	defer s.rxMu.Unlock()
	s.rx, s.tagSize, s.started = in, s.keys.tagSize(), true
	// Sessions that began together report at different times.
	s.report = now.Add(time.Duration(s.ssrc) % reportEvery)
	early, s.early = s.early, nil
	return early, nil
}

var errClosed = errors.New("plane: the session is closed")

// Ready says that the feeder has something. It never blocks.
func (s *Session) Ready() {
	for !s.queued.Swap(true) {
		if out := s.servedBy(); out != nil {
			out.add(s)
			return
		}
		s.queued.Store(false)
		if s.servedBy() == nil {
			return // the route's coming says Ready again
		}
	}
}

// servedBy answers the sender of the present path, nil while there is none.
func (s *Session) servedBy() *sender {
	if r := s.path.Load(); r != nil {
		return r.out()
	}
	return nil
}

// Select sends to that address from now on: ICE has selected it.
func (s *Session) Select(a netip.AddrPort, tcp bool) {
	if r := s.admitRoute(canonical(a), tcp); r != nil {
		r.proven.Store(true)
		s.selected.Store(r)
		s.follow(r)
	}
}

// admitRoute answers the route of an address that passed a check, or nil where
// it can't have one.
func (s *Session) admitRoute(a netip.AddrPort, tcp bool) *route {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for i, r := range s.routes {
		if r.to.addr != a || (r.tcp != nil) != tcp {
			continue
		}
		if s.plane.holds(r) {
			return r
		}
		s.routes = slices.Delete(s.routes, i, i+1) // it was another's meanwhile, or its connection ended
		break
	}
	var r *route
	if tcp {
		r = s.plane.tcpRoute(s, a)
	} else {
		r = s.plane.addRoute(s, a, time.Now())
	}
	if r != nil {
		s.routes = append(s.routes, r)
		s.forgetOldRoute()
	}
	return r
}

// forgetOldRoute keeps the addresses of a session bounded, however many a client
// makes checks from. The oldest goes that is not in use.
func (s *Session) forgetOldRoute() {
	if len(s.routes) <= maxRoutes {
		return
	}
	for i, r := range s.routes {
		if r != s.path.Load() {
			s.plane.dropRoutes(r)
			s.routes = slices.Delete(s.routes, i, i+1)
			return
		}
	}
}

// follow makes a route the one that is sent to.
func (s *Session) follow(r *route) {
	if s.path.Swap(r) != r {
		s.queued.Store(false) // it may wait for a sender that has ended
		s.Ready()
	}
}

// Path answers the address that is sent to; the zero value before there is one.
func (s *Session) Path() netip.AddrPort {
	if r := s.path.Load(); r != nil {
		return r.to.addr
	}
	return netip.AddrPort{}
}

// RequestKeyFrame asks the client for a key frame of all its pictures. A taker
// may call it.
func (s *Session) RequestKeyFrame() {
	s.post.wantKeyFrame()
	s.Ready()
}

// Link is what the session knows of the way to the client.
type Link struct {
	RoundTrip time.Duration // 0 while unknown
	// MaxBitrate is what the client says it can take (REMB), bit/s, 0: nothing.
	MaxBitrate uint64
}

// Link answers the state of the way to the client.
func (s *Session) Link() Link {
	return Link{RoundTrip: time.Duration(s.roundTrip.Load()), MaxBitrate: s.remb.Load()}
}

// Close tells the client that the streams end (RFC 3550, section 6.6), and ends
// the session: when it returns, neither taker nor feeder runs or will run. It
// may be called again, also meanwhile, and then waits for the same.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	routes := s.routes
	s.routes = nil
	s.mu.Unlock()
	s.plane.dropRoutes(routes...)
	s.txMu.Lock()
	s.goodbye()
	s.tx, s.cfg.Feeder = nil, nil
	s.txMu.Unlock()
	s.rxMu.Lock()
	s.rx, s.early, s.in = nil, nil, nil
	s.rxMu.Unlock()
	s.plane.disown(s)
	s.plane.forget(s)
}

// tick does what is due, and reports whether packets are missing that will have
// to be asked for again soon.
func (s *Session) tick(now time.Time) (soon bool) {
	s.rxMu.Lock()
	started := s.started && s.rx != nil
	due := started && s.collect(now)
	for _, in := range s.in {
		soon = soon || in.missing.n > 0
	}
	s.rxMu.Unlock()
	if due {
		s.Ready()
	}
	silence := time.Duration(now.UnixNano() - s.heard.Load())
	if started && s.cfg.Patience > 0 && silence > s.cfg.Patience && !s.silent.Swap(true) && s.cfg.Events.Silent != nil {
		s.cfg.Events.Silent()
	}
	return soon
}

// guard ends the session of a taker or feeder that panicked.
func (s *Session) guard() {
	reason := recover()
	if reason == nil {
		return
	}
	s.plane.counts.panics.Add(1)
	s.broken.Store(true)
	if s.cfg.Events.Panicked != nil {
		s.cfg.Events.Panicked(reason)
	}
}
