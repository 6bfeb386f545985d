package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// fixed is a source that says what it is told.
type fixed struct {
	stats mixer.Stats
	rooms []*mixer.Room
}

func (f *fixed) Stats() mixer.Stats  { return f.stats }
func (f *fixed) List() []*mixer.Room { return f.rooms }

// newRoom answers a room with nobody in it.
func newRoom(t *testing.T) *mixer.Room {
	t.Helper()
	rooms, err := mixer.NewRooms(mixer.Config{Codecs: &mixertest.Codecs{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := rooms.Create("r", mixer.DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close("over") })
	return r
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestEveryFigureIsShown(t *testing.T) {
	f := &fixed{rooms: []*mixer.Room{newRoom(t), newRoom(t), newRoom(t)}, stats: mixer.Stats{
		Participants: 1, Subscribers: 2, AudioBlocks: 3, AudioBlocksLate: 4, AudioBlocksSkipped: 5,
		AudioEncodes: 6, VideoEncodes: 7, VideoFrames: 8, VideoFramesSkipped: 9, KeyFrames: 10, EncodeErrors: 11,
		Blocks: [mixer.Origins]uint64{21, 22, 23, 24, 25},
	}}
	m := New(f, "v1.2")
	m.Request("GET", "/v1/rooms", 200, time.Millisecond, false)
	m.Request("BREW", "unmatched", 405, time.Millisecond, false)
	m.Request("GET", "/v1/events", 200, time.Hour, true)
	m.Panic()
	text := scrape(t, m)
	for _, want := range []string{
		"tutti_rooms 3", "tutti_participants 1", "tutti_subscribers 2", "tutti_audio_ticks_total 3", "tutti_audio_blocks_late_total 4",
		"tutti_audio_blocks_skipped_total 5", "tutti_audio_encodes_total 6", "tutti_video_encodes_total 7", "tutti_video_frames_total 8",
		"tutti_video_frames_skipped_total 9", "tutti_key_frames_total 10", "tutti_encode_errors_total 11",
		`tutti_audio_blocks_total{origin="silence"} 21`, `tutti_audio_blocks_total{origin="voice"} 22`, `tutti_audio_blocks_total{origin="recovered"} 23`,
		`tutti_audio_blocks_total{origin="concealed"} 24`, `tutti_audio_blocks_total{origin="stretched"} 25`,
		`tutti_build_info{version="v1.2"} 1`, "tutti_http_panics_total 1",
		`tutti_http_requests_total{method="GET",route="/v1/rooms",status="200"} 1`, `tutti_http_requests_total{method="other",route="unmatched",status="405"} 1`,
		`tutti_http_request_duration_seconds_count{route="/v1/rooms"} 1`, "go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, `duration_seconds_count{route="/v1/events"}`) {
		t.Error("a stream is in the histogram")
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestTotalsOutliveRooms runs a real room and closes it: what it has counted
// stays.
func TestTotalsOutliveRooms(t *testing.T) {
	rooms, err := mixer.NewRooms(mixer.Config{Codecs: &mixertest.Codecs{}})
	if err != nil {
		t.Fatal(err)
	}
	m := New(rooms, "test")
	r, err := rooms.Create("r", mixer.DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Snapshot(t.Context()) // draws the canvas
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
	before := value(t, m, "tutti_video_frames_total")
	if before == 0 || value(t, m, "tutti_rooms") != 1 {
		t.Fatalf("%v frames, %v rooms", before, value(t, m, "tutti_rooms"))
	}
	r.Close("over")
	if after := value(t, m, "tutti_video_frames_total"); after < before || value(t, m, "tutti_rooms") != 0 {
		t.Errorf("%v frames after %v; %v rooms", after, before, value(t, m, "tutti_rooms"))
	}
}

func value(t *testing.T, m *Metrics, name string) float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func TestRegister(t *testing.T) {
	m := New(&fixed{}, "test")
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "tutti_other_total", Help: "x"})
	if err := m.Register(c); err != nil {
		t.Fatal(err)
	}
	if err := m.Register(c); err == nil {
		t.Error("registered twice")
	}
	if !strings.Contains(scrape(t, m), "tutti_other_total 0") {
		t.Error("not shown")
	}
}
