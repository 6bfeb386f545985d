package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// A room that another node has is answered with its name at every route, and
// that of a room nobody has as ever.
func TestMisdirected(t *testing.T) {
	m := newMember(t, func(c *Config) { c.AutoCreate = true })
	m.cluster.moveTo("r1", "node-2")
	tried := 0
	for _, r := range m.server.routes() {
		if !strings.HasPrefix(r.path, roomPath) || r.path == roomPath+"/layout/preview" {
			continue
		}
		path := strings.NewReplacer(":room", "r1", ":participant", "p1", ":recording", "rec1", ":file", "f.webm", ":announcement", "a1", ":forwarder", "f1").Replace(r.path)
		body, mediaType := goodBody(r)
		var headers []string
		if mediaType != "" {
			headers = append(headers, "Content-Type: "+mediaType)
		}
		a := m.do(r.method, path, m.admin(), body, headers...).problem(421, "misdirected", "")
		if a.Header.Get("Tutti-Owner") != "node-2" {
			t.Errorf("%s %s: owner %q", r.method, r.path, a.Header.Get("Tutti-Owner"))
		}
		tried++
	}
	if tried < 15 {
		t.Errorf("only %d routes were tried", tried)
	}
	m.do("GET", "/v1/rooms/r2", m.admin(), "").problem(404, "room_not_found", "")
	m.offer("/v1/rooms/r2/participants", m.admin()).is(201)
}

// An epoch that is not the room's is refused, where somebody says it who has the
// key.
func TestStaleEpochs(t *testing.T) {
	m := newMember(t, nil)
	m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{passed("Tutti-Epoch: 7"), 200},
		{passed("Tutti-Epoch: 6"), 409},
		{passed("Tutti-Epoch: 8"), 409},
		{passed(), 200},
		{[]string{"Tutti-Epoch: 6"}, 200},
		{[]string{"Tutti-Epoch: 6", "Tutti-Cluster-Key: "}, 200},
		{[]string{"Tutti-Epoch: 6", "Tutti-Cluster-Key: wrong"}, 200},
	} {
		a := m.do("GET", "/v1/rooms/r1", m.admin(), "", c.headers...).is(c.status)
		if c.status == 409 {
			a.problem(409, "stale_epoch", "")
		}
	}
	m.do("GET", "/v1/rooms/r1", m.admin(), "", passed("Tutti-Epoch: x")...).problem(400, "invalid_field", "Tutti-Epoch")
	m.do("GET", "/v1/rooms/r2", m.admin(), "", passed("Tutti-Epoch: 6")...).problem(404, "room_not_found", "")
}

// A router gives a new room its identifier; nobody else does.
func TestRoomOfARouter(t *testing.T) {
	m := newMember(t, nil)
	var r roomResource
	m.json("POST", "/v1/rooms", m.admin(), "{}", passed("Tutti-Room: chosen", "Tutti-Rule: ward")...).is(201).into(&r)
	if d, _, _ := m.host.Describe("chosen"); d.Rule != "ward" {
		t.Errorf("placed by %q", d.Rule)
	}
	if r.ID != "chosen" {
		t.Errorf("made %q", r.ID)
	}
	m.json("POST", "/v1/rooms", m.admin(), "{}", "Tutti-Room: mine").is(201).into(&r)
	if r.ID == "mine" {
		t.Error("a stranger chose the identifier")
	}
	m.json("POST", "/v1/rooms", m.admin(), "{}", passed("Tutti-Room: a/b")...).problem(400, "invalid_id", "Tutti-Room")
}

// Who a request came from is believed of a member alone. With Dev the machine's
// own may do everything without a token: who comes through a router is not that.
func TestForwardedAddresses(t *testing.T) {
	m := newMember(t, func(c *Config) { c.Dev = true })
	from := func(remote string, headers ...string) answer {
		req, err := http.NewRequest("GET", "http://127.0.0.1:8080/v1/nodes", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.RemoteAddr = remote
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Set(name, value)
		}
		return m.serve(req)
	}
	const here, there = "127.0.0.1:9", "203.0.113.9:9"
	from(here).is(200)
	from(there).is(401)
	from(here, passed("X-Forwarded-For: 203.0.113.9")...).is(401)
	if !strings.Contains(m.log.String(), "remote=203.0.113.9") {
		t.Error("the client's address is not logged")
	}
	from(here, passed("X-Forwarded-For: 2001:db8::1")...).is(401)
	from(here, passed("X-Forwarded-For: 203.0.113.9, 127.0.0.1")...).is(200) // what the router saw comes last
	from(here, passed("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: rebound.example")...).is(401)
	from(there, "X-Forwarded-For: 127.0.0.1").is(401)
	from(there, "X-Forwarded-For: 127.0.0.1", "Tutti-Cluster-Key: wrong").is(401)
	from(there, passed("X-Forwarded-For: bogus")...).is(401)
}

// Without a key members are those of this machine, for development.
func TestMembersWithoutAKey(t *testing.T) {
	for _, dev := range []bool{true, false} {
		m := newMember(t, func(c *Config) { c.Dev, c.ClusterKey = dev, "" })
		for remote, member := range map[string]bool{"127.0.0.1:9": dev, "203.0.113.9:9": false} {
			req, err := http.NewRequest("GET", "http://127.0.0.1:8080/v1/rooms/r1", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.RemoteAddr = remote
			if m.server.fromMember(req) {
				t.Errorf("dev %v: %s is a member without saying so", dev, remote)
			}
			req.Header.Set(headerKey, "")
			if m.server.fromMember(req) != member {
				t.Errorf("dev %v: %s is a member: %v", dev, remote, !member)
			}
			req.Header.Set(headerKey, "x")
			if m.server.fromMember(req) {
				t.Errorf("dev %v: %s is a member by a key that there is not", dev, remote)
			}
		}
	}
}

// A server by itself believes nobody, and looks at none of it.
func TestByItselfHeadersAreNothing(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	h.do("GET", "/v1/rooms/r1", h.admin(), "", passed("Tutti-Epoch: 6", "X-Forwarded-For: 203.0.113.9")...).is(200)
	if strings.Contains(h.log.String(), "203.0.113.9") {
		t.Error("an address was believed")
	}
	var r roomResource
	if h.json("POST", "/v1/rooms", h.admin(), "{}", passed("Tutti-Room: mine")...).is(201).into(&r); r.ID == "mine" {
		t.Error("an identifier was believed")
	}
}

// What only a router may say does not get past the first middleware, for those
// who come after it and believe it.
func TestStrangersHeadersAreDropped(t *testing.T) {
	m := newMember(t, nil)
	names := []string{headerKey, headerEpoch, headerRoom, headerRule, headerForwardedFor, headerForwardedHost}
	for _, key := range []string{"wrong", theKey} {
		req := httptest.NewRequest("GET", "/v1/rooms", nil)
		for _, name := range names {
			req.Header.Set(name, "127.0.0.1")
		}
		req.Header.Set(headerKey, key)
		var left []string
		err := m.server.trust(func(c echo.Context) error {
			for _, name := range names {
				if c.Request().Header.Get(name) != "" {
					left = append(left, name)
				}
			}
			return nil
		})(m.server.echo.NewContext(req, httptest.NewRecorder()))
		want := names[1:] // the key is nobody's business further in
		if key == "wrong" {
			want = nil
		}
		if err != nil || !slices.Equal(left, want) {
			t.Errorf("%s: %q were left, %v", key, left, err)
		}
	}
}
