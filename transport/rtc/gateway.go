package rtc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/mixer"
	"tutti/transport/plane"
)

// Request asks for a session in a room.
type Request struct {
	ID, Name string
	Role     mixer.Role
	Offer    string // SDP
}

// Gateway opens sessions on one UDP port.
type Gateway struct {
	cfg    Config
	engine *webrtc.MediaEngine
	// settings are copied for each peer.
	settings webrtc.SettingEngine
	plane    *plane.Plane
	socket   *sockets
	certs    []webrtc.Certificate // one, so that its fingerprint stays
	newMedia func(*Peer) (media, error)
	panics   atomic.Uint64

	work sync.WaitGroup // one per peer that is not wholly gone

	mu     sync.Mutex
	closed bool
	peers  map[key]*Peer
	fans   map[string]*fanout // by room
}

type key struct{ room, participant string }

// New binds the sockets.
func New(cfg Config) (*Gateway, error) {
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
	g := &Gateway{
		cfg: cfg, engine: engine, plane: plane.New(), certs: []webrtc.Certificate{*cert}, newMedia: newPlaneMedia,
		peers: map[key]*Peer{}, fans: map[string]*fanout{},
	}
	if g.socket, err = listen(cfg, g.plane, logs); err != nil {
		return nil, errors.Join(err, g.plane.Close())
	}
	if g.settings, err = settingEngine(cfg, g.socket, logs); err != nil {
		g.closeSockets()
		return nil, err
	}
	return g, nil
}

// closeSockets ends the sockets; those who close them say only that they were
// closed before.
func (g *Gateway) closeSockets() {
	g.socket.close()
	_ = g.plane.Close()
}

// Open checks the offer, admits the participant and answers when the answer is
// complete; the media starts to flow when the client has connected. The errors
// are an *Error or what the room's Join says.
func (g *Gateway) Open(ctx context.Context, room *mixer.Room, req Request) (*Peer, error) {
	return g.open(ctx, mixerRoom{room}, req)
}

// Session answers the live session of a participant.
func (g *Gateway) Session(room, participant string) (*Peer, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.peers[key{room, participant}]
	return p, ok
}

// Sessions answers how many sessions are open.
func (g *Gateway) Sessions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.peers)
}

// Panics answers how many goroutines of peers were ended by a panic.
func (g *Gateway) Panics() uint64 { return g.panics.Load() }

// Media answers the counts of the media plane.
func (g *Gateway) Media() plane.Stats { return g.plane.Stats() }

// SendUntil bounds the time in which media are sent: until boot, by
// CLOCK_BOOTTIME; 0 stops them at once. Before the first call there is no bound.
func (g *Gateway) SendUntil(boot time.Duration) { g.plane.SendUntil(boot) }

// MaySend reports whether SendUntil lets media go now, for who sends by other
// sockets.
func (g *Gateway) MaySend() bool { return g.plane.MaySend() }

// Addresses answers the UDP addresses that are bound.
func (g *Gateway) Addresses() []string { return g.socket.addresses() }

// Close refuses new sessions, ends all there are and, when everything of them
// is gone or ctx ends, closes the sockets. It may be called again.
func (g *Gateway) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	peers := make([]*Peer, 0, len(g.peers))
	for _, p := range g.peers {
		peers = append(peers, p)
	}
	g.mu.Unlock()
	for _, p := range peers {
		p.leave("shutdown")
	}
	done := make(chan struct{})
	go func() { g.work.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.closeSockets()
	return err
}

// admit takes a place in the registry, so that Close waits for the peer.
func (g *Gateway) admit(p *Peer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	if _, taken := g.peers[p.key]; taken {
		return mixer.ErrParticipantExists
	}
	g.work.Add(1)
	g.peers[p.key] = p
	return nil
}

// forget gives the place back when everything of the peer is gone.
func (g *Gateway) forget(p *Peer) {
	g.mu.Lock()
	delete(g.peers, p.key)
	g.mu.Unlock()
	close(p.done)
	g.work.Done()
}
