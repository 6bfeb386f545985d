package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"tutti/api"
	"tutti/api/auth"
	"tutti/api/cluster"
	"tutti/api/events"
	"tutti/api/metrics"
	"tutti/assets"
	"tutti/mixer"
	"tutti/transport/forward"
	"tutti/transport/live"
	"tutti/transport/record"
	"tutti/transport/rtc"
)

// node is all packages fitted together: what one process serves.
type node struct {
	rooms      *mixer.Rooms
	gateway    *rtc.Gateway
	recordings *record.Manager
	forwarders *forward.Manager
	sounds     sounds
	api        *api.Server
	http       *http.Server
	member     *member // nil for a server by itself
	metrics    *metrics.Metrics
	drainS     int
}

// newNode fits the packages together. The media sockets are bound when it
// answers; address is where HTTP is. In a cluster nothing is sent until the node
// has its place there.
func newNode(c Config, address net.Addr, clustered bool, log *slog.Logger) (*node, error) {
	keys, err := loadKeys(c.Auth)
	if err != nil {
		return nil, err
	}
	hub := events.New(events.Config{})
	n := &node{drainS: c.DrainS}
	n.rooms, err = mixer.NewRooms(mixer.Config{
		Codecs: codecs{}, Scale: scale, Fonts: c.Fonts, MaxRooms: c.Rooms.Max, OnEvent: hub.Publish,
	})
	if err != nil {
		return nil, err
	}
	recorder := record.Config{Dir: filepath.Join(c.Data, "recordings"), OnEvent: hub.Publish, Logger: log}
	if clustered {
		recorder.Node = c.nodeName()
	}
	n.recordings, err = record.New(recorder)
	if err != nil {
		return nil, err
	}
	if n.sounds, err = openSounds(c.Announcements); err != nil {
		return nil, errors.Join(err, n.recordings.Close(context.Background()))
	}
	n.gateway, err = rtc.New(gatewayConfig(c, log))
	if err != nil {
		return nil, errors.Join(err, n.recordings.Close(context.Background()))
	}
	n.forwarders = forward.New(forward.Config{Allow: c.Forward.prefixes(), Gate: n.gateway.MaySend, Logger: log})
	if err = n.serveWith(c, address, keys, hub, log); err == nil && clustered {
		err = n.joinWith(c, address, log)
	}
	if err != nil {
		return nil, errors.Join(err, n.gateway.Close(context.Background()), n.recordings.Close(context.Background()))
	}
	return n, nil
}

// joinWith puts the cluster beside the API.
func (n *node) joinWith(c Config, address net.Addr, log *slog.Logger) (err error) {
	n.gateway.SendUntil(0)
	n.member, err = newMember(c, cluster.NodeRole, address, func(a *cluster.AgentConfig) {
		a.Host, a.Gate, a.Labels, a.Weight = n.api.Host(), n.gateway.SendUntil, labels(c.Cluster.Labels), c.Cluster.Weight
		a.Capacity, a.MaxRooms = c.capacity(), c.Rooms.Max
	}, log)
	if err != nil {
		return err
	}
	for _, m := range n.member.collectors() {
		if err := n.metrics.Register(m); err != nil {
			return errors.Join(fmt.Errorf("register metrics: %w", err), n.member.closeStore())
		}
	}
	n.api.Join(n.member.agent)
	peers, all := n.member.agent.Handler(), n.http.Handler
	n.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/cluster/v1/") {
			peers.ServeHTTP(w, r)
			return
		}
		all.ServeHTTP(w, r)
	})
	return nil
}

func gatewayConfig(c Config, log *slog.Logger) rtc.Config {
	config := rtc.Config{
		Listen: c.UDP, Loopback: c.Dev, Codecs: decoders(), Logger: log,
		MaxVideoWidth: c.Video.MaxWidth, MaxVideoHeight: c.Video.MaxHeight,
	}
	if c.PublicIP != "" {
		config.PublicIPs = []string{c.PublicIP}
	}
	return config
}

