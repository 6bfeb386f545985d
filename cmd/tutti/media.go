package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"tutti/transport/plane"
)

// mediaFigure is one number of plane.Stats; reason is the label's value where
// it has one.
type mediaFigure struct {
	desc   *prometheus.Desc
	reason []string
	of     func(plane.Stats) uint64
}

func mediaTotal(name, help string, of func(plane.Stats) uint64) mediaFigure {
	return mediaFigure{desc: prometheus.NewDesc(name, help, nil, nil), of: of}
}

var (
	refusedDesc = prometheus.NewDesc("tutti_media_refused_total", "Datagrams that were not taken, by reason.", []string{"reason"}, nil)
	stoppedDesc = prometheus.NewDesc("tutti_media_stopped_total",
		"Datagrams that were not sent since the node's time in the cluster was over: it was fenced (shut), or woke up too late (expired).", []string{"reason"}, nil)
	handedDesc = prometheus.NewDesc("tutti_media_hand_over_seconds",
		"From a packet's arrival at the socket to its taker, such as the jitter buffer.", nil, nil)

	mediaFigures = []mediaFigure{
		mediaTotal("tutti_media_received_total", "Datagrams read.", func(s plane.Stats) uint64 { return s.Received }),
		mediaTotal("tutti_media_received_bytes_total", "Bytes of datagrams read.", func(s plane.Stats) uint64 { return s.ReceivedBytes }),
		mediaTotal("tutti_media_reads_total", "Calls that read datagrams.", func(s plane.Stats) uint64 { return s.Reads }),
		mediaTotal("tutti_media_sent_total", "Datagrams of media sent.", func(s plane.Stats) uint64 { return s.Sent }),
		mediaTotal("tutti_media_sent_bytes_total", "Bytes of datagrams of media sent.", func(s plane.Stats) uint64 { return s.SentBytes }),
		mediaTotal("tutti_media_writes_total", "Calls that sent datagrams of media.", func(s plane.Stats) uint64 { return s.Writes }),
		mediaTotal("tutti_media_send_errors_total", "Datagrams that the kernel refused to send.", func(s plane.Stats) uint64 { return s.Refused }),
		mediaTotal("tutti_media_resent_total", "Packets sent again.", func(s plane.Stats) uint64 { return s.Resent }),
		mediaTotal("tutti_media_resends_refused_total", "Packets asked for that were unknown, just sent, or beyond the budget.", func(s plane.Stats) uint64 { return s.ResendsRefused }),
		mediaTotal("tutti_media_asked_total", "Missing packets that clients were asked for.", func(s plane.Stats) uint64 { return s.Asked }),
		mediaTotal("tutti_media_renewed_total", "Consent checks (RFC 7675) that were answered without ICE.", func(s plane.Stats) uint64 { return s.Renewed }),
		mediaTotal("tutti_media_passed_total", "STUN and DTLS datagrams given to ICE.", func(s plane.Stats) uint64 { return s.Passed }),
		{stoppedDesc, []string{"shut"}, func(s plane.Stats) uint64 { return s.StoppedShut }},
		{stoppedDesc, []string{"expired"}, func(s plane.Stats) uint64 { return s.StoppedExpired }},
		refused("garbage", func(s plane.Stats) uint64 { return s.Garbage }),
		refused("stranger", func(s plane.Stats) uint64 { return s.Strangers }),
		refused("forged", func(s plane.Stats) uint64 { return s.Forged }),
		refused("replayed", func(s plane.Stats) uint64 { return s.Replayed }),
		refused("malformed", func(s plane.Stats) uint64 { return s.Malformed }),
		refused("undeclared", func(s plane.Stats) uint64 { return s.Undeclared }),
		refused("early", func(s plane.Stats) uint64 { return s.EarlyDropped }),
		refused("ice_busy", func(s plane.Stats) uint64 { return s.ControlDropped }),
		refused("address_taken", func(s plane.Stats) uint64 { return s.Conflicts }),
		refused("buffer_full", func(s plane.Stats) uint64 { return s.KernelDropped }),
	}
)

// refused is a reason why datagrams are not taken.
func refused(reason string, of func(plane.Stats) uint64) mediaFigure {
	return mediaFigure{refusedDesc, []string{reason}, of}
}

// mediaCollector asks the media plane at each scrape.
type mediaCollector struct{ stats func() plane.Stats }

// Describe implements prometheus.Collector.
func (c mediaCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- refusedDesc
	ch <- stoppedDesc
	ch <- handedDesc
	for _, f := range mediaFigures {
		if f.reason == nil {
			ch <- f.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c mediaCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	for _, f := range mediaFigures {
		ch <- prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(f.of(s)), f.reason...)
	}
	buckets := map[float64]uint64{}
	var n uint64
	for i, b := range s.HandOver.Bounds {
		n += s.HandOver.Counts[i]
		buckets[b.Seconds()] = n
	}
	n += s.HandOver.Counts[len(s.HandOver.Bounds)]
	ch <- prometheus.MustNewConstHistogram(handedDesc, n, s.HandOver.Sum.Seconds(), buckets)
}
