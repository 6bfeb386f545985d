package router

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/api/cluster"
)

// lists lets nodes list the rooms that they have, a page at a time.
func (w *world) lists() {
	for _, n := range w.nodes {
		n.answer = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/rooms" || r.Method != "GET" {
				return false
			}
			size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
			var ids []string
			n.mu.Lock()
			for id := range n.rooms {
				if id > cursor(r.URL.Query().Get("page_token")) {
					ids = append(ids, id)
				}
			}
			n.mu.Unlock()
			slices.Sort(ids)
			page := struct {
				Rooms []map[string]string `json:"rooms"`
				Next  string              `json:"next_page_token"`
			}{Rooms: []map[string]string{}}
			for i, id := range ids {
				if i == size {
					page.Next = "more"
					break
				}
				page.Rooms = append(page.Rooms, map[string]string{"id": id, "node": n.name, "title": "of " + n.name})
			}
			_ = json.NewEncoder(rw).Encode(page)
			return true
		}
	}
}

func cursor(token string) string {
	for i := range 100 {
		if id := fmt.Sprintf("r%02d", i); token != "" && tokenOf(id) == token {
			return id
		}
	}
	return ""
}

type roomPage struct {
	Rooms []struct{ ID, Node, Title string }
	Next  string `json:"next_page_token"`
}

func (a *answered) page() roomPage {
	a.t.Helper()
	var p roomPage
	if err := json.Unmarshal([]byte(a.is(200).body), &p); err != nil {
		a.t.Fatal(err)
	}
	return p
}

func TestRoomsOfAllNodesAreListed(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		names := []string{"a", "b", "c"}
		for i := range 23 {
			w.own(fmt.Sprintf("r%02d", i), names[i*i%3])
		}
		w.node("b").rooms["r04"] = 2 // it moves: b has it still, or c already
		w.node("c").rooms["r04"] = 2
		w.lists()
		for size := 1; size <= 25; size++ {
			var got []string
			token, pages := "", 0
			for {
				p := w.do("GET", fmt.Sprintf("/v1/rooms?page_size=%d&page_token=%s", size, token), "").page()
				if len(p.Rooms) > size {
					t.Fatalf("%d rooms on a page of %d", len(p.Rooms), size)
				}
				for _, r := range p.Rooms {
					got = append(got, r.ID)
					if e, _ := w.view.Room(r.ID); e.Node != r.Node || r.Title != "of "+r.Node {
						t.Errorf("%s on %s, titled %q", r.ID, r.Node, r.Title)
					}
				}
				if token, pages = p.Next, pages+1; token == "" || pages > 50 {
					break
				}
			}
			if len(got) != 23 || !slices.IsSorted(got) {
				t.Fatalf("page size %d: %v", size, got)
			}
		}
		w.do("GET", "/v1/rooms?kind=x%20y", "").is(200)
		if got := w.node("a").last().URL.Query(); got.Get("kind") != "x y" || got.Get("page_size") != "50" {
			t.Errorf("query %v", got)
		}
		for _, path := range []string{"?page_size=0", "?page_size=x", "?page_token=%21", "?nonsense=1"} {
			w.do("GET", "/v1/rooms"+path, "").problem(400, "invalid_query")
		}
		before := w.node("a").count()
		if p := w.do("GET", "/v1/rooms?node=b", "").page(); len(p.Rooms) == 0 || w.node("a").count() != before {
			t.Errorf("%d rooms, others were asked", len(p.Rooms))
		}
	})
}

// TestListIsWholeOrNone holds that no node's rooms are missing without a word.
func TestListIsWholeOrNone(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.lists()
		w.node("a").kill()
		w.do("GET", "/v1/rooms", "").problem(502, "node_unreachable")
		w.leaseEnds("a")
		w.do("GET", "/v1/rooms", "").is(200)
		w.node("b").answer = func(rw http.ResponseWriter, _ *http.Request) bool { problem(rw, 400, "invalid_query"); return true }
		w.do("GET", "/v1/rooms", "").problem(400, "invalid_query")
	})
}

func TestRoomWithAnIdentifierOfOurs(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		a := w.do("POST", "/v1/rooms", `{}`, "Content-Type", "application/json").is(201)
		got := w.node("a").last()
		if id := got.Header.Get(headerRoom); len(id) < 20 || a.header.Get("Location") != roomsPath+id || got.URL.Path != "/v1/rooms" {
			t.Errorf("id %q at %q, Location %q", id, got.URL.Path, a.header.Get("Location"))
		}
		token, err := auth.Mint(w.token, auth.Grant{Room: "r1", Role: auth.Admin}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.do("POST", "/v1/rooms", `{}`, "Content-Type", "application/json", "Authorization", "Bearer "+token).problem(403, "forbidden")
		w.do("GET", "/v1/nodes", "", "Authorization", "Bearer "+token).problem(403, "forbidden")
		w.do("GET", "/v1/route?room=r1", "", "Authorization", "Bearer "+token).problem(403, "forbidden")
	})
}