// serveWith puts the API in front.
func (n *node) serveWith(c Config, address net.Addr, keys *auth.Verifier, hub *events.Hub, log *slog.Logger) error {
	n.metrics = metrics.New(n.rooms, version())
	for _, m := range append(n.gatewayMetrics(), forwardMetrics(n.forwarders)...) {
		if err := n.metrics.Register(m); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	server, err := api.New(api.Config{
		Rooms: n.rooms, Gateway: gateway{n.gateway}, Recordings: recordings{n.recordings}, Live: live.New(live.Config{}),
		Forwarders: forwarders{n.forwarders}, Forwarding: forwarding{n.forwarders},
		Sounds: n.sounds, MaxUpload: int64(c.Announcements.MaxBytes),
		Auth: keys, Events: hub, Metrics: n.metrics, Web: assets.Web(), WebPolicy: assets.ContentSecurityPolicy,
		Version: release(), Node: c.nodeName(), Address: address.String(),
		AutoCreate: c.Rooms.AutoCreate, Dev: c.Dev, Origins: c.CORS.Origins, Log: log,
		ClusterKey: c.Cluster.Key, Running: running{n.recordings}, Labels: labels(c.Cluster.Labels), Capacity: c.capacity(),
	})
	if err != nil {
		return err
	}
	n.api, n.http = server, server.HTTPServer()
	return nil
}

func (n *node) gatewayMetrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tutti_sessions", Help: "WebRTC sessions that are open.",
		}, func() float64 { return float64(n.gateway.Sessions()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tutti_session_panics_total", Help: "Sessions that ended in a panic.",
		}, func() float64 { return float64(n.gateway.Panics()) }),
		mediaCollector{n.gateway.Media},
	}
}

// gateway is the WebRTC gateway as the API needs it.
type gateway struct{ *rtc.Gateway }

func (g gateway) Open(ctx context.Context, room *mixer.Room, r api.SessionRequest) (api.Session, error) {
	p, err := g.Gateway.Open(ctx, room, rtc.Request(r))
	if err != nil {
		return nil, err // a nil *rtc.Peer is no nil api.Session
	}
	return p, nil
}

func (g gateway) Session(room, participant string) (api.Session, bool) {
	p, ok := g.Gateway.Session(room, participant)
	if !ok {
		return nil, false
	}
	return p, true
}

// recordings is the recorder as the API needs it.
type recordings struct{ *record.Manager }

func (r recordings) Start(ctx context.Context, room *mixer.Room, o api.RecordingOptions) (api.Recording, error) {
	return shown(r.Manager.Start(ctx, room, record.Options(o)))
}

func (r recordings) List(room string) []api.Recording {
	infos := r.Manager.List(room)
	list := make([]api.Recording, len(infos))
	for i, info := range infos {
		list[i], _ = shown(info, nil)
	}
	return list
}

func (r recordings) Get(room, id string) (api.Recording, error) {
	return shown(r.Manager.Get(room, id))
}

func (r recordings) SetState(ctx context.Context, room, id, state string) (api.Recording, error) {
	return shown(r.Manager.SetState(ctx, room, id, state))
}

func (r recordings) Open(room, id, file string) (io.ReadSeekCloser, error) {
	return r.Manager.Open(room, id, file)
}

// running is the recorder as the API needs it to let recordings go along with
// their rooms.
type running struct{ *record.Manager }

func (r running) Running(room string) []cluster.Recording {
	var list []cluster.Recording
	for _, now := range r.Manager.Running(room) {
		list = append(list, cluster.Recording(now))
	}
	return list
}

func (r running) Continue(room *mixer.Room, was cluster.Recording, planned bool) error {
	reason := record.GapNodeLost
	if planned {
		reason = record.GapMoved
	}
	return r.Manager.Continue(room, record.Running(was), reason)
}

// shown answers a recording as the API shows it.
func shown(i record.Info, err error) (api.Recording, error) {
	if err != nil {
		return api.Recording{}, err
	}
	r := api.Recording{
		ID: i.ID, Room: i.Room, Tenant: i.Tenant, State: string(i.State), Format: i.Format, Rendition: i.Rendition, AudioOnly: i.AudioOnly,
		StartedAt: i.StartedAt, EndedAt: i.EndedAt, Bytes: i.Bytes, DurationS: i.DurationS, Error: i.Error,
		Files: make([]api.RecordingFile, len(i.Files)), Gaps: make([]api.RecordingGap, len(i.Gaps)),
	}
	for n, f := range i.Files {
		r.Files[n] = api.RecordingFile(f)
	}
	for n, g := range i.Gaps {
		r.Gaps[n] = api.RecordingGap(g)
	}
	return r, nil
}

// release answers the version alone, as nodes show it and rules ask for it.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// version answers the version and commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text, commit, changed := release(), "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = ", commit " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " and changes"
		}
	}
	return text + commit + changed + ", " + info.GoVersion
}
