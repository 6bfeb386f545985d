package rtc

import (
	"context"
	"sync"

	"github.com/pion/webrtc/v4"
)

// Peer is one client's session: its PeerConnection, what comes in and what
// goes out. Its methods may be called from any goroutine.
type Peer struct {
	key     key
	gateway *Gateway

	mu     sync.Mutex
	pc     *webrtc.PeerConnection
	answer string
	etag   string
}

// Answer is the SDP answer with all of the gateway's candidates.
func (p *Peer) Answer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answer
}

// ETag is the strong, quoted entity tag of the present ICE session (RFC 9725,
// section 4.3.1); a restart changes it.
func (p *Peer) ETag() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.etag
}

// Trickle takes the candidates of an SDP fragment (RFC 8840). Candidates that
// cannot be used are passed over; ErrInvalidFragment for what is no fragment
// or belongs to another ICE session.
func (p *Peer) Trickle(fragment string) error { return ErrSessionEnded }

// Restart answers the fragment of a restarted ICE session (RFC 9725, section
// 4.3.3) and changes the ETag. A fragment that is refused changes nothing.
func (p *Peer) Restart(fragment string) (string, error) { return "", ErrSessionEnded }

func (p *Peer) leave(reason string) {}

type fanout struct{}

func (g *Gateway) open(ctx context.Context, r room, req Request) (*Peer, error) {
	return nil, ErrClosed
}
