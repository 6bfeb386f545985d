package router

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tutti/api/metrics"
)

// figures count what the router decides and does.
type figures struct {
	decisions   *prometheus.CounterVec
	moves       *prometheus.CounterVec
	failovers   prometheus.Counter
	failover    prometheus.Histogram
	epochs      prometheus.Counter
	sessions    prometheus.Counter
	upstreams   *prometheus.CounterVec
	certificate *prometheus.CounterVec
}

func newFigures(m *metrics.Metrics) (*figures, error) {
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tutti_router_" + name, Help: help}, []string{label})
	}
	single := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tutti_router_" + name, Help: help})
	}
	f := &figures{
		decisions: vector("decisions_total", "Requests routed: known, placed, any, previous; or not: away, declined, no_node.", "outcome"),
		moves:     vector("moves_total", "Rooms moved: failover, drain, deadline, rebalance.", "reason"),
		failovers: single("failovers_total", "Rooms brought back whose node had died."),
		failover: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tutti_router_failover_seconds", Help: "Time from the certified death of its node until a room was back.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 4, 8, 16, 32},
		}),
		epochs:      single("epochs_refused_total", "Answers of nodes that a room is elsewhere, or in another epoch."),
		sessions:    single("sessions_limited_total", "Sessions refused because too many were made at once."),
		upstreams:   vector("upstream_errors_total", "Requests that a node did not answer: refused, unreachable, over, broken, error.", "reason"),
		certificate: vector("deaths_certified_total", "Deaths of members that this router has certified, by evidence.", "evidence"),
	}
	for _, c := range []prometheus.Collector{f.decisions, f.moves, f.failovers, f.failover, f.epochs, f.sessions, f.upstreams, f.certificate} {
		if err := m.Register(c); err != nil {
			return nil, fmt.Errorf("router: register metrics: %w", err)
		}
	}
	return f, nil
}

func (f *figures) decided(outcome string)    { f.decisions.WithLabelValues(outcome).Inc() }
func (f *figures) moved(reason string)       { f.moves.WithLabelValues(reason).Inc() }
func (f *figures) refused()                  { f.epochs.Inc() }
func (f *figures) limited()                  { f.sessions.Inc() }
func (f *figures) upstream(reason string)    { f.upstreams.WithLabelValues(reason).Inc() }
func (f *figures) certified(evidence string) { f.certificate.WithLabelValues(evidence).Inc() }

func (f *figures) rescued(took time.Duration) {
	f.failovers.Inc()
	f.failover.Observe(took.Seconds())
}
