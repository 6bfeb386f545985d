package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tutti/api"
	"tutti/api/cluster"
	"tutti/mixer"
	"tutti/transport/forward"
)

// ForwardConfig is where rooms may be forwarded to besides public addresses.
type ForwardConfig struct {
	Allow []string `yaml:"allow"`
}

// loopback is what may be forwarded to under dev.
var loopback = []string{"127.0.0.0/8", "::1/128"}

func (c ForwardConfig) checks() []check {
	return []check{{"forward.allow", all(c.Allow, isPrefix), "must be ranges such as 10.1.0.0/16 or fd00:1::/32"}}
}

// isPrefix reports whether a text is a range of addresses, written with its first
// address: who writes 10.1.2.3/8 means something else than it says.
func isPrefix(s string) bool {
	p, err := netip.ParsePrefix(s)
	return err == nil && p == p.Masked() && !p.Addr().Is4In6()
}

// prefixes answers the ranges, which were checked.
func (c ForwardConfig) prefixes() (list []netip.Prefix) {
	for _, s := range c.Allow {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// forwarders are the forwarders as the API needs them.
type forwarders struct{ *forward.Manager }

func (f forwarders) Start(ctx context.Context, room *mixer.Room, o api.ForwarderOptions) (api.Forwarder, error) {
	return shownForwarder(f.Manager.Start(ctx, room, forward.Options{
		Host: o.Host, AudioPort: o.AudioPort, VideoPort: o.VideoPort, Rendition: o.Rendition, RTCPMux: o.RTCPMux,
		SRTP: forward.SRTP{Profile: o.Profile, Key: forward.Secret(o.Key)}, Starter: o.Starter,
	}))
}

func (f forwarders) List(room string) []api.Forwarder {
	list := []api.Forwarder{}
	for _, i := range f.Manager.List(room) {
		shown, _ := shownForwarder(i, nil)
		list = append(list, shown)
	}
	return list
}

func (f forwarders) Get(room, id string) (api.Forwarder, error) {
	return shownForwarder(f.Manager.Get(room, id))
}

func shownForwarder(i forward.Info, err error) (api.Forwarder, error) {
	if err != nil {
		return api.Forwarder{}, err
	}
	return api.Forwarder{
		ID: i.ID, Host: i.Host, Address: i.Address.String(), AudioPort: i.AudioPort, VideoPort: i.VideoPort,
		Rendition: i.Rendition, RTCPMux: i.RTCPMux, Profile: i.SRTP.Profile, State: string(i.State), StartedAt: i.StartedAt,
		Packets: i.Packets, Bytes: i.Bytes, Dropped: i.Dropped, Refused: i.Refused, KeyFrameRequests: i.KeyFrameRequests,
	}, nil
}

// forwarding are the forwarders as the API needs them to let them go along with
// their rooms.
type forwarding struct{ *forward.Manager }

func (f forwarding) Running(room string) (list []cluster.Forwarder) {
	for _, r := range f.Manager.Running(room) {
		list = append(list, cluster.Forwarder{
			ID: r.ID, Host: r.Host, Address: r.Address.String(), AudioPort: r.AudioPort, VideoPort: r.VideoPort,
			Rendition: r.Rendition, RTCPMux: r.RTCPMux, Profile: r.SRTP.Profile, Key: cluster.Secret(r.SRTP.Key),
			Starter: r.Starter, StartedAt: r.StartedAt.UTC(),
		})
	}
	return list
}

func (f forwarding) Continue(room *mixer.Room, was cluster.Forwarder, after time.Duration) error {
	address, _ := netip.ParseAddr(was.Address) // what is none is refused
	return f.Manager.Continue(room, forward.Running{
		ID: was.ID, Address: address, StartedAt: was.StartedAt, Options: forward.Options{
			Host: was.Host, AudioPort: was.AudioPort, VideoPort: was.VideoPort, Rendition: was.Rendition, RTCPMux: was.RTCPMux,
			SRTP: forward.SRTP{Profile: was.Profile, Key: forward.Secret(was.Key)}, Starter: was.Starter,
		},
	}, after)
}

// forwardMetrics are what all forwarders have done.
func forwardMetrics(m *forward.Manager) []prometheus.Collector {
	total := func(name, help string, of func(forward.Counts) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			_, c := m.Totals()
			return float64(of(c))
		})
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tutti_forwarders", Help: "Forwarders that run."}, func() float64 {
			n, _ := m.Totals()
			return float64(n)
		}),
		total("tutti_forwarded_packets_total", "RTP packets forwarded.", func(c forward.Counts) uint64 { return c.Packets }),
		total("tutti_forwarded_bytes_total", "Bytes of RTP forwarded.", func(c forward.Counts) uint64 { return c.Bytes }),
		total("tutti_forward_dropped_total", "Packets of sound and pictures that were dropped before they were forwarded.", func(c forward.Counts) uint64 { return c.Dropped }),
		total("tutti_forward_refused_total", "Datagrams that no receiver took.", func(c forward.Counts) uint64 { return c.Refused }),
		total("tutti_forward_stopped_total", "Datagrams that were not forwarded since the node's time in the cluster was over.", func(c forward.Counts) uint64 { return c.Stopped }),
	}
}
