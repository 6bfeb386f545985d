package router

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/api/cluster"
)

func TestKnownRoomGoesToItsOwner(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		epoch := w.own("r1", "b")
		w.do("GET", "/v1/rooms/r1?after=x", "").is(200).says("r1 on b")
		got := w.node("b").last()
		for name, want := range map[string]string{headerEpoch: fmt.Sprint(epoch), headerRoom: "r1", headerKey: testKey, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "X-Forwarded-Proto": "http"} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
			}
		}
		if got.Host != "localhost" || got.URL.RawQuery != "after=x" {
			t.Errorf("host %q, query %q", got.Host, got.URL.RawQuery)
		}
		if w.node("a").count()+w.node("c").count() != 0 {
			t.Error("others were asked")
		}
	})
}

// TestIdentityIsOurs holds that no header by which members know each other, or
// the client, passes from outside, however it is written.
func TestIdentityIsOurs(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		w.node("a").answer = func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Tutti-Owner", "secret")
			rw.Header().Set("Tutti-Epoch", "7")
			rw.Header().Set("Access-Control-Allow-Origin", "*")
			rw.Header().Set("ETag", `"x"`)
			return false
		}
		a := w.do("GET", "/v1/rooms/r1", "",
			"Tutti-Cluster-Key", "guess", "Tutti-Epoch", "99", "Tutti-Room", "r2", "tutti_epoch", "98", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "evil",
			"X-Forwarded-Proto", "gopher", "Forwarded", "for=1.2.3.4", "X-Real-IP", "1.2.3.4", "X-Forwarded-Prefix", "/x", "True-Client-Ip", "1.2.3.4",
			"Connection", "Tutti-Cluster-Key, X-Forwarded-For, Authorization", "Upgrade", "websocket", "Expect", "100-continue", "Authorization", "Bearer kept-out").is(200)
		got := w.node("a").last().Header
		for name, want := range map[string]string{
			"Tutti-Cluster-Key": testKey, "Tutti-Epoch": "2", "Tutti-Room": "r1", "Tutti_epoch": "", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost",
			"X-Forwarded-Proto": "http", "Forwarded": "", "X-Real-Ip": "", "X-Forwarded-Prefix": "", "True-Client-Ip": "", "Connection": "", "Upgrade": "", "Expect": "",
		} {
			if v := strings.Join(got[name], "|"); v != want {
				t.Errorf("%s: %q, want %q", name, v, want)
			}
		}
		if a.header.Get("Tutti-Owner") != "" || a.header.Get("Tutti-Epoch") != "" || a.header.Get("ETag") != `"x"` {
			t.Errorf("answer's headers: %v", a.header)
		}
		if got := a.header["Access-Control-Allow-Origin"]; len(got) != 1 || a.header.Get("Cache-Control") != "" {
			t.Errorf("the router's headers are among the node's: %v", a.header)
		}
	})
}

func TestRoomsAreReadFromThePathOnce(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "b")
		w.do("GET", "/v1/rooms/%721", "").is(200).says("r1 on b")
		if got := w.node("b").last().URL; got.EscapedPath() != "/v1/rooms/r1" {
			t.Errorf("path %q", got.EscapedPath())
		}
		w.do("GET", "/v1/rooms/r1/recordings/x%2Fy", "").is(200)
		if got := w.node("b").last().URL; got.EscapedPath() != "/v1/rooms/r1/recordings/x%2Fy" {
			t.Errorf("path %q", got.EscapedPath())
		}
		before := w.node("a").count() + w.node("b").count()
		for _, id := range []string{"%2572%31", "r1%2F", "r1%00", "r%C3%A9", "re%CC%81", "..", "%2e%2e", "a%20b", "%E2%84%AA", strings.Repeat("x", 65), "r1;x", "*", "r1%0d%0aX:y"} {
			a := w.do("GET", "/v1/rooms/"+id, "").problem(400, "invalid_id")
			a.says(`"field":"room"`)
			if a.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: no CORS header", id)
			}
		}
		if after := w.node("a").count() + w.node("b").count(); after != before {
			t.Errorf("%d requests were passed on", after-before)
		}
	})
}

