package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tutti/api/cluster"
	"tutti/api/cluster/etcd"
)

// member is this process's place in a cluster: the store, a watched copy of it,
// and the agent, which keeps the place.
type member struct {
	config   Config
	log      *slog.Logger
	store    cluster.Store
	embedded *etcd.Server // nil where the store is elsewhere
	view     *cluster.View
	agent    *cluster.Agent

	life   context.Context // of view and agent
	end    context.CancelFunc
	ended  chan struct{} // closed when both have ended
	failed chan error    // why the agent ended by itself
}

// newMember answers a member that has done nothing yet. address is where this
// process listens; own is what a node's agent is told besides.
func newMember(c Config, role cluster.Role, address net.Addr, own func(*cluster.AgentConfig), log *slog.Logger) (*member, error) {
	m := &member{config: c, log: log, ended: make(chan struct{}), failed: make(chan error, 1)}
	m.life, m.end = context.WithCancel(context.Background())
	if err := m.openStore(role); err != nil {
		return nil, errors.Join(err, m.closeStore())
	}
	m.view = cluster.NewView(m.store, log)
	config := cluster.AgentConfig{
		Store: m.store, View: m.view, Role: role, Name: c.nodeName(), Address: c.address(address), Version: release(),
		Key: c.Cluster.Key, Dev: c.Dev, TTL: c.lease(), Log: log,
	}
	own(&config)
	var err error
	if m.agent, err = cluster.NewAgent(config); err != nil {
		return nil, errors.Join(err, m.closeStore())
	}
	return m, nil
}

// openStore dials the store; a router that is told of none brings one.
func (m *member) openStore(role cluster.Role) (err error) {
	c := &m.config
	urls := c.Cluster.URLs
	if role == cluster.RouterRole && len(urls) == 0 {
		m.embedded, err = etcd.Embed(etcd.EmbedConfig{
			Name: c.storeName(), Dir: c.Store.Data, ClientURLs: []string{c.Store.Client}, PeerURLs: []string{c.Store.Peer},
			InitialCluster: strings.Join(c.Store.Initial, ","), Log: m.log,
		})
		if err != nil {
			return taken("store.client or store.peer", c.Store.Client+" or "+c.Store.Peer, err)
		}
		urls = m.embedded.Endpoints()
	}
	// A renewal must have time for a second try before the lease ends.
	m.store, err = etcd.Dial(etcd.Config{Endpoints: urls, Limit: min(time.Second, c.lease()/4), Log: m.log})
	return err
}

func (m *member) closeStore() error {
	var err error
	if m.store != nil {
		err = m.store.Close()
	}
	if m.embedded != nil {
		err = errors.Join(err, m.embedded.Close())
	}
	return err
}

// run begins what goes on until leave: the copy of the store, and the member's
// place. The process must listen at its address by now.
func (m *member) run() {
	viewed := make(chan struct{})
	go func() {
		defer close(viewed)
		_ = m.view.Run(m.life) // it ends with m.life alone
	}()
	go func() {
		defer close(m.ended)
		err := m.checkKey()
		if err == nil {
			err = m.agent.Run(m.life)
		}
		if m.life.Err() == nil {
			m.failed <- err
		}
		m.end()
		<-viewed
	}()
}

// checkKey asks another member whether the cluster's key is the same there. With
// another key this one would register and then be trusted by nobody.
func (m *member) checkKey() error {
	select {
	case <-m.view.Ready():
	case <-m.life.Done():
		return nil
	}
	for _, other := range m.view.Members() {
		if other.Live == nil || other.Member.Name == m.config.nodeName() {
			continue
		}
		switch status, err := m.knock(other.Live.Address); {
		case err != nil:
			m.log.Warn("another member does not answer", "of", other.Member.Name, "address", other.Live.Address, "error", err)
		case status == http.StatusForbidden:
			return &KeyError{Key: "cluster.key", Reason: fmt.Sprintf("is not that of %s at %s, which lets this member not in", other.Member.Name, other.Live.Address)}
		default:
			return nil
		}
	}
	return nil
}

