package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"tutti/mixer"
)

// origins names the origins of a block as label values.
var origins = [mixer.Origins]string{
	mixer.Silence: "silence", mixer.Voice: "voice", mixer.Recovered: "recovered",
	mixer.Concealed: "concealed", mixer.Stretched: "stretched",
}

// figure is one number of mixer.Stats.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(mixer.Stats) float64
}

func gauge(name, help string, of func(mixer.Stats) int) figure {
	return figure{
		prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue,
		func(s mixer.Stats) float64 { return float64(of(s)) },
	}
}

func total(name, help string, of func(mixer.Stats) uint64) figure {
	return figure{
		prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue,
		func(s mixer.Stats) float64 { return float64(of(s)) },
	}
}

var (
	roomsDesc  = prometheus.NewDesc("tutti_rooms", "Rooms that are open.", nil, nil)
	blocksDesc = prometheus.NewDesc("tutti_audio_blocks_total",
		"20 ms blocks of participants' sound, by where they came from.", []string{"origin"}, nil)

	figures = []figure{
		gauge("tutti_participants", "Participants in all rooms.", func(s mixer.Stats) int { return s.Participants }),
		gauge("tutti_subscribers", "Takers of rooms' output.", func(s mixer.Stats) int { return s.Subscribers }),
		total("tutti_audio_ticks_total", "20 ms ticks of the audio loops.", func(s mixer.Stats) uint64 { return s.AudioBlocks }),
		total("tutti_audio_blocks_late_total", "Ticks of the audio loops that began over 5 ms late.", func(s mixer.Stats) uint64 { return s.AudioBlocksLate }),
		total("tutti_audio_blocks_skipped_total", "Blocks that the audio loops jumped over.", func(s mixer.Stats) uint64 { return s.AudioBlocksSkipped }),
		total("tutti_audio_encodes_total", "Mixes encoded.", func(s mixer.Stats) uint64 { return s.AudioEncodes }),
		total("tutti_video_frames_total", "Canvases composed.", func(s mixer.Stats) uint64 { return s.VideoFrames }),
		total("tutti_video_frames_skipped_total", "Canvases that met a busy encoder.", func(s mixer.Stats) uint64 { return s.VideoFramesSkipped }),
		total("tutti_video_encodes_total", "Canvases encoded.", func(s mixer.Stats) uint64 { return s.VideoEncodes }),
		total("tutti_key_frames_total", "Key frames encoded.", func(s mixer.Stats) uint64 { return s.KeyFrames }),
		total("tutti_encode_errors_total", "Encodings that failed.", func(s mixer.Stats) uint64 { return s.EncodeErrors }),
	}
)

// roomCollector asks the rooms at each scrape.
type roomCollector struct{ rooms Source }

// Describe implements prometheus.Collector.
func (c roomCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- roomsDesc
	ch <- blocksDesc
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c roomCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.rooms.Stats()
	ch <- prometheus.MustNewConstMetric(roomsDesc, prometheus.GaugeValue, float64(len(c.rooms.List())))
	for origin, name := range origins {
		ch <- prometheus.MustNewConstMetric(blocksDesc, prometheus.CounterValue, float64(s.Blocks[origin]), name)
	}
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(s))
	}
}