func TestLargeBodiesAreRefused(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		w.do("PUT", "/v1/rooms/r1", strings.Repeat("x", 64<<10+1)).problem(413, "body_too_large")
		r := httptest.NewRequest("PUT", "http://localhost/v1/rooms/r1", io.MultiReader(strings.NewReader(strings.Repeat("x", 70<<10))))
		r.ContentLength = -1
		r.RemoteAddr = "127.0.0.1:1"
		rec := httptest.NewRecorder()
		w.router.Handler().ServeHTTP(rec, r)
		if rec.Code != 413 || w.node("a").count() != 0 {
			t.Errorf("status %d, %d requests passed on", rec.Code, w.node("a").count())
		}
	})
}

// TestNewRoomIsPlacedOnce holds that of those who ask for a new room at once one
// makes it, and the others wait for that.
func TestNewRoomIsPlacedOnce(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		var asked, done atomic.Int32
		for _, n := range w.nodes {
			n.answer = func(http.ResponseWriter, *http.Request) bool {
				if done.Load() == 0 {
					asked.Add(1)
				}
				time.Sleep(100 * time.Millisecond)
				done.Store(1)
				return false
			}
		}
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() { w.do("PUT", "/v1/rooms/new", `{}`) })
		}
		clients.Wait()
		made := 0
		for _, name := range []string{"a", "b", "c"} {
			made += len(w.node(name).rooms)
		}
		if made != 1 || asked.Load() != 1 {
			t.Errorf("made on %d nodes, which were asked %d times", made, asked.Load())
		}
	})
}

// TestNewRoomIsKnownAtOnce holds that a room can be used before the directory
// has told of it.
func TestNewRoomIsKnownAtOnce(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		for _, n := range w.nodes {
			n.answer = func(rw http.ResponseWriter, r *http.Request) bool {
				n.mu.Lock()
				defer n.mu.Unlock()
				_, has := n.rooms["new"]
				switch {
				case r.Method == "PUT":
					n.rooms["new"] = 2
					rw.WriteHeader(201)
				case !has:
					problem(rw, 404, "room_not_found")
				}
				return true
			}
		}
		w.do("PUT", "/v1/rooms/new", "").is(201)
		w.do("GET", "/v1/rooms/new", "").is(200)
		time.Sleep(recentFor)
		if node, ok := w.router.recent.get("new", time.Now(), false); ok {
			t.Errorf("still remembered on %s", node)
		}
	})
}

func TestNodesThatDeclineAreNotTheLast(t *testing.T) {
	for _, code := range []string{"draining", "overloaded", "too_many_rooms"} {
		inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
			for _, name := range []string{"a", "b"} {
				w.node(name).answer = func(rw http.ResponseWriter, _ *http.Request) bool { problem(rw, 503, code); return true }
			}
			for i := range 5 {
				w.do("PUT", fmt.Sprintf("/v1/rooms/r%d", i), "").is(201).says("on c")
			}
			w.node("c").answer = w.node("a").answer
			w.do("PUT", "/v1/rooms/none", "").is(503)
		})
	}
}

func TestRequestsThatMakeNothingGoToOneNode(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		for range 5 {
			w.do("GET", "/v1/rooms/unknown", "").problem(404, "room_not_found")
			w.do("OPTIONS", "/v1/rooms/unknown/whip", "")
		}
		asked := 0
		for _, n := range w.nodes {
			if n.count() > 0 {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("%d nodes were asked", asked)
		}
		w.do("GET", "/v1/rooms/unknown/recordings", "").problem(404, "room_not_found")
		for name, n := range w.nodes {
			if n.last().URL.Path != "/v1/rooms/unknown/recordings" {
				t.Errorf("%s was not asked for recordings, which outlive rooms", name)
			}
		}
	})
}

