// Package router stands in front of the nodes of a cluster: it finds the node
// of a room and passes the room's requests on to it, places rooms that are new,
// and sees to it that rooms whose node has died or is drained live on elsewhere.
//
// A request is routed by the room in its path alone. Where a known room's node
// is away, its requests wait for a while for the room to be brought back. Any
// number of routers may run side by side: none of them keeps anything that the
// others need, and who owns a room is decided by the store, in commits that the
// nodes make. Without the store, rooms that are known go on, and new ones are
// placed by the last membership.
//
// A Router's methods may be called from any goroutine.
package router

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/api"
	"tutti/api/auth"
	"tutti/api/cluster"
	"tutti/api/metrics"
	"tutti/api/router/placement"
	"tutti/api/router/rules"
	"tutti/mixer"
)

// Config is what a Router is made of.
type Config struct {
	// Name is this router's name as a member of the cluster.
	Name  string
	View  Directory
	Store cluster.Store
	Agent Member
	// Peers answers what other members ask under /cluster/v1/; nil for nothing.
	Peers http.Handler
	// Rules say which nodes a room may go to; nil for rules.Default().
	Rules *rules.Rules
	// Placement says how the router chooses among them.
	Placement placement.Config
	// Key is the cluster's key, which nodes know this router by.
	Key string
	// Auth verifies tokens. It may be nil with Dev alone.
	Auth *auth.Verifier
	// Dev lets requests from this machine in without a token.
	Dev bool
	// Origins, Web, WebPolicy, WriteTimeout and Heartbeat are as in api.Config.
	Origins      []string
	Web          fs.FS
	WebPolicy    string
	WriteTimeout time.Duration
	Heartbeat    time.Duration
	Version      string
	// MaxBody bounds a request's body in bytes; 0 for 64 KiB. Bodies are kept until
	// the answer comes, so that a request can be tried at another node.
	MaxBody int64
	// MaxUpload bounds a sound that is sent, in bytes; 0 for api.DefaultMaxUpload.
	// api.MaxUploads of them are passed on at once.
	MaxUpload int64
	// Limits bound how fast sessions are made.
	Limits Limits
	// Rebalance is how often a room may be moved from a hot node to a cooler one; 0
	// for never, else at least 30 s.
	Rebalance time.Duration
	// Wait is how long a request waits for a room whose node is away; 0 for 3 s.
	Wait time.Duration
	// TTL is that of the members' leases; 0 for 2 s. A store that has given no sign
	// of life for so long counts as away.
	TTL time.Duration
	// Transport carries requests to nodes; nil for one of the router's own.
	Transport http.RoundTripper
	// Dial is how a node's port is tried; nil for TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Metrics is where requests and the router's own figures are counted.
	Metrics *metrics.Metrics
	Log     *slog.Logger // nil for slog.Default()
	// Now is the wall clock, nil for time.Now; Boottime that of View.Contact, nil for
	// cluster.Boottime.
	Now      func() time.Time
	Boottime func() time.Duration
}

// Router routes requests to nodes, and keeps rooms on nodes that live.
type Router struct {
	cfg     Config
	log     *slog.Logger
	gate    *api.Gate
	rules   atomic.Pointer[rules.Rules]
	figures *figures
	changed bell // the directory has changed
	deaths  chan struct{}
	recent  *recent
	planner *planner
	making  sync.Map // room: chan struct{}, closed when it is made or not
	limits  *limiter
	uploads chan struct{} // a place for each sound that may come at once
	tenures tenures
	// moves holds the rooms that are being moved, so that each is by one driver
	// alone.
	moves sync.Map // room: struct{}
	// probes holds the members whose port is being tried.
	probes sync.Map // name: struct{}
	life   context.Context
	end    context.CancelFunc
}

// New answers a router that serves at once; Run drives what goes on by itself.
func New(cfg Config) (*Router, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.defaults()
	r := &Router{
		cfg: cfg, log: cfg.Log, deaths: make(chan struct{}, 1), recent: newRecent(),
		limits: newLimiter(cfg.Limits, rand.Float64), uploads: make(chan struct{}, api.MaxUploads),
	}
	r.life, r.end = context.WithCancel(context.Background())
	r.rules.Store(cfg.Rules)
	r.planner = newPlanner(cfg.Placement, cfg.View, r.rules.Load, cfg.Boottime)
	var err error
	if r.figures, err = newFigures(cfg.Metrics); err != nil {
		return nil, err
	}
	r.gate, err = api.NewGate(api.Config{
		Auth: cfg.Auth, Dev: cfg.Dev, Metrics: cfg.Metrics, Version: cfg.Version, Node: cfg.Name, Origins: cfg.Origins, Web: cfg.Web,
		WebPolicy: cfg.WebPolicy, MaxBody: cfg.MaxBody, WriteTimeout: cfg.WriteTimeout, Heartbeat: cfg.Heartbeat, Log: cfg.Log, Now: cfg.Now,
	}, r.routes())
	if err != nil {
		return nil, err
	}
	cfg.View.Subscribe(r.told)
	return r, nil
}