// TestDevIsForThisMachine holds that without a token only this machine is let in,
// as a server does.
func TestDevIsForThisMachine(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		for _, c := range []struct {
			remote, host, origin string
			status               int
		}{
			{"127.0.0.1:1", "localhost", "", 200},
			{"[::1]:1", "127.0.0.1:8080", "http://localhost:8080", 200},
			{"192.0.2.1:1", "localhost", "", 401},
			{"127.0.0.1:1", "evil.example", "", 401},
			{"127.0.0.1:1", "localhost", "http://evil.example", 401},
		} {
			r := httptest.NewRequest("GET", "http://"+c.host+"/v1/nodes", nil)
			r.RemoteAddr = c.remote
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			rec := httptest.NewRecorder()
			w.router.Handler().ServeHTTP(rec, r)
			if rec.Code != c.status {
				t.Errorf("%+v: %d", c, rec.Code)
			}
		}
	})
}

func TestNodesAreListed(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		w.own("r1", "b")
		w.put(cluster.LoadKey("b"), cluster.Load{Name: "b", At: time.Now(), CPU: 123, Rooms: 9, Participants: 4})
		w.leaseEnds("c")
		var list struct{ Nodes []nodeResource }
		if err := json.Unmarshal([]byte(w.do("GET", "/v1/nodes", "").is(200).body), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Nodes) != 3 {
			t.Fatalf("%+v", list)
		}
		if n := list.Nodes[1]; n.ID != "b" || n.Rooms != 1 || n.Participants != 4 || n.Load.CPU != 123 || n.State != cluster.Active || n.Labels["name"] != "b" {
			t.Errorf("%+v", n)
		}
		if n := list.Nodes[2]; n.State != cluster.Dead || n.Labels == nil {
			t.Errorf("%+v", n)
		}
		a := w.do("GET", "/v1/nodes?page_size=2", "").is(200)
		if strings.Contains(a.body, `"id":"c"`) || strings.Contains(a.body, `"next_page_token":""`) {
			t.Errorf("page %s", a.body)
		}
	})
}

func TestRouteIsExplained(t *testing.T) {
	inWorld(t, false, func(c *Config) {
		c.Rules = mustRules(t, "rules:\n- {name: clinics, match: {tenant: clinic}, pool: {require: {name: x}}, on_empty: rest}\n- {name: rest, pool: {forbid: {name: c}}}\n")
	}, []string{"a", "b", "c"}, func(w *world) {
		explain := func(query string) (x explanation) {
			t.Helper()
			if err := json.Unmarshal([]byte(w.do("GET", "/v1/route?"+query, "").is(200).body), &x); err != nil {
				t.Fatal(err)
			}
			return x
		}
		x := explain("room=r1&tenant=clinic")
		if x.Rule != "rest" || len(x.Before) != 1 || x.Before[0].Rule != "clinics" || x.Owner != nil || len(x.Candidates) != 3 || len(x.Key) != 16 {
			t.Errorf("%+v", x)
		}
		w.do("PUT", "/v1/rooms/r1", `{"tenant":"clinic"}`).is(201).says("on " + x.Chosen)
		for _, c := range x.Candidates {
			if c.Accepts != (c.Node != "c") || c.Accepts == (c.Why != "") {
				t.Errorf("%+v", c)
			}
		}
		w.own("r2", "c")
		if x := explain("room=r2"); x.Owner == nil || x.Owner.Node != "c" || !x.Owner.Here || x.Owner.Epoch == 0 {
			t.Errorf("%+v", x.Owner)
		}
		if len(w.view.Rooms()) != 2 {
			t.Error("it is no dry run")
		}
		for _, query := range []string{"", "room=a/b", "room=r9&tenant=%20", "room=r1&x=1", "room=r1&room=r2"} {
			w.do("GET", "/v1/route?"+query, "").problem(400, "invalid_query")
		}
	})
}

func TestRulesAreSwapped(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b", "c"}, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.router.SetRules(mustRules(t, "rules:\n- {name: x, pool: {require: {name: "+name+"}}}\n"))
			w.do("PUT", "/v1/rooms/on-"+name, "").is(201).says("on " + name)
		}
		w.router.SetRules(mustRules(t, "rules:\n- {name: x, match: {tenant: nobody}}\n"))
		w.do("PUT", "/v1/rooms/none", "").problem(503, "no_node")
		w.do("GET", "/v1/rooms/on-a", "").is(200)
	})
}

func TestOwnPages(t *testing.T) {
	inWorld(t, false, nil, nil, func(w *world) {
		w.do("GET", "/healthz", "").is(200).says("alive")
		w.do("GET", "/readyz", "").is(200).says("ready")
		w.do("GET", "/openapi.yaml", "").is(200).says("openapi:")
		w.do("GET", "/metrics", "").is(200).says("go_goroutines")
		w.do("GET", "/v1/nowhere", "").problem(404, "not_found")
		w.do("DELETE", "/v1/nodes", "").problem(405, "method_not_allowed")
		w.do("OPTIONS", "/v1/nodes", "").is(200)
	})
}