func TestStrangersMakeNothing(t *testing.T) {
	inWorld(t, false, func(c *Config) {
		c.Dev, c.Limits = false, Limits{Sessions: 1}
		c.Rules = mustRules(t, "rules:\n- {name: x, match: {tenant: nobody}}\n")
	}, []string{"a"}, func(w *world) {
		w.node("a").answer = func(rw http.ResponseWriter, _ *http.Request) bool { problem(rw, 401, "token_required"); return true }
		for range 3 { // nor do they use up what others may
			w.do("POST", "/v1/rooms/r1/whip", "v=0").problem(401, "token_required")
		}
		w.do("GET", "/v1/nodes", "").problem(401, "token_required")
		w.do("GET", "/v1/nowhere", "").problem(401, "token_required")
	})
}

func TestStaleDirectoryIsReadAnew(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{421, "misdirected"}, {409, "stale_epoch"}} {
		inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
			w.own("r1", "a")
			w.node("a").answer = func(rw http.ResponseWriter, _ *http.Request) bool {
				w.own("r1", "b") // it moves just now
				rw.Header().Set(headerOwner, "b")
				problem(rw, c.status, c.code)
				return true
			}
			w.do("PATCH", "/v1/rooms/r1", "body").is(200).says("r1 on b")
			if got := w.node("b").bodies; len(got) != 1 || got[0] != "body" {
				t.Errorf("bodies %q", got)
			}
		})
	}
}

func TestNodesThatDisagreeForEverAreGivenUp(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		for _, n := range w.nodes {
			n.answer = func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.Header().Set(headerOwner, map[string]string{"a": "b", "b": "a"}[n.name])
				problem(rw, 421, "misdirected")
				return true
			}
		}
		a := w.do("GET", "/v1/rooms/r1", "").problem(503, "room_away")
		if a.header.Get("Retry-After") == "" || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("headers %v", a.header)
		}
		if n := w.node("a").count() + w.node("b").count(); n > 4 {
			t.Errorf("%d requests", n)
		}
	})
}

// lagging is a directory that learns of a room only when it is told.
type lagging struct {
	*cluster.View
	old *cluster.RoomEntry
}

func (l *lagging) Room(id string) (*cluster.RoomEntry, bool) {
	if l.old != nil {
		return l.old, true
	}
	return l.View.Room(id)
}

func (l *lagging) Learn(e cluster.Entry) {
	l.old = nil
	l.View.Learn(e)
}

// TestDirectoryThatLags holds that the store is asked where a node knows better
// than the directory.
func TestDirectoryThatLags(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		e, _ := w.view.Room("r1")
		w.own("r1", "b")
		w.router.cfg.View = &lagging{w.view, e}
		w.node("a").answer = func(rw http.ResponseWriter, _ *http.Request) bool { problem(rw, 409, "stale_epoch"); return true }
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on b")
	})
}

// TestRoomThatWasMadeAndEnded holds that what is remembered of a new room does
// not outlive it.
func TestRoomThatWasMadeAndEnded(t *testing.T) {
	for _, first := range []string{"GET", "PUT"} {
		inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
			w.do("PUT", "/v1/rooms/r1", "").is(201)
			home, _ := w.router.recent.get("r1", time.Now(), false)
			w.commit(cluster.Write{Key: cluster.RoomKey("r1")})
			w.node(home).answer = func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method == "GET" {
					problem(rw, 404, "room_not_found")
				} else {
					problem(rw, 503, "draining")
				}
				return true
			}
			if first == "GET" {
				w.do("GET", "/v1/rooms/r1", "").problem(404, "room_not_found")
			}
			other := map[string]string{"a": "b", "b": "a"}[home]
			w.do("PUT", "/v1/rooms/r1", "").is(201).says("on " + other)
		})
	}
}

