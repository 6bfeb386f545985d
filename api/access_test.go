package api

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/api/auth"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// TestPolicy holds what each role may against a table that is written down
// here once more, by call.
func TestPolicy(t *testing.T) {
	const v, u, p, m, a = "v", "u", "p", "m", "a" // viewer, publisher, participant, moderator, admin
	watch, moderate := v+p+m+a, m+a
	roles := map[string]auth.Role{v: auth.Viewer, u: auth.Publisher, p: auth.Participant, m: auth.Moderator, a: auth.Admin}
	table := map[string]string{
		"GET /v1/rooms": a, "POST /v1/rooms": a, "PUT /v1/rooms/:room": a, "GET /v1/rooms/:room": watch,
		"PATCH /v1/rooms/:room": moderate, "DELETE /v1/rooms/:room": moderate,
		"GET /v1/rooms/:room/layout": watch, "PUT /v1/rooms/:room/layout": moderate, "POST /v1/rooms/:room/layout/preview": watch,
		"GET /v1/rooms/:room/snapshot.png": watch, "GET /v1/rooms/:room/snapshot.jpg": watch,
		"GET /v1/rooms/:room/participants": watch, "POST /v1/rooms/:room/participants": p + m + a,
		"GET /v1/rooms/:room/whip": u + p + m + a, "POST /v1/rooms/:room/whip": u + p + m + a,
		"GET /v1/rooms/:room/whep": watch, "POST /v1/rooms/:room/whep": watch,
		"GET /v1/rooms/:room/participants/:participant": watch, "PATCH /v1/rooms/:room/participants/:participant": moderate,
		"DELETE /v1/rooms/:room/participants/:participant": moderate,
		"GET /v1/rooms/:room/recordings":                   moderate, "POST /v1/rooms/:room/recordings": moderate,
		"GET /v1/rooms/:room/recordings/:recording": moderate, "PATCH /v1/rooms/:room/recordings/:recording": moderate,
		"DELETE /v1/rooms/:room/recordings/:recording":          moderate,
		"GET /v1/rooms/:room/recordings/:recording/files/:file": moderate,
		"GET /v1/rooms/:room/live.webm":                         watch, "GET /v1/rooms/:room/events": watch,
		"GET /v1/rooms/:room/forwarders": moderate, "POST /v1/rooms/:room/forwarders": moderate,
		"GET /v1/rooms/:room/forwarders/:forwarder": moderate, "DELETE /v1/rooms/:room/forwarders/:forwarder": moderate,
		"GET /v1/rooms/:room/forwarders/:forwarder/sdp": moderate,
		"POST /v1/rooms/:room/announcements":            moderate,
		"GET /v1/rooms/:room/announcements":             moderate, "GET /v1/rooms/:room/announcements/:announcement": moderate,
		"PATCH /v1/rooms/:room/announcements/:announcement": moderate, "DELETE /v1/rooms/:room/announcements/:announcement": moderate,
		"GET /v1/events": a, "GET /v1/nodes": a, "PATCH /v1/nodes/:node": a, "GET /v1/route": a, "POST /v1/tokens": a,
	}
	for _, r := range newHarness(t, nil).server.routes() {
		if !underV1(r.path) {
			continue
		}
		may, listed := table[r.method+" "+r.path]
		if !listed {
			t.Errorf("%s %s is not in the table", r.method, r.path)
		}
		for letter, role := range roles {
			h := furnished(t)
			body, mediaType := goodBody(r)
			room := "r1"
			if !strings.Contains(r.path, ":room") {
				room = "*"
			}
			method := r.method
			if r.stream {
				method = "HEAD" // the same guard, and an end
			}
			got := h.do(method, h.sample(r.path), h.token(role, room), body, "Content-Type: "+mediaType)
			if want := !strings.Contains(may, letter); (got.StatusCode == 403) != want || got.StatusCode == 401 {
				t.Errorf("%s as %s: %d, want 403: %v", got.call, role, got.StatusCode, want)
			}
		}
	}
}

