// Package api is the HTTP side of a node: rooms, participants, layouts,
// recordings and events over REST as API.md and openapi.yaml beside this file
// say, and the web page.
//
// Every request under /v1 passes one chain: observed (log, metrics, recovery),
// authenticated, then guarded by what its entry in the table of routes says:
// who may, which query parameters, which body. A handler sees only requests
// that passed. Errors become RFC 9457 problems in one place, errors.go.
package api

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/api/events"
	"tutti/api/metrics"
	"tutti/mixer"
)

// Config is what a Server is made of.
type Config struct {
	Rooms      *mixer.Rooms
	Gateway    Gateway
	Recordings Recordings
	Live       Live
	Sounds     Sounds
	Forwarders Forwarders
	// Auth verifies tokens. It may be nil with Dev alone.
	Auth    *auth.Verifier
	Events  *events.Hub
	Metrics *metrics.Metrics
	// Version and Node name the program and this node.
	Version, Node string
	// Address is where clients reach this node, as GET /v1/nodes shows it.
	Address string
	// Web is the web page, with an index.html; nil serves none.
	Web fs.FS
	// WebPolicy is the Content-Security-Policy that the page is served with;
	// empty allows it nothing.
	WebPolicy string
	// AutoCreate makes a room when the first participant posts an offer to it.
	AutoCreate bool
	// Dev lets requests from this machine in without a token.
	Dev bool
	// Origins are the web origins that may call the API from a browser; none
	// stands for any ("*"), which is safe as the API knows no cookies.
	Origins []string
	// MaxBody bounds a request's body in bytes; 0 for 64 KiB.
	MaxBody int64
	// MaxUpload bounds a sound that is sent, in bytes; 0 for DefaultMaxUpload.
	MaxUpload int64
	// WriteTimeout is how long a client may take to accept what is written to
	// it, or in a stream each piece of it; 0 for 30 s.
	WriteTimeout time.Duration
	// Heartbeat is how often a silent stream of events says that it is alive; 0
	// for 15 s.
	Heartbeat time.Duration
	// Log is where requests are logged; nil for slog.Default().
	Log *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time

	// Cluster is what the node shares with others; nil for a server by itself, of
	// which nothing below is looked at but Labels and Capacity. See also Join.
	Cluster Cluster
	// ClusterKey is what members of the cluster know each other by. Only a request
	// that carries it is believed what it says of its client. Empty only with Dev:
	// then a request from this machine is a member's if it has the header.
	ClusterKey string
	// Running moves recordings along with their rooms; nil leaves them behind.
	Running RunningRecordings
	// Forwarding moves forwarders along with their rooms; nil leaves them behind.
	Forwarding RunningForwarders
	// Labels are what the node is called in rules.
	Labels map[string]string
	// Capacity is the CPU that rooms may take, in milliseconds a second; 0 for all
	// of the machine's processors.
	Capacity float64
}

// Server answers the API. Its methods may be called from any goroutine.
type Server struct {
	cfg    Config
	log    *slog.Logger
	echo   *echo.Echo
	owners *owners
	host   *host
	files  map[string]*webFile
	// queryTokens are the paths whose GET takes a token in the query.
	queryTokens map[string]bool
	// forwarded are the paths whose requests are judged elsewhere.
	forwarded map[string]bool
	uploads   chan struct{}   // a place for each sound that may come at once
	life      context.Context // ends with Close
	end       context.CancelFunc
}

// New answers a server that is ready to serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	s.register(s.routes())
	return s, nil
}

// newServer answers a server that has no routes yet.
func newServer(cfg Config) (*Server, error) {
	cfg.defaults()
	s := &Server{cfg: cfg, log: cfg.Log, owners: newOwners(cfg.Now), queryTokens: map[string]bool{}, forwarded: map[string]bool{}, uploads: make(chan struct{}, MaxUploads)}
	s.host = newHost(s)
	s.life, s.end = context.WithCancel(context.Background())
	var err error
	if s.files, err = loadWeb(cfg.Web); err != nil {
		return nil, err
	}
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.IPExtractor = echo.ExtractIPDirect()
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(s.trust, s.observe, s.harden, s.cors, s.authenticate)
	return s, nil
}

var errNoKeys = errors.New("api: without keys the server starts for development only")

func (cfg *Config) check() error {
	switch {
	case cfg.Rooms == nil, cfg.Gateway == nil, cfg.Recordings == nil, cfg.Live == nil, cfg.Sounds == nil, cfg.Forwarders == nil, cfg.Events == nil, cfg.Metrics == nil:
		return errors.New("api: the configuration lacks Rooms, Gateway, Recordings, Live, Sounds, Forwarders, Events or Metrics")
	case cfg.Auth == nil && !cfg.Dev:
		return errNoKeys
	case !mixer.ValidID(cfg.Node):
		return errors.New("api: the node's name must match [A-Za-z0-9_-]{1,64}")
	}
	return nil
}

func (cfg *Config) defaults() {
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 64 << 10
	}
	if cfg.MaxUpload <= 0 {
		cfg.MaxUpload = DefaultMaxUpload
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if len(cfg.Origins) == 0 {
		cfg.Origins = []string{"*"}
	}
	if cfg.WebPolicy == "" {
		cfg.WebPolicy = "default-src 'none'"
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = 1000 * float64(runtime.GOMAXPROCS(0))
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
}

// Join makes the server a node of a cluster, before it serves its first request:
// for who needs its Host to make the Cluster.
func (s *Server) Join(c Cluster) { s.cfg.Cluster = c }

// Handler answers the whole of the server's HTTP.
func (s *Server) Handler() http.Handler { return s.echo }

// HTTPServer answers a net/http server for the handler, with the limits on
// slow and large requests that the handler counts on. Streams lift them for
// themselves.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Ready reports whether the node takes new rooms.
func (s *Server) Ready() bool { return !s.cfg.Rooms.Draining() }

// SetDraining stops the node from taking new rooms, or lets it take them again.
// /readyz tells it.
func (s *Server) SetDraining(on bool) { s.cfg.Rooms.Drain(on) }

// Close ends the streams of events and media, which http.Server.Shutdown would
// wait for. It may be called again.
func (s *Server) Close() { s.end() }
