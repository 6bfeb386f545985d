// Package transporttest has what tests and the demo need at the far end of a
// WebRTC session: a virtual network with bad links, and a client that publishes
// given Opus packets and VP8 frames and records what it receives.
//
// Network and Client work in a testing/synctest bubble. Nothing here imports
// package testing, so that tools may use the client too.
package transporttest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/vnet"

	"tutti/transport/transporttest/badlink"
)

// Link is what all paths of a network do to datagrams, in short. Set and Play
// say more of one path.
type Link struct {
	// Loss is the chance of each datagram to be lost, or to begin a burst, 0 to 1.
	Loss float64
	// Burst is how many datagrams are lost on end, on average, once one is; 0 and
	// 1: single ones.
	Burst int
	// Delay is the time that each takes one way.
	Delay time.Duration
	// Seed makes a run's luck repeatable as far as its datagrams are. Each path
	// has luck of its own; it is that of the seed at its first datagram.
	Seed uint64
}

// Links that tests share.
var (
	Clean  = Link{Delay: time.Millisecond}
	Lossy  = Link{Loss: 0.05, Delay: 10 * time.Millisecond, Seed: 1}
	Bursty = Link{Loss: 0.02, Burst: 4, Delay: 20 * time.Millisecond, Seed: 2}
)

// Conditions answers the same in full.
func (l Link) Conditions() badlink.Conditions {
	if l.Burst > 1 {
		return badlink.Conditions{Delay: l.Delay, Burst: badlink.Burst{ToBad: l.Loss, ToGood: 1 / float64(l.Burst), LossBad: 1}}
	}
	return badlink.Conditions{Delay: l.Delay, Loss: l.Loss}
}

// Network is a virtual IPv4 network, 10.0.0.0/24. From each host to each other
// goes a path of its own, a badlink.Pipe.
type Network struct {
	router *vnet.Router
	wake   chan struct{} // has one where the carrier should look again
	stop   chan struct{}
	closed sync.Once
	failed error
	work   sync.WaitGroup // the carrier, and a reader for each socket

	mu      sync.Mutex
	link    Link
	paths   []*path
	byEnds  map[ends]*path
	cut     map[netip.Addr]bool // addresses that nothing passes from or to
	sockets map[*socket]bool
}

// ends are where a path begins and where it leads to.
type ends struct{ from, to netip.Addr }

// path is one direction between two hosts.
type path struct {
	ends
	pipe *badlink.Pipe[datagram]
}

// datagram is one on its way to a socket.
type datagram struct {
	payload []byte
	from    net.Addr
	to      *socket
}

// headers is what an IPv4 packet with UDP has besides the payload, in bytes.
const headers = 20 + 8

// NewNetwork starts a network; hosts are added before the first datagram is sent.
func NewNetwork(link Link) (*Network, error) {
	if err := link.Conditions().Check(); err != nil {
		return nil, fmt.Errorf("transporttest: make network: %w", err)
	}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	// The router passes all at once; what a path does is done before a socket's
	// reader sees it.
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logs, QueueSize: 1 << 14})
	if err != nil {
		return nil, fmt.Errorf("transporttest: make network: %w", err)
	}
	if err := router.Start(); err != nil {
		return nil, fmt.Errorf("transporttest: start network: %w", err)
	}
	n := &Network{
		router: router, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		link: link, byEnds: map[ends]*path{}, cut: map[netip.Addr]bool{}, sockets: map[*socket]bool{},
	}
	n.work.Go(n.carry)
	return n, nil
}

// SetLink changes all paths from now on, and ends their traces.
func (n *Network) SetLink(link Link) {
	now := time.Now()
	n.mu.Lock()
	n.link = link
	for _, p := range n.paths {
		p.pipe.Set(now, link.Conditions())
	}
	n.mu.Unlock()
	n.look()
}

// Set changes the path from one host's address to another's, and ends its trace.
func (n *Network) Set(from, to string, c badlink.Conditions) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("transporttest: set path: %w", err)
	}
	return n.change(from, to, func(p *badlink.Pipe[datagram], now time.Time) { p.Set(now, c) })
}