func TestTokensExpire(t *testing.T) {
	clock := newClock()
	h := newHarness(t, func(c *Config) { c.Now = clock.now })
	token, err := auth.Mint(h.key, auth.Grant{Room: "*", Role: auth.Admin}, time.Minute, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	h.do("GET", "/v1/rooms", token, "").is(200)
	clock.advance(2 * time.Minute)
	a := h.do("GET", "/v1/rooms", token, "").problem(401, "invalid_token", "")
	if got := a.Header.Get("WWW-Authenticate"); got != `Bearer realm="tutti", error="invalid_token"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

// TestDevelopment holds who gets in without a token: who sits at this machine
// and means it, not another site's page and not a name that was bent to it.
func TestDevelopment(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Dev, c.Auth = true, nil })
	for _, c := range []struct {
		remote, host string
		headers      []string
		in           bool
	}{
		{"127.0.0.1:5", "localhost:8080", nil, true},
		{"127.0.0.1:5", "127.0.0.1:8080", nil, true},
		{"127.0.0.1:5", "127.0.0.1", nil, true},
		{"[::1]:5", "[::1]:8080", nil, true},
		{"[::1]:5", "[::1]", nil, true},
		{"127.0.0.1:5", "localhost:8080", []string{"Origin: http://localhost:8080"}, true},
		{"127.0.0.1:5", "localhost:8080", []string{"Origin: http://127.0.0.1:3000"}, true},
		{"127.0.0.1:5", "localhost:8080", []string{"Sec-Fetch-Site: same-origin"}, true},
		{"127.0.0.1:5", "localhost:8080", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, true},
		{"127.0.0.1:5", "localhost:8080", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, false},
		{"127.0.0.1:5", "localhost:8080", []string{"Origin: https://evil.example"}, false},
		{"127.0.0.1:5", "localhost:8080", []string{"Origin: https://localhost.evil.example"}, false},
		{"127.0.0.1:5", "localhost:8080", []string{"Origin: null"}, false},
		{"127.0.0.1:5", "evil.example:8080", nil, false},
		{"127.0.0.1:5", "localhost.evil.example", nil, false},
		{"127.0.0.1:5", "", nil, false},
		{"192.0.2.1:5", "localhost:8080", nil, false},
		{"192.0.2.1:5", "localhost:8080", []string{"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"}, false},
		{"bogus", "localhost:8080", nil, false},
	} {
		req, err := http.NewRequest("GET", "/v1/rooms", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.RemoteAddr, req.Host = c.remote, c.host
		for _, line := range c.headers {
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Set(name, value)
		}
		if got := h.serve(req).StatusCode == 200; got != c.in {
			t.Errorf("%+v: let in %v", c, got)
		}
	}
	h.json("POST", "/v1/tokens", "", `{"room":"r","role":"viewer"}`).problem(401, "token_required", "")
}

func TestDevelopmentStillJudgesTokens(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Dev = true })
	request := func(token string) answer {
		req, err := http.NewRequest("GET", "/v1/rooms", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.RemoteAddr, req.Host = "127.0.0.1:5", "localhost"
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return h.serve(req)
	}
	request("").is(200)
	request(h.token(auth.Viewer, "r1")).problem(403, "forbidden", "")
	request("bogus").problem(401, "invalid_token", "")
}

func TestNewRefuses(t *testing.T) {
	h := newHarness(t, nil)
	good := h.server.cfg
	for name, change := range map[string]func(*Config){
		"no keys outside of development": func(c *Config) { c.Auth = nil },
		"no node":                        func(c *Config) { c.Node = "" },
		"no rooms":                       func(c *Config) { c.Rooms = nil },
		"no gateway":                     func(c *Config) { c.Gateway = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestTokensInTheAddress are taken where an element of a page needs it, and
// never get into the log.
func TestTokensInTheAddress(t *testing.T) {
	h := furnished(t)
	token := h.admin()
	for _, path := range []string{"/v1/rooms/r1/live.webm", "/v1/rooms/r1/recordings/rec0/files/001.webm", "/v1/rooms/r1/snapshot.png"} {
		h.do("GET", path+"?access_token="+token, "", "").is(200)
		h.do("GET", path+"?access_token=bogus", "", "").problem(401, "invalid_token", "")
	}
	h.do("HEAD", "/v1/rooms/r1/events?access_token="+token, "", "").is(200)
	for _, call := range []string{"GET /v1/rooms/r1", "DELETE /v1/rooms/r1/recordings/rec0", "GET /v1/rooms/r1/participants"} {
		method, path, _ := strings.Cut(call, " ")
		h.do(method, path+"?access_token="+token, "", "").problem(401, "token_required", "")
	}
	h.offer("/v1/rooms/r1/whip?access_token="+token, "").problem(401, "token_required", "")
	log := h.log.String()
	if !strings.Contains(log, "live.webm") {
		t.Fatal("nothing was logged")
	}
	signature := token[strings.LastIndex(token, ".")+1:]
	if strings.Contains(log, signature) || strings.Contains(log, "access_token") || strings.Contains(log, "Bearer") {
		t.Error("a token was logged")
	}
}

func TestMintedTokensGiveNoMore(t *testing.T) {
	h := newHarness(t, nil)
	mint := func(token, body string) answer { return h.json("POST", "/v1/tokens", token, body) }
	var minted struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	mint(h.admin(), `{"room":"r1","role":"viewer","ttl_s":60}`).is(201).into(&minted)
	if left := time.Until(minted.ExpiresAt); left > time.Minute || left < 50*time.Second {
		t.Errorf("valid for %v", left)
	}
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	h.do("GET", "/v1/rooms/r1", minted.Token, "").is(200)
	h.do("DELETE", "/v1/rooms/r1", minted.Token, "").problem(403, "forbidden", "")
	mint(h.token(auth.Admin, "r1"), `{"room":"r2","role":"viewer"}`).problem(403, "forbidden", "")
	mint(h.token(auth.Admin, "r1"), `{"room":"*","role":"viewer"}`).problem(403, "forbidden", "")
	mint(h.token(auth.Admin, "*", tenant("t1")), `{"room":"r2","role":"viewer","tenant":"t2"}`).problem(403, "forbidden", "")
	mint(h.token(auth.Admin, "*", tenant("t1")), `{"room":"r2","role":"viewer","tenant":""}`).problem(403, "forbidden", "")
	mint(h.token(auth.Admin, "*", tenant("t1")), `{"room":"r1","role":"admin"}`).is(201).into(&minted)
	h.do("GET", "/v1/rooms/r1", minted.Token, "").problem(404, "room_not_found", "")
	mint(h.token(auth.Moderator, "*"), `{"room":"r1","role":"viewer"}`).problem(403, "forbidden", "")
}
