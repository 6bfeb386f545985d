// Package transporttest has what tests and the demo need at the far end of a
// WebRTC session: a virtual network with loss and delay, and a client that
// publishes given Opus packets and VP8 frames and records what it receives.
//
// Network and Client work in a testing/synctest bubble. Nothing here imports
// package testing, so that tools may use the client too.
package transporttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/vnet"
)

// Link is what a path does to datagrams.
type Link struct {
	// Loss is the share of datagrams that are lost, 0 to 1.
	Loss float64
	// Burst is how many datagrams are lost on end once one is; 0 and 1: single ones.
	Burst int
	// Delay is the time that each takes one way.
	Delay time.Duration
	// Seed makes a run's losses repeatable as far as its datagrams are.
	Seed uint64
}

// Links that tests share.
var (
	Clean  = Link{Delay: time.Millisecond}
	Lossy  = Link{Loss: 0.05, Delay: 10 * time.Millisecond, Seed: 1}
	Bursty = Link{Loss: 0.02, Burst: 4, Delay: 20 * time.Millisecond, Seed: 2}
)

// Network is a virtual IPv4 network, 10.0.0.0/24, on which every datagram goes
// over one Link.
type Network struct {
	router *vnet.Router

	mu    sync.Mutex
	link  Link
	dice  *rand.Rand
	burst int             // how many more are lost
	cut   map[string]bool // addresses that nothing passes from or to
}

// NewNetwork starts a network; Delay cannot be changed later. Hosts are added
// before the first datagram is sent.
func NewNetwork(link Link) (*Network, error) {
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", MinDelay: link.Delay, LoggerFactory: logs, QueueSize: 1 << 14})
	if err != nil {
		return nil, fmt.Errorf("transporttest: make network: %w", err)
	}
	n := &Network{router: router, cut: map[string]bool{}}
	n.SetLink(link)
	router.AddChunkFilter(n.passes)
	if err := router.Start(); err != nil {
		return nil, fmt.Errorf("transporttest: start network: %w", err)
	}
	return n, nil
}

// SetLink changes the loss from now on.
func (n *Network) SetLink(link Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link, n.burst = link, 0
	n.dice = rand.New(rand.NewPCG(link.Seed, link.Seed))
}

// Host adds a host with that address, such as 10.0.0.2.
func (n *Network) Host(ip string) (transport.Net, error) {
	host, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		return nil, fmt.Errorf("transporttest: make host: %w", err)
	}
	if err := n.router.AddNet(host); err != nil {
		return nil, fmt.Errorf("transporttest: add host: %w", err)
	}
	return host, nil
}

// Cut loses everything from and to that address from now on: its host dies
// without a word.
func (n *Network) Cut(ip string) { n.setCut(ip, true) }

// Mend undoes Cut.
func (n *Network) Mend(ip string) { n.setCut(ip, false) }

func (n *Network) setCut(ip string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[ip] = cut
}

// Close stops the network.
func (n *Network) Close() error { return n.router.Stop() }

func (n *Network) passes(c vnet.Chunk) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range []net.Addr{c.SourceAddr(), c.DestinationAddr()} {
		if u, ok := a.(*net.UDPAddr); ok && n.cut[u.IP.String()] {
			return false
		}
	}
	if n.burst > 0 {
		n.burst--
		return false
	}
	if n.dice.Float64() < n.link.Loss {
		n.burst = max(0, n.link.Burst-1)
		return false
	}
	return true
}
