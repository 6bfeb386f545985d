package plane

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
)

// The time between looks at what is due (feedback, reports, silence), and the
// shorter one while packets are missing that have to be asked for again. Every
// look wakes the process, which costs more than what is done then.
const (
	tickEvery = 100 * time.Millisecond
	tickSoon  = 25 * time.Millisecond
)

// Plane is the sockets of a gateway and the sessions on them.
type Plane struct {
	counts  counters
	gate    gate
	work    sync.WaitGroup // readers, senders, the ticker
	stopped chan struct{}
	hurry   chan struct{} // see soon

	routesMu sync.RWMutex
	routes   map[netip.AddrPort]*route
	claims   map[uint32]*Session // by SSRC of what they take
	checks   map[[stun.TransactionIDSize]byte]ownCheck

	mu       sync.Mutex
	closed   bool
	sockets  []*Socket
	tcp      map[netip.AddrPort]*tcpConn
	sessions map[*Session]struct{}
	ticking  bool
}

// route is an address that has passed a connectivity check of a session.
type route struct {
	session *Session
	to      *destination
	leg     atomic.Pointer[leg] // where its datagrams come in; nil before the first, and on TCP
	tcp     *tcpConn            // nil on UDP
	heard   atomic.Int64        // Unix time in nanoseconds of the last authentic datagram
	proven  atomic.Bool         // ICE has selected it, or a check of ours was answered there
	wanted  atomic.Bool         // a check of ours waits for leg
}

// out answers the sender that serves the route, nil while it is not known.
func (r *route) out() *sender {
	if r.tcp != nil {
		return r.tcp.out
	}
	if l := r.leg.Load(); l != nil {
		return l.out
	}
	return nil
}

// New answers a plane without sockets.
func New() *Plane {
	p := &Plane{
		stopped: make(chan struct{}), hurry: make(chan struct{}, 1), routes: map[netip.AddrPort]*route{},
		claims: map[uint32]*Session{}, checks: map[[stun.TransactionIDSize]byte]ownCheck{}, tcp: map[netip.AddrPort]*tcpConn{},
		sessions: map[*Session]struct{}{},
	}
	p.gate.init()
	return p
}

// Adopt makes a Socket of connections that are bound to one address: one, or
// several that share its port (see Listen). The plane closes them. filter, if
// not nil, tells from which addresses datagrams are taken.
func (p *Plane) Adopt(conns []net.PacketConn, filter func(netip.AddrPort) bool) (*Socket, error) {
	s, err := p.newSocket(conns, filter)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	p.sockets = append(p.sockets, s)
	s.start()
	return s, nil
}

// Close ends all sessions and sockets and waits for their goroutines.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.work.Wait()
		return nil
	}
	p.closed = true
	sockets := p.sockets
	var conns []*tcpConn
	for _, c := range p.tcp {
		conns = append(conns, c)
	}
	var sessions []*Session
	for s := range p.sessions {
		sessions = append(sessions, s)
	}
	p.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	close(p.stopped)
	for _, c := range conns {
		_ = c.Close()
	}
	var err error
	for _, s := range sockets {
		if e := s.Close(); err == nil {
			err = e
		}
	}
	p.work.Wait()
	return err
}

// Stats answers the counts.
func (p *Plane) Stats() Stats {
	st := p.counts.stats()
	st.StoppedShut, st.StoppedExpired = p.gate.stopped[gateShut].Load(), p.gate.stopped[gateExpired].Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	st.Sessions = len(p.sessions)
	for _, s := range p.sockets {
		st.KernelDropped += s.kernelDrops()
	}
	return st
}

func (p *Plane) route(a netip.AddrPort) *route {
	p.routesMu.RLock()
	defer p.routesMu.RUnlock()
	return p.routes[a]
}

// routeQuiet is how long an address must be silent before a check for another
// session may take it over. A stranger who forges a source address then can't
// take a live session's.
const routeQuiet = 5 * time.Second

// addRoute answers the route of an address for a session, or nil where it is
// another's.
func (p *Plane) addRoute(s *Session, a netip.AddrPort, now time.Time) *route {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	r := p.routes[a]
	if r != nil && r.session == s {
		return r
	}
	if r != nil && now.UnixNano()-r.heard.Load() < int64(routeQuiet) {
		p.counts.conflicts.Add(1)
		return nil
	}
	r = &route{session: s, to: destinationOf(a, a.Addr().Is6())}
	p.routes[a] = r
	return r
}

// holds reports whether a route is still that of its address.
func (p *Plane) holds(r *route) bool {
	if r.tcp != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.tcp[r.to.addr] == r.tcp
	}
	return p.route(r.to.addr) == r
}

// dropRoutes forgets routes of a session.
func (p *Plane) dropRoutes(routes ...*route) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	for _, r := range routes {
		if p.routes[r.to.addr] == r {
			delete(p.routes, r.to.addr)
		}
	}
}

// admit takes a session and starts the ticker with the first.
func (p *Plane) admit(s *Session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.sessions[s] = struct{}{}
	if !p.ticking {
		p.ticking = true
		p.work.Go(p.tick)
	}
	return nil
}

func (p *Plane) forget(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
}

// tick looks after all sessions; it ends with the last.
func (p *Plane) tick() {
	next := time.Now().Add(tickEvery)
	t := time.NewTimer(tickEvery)
	defer t.Stop()
	var list []*Session
	for {
		select {
		case <-t.C:
		case <-p.hurry:
			if soon := time.Now().Add(tickSoon); soon.Before(next) {
				next = soon
				t.Reset(tickSoon)
			}
			continue
		case <-p.stopped:
			return
		}
		if list = p.listSessions(list[:0]); len(list) == 0 {
			return
		}
		wait, now := tickEvery, time.Now()
		for _, s := range list {
			if s.tick(now) {
				wait = tickSoon
			}
		}
		clear(list)
		next = now.Add(wait)
		t.Reset(wait)
	}
}

// listSessions appends all sessions; where there are none the ticker is over.
func (p *Plane) listSessions(list []*Session) []*Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		list = append(list, s)
	}
	p.ticking = len(list) > 0
	return list
}

// soon has the ticker look earlier, since packets are missing.
func (p *Plane) soon() {
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}