func (cfg *Config) check() error {
	switch {
	case cfg.View == nil, cfg.Store == nil, cfg.Agent == nil, cfg.Metrics == nil:
		return errors.New("router: the configuration lacks View, Store, Agent or Metrics")
	case !mixer.ValidID(cfg.Name):
		return errors.New("router: the router's name must match [A-Za-z0-9_-]{1,64}")
	case cfg.Key == "" && !cfg.Dev:
		return errors.New("router: without the cluster's key nodes do not trust it")
	case cfg.Rebalance != 0 && cfg.Rebalance < 30*time.Second:
		return errors.New("router: rooms are moved at most every 30 s to even out load")
	}
	return cfg.Limits.check()
}

func (cfg *Config) defaults() {
	if cfg.Rules == nil {
		cfg.Rules = rules.Default()
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 64 << 10
	}
	if cfg.MaxUpload <= 0 {
		cfg.MaxUpload = api.DefaultMaxUpload
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.Wait <= 0 {
		cfg.Wait = 3 * time.Second
	}
	if cfg.TTL <= 0 {
		cfg.TTL = 2 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: time.Second}).DialContext
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Boottime == nil {
		cfg.Boottime = cluster.Boottime
	}
}

// newTransport answers what carries requests to nodes: straight to them, and as
// they are. A request whose node has died is ended by its tenure, so no answer
// is waited for with a timeout but that of whoever asks.
func newTransport() http.RoundTripper {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: time.Second, KeepAlive: 5 * time.Second}).DialContext,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   2 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     false, // a connection that stalls holds up one request, not all
	}
}

// SetRules gives new rules to rooms that are placed from now on.
func (r *Router) SetRules(next *rules.Rules) { r.rules.Store(next) }

// Handler answers the whole of the router's HTTP.
func (r *Router) Handler() http.Handler {
	behind := r.gate.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.cfg.Peers != nil && strings.HasPrefix(req.URL.Path, "/cluster/v1/") {
			ctx, cancel := context.WithCancel(req.Context())
			defer cancel()
			defer context.AfterFunc(r.life, cancel)() // what is kept open would hold up the end of the server
			r.cfg.Peers.ServeHTTP(w, req.WithContext(ctx))
			return
		}
		behind.ServeHTTP(w, req)
	})
}

// HTTPServer answers a net/http server for the handler, with the limits on slow
// and large requests that the handler counts on.
func (r *Router) HTTPServer() *http.Server {
	s := r.gate.HTTPServer()
	s.Handler = r.Handler()
	return s
}

// Close ends the streams that pass through the router and the requests that other
// members keep open, which http.Server.Shutdown would wait for. It may be called
// again.
func (r *Router) Close() {
	r.end()
	r.gate.Close()
}

// Run drives failover, drains and the evening out of load until ctx ends, and
// waits for all that it began.
func (r *Router) Run(ctx context.Context) error {
	select {
	case <-r.cfg.View.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	var drivers sync.WaitGroup
	drivers.Go(func() { r.watchMembers(ctx) })
	drivers.Go(func() { r.bury(ctx) })
	drivers.Go(func() { r.rescueAll(ctx) })
	drivers.Go(func() { r.drainAll(ctx) })
	drivers.Go(func() { r.forgetDeaths(ctx) })
	if r.cfg.Rebalance > 0 {
		drivers.Go(func() { r.rebalance(ctx) })
	}
	drivers.Wait()
	return ctx.Err()
}

// told is called by the directory after each change.
func (r *Router) told(c cluster.Change) {
	r.changed.ring()
	if c.Value != nil && isDeath(c.Key) {
		r.tenures.sweep(r.cfg.View.Death)
		select {
		case r.deaths <- struct{}{}:
		default: // it has been told already
		}
	}
}

func isDeath(key string) bool { return strings.HasPrefix(key, deathsAt) }

// bell wakes whoever waits for the next change.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// next answers a channel that is closed at the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// pause waits, and reports whether ctx is still going.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
