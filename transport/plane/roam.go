package plane

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// A client may come by another address without knowing it, when a NAT forgets
// what it had bound. Its own checks would tell in two seconds or more. So a
// packet from an unknown address, whose SSRC is a session's and which is
// authentic, is taken at once; nothing is sent there, though, but a check of our
// own, and media only once the client has answered that: a stranger who repeats
// what he has overheard gains a hundred bytes (RFC 8445, section 7.3.1.4, has
// such checks triggered; RFC 7675, why media must wait).

const (
	// strayEvery is the least time between two packets of a session that are tried
	// from unknown addresses.
	strayEvery = 2 * time.Millisecond
	// checkEvery is the least time between two checks that a session sends.
	checkEvery = 50 * time.Millisecond
	// checkFor is how long an answer is waited for.
	checkFor = 2 * time.Second
)

// Credentials are those of the present ICE session (RFC 8445, section 5.3).
type Credentials struct {
	LocalUfrag, RemoteUfrag, RemotePwd string
	// LocalPwd lets the plane answer the client's consent checks by itself.
	LocalPwd string
}

// ownCheck is one that a session has sent and that is not answered.
type ownCheck struct {
	session *Session
	to      netip.AddrPort
	pwd     string
	at      time.Time
}

// SetCredentials lets the session check addresses that its client moves to; it
// is called again after a restart. Without them, as with ICE-lite, which sends no
// checks, the client's own are waited for.
func (s *Session) SetCredentials(c Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials = c
}

// checks reports whether the session can check addresses.
func (s *Session) checks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credentials.RemotePwd != "" && !s.closed
}

// claim lets packets of an SSRC find the session from unknown addresses.
func (p *Plane) claim(s *Session, ssrc uint32) {
	if ssrc == 0 {
		return
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	if _, taken := p.claims[ssrc]; !taken {
		p.claims[ssrc] = s
	}
}

// disown forgets the claims and checks of a session.
func (p *Plane) disown(s *Session) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	for ssrc, owner := range p.claims {
		if owner == s {
			delete(p.claims, ssrc)
		}
	}
	for id, c := range p.checks {
		if c.session == s {
			delete(p.checks, id)
		}
	}
}

// claimant answers the session of an SSRC.
func (p *Plane) claimant(ssrc uint32) *Session {
	p.routesMu.RLock()
	defer p.routesMu.RUnlock()
	return p.claims[ssrc]
}

// stray takes a packet from an unknown address; false where it is nobody's.
func (s *Socket) stray(l *leg, d *inDatagram, kind class) bool {
	at := 8 // of the SSRC
	if kind == report {
		at = 4 // of its sender's
	}
	x := s.plane.claimant(binary.BigEndian.Uint32(d.data[at:]))
	if x == nil || !x.checks() {
		return false
	}
	last := x.strayAt.Load()
	now := time.Now().UnixNano()
	if now-last < int64(strayEvery) || !x.strayAt.CompareAndSwap(last, now) {
		return false
	}
	if !x.receiveStray(d, kind) {
		return true // counted as forged or replayed
	}
	x.check(l, d.from)
	return true
}

// receiveStray takes a packet that may be the client's.
func (s *Session) receiveStray(d *inDatagram, kind class) bool {
	defer s.guard()
	s.rxMu.Lock()
	defer s.rxMu.Unlock()
	if s.rx == nil || s.broken.Load() || !s.take(d, kind) {
		return false
	}
	s.heard.Store(d.at.UnixNano())
	return true
}

// check sends a check to an address that authentic media has come from.
func (s *Session) check(l *leg, to netip.AddrPort) {
	now := time.Now()
	s.mu.Lock()
	c, early := s.credentials, now.Sub(s.checkedAt) < checkEvery
	if !early {
		s.checkedAt = now
	}
	s.mu.Unlock()
	if early {
		return
	}
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(c.RemoteUfrag+":"+c.LocalUfrag),
		ice.AttrControlled(s.ssrc), ice.PriorityAttr(prflxPriority), stun.NewShortTermIntegrity(c.RemotePwd), stun.Fingerprint)
	if err != nil {
		return
	}
	s.plane.expect(m.TransactionID, ownCheck{s, to, c.RemotePwd, now})
	_ = l.io.writeOne(m.Raw, to) // the next packet sends another
}

// isProven reports whether media may be sent to a route: where we make no checks,
// the client's own must do.
func (s *Session) isProven(r *route) bool {
	return r.proven.Load() || r.tcp != nil || !s.checks()
}

// followProven sends to a route from now on if it is proven; if not, it is
// checked, and false.
func (s *Session) followProven(r *route) bool {
	if !s.isProven(r) {
		s.prove(r)
		return false
	}
	s.follow(r)
	return true
}

// prove sends a check to a route, whose answer has the session follow there.
func (s *Session) prove(r *route) {
	if l := r.leg.Load(); l != nil {
		s.check(l, r.to.addr)
	} else {
		r.wanted.Store(true) // the next datagram tells
	}
}

// prflxPriority is that of a peer-reflexive candidate (RFC 8445, section 5.1.2.1).
const prflxPriority = 110<<24 | 65535<<8 | 255

// expect remembers a check, and forgets those that nobody answered.
func (p *Plane) expect(id [stun.TransactionIDSize]byte, c ownCheck) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	for old, x := range p.checks {
		if c.at.Sub(x.at) > checkFor {
			delete(p.checks, old)
		}
	}
	p.checks[id] = c
}

// answered takes the answer to a check of ours; false where it is none, and ICE
// has to look at it.
func (s *Socket) answered(l *leg, d *inDatagram) bool {
	if len(d.data) < 20 || binary.BigEndian.Uint16(d.data) != uint16(stun.BindingSuccess.Value()) {
		return false
	}
	p := s.plane
	id := [stun.TransactionIDSize]byte(d.data[8:20])
	p.routesMu.RLock()
	c, ok := p.checks[id]
	p.routesMu.RUnlock()
	if !ok || c.to != d.from {
		return false
	}
	m := &stun.Message{Raw: append([]byte(nil), d.data...)}
	if m.Decode() != nil || stun.NewShortTermIntegrity(c.pwd).Check(m) != nil {
		p.counts.forged.Add(1)
		return true
	}
	p.routesMu.Lock()
	delete(p.checks, id)
	p.routesMu.Unlock()
	if r := c.session.admitRoute(d.from, false); r != nil {
		r.leg.Store(l)
		r.heard.Store(d.at.UnixNano())
		r.proven.Store(true)
		c.session.follow(r)
	}
	return true
}
