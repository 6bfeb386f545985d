// Package metrics shows a node's counters to Prometheus.
//
// The rooms are asked at each scrape and never otherwise, so rooms that nobody
// looks at cost nothing here. Totals cover the rooms that are no more, so that
// they never go backwards.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tutti/mixer"
)

// Source is what is asked at each scrape; *mixer.Rooms is one.
type Source interface {
	// Stats answers sums over all rooms that are and were.
	Stats() mixer.Stats
	// List answers the rooms that are.
	List() []*mixer.Room
}

// Metrics is the registry of a node. Its methods may be called from any
// goroutine.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

// New answers a registry with the rooms', the API's, the Go runtime's and the
// process' figures; a router has no rooms and gives nil. version is shown as a label of tutti_build_info.
func New(rooms Source, version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tutti_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tutti_http_request_duration_seconds", Help: "Time to answer a request, by route; streams are left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tutti_http_panics_total", Help: "Requests that ended in a panic.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tutti_build_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	if rooms != nil {
		m.registry.MustRegister(roomCollector{rooms}, &linkCollector{rooms: rooms})
	}
	m.registry.MustRegister(m.requests, m.duration, m.panics, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Register adds a collector of another package.
func (m *Metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Handler serves the figures in the formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Request counts an answered request. route is the pattern that matched, never
// the path, so that nobody outside can make new series; stream keeps its
// duration out of the histogram.
func (m *Metrics) Request(method, route string, status int, took time.Duration, stream bool) {
	m.requests.WithLabelValues(known(method), route, strconv.Itoa(status)).Inc()
	if !stream {
		m.duration.WithLabelValues(route).Observe(took.Seconds())
	}
}

// Panic counts a request that ended in a panic.
func (m *Metrics) Panic() { m.panics.Inc() }

// known answers the method, or "other" for one that HTTP does not have.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