// TestSessionsOfTheOldHalf holds that a participant who has not followed a room
// is found where it was.
func TestSessionsOfTheOldHalf(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		e, _ := w.view.Room("r1")
		next := e.Room
		next.Previous, next.Owner = &e.Owner, cluster.Owner{Node: "b", Incarnation: "b-1", Epoch: 4}
		w.put(cluster.RoomKey("r1"), next)
		w.node("b").answer = func(rw http.ResponseWriter, _ *http.Request) bool {
			problem(rw, 404, "participant_not_found")
			return true
		}
		w.do("DELETE", "/v1/rooms/r1/participants/p1", "").is(200).says("on a")
		if got := w.node("a").last().Header.Get(headerEpoch); got != "2" {
			t.Errorf("the old half was asked in epoch %s", got)
		}
		w.node("a").answer = w.node("b").answer
		w.do("DELETE", "/v1/rooms/r1/participants/p1", "").problem(404, "participant_not_found")
		w.do("GET", "/v1/rooms/r1/participants", "").problem(404, "participant_not_found")
		if n := w.node("a").count(); n != 2 {
			t.Errorf("the old half got %d requests", n)
		}
	})
}

func TestRequestWaitsForItsRoom(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.leaseEnds("a")
		began := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			w.own("r1", "b")
		}()
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on b")
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		w.own("r2", "b")
		w.leaseEnds("b")
		began = time.Now()
		w.do("GET", "/v1/rooms/r2", "").problem(503, "room_away")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("given up after %v", took)
		}
		w.node("b").run = "b-2" // another run has not got the rooms of the last
		w.node("b").register()
		w.do("GET", "/v1/rooms/r2", "").problem(503, "room_away")
	})
}

// TestNodeThatStandsStill holds that a request to a node that stands still is
// answered by the one that takes its room over.
func TestNodeThatStandsStill(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		n := w.node("a")
		n.does(func() { n.stands = true })
		go func() {
			time.Sleep(2 * time.Second)
			w.leaseEnds("a")
		}()
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on b")
	})
}

func TestCrashInTheMiddle(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		synctest.Wait()
		w.node("a").kill()
		w.do("PATCH", "/v1/rooms/r1", "body").is(200).says("on b")
		if !w.agent.had("a refused") {
			t.Errorf("certified: %v", w.agent.all())
		}
	})
}

func TestAnswerThatNeverCame(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		w.node("a").answer = func(http.ResponseWriter, *http.Request) bool {
			w.node("a").kill()
			panic(http.ErrAbortHandler)
		}
		a := w.do("POST", "/v1/rooms/r1/whip", "v=0").problem(502, "node_unreachable")
		if a.header.Get("Retry-After") == "" || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("headers %v", a.header)
		}
		if n := w.node("a").count(); n != 1 {
			t.Errorf("sent %d times, though it may have been carried out", n)
		}
	})
}

func TestWithoutNodes(t *testing.T) {
	inWorld(t, false, nil, nil, func(w *world) {
		for _, call := range []string{"PUT /v1/rooms/r1", "GET /v1/rooms/r1", "POST /v1/tokens", "GET /v1/rooms", "POST /v1/rooms/r1/whip"} {
			method, path, _ := strings.Cut(call, " ")
			w.do(method, path, "").problem(503, "no_node")
		}
		w.do("GET", "/healthz", "").is(200)
	})
}

// TestWithoutTheStore holds that known rooms go on and new ones are placed by
// the last membership, by all routers alike.
func TestWithoutTheStore(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		w.own("r1", "b")
		w.router.cfg.Boottime = func() time.Duration { return time.Since(w.began) + 2*time.Hour } // no sign of life for long
		if !w.router.storeless() {
			t.Fatal("the store is there")
		}
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on b")
		for i := range 20 {
			room := fmt.Sprintf("n%d", i)
			q := queryOf(&cluster.Room{ID: room})
			want := w.router.ordered(&q)[0].node
			w.do("PUT", roomsPath+room, "").is(201).says("on " + want)
			if node, ok := w.router.recent.get(room, time.Now().Add(time.Hour), true); !ok || node != want {
				t.Errorf("%s: forgotten", room)
			}
		}
	})
}