// Play begins a trace on the two paths between a client's address and a
// server's: up to the server, down to the client.
func (n *Network) Play(client, server string, t badlink.Trace) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("transporttest: play trace: %w", err)
	}
	return errors.Join(
		n.change(client, server, func(p *badlink.Pipe[datagram], now time.Time) { p.Play(now, t.Up, t.Repeat) }),
		n.change(server, client, func(p *badlink.Pipe[datagram], now time.Time) { p.Play(now, t.Down, t.Repeat) }),
	)
}

// Counts answers what the path from one host's address to another's has done.
func (n *Network) Counts(from, to string) (c badlink.Counts, err error) {
	err = n.change(from, to, func(p *badlink.Pipe[datagram], _ time.Time) { c = p.Counts() })
	return c, err
}

func (n *Network) change(from, to string, do func(*badlink.Pipe[datagram], time.Time)) error {
	a, errA := netip.ParseAddr(from)
	b, errB := netip.ParseAddr(to)
	if err := errors.Join(errA, errB); err != nil {
		return fmt.Errorf("transporttest: find path: %w", err)
	}
	now := time.Now()
	n.mu.Lock()
	do(n.path(ends{a, b}, now).pipe, now)
	n.mu.Unlock()
	n.look()
	return nil
}

// Host adds a host with that address, such as 10.0.0.2.
func (n *Network) Host(ip string) (transport.Net, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, fmt.Errorf("transporttest: make host: %w", err)
	}
	inner, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		return nil, fmt.Errorf("transporttest: make host: %w", err)
	}
	if err := n.router.AddNet(inner); err != nil {
		return nil, fmt.Errorf("transporttest: add host: %w", err)
	}
	return &host{Net: inner, network: n, addr: addr}, nil
}

// Cut loses everything from and to that address from now on, what is on its way
// too: its host dies without a word.
func (n *Network) Cut(ip string) { n.setCut(ip, true) }

// Mend undoes Cut.
func (n *Network) Mend(ip string) { n.setCut(ip, false) }

func (n *Network) setCut(ip string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[netip.MustParseAddr(ip)] = cut
}

// Close stops the network and closes its sockets. It is safe to repeat.
func (n *Network) Close() error {
	n.closed.Do(func() {
		close(n.stop)
		n.mu.Lock()
		open := make([]*socket, 0, len(n.sockets))
		for s := range n.sockets {
			open = append(open, s)
		}
		n.mu.Unlock()
		for _, s := range open {
			n.failed = errors.Join(n.failed, s.Close())
		}
		n.failed = errors.Join(n.failed, n.router.Stop())
		n.work.Wait()
	})
	return n.failed
}

// path answers the path between two hosts. The lock is held.
func (n *Network) path(e ends, now time.Time) *path {
	p := n.byEnds[e]
	if p == nil {
		hash := fnv.New64a()
		hash.Write(binary.BigEndian.AppendUint64(nil, n.link.Seed))
		hash.Write(e.from.AsSlice())
		hash.Write(e.to.AsSlice())
		p = &path{ends: e, pipe: badlink.New(now, badlink.Config[datagram]{Seed: hash.Sum64(), Conditions: n.link.Conditions()})}
		n.byEnds[e], n.paths = p, append(n.paths, p)
	}
	return p
}

// enter puts a datagram on the path to its socket.
func (n *Network) enter(from netip.Addr, d datagram) {
	now := time.Now()
	n.mu.Lock()
	if e := (ends{from, d.to.addr}); !n.cut[e.from] && !n.cut[e.to] {
		n.path(e, now).pipe.Push(now, len(d.payload)+headers, d)
	}
	n.mu.Unlock()
	n.look()
}

// look has the carrier look at the paths again.
func (n *Network) look() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// carry hands each datagram to its socket when it is due.
func (n *Network) carry() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-n.wake:
		case <-timer.C:
		}
		if next, ok := n.deliver(time.Now()); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// deliver hands over what is due and answers when the next will be.
func (n *Network) deliver(now time.Time) (next time.Time, any bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		cut := n.cut[p.from] || n.cut[p.to]
		for d, _, ok := p.pipe.Pop(now); ok; d, _, ok = p.pipe.Pop(now) {
			if !cut {
				d.to.deliver(d)
			}
		}
		if t, ok := p.pipe.Next(); ok && (!any || t.Before(next)) {
			next, any = t, true
		}
	}
	return next, any
}
