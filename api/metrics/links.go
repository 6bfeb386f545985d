package metrics

import (
	"math"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"tutti/mixer"
)

// repairs are the words for how a listener's sound is helped over losses.
var repairs = map[string]string{"": "none", "fec": "fec", "red": "red"}

var (
	announcementsDesc = prometheus.NewDesc("tutti_announcements", "Announcements that play.", nil, nil)
	listenersDesc     = prometheus.NewDesc("tutti_listeners",
		"Participants who receive sound, by how it is helped over losses.", []string{"repair"}, nil)

	packetsReceived = prometheus.NewDesc("tutti_audio_packets_received_total", "Packets of participants' sound that came in time.", nil, nil)
	packetsLost     = prometheus.NewDesc("tutti_audio_packets_lost_total", "Packets of participants' sound that were not there when due, the late ones included.", nil, nil)
	packetsLate     = prometheus.NewDesc("tutti_audio_packets_late_total", "Packets of participants' sound that came when their time was over.", nil, nil)
)

// spread is a figure of each participant of which the median, the 95th
// percentile and the largest are shown: no participant has a series of its own.
type spread struct {
	desc *prometheus.Desc
	of   func(mixer.ParticipantInfo) (value float64, has bool)
}

func newSpread(name, help string, has func(mixer.ParticipantInfo) bool, of func(mixer.LinkStats) float64) spread {
	return spread{
		prometheus.NewDesc(name, help+" Of the participants the median, p95 and max.", []string{"stat"}, nil),
		func(i mixer.ParticipantInfo) (float64, bool) { return of(i.Link), has(i) },
	}
}

func sends(i mixer.ParticipantInfo) bool   { return i.HasAudio }
func listens(i mixer.ParticipantInfo) bool { return i.Role != mixer.Publisher }

var spreads = []spread{
	newSpread("tutti_audio_jitter_seconds", "How unevenly sound comes in.", sends, func(l mixer.LinkStats) float64 { return l.JitterMS / 1000 }),
	newSpread("tutti_audio_buffered_seconds", "What jitter buffers hold.", sends, func(l mixer.LinkStats) float64 { return l.BufferedMS / 1000 }),
	newSpread("tutti_audio_target_seconds", "What jitter buffers aim to hold.", sends, func(l mixer.LinkStats) float64 { return l.TargetMS / 1000 }),
	newSpread("tutti_audio_clock_drift_ratio", "By how much senders' clocks are off, either way.", sends, func(l mixer.LinkStats) float64 { return math.Abs(l.DriftPPM) / 1e6 }),
	newSpread("tutti_audio_sent_loss_ratio", "What listeners report as lost of the sound that they are sent.", listens, func(l mixer.LinkStats) float64 { return l.SentLossPercent / 100 }),
}

// packets are counts of a participant's link.
type packets struct{ received, lost, late uint64 }

// since adds what came after a former count; one that goes back began anew.
func (p *packets) since(now, then packets) {
	p.received += rise(now.received, then.received)
	p.lost += rise(now.lost, then.lost)
	p.late += rise(now.late, then.late)
}

func rise(now, then uint64) uint64 {
	if now < then {
		return now
	}
	return now - then
}

// linkCollector asks the participants at each scrape. The totals of their packets
// keep what those had at the last scrape who have left since.
type linkCollector struct {
	rooms Source

	scrape sync.Mutex // one at a time; the rooms never take it
	total  packets
	seen   map[*mixer.Participant]packets // at the last scrape
}

// Describe implements prometheus.Collector.
func (c *linkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{announcementsDesc, listenersDesc, packetsReceived, packetsLost, packetsLate} {
		ch <- d
	}
	for _, s := range spreads {
		ch <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (c *linkCollector) Collect(ch chan<- prometheus.Metric) {
	c.scrape.Lock()
	defer c.scrape.Unlock()
	announcements := 0
	listeners := map[string]int{}
	values := make([][]float64, len(spreads))
	seen := map[*mixer.Participant]packets{}
	for _, r := range c.rooms.List() {
		announcements += len(r.Announcements())
		for _, p := range r.Participants() {
			info := p.Info()
			seen[p] = packets{info.Link.PacketsReceived, info.Link.PacketsLost, info.Link.PacketsLate}
			if listens(info) {
				listeners[repairs[info.Link.Repair]]++
			}
			for i, s := range spreads {
				if v, has := s.of(info); has {
					values[i] = append(values[i], v)
				}
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(announcementsDesc, prometheus.GaugeValue, float64(announcements))
	for _, word := range repairs {
		ch <- prometheus.MustNewConstMetric(listenersDesc, prometheus.GaugeValue, float64(listeners[word]), word)
	}
	for i, s := range spreads {
		for stat, v := range statsOf(values[i]) {
			ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, v, stat)
		}
	}
	sum := c.count(seen)
	ch <- prometheus.MustNewConstMetric(packetsReceived, prometheus.CounterValue, float64(sum.received))
	ch <- prometheus.MustNewConstMetric(packetsLost, prometheus.CounterValue, float64(sum.lost))
	ch <- prometheus.MustNewConstMetric(packetsLate, prometheus.CounterValue, float64(sum.late))
}

// count adds what came since the last scrape and answers the totals.
func (c *linkCollector) count(seen map[*mixer.Participant]packets) packets {
	for p, now := range seen {
		c.total.since(now, c.seen[p])
	}
	c.seen = seen
	return c.total
}

// statsOf answers the median, the 95th percentile and the largest; 0 of nothing.
func statsOf(values []float64) map[string]float64 {
	if len(values) == 0 {
		return map[string]float64{"median": 0, "p95": 0, "max": 0}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(math.Ceil(share*float64(len(values))))-1] }
	return map[string]float64{"median": at(0.5), "p95": at(0.95), "max": at(1)}
}