func TestSessionsAreLimited(t *testing.T) {
	inWorld(t, false, func(c *Config) { c.Limits = Limits{Sessions: 50} }, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		refused := 0
		for range 20 {
			if a := w.do("POST", "/v1/rooms/r1/participants", "v=0"); a.status == 503 {
				a.problem(503, "overloaded")
				if a.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				refused++
			}
		}
		if refused != 15 {
			t.Errorf("%d refused", refused)
		}
		w.do("GET", "/v1/rooms/r1", "").is(200)
		w.do("PATCH", "/v1/rooms/r1/participants/p", "{}").is(200)
		time.Sleep(time.Second)
		w.do("POST", "/v1/rooms/r1/whep", "v=0").is(200)
	})
}

// TestStreams holds that what a node sends piece by piece arrives so, for longer
// than any timeout of the server, over real connections.
func TestStreams(t *testing.T) {
	pieces := make(chan string)
	node := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.(http.Flusher).Flush()
		for p := range pieces {
			_, _ = io.WriteString(rw, p)
			rw.(http.Flusher).Flush()
		}
	}))
	defer node.Close()
	defer close(pieces)
	store := cluster.NewMemory()
	w := &world{t: t, store: store}
	cfg := realConfig(t, store)
	router, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.putReal(cluster.MemberKey("a"), cluster.Member{Name: "a", Role: cluster.NodeRole, Address: node.URL, Since: time.Now(), Incarnation: "a1"})
	w.putReal(cluster.LiveKey("a"), cluster.Live{Name: "a", Role: cluster.NodeRole, Incarnation: "a1", Address: node.URL, State: cluster.Active, Since: time.Now()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = cfg.View.(*cluster.View).Run(ctx) }()
	<-cfg.View.Ready()
	server := router.HTTPServer()
	server.ReadTimeout, server.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	router.cfg.WriteTimeout = 150 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	res, err := http.Get("http://" + listener.Addr().String() + "/v1/rooms/r1/events")
	if err == nil && res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buffer := make([]byte, 100)
	for i := range 4 {
		want := fmt.Sprintf("data: %d\n\n", i)
		pieces <- want
		n, err := res.Body.Read(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Fatalf("piece %d: %q %v", i, buffer[:n], err)
		}
		<-time.After(60 * time.Millisecond) // longer than the server's timeouts, which are real
	}
	router.Close()
	if _, err := res.Body.Read(buffer); err == nil {
		t.Error("the stream goes on when the router is closed")
	}
}

func TestTokensAreMintedByAnyNode(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.node("a").kill()
		w.do("POST", "/v1/tokens", `{"room":"r1"}`).is(200)
		if got := w.node("b").bodies; len(got) != 1 || got[0] != `{"room":"r1"}` {
			t.Errorf("%q", got)
		}
	})
}

func TestTenantOfTheToken(t *testing.T) {
	inWorld(t, false, func(c *Config) {
		c.Rules = mustRules(t, "rules:\n- {name: x, match: {tenant: clinic}, pool: {require: {name: c}}}\n- {name: rest, pool: {forbid: {name: c}}}\n")
	}, []string{"a", "b", "c"}, func(w *world) {
		token, err := auth.Mint(w.token, auth.Grant{Room: "*", Role: auth.Admin, Tenant: "clinic"}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			w.do("POST", fmt.Sprintf("/v1/rooms/d%d/whip", i), "v=0", "Authorization", "Bearer "+token).is(201).says("on c")
			w.do("PUT", fmt.Sprintf("/v1/rooms/p%d", i), `{"tenant":"clinic"}`).is(201).says("on c")
			if a := w.do("PUT", fmt.Sprintf("/v1/rooms/q%d", i), `{"tenant":"shop"}`).is(201); strings.Contains(a.body, "on c") {
				t.Error("another tenant's room is on c")
			}
		}
	})
}
