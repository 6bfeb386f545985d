package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tutti/mixer"
)

func TestTheWebPage(t *testing.T) {
	h := newHarness(t, nil)
	a := h.do("GET", "/", "", "").is(200)
	if string(a.body) != "<!doctype html>hello" || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || a.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	if p := a.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'self'") || !strings.Contains(p, "media-src 'self' blob:") {
		t.Errorf("policy %q", p)
	}
	h.do("GET", "/", "", "", "If-None-Match: "+a.Header.Get("ETag")).is(304)
	h.do("GET", "/?room=r1#x", "", "").is(200)
	h.do("GET", "/index.html", "", "").is(200)
	if a := h.do("GET", "/lib/a.js", "", "").is(200); a.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%v", a.Header)
	}
	if a := h.do("GET", "/lib/", "", "").is(200); string(a.body) != "in lib" {
		t.Errorf("%q", a.body)
	}
	if a := h.do("HEAD", "/", "", "").is(200); len(a.body) != 0 {
		t.Errorf("%q", a.body)
	}
}

func TestWithoutAWebPage(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Web = nil })
	h.do("GET", "/", "", "").problem(404, "not_found", "")
}

func TestCORS(t *testing.T) {
	h := furnished(t)
	preflight := func(path, method string) answer {
		return h.do("OPTIONS", path, "", "", "Origin: https://page.example", "Access-Control-Request-Method: "+method,
			"Access-Control-Request-Headers: authorization,content-type,if-match")
	}
	for path, method := range map[string]string{"/v1/rooms": "POST", "/v1/rooms/r1": "PUT", "/v1/rooms/r1/whip": "POST", "/v1/rooms/r1/participants/p1": "PATCH"} {
		a := preflight(path, method).is(200)
		if a.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), method) {
			t.Errorf("%s: %v", path, a.Header)
		}
		for _, name := range []string{"Authorization", "Content-Type", "If-Match", "Last-Event-ID", "Range"} {
			if !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("%s: %s may not be sent", path, name)
			}
		}
		if a.Header.Get("Access-Control-Allow-Credentials") != "" || len(a.body) != 0 {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	a := h.offer("/v1/rooms/r1/whip", h.admin()).is(201)
	for _, name := range []string{"Location", "ETag", "Link", "Retry-After"} {
		if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed", name)
		}
	}
	refused := h.do("GET", "/v1/rooms/r1", "", "", "Origin: https://page.example").problem(401, "token_required", "")
	if refused.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page cannot read why it is refused")
	}
	if a := h.do("GET", "/metrics", "", "", "Origin: https://page.example"); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("/metrics is for pages")
	}
}

func TestCORSOfSomeOrigins(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Origins = []string{"https://good.example"} })
	for origin, want := range map[string]string{"https://good.example": "https://good.example", "https://evil.example": "", "": ""} {
		a := h.do("OPTIONS", "/v1/rooms", "", "", "Origin: "+origin)
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != want || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%q: allowed %q, Vary %q", origin, got, a.Header.Get("Vary"))
		}
		if (a.Header.Get("Access-Control-Allow-Methods") != "") != (want != "") {
			t.Errorf("%q: %v", origin, a.Header)
		}
	}
}

func TestNothingIsAPageOrCached(t *testing.T) {
	h := furnished(t)
	for _, path := range []string{"/v1/rooms", "/v1/rooms/r1/snapshot.png", "/v1/bogus"} {
		a := h.do("GET", path, h.admin(), "")
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}

// panicking is a recorder that fails in the worst way.
type panicking struct{ *fakeRecordings }

func (panicking) List(string) []Recording { panic("at the disco") }

func TestAPanicIsAnAnswer(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Recordings = panicking{} })
	a := h.do("GET", "/v1/rooms/r1/recordings", h.admin(), "").problem(500, "internal", "")
	if strings.Contains(string(a.body), "disco") {
		t.Error("the panic was told")
	}
	if !strings.Contains(h.log.String(), "at the disco") {
		t.Error("the panic was not logged")
	}
	if m := string(h.do("GET", "/metrics", "", "").is(200).body); !strings.Contains(m, "tutti_http_panics_total 1") ||
		!strings.Contains(m, `tutti_http_requests_total{method="GET",route="/v1/rooms/:room/recordings",status="500"} 1`) {
		t.Errorf("metrics:\n%s", m)
	}
}

// TestAnUnknownErrorIsInternal holds that codes outside of the table are
// failures of the server, and that every code inside answers its status.
func TestAnUnknownErrorIsInternal(t *testing.T) {
	for code, k := range problems {
		if p := problemOf(fmt.Errorf("wrapped: %w", codedError(code))); p.Code != code || p.Status != k.status {
			t.Errorf("%s: %+v", code, p)
		}
	}
	for _, err := range []error{codedError("bogus"), fmt.Errorf("plain"), codedError("")} {
		if p := problemOf(err); p.Code != "internal" || p.Status != 500 {
			t.Errorf("%v: %+v", err, p)
		}
	}
	for _, err := range []error{
		mixer.ErrRoomNotFound, mixer.ErrRoomExists, mixer.ErrRoomClosed, mixer.ErrRoomFull, mixer.ErrParticipantNotFound,
		mixer.ErrParticipantExists, mixer.ErrDraining, mixer.ErrTooManyRooms, mixer.ErrVersion, &mixer.FieldError{},
	} {
		if p := problemOf(err); p.Status >= 500 && p.Status != http.StatusServiceUnavailable {
			t.Errorf("%v: %+v", err, p)
		}
	}
}

// TestMetricsNameNoPaths holds that strangers cannot make new series.
func TestMetricsNameNoPaths(t *testing.T) {
	h := furnished(t)
	for i := range 50 {
		h.do("GET", fmt.Sprintf("/v1/stray%d", i), h.admin(), "").is(404)
		h.do("GET", fmt.Sprintf("/v1/rooms/stray%d", i), h.admin(), "").is(404)
		req, err := http.NewRequest(fmt.Sprintf("STRAY%d", i), "/v1/rooms", nil)
		if err != nil {
			t.Fatal(err)
		}
		h.serve(req)
	}
	if m := string(h.do("GET", "/metrics", "", "").is(200).body); strings.Contains(m, "stray") || strings.Contains(m, "STRAY") {
		t.Errorf("metrics:\n%s", m)
	}
}