func TestReadyWhenTheDirectoryIsRead(t *testing.T) {
	cfg := realConfig(t, cluster.NewMemory())
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/readyz": 503, "/healthz": 200} {
		rec := httptest.NewRecorder()
		r.Handler().ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != status {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// speaks lets nodes send events: number after the one asked for, from a list.
func (n *fakeNode) speaks(events chan uint64, begun uint64) {
	n.answer = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/events" {
			return false
		}
		after := begun
		if text := r.URL.Query().Get("after"); text != "" {
			after, _ = strconv.ParseUint(text, 10, 64)
		}
		rw.Header().Set(headerEvent, fmt.Sprint(after))
		rw.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(rw, "retry: 1000\n\n: alive\n\n")
		for {
			select {
			case number := <-events:
				if number == 0 {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprintf(rw, "id: %d\nevent: room_started\ndata: {\"node\":%q,\"n\":%d}\n\n", number, n.name, number)
			case <-r.Context().Done():
				return true
			case <-n.dead:
				return true
			}
		}
	}
}

// stream opens a stream of events, and answers what reads the next one's lines.
func (w *world) stream(headers ...string) (read func() (id, data string), end func()) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://localhost/v1/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := carry(w.router.Handler(), r, nil)
	if err != nil || res.StatusCode != 200 {
		w.t.Fatal(res, err)
	}
	type pair struct{ id, data string }
	got := make(chan pair, 100)
	go func() { // always, as a network does
		defer close(got)
		lines := bufio.NewScanner(res.Body)
		id := ""
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = v
			}
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				got <- pair{id, v}
			}
		}
	}()
	return func() (id, data string) {
		p := <-got
		return p.id, p.data
	}, func() { _ = res.Body.Close() }
}

// TestEventsOfAllNodes holds that the streams are merged, that who comes back
// goes on where they were with every node, and that a node's broken stream is
// taken up again.
func TestEventsOfAllNodes(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		a, b := make(chan uint64), make(chan uint64)
		w.node("a").speaks(a, 10)
		w.node("b").speaks(b, 20)
		read, end := w.stream()
		synctest.Wait()
		a <- 11
		if id, data := read(); id != "a.a-1.11,b.b-1.20" || data != `{"node":"a","n":11}` {
			t.Fatalf("%s %s", id, data)
		}
		b <- 21
		id, _ := read()
		if id != "a.a-1.11,b.b-1.21" {
			t.Fatal(id)
		}
		a <- 0 // the stream breaks
		time.Sleep(time.Second)
		if got := w.node("a").last().URL.RawQuery; got != "after=11" {
			t.Errorf("taken up with %q", got)
		}
		c := make(chan uint64)
		n := &fakeNode{w: w, name: "c", run: "c-1", rooms: map[string]cluster.Epoch{}, dead: make(chan struct{})}
		n.speaks(c, 5)
		w.mu.Lock()
		w.nodes["c"] = n
		w.mu.Unlock()
		n.register()
		synctest.Wait()
		if got := n.last().URL.RawQuery; got != "after=0" {
			t.Errorf("a new node's events begin with %q", got)
		}
		c <- 1
		if id, _ = read(); id != "a.a-1.11,b.b-1.21,c.c-1.1" {
			t.Error(id)
		}
		end()
		time.Sleep(20 * time.Second) // until a heartbeat finds that nobody reads

		read, end = w.stream("Last-Event-ID", id)
		synctest.Wait()
		for name, want := range map[string]string{"a": "after=11", "b": "after=21", "c": "after=1"} {
			if got := w.node(name).last().URL.RawQuery; got != want {
				t.Errorf("%s is asked with %q", name, got)
			}
		}
		w.router.Close()
		if _, data := read(); data != "" {
			t.Error("it goes on")
		}
		end()
	})
}

// TestEventsOfANewRun holds that numbers of a former run of a node are not taken
// for those of this one.
func TestEventsOfANewRun(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		w.node("a").speaks(make(chan uint64), 0)
		_, end := w.stream("Last-Event-ID", "a.old.999")
		synctest.Wait()
		if got := w.node("a").last().URL.RawQuery; got != "after=0" {
			t.Errorf("asked with %q", got)
		}
		end()
		time.Sleep(20 * time.Second)
		for _, bad := range []string{"12", "a.b", "a.b.c", "a.b.-1", "a.b.1,a.c.2", "ä.b.1", ",", "a.b.1,", "a.b c.1", "a.123456789.1"} {
			w.do("GET", "/v1/events", "", "Last-Event-ID", bad).problem(400, "invalid_field")
			w.do("GET", "/v1/events?after="+url.QueryEscape(bad), "").problem(400, "invalid_query")
		}
	})
}

// The cluster's own view and agent are what the router needs.
var (
	_ Directory = (*cluster.View)(nil)
	_ Member    = (*cluster.Agent)(nil)
)

// TestKnownRoomsAreFoundWithoutGarbage holds the hot path to no allocation.
func TestKnownRoomsAreFoundWithoutGarbage(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "b")
		n := testing.AllocsPerRun(100, func() {
			if to, here, known := w.router.find("r1"); !here || !known || to.node != "b" {
				t.Fatal("not found")
			}
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
