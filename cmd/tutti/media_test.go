package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tutti/transport/plane"
)

// TestMediaFigures shows every count of the media plane under its own name.
func TestMediaFigures(t *testing.T) {
	s := plane.Stats{
		Received: 1, ReceivedBytes: 2, Reads: 3, Sent: 4, SentBytes: 5, Writes: 6, Refused: 7, Resent: 8, ResendsRefused: 9, Asked: 10,
		Garbage: 11, Strangers: 12, Forged: 13, Replayed: 14, Malformed: 15, Undeclared: 16, EarlyDropped: 17,
		Passed: 21, ControlDropped: 18, Conflicts: 19, KernelDropped: 20, StoppedShut: 22, StoppedExpired: 23,
		HandOver: plane.Histogram{Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{2, 3, 4}, Sum: 5 * time.Second},
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(mediaCollector{func() plane.Stats { return s }})
	page := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	text := page.Body.String()
	for _, want := range []string{
		"tutti_media_received_total 1", "tutti_media_received_bytes_total 2", "tutti_media_reads_total 3", "tutti_media_sent_total 4",
		"tutti_media_sent_bytes_total 5", "tutti_media_writes_total 6", "tutti_media_send_errors_total 7", "tutti_media_resent_total 8",
		"tutti_media_resends_refused_total 9", "tutti_media_asked_total 10", "tutti_media_passed_total 21",
		`{reason="garbage"} 11`, `{reason="stranger"} 12`, `{reason="forged"} 13`, `{reason="replayed"} 14`, `{reason="malformed"} 15`,
		`{reason="undeclared"} 16`, `{reason="early"} 17`, `{reason="ice_busy"} 18`, `{reason="address_taken"} 19`, `{reason="buffer_full"} 20`, `{reason="shut"} 22`, `{reason="expired"} 23`,
		`_seconds_bucket{le="0.001"} 2`, `_seconds_bucket{le="1"} 5`, `_seconds_bucket{le="+Inf"} 9`, "_seconds_sum 5",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the figures lack %s:\n%s", want, text)
		}
	}
}
