package api

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/api/metrics"
)

// TestAccessLevels holds that ERROR is for what is this program's fault: not for
// a node that has died, nor for what is refused because there is too much.
func TestAccessLevels(t *testing.T) {
	log := &lockedBuffer{}
	var answer error
	handle := func(echo.Context) error { return answer }
	g, err := NewGate(Config{
		Dev: true, Metrics: metrics.New(nil, "test"),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, []Route{
		{Method: "GET", Path: "/x", Handle: handle, Action: auth.None},
		{Method: "POST", Path: "/x", Handle: handle, Action: auth.None},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range []struct {
		method string
		answer error
		level  string
	}{
		{"GET", nil, "DEBUG"},
		{"POST", nil, "INFO"},
		{"GET", Refuse("room_not_found", "x"), "DEBUG"},
		{"GET", Refuse("node_unreachable", "x"), "WARN"},
		{"POST", Refuse("node_unreachable", "x"), "WARN"},
		{"GET", Refuse("room_away", "x"), "WARN"},
		{"POST", Refuse("overloaded", "x"), "WARN"},
		{"GET", Refuse("not_implemented", "x"), "DEBUG"},
		{"GET", errors.New("broken"), "ERROR"},
		{"POST", Refuse("recording_failed", "x"), "ERROR"},
	} {
		before := len(log.String())
		answer = c.answer
		g.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(c.method, "/x", nil))
		got := log.String()[before:]
		if !strings.Contains(got, "level="+c.level+" msg=request ") {
			t.Errorf("%s answered %v: %q, want level %s", c.method, c.answer, got, c.level)
		}
	}
}