// knock answers with which status a member lets this one in.
func (m *member) knock(address string) (int, error) {
	ctx, cancel := context.WithTimeout(m.life, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/cluster/v1/alive", http.NoBody)
	if err != nil {
		return 0, err
	}
	if m.config.Cluster.Key != "" {
		req.Header.Set(cluster.KeyHeader, m.config.Cluster.Key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// joined waits until the member has its place. It answers why it gets none, or
// nil also where ctx has ended before.
func (m *member) joined(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	for m.agent.State().Standing != cluster.Held {
		select {
		case <-ctx.Done():
			return nil
		case err := <-m.failed:
			return err
		case <-late.C:
			m.log.Warn("the cluster has not taken this member yet; it goes on trying", "store", m.where())
		case <-tick.C:
		}
	}
	return nil
}

// where answers where the store is.
func (m *member) where() string {
	if m.embedded != nil {
		return strings.Join(m.embedded.Endpoints(), ",")
	}
	return strings.Join(m.config.Cluster.URLs, ",")
}

// moveAway lets the other nodes have the rooms of this one, until the last has
// gone with its clients, nobody is left who could take one, or the time is up.
// here answers how many rooms are still on this node, as the old halves of those
// that have moved.
func (m *member) moveAway(here func() int) {
	m.agent.Drain(true)
	if n := here(); n > 0 {
		m.log.Info("moving the rooms to other nodes; a second signal ends now", "rooms", n, "within_s", m.config.Cluster.DrainS)
	}
	late := time.NewTimer(time.Duration(m.config.Cluster.DrainS) * time.Second)
	defer late.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for m.agent.Rooms() > 0 && m.others() > 0 || here() > m.agent.Rooms() {
		select {
		case <-tick.C:
		case <-m.life.Done():
			return
		case <-late.C:
			m.log.Warn("the time for moving rooms is over; those that are left come back elsewhere when this node is gone", "rooms", here())
			return
		}
	}
}

// others answers how many other nodes might take a room.
func (m *member) others() (n int) {
	for _, o := range m.view.Nodes() {
		if o.Member.Name != m.config.nodeName() && o.Live != nil && o.Live.State == cluster.Active {
			n++
		}
	}
	return n
}

// leave gives up the member's place and ends all that run began. Where the store
// does not answer in time, the place ends with its lease.
func (m *member) leave(ctx context.Context) error {
	err := m.agent.Leave(ctx)
	m.end()
	<-m.ended
	return errors.Join(err, m.closeStore())
}

// collectors are the member's figures.
func (m *member) collectors() []prometheus.Collector {
	total := func(name, help string, of func(cluster.AgentStats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tutti_cluster_" + name, Help: help},
			func() float64 { return float64(of(m.agent.Stats())) })
	}
	gauge := func(name, help string, of func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tutti_cluster_" + name, Help: help}, of)
	}
	return []prometheus.Collector{
		total("renewals_total", "Renewals of the lease.", func(s cluster.AgentStats) uint64 { return s.Renewals }),
		total("renewals_failed_total", "Renewals that the store did not answer.", func(s cluster.AgentStats) uint64 { return s.RenewalsFailed }),
		total("epochs_refused_total", "Claims, saves and takes of rooms that were somebody else's.", func(s cluster.AgentStats) uint64 { return s.Refused }),
		total("fences_total", "How often this member had to stop all media.", func(s cluster.AgentStats) uint64 { return s.Fences }),
		total("stases_total", "How often this member went on without the store.", func(s cluster.AgentStats) uint64 { return s.Stases }),
		gauge("rooms", "Rooms that this node owns.", func() float64 { return float64(m.agent.Rooms()) }),
		gauge("foreign_entries", "Entries of the store that were not understood.", func() float64 { return float64(m.view.Foreign()) }),
		gauge("held", "1 while the lease is held, else 0.", func() float64 {
			if m.agent.State().Standing == cluster.Held {
				return 1
			}
			return 0
		}),
	}
}
