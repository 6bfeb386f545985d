package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"tutti/api/cluster"
	"tutti/api/metrics"
	"tutti/api/router"
	"tutti/api/router/rules"
	"tutti/assets"
)

// rebalanceEvery is the least time between two moves that even out the nodes.
const rebalanceEvery = 30 * time.Second

// front is all packages of a router fitted together.
type front struct {
	*member
	router *router.Router
	http   *http.Server
}

// newFront fits the packages together. address is where HTTP is.
func newFront(c Config, address net.Addr, initial *rules.Rules, log *slog.Logger) (*front, error) {
	keys, err := loadKeys(c.Auth)
	if err != nil {
		return nil, err
	}
	m, err := newMember(c, cluster.RouterRole, address, func(*cluster.AgentConfig) {}, log)
	if err != nil {
		return nil, err
	}
	figures := metrics.New(nil, version())
	for _, f := range m.collectors() {
		if err := figures.Register(f); err != nil {
			return nil, errors.Join(err, m.closeStore())
		}
	}
	config := router.Config{
		Name: c.nodeName(), View: m.view, Store: m.store, Agent: m.agent, Peers: m.agent.Handler(), Rules: initial, Key: c.Cluster.Key,
		Auth: keys, Dev: c.Dev, Origins: c.CORS.Origins, Web: assets.Web(), WebPolicy: assets.ContentSecurityPolicy, Version: release(),
		Limits:    router.Limits{Sessions: float64(c.Router.SessionsPerS), Tenant: float64(c.Router.TenantSessionsPerS)},
		MaxUpload: int64(c.Announcements.MaxBytes), TTL: c.lease(), Metrics: figures, Log: log,
	}
	if c.Router.Rebalance {
		config.Rebalance = rebalanceEvery
	}
	r, err := router.New(config)
	if err != nil {
		return nil, errors.Join(err, m.closeStore())
	}
	return &front{member: m, router: r, http: r.HTTPServer()}, nil
}

// route runs a router until ctx ends, and then in good order to its end.
func route(ctx context.Context, c Config, log *slog.Logger) error {
	if err := first(append(c.keyChecks(), c.memberChecks(cluster.RouterRole)...)); err != nil {
		return err
	}
	encrypted, err := encryption(ctx, c.TLS, log)
	if err != nil {
		return err
	}
	file, initial, err := openRules(c.Router.Rules)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return taken("http", c.HTTP, err)
	}
	f, err := newFront(c, listener.Addr(), initial, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	served := make(chan error, 1)
	go func() { served <- serveHTTP(f.http, listener, encrypted) }()
	go file.follow(ctx, func(r *rules.Rules) { f.router.SetRules(r); doubt(r, f.view.Nodes(), log) }, log)
	defer time.AfterFunc(settling, func() { doubt(initial, f.view.Nodes(), log) }).Stop()
	f.run()
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		_ = f.router.Run(f.life) // it ends with the member alone
	}()
	if err = f.joined(ctx); err == nil {
		log.Info("ready", "http", listener.Addr().String(), "page", c.page(listener.Addr()), "router", c.nodeName(), "store", f.where())
		err = f.wait(ctx, served)
	}
	err = errors.Join(err, f.shutdown())
	<-driven
	log.Info("stopped")
	return err
}

// wait waits until ctx ends, or until something has ended by itself, and why.
func (f *front) wait(ctx context.Context, served <-chan error) error {
	var store <-chan error
	if f.embedded != nil {
		store = f.embedded.Failed()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	case err := <-f.failed:
		return err
	case err := <-store:
		return err
	}
}

// shutdown gives back the member's place, so that nobody takes a port that is
// closed for a death, then ends the streams and the requests. All steps run, each
// for a share of the time.
func (f *front) shutdown() error {
	within := time.Duration(f.config.DrainS) * time.Second
	ctx, cancelLeave := context.WithTimeout(context.Background(), within/2)
	defer cancelLeave()
	if left := f.leave(ctx); left != nil {
		f.log.Warn("this router's place in the cluster ends with its lease", "error", left)
	}
	f.router.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within/2)
	defer cancel()
	err := f.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.http.Close())
	}
	return err
}
