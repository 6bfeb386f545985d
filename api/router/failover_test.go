package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/cluster"
	"tutti/api/router/rules"
)

// homes answers on which node each room is, by the directory.
func (w *world) homes() map[string]string {
	homes := map[string]string{}
	for _, e := range w.view.Rooms() {
		homes[e.ID] = e.Node
	}
	return homes
}

// until waits in virtual time until a condition holds, and answers how long.
func (w *world) until(what string, atMost time.Duration, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > atMost {
			w.t.Fatalf("not within %v: %s; %v", atMost, what, w.homes())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (w *world) nowhereOn(name string) func() bool {
	return func() bool {
		for _, home := range w.homes() {
			if home == name {
				return false
			}
		}
		return true
	}
}

// TestCrash holds that the rooms of a process that is gone are elsewhere at once.
func TestCrash(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b", "c"}, func(w *world) {
		for i := range 40 {
			w.own(fmt.Sprintf("r%d", i), "a")
		}
		w.own("other", "b")
		w.node("a").kill()
		if took := w.until("all rooms are elsewhere", 2*time.Second, w.nowhereOn("a")); took > 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if !w.agent.had("a refused") || w.agent.had("a granted") {
			t.Errorf("certified: %v", w.agent.all())
		}
		if w.homes()["other"] != "b" {
			t.Error("a room of another node has moved")
		}
		if len(w.homes()) != 41 {
			t.Errorf("%d rooms", len(w.homes()))
		}
	})
}

// TestRoomsStayWithinTheirRule holds that a room which came by what only its
// first request said is brought back within the same pool.
func TestRoomsStayWithinTheirRule(t *testing.T) {
	list, err := rules.Parse([]byte(`
rules:
  - name: ward
    match: {header: {X-Ward: a}}
    pool: {forbid: {name: c}}
  - name: rest
    pool: {require: {name: c}}
`))
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, true, func(c *Config) { c.Rules = list }, []string{"a", "b", "c"}, func(w *world) {
		for i := range 20 {
			w.do("PUT", fmt.Sprintf("/v1/rooms/r%d", i), "{}", "X-Ward", "a").is(201)
		}
		w.node("a").kill()
		w.until("all rooms are elsewhere", 2*time.Second, w.nowhereOn("a"))
		for room, home := range w.homes() {
			if home != "b" {
				t.Errorf("%s is on %s", room, home)
			}
		}
	})
}

// TestLeaseEnds holds that a node that is away and listens still is certified by
// grants, asked for until they are there.
func TestLeaseEnds(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.agent.says(cluster.ErrNotProven)
		w.leaseEnds("a")
		time.Sleep(3 * time.Second)
		if w.homes()["r1"] != "a" {
			t.Fatal("taken from a node whose death nobody has certified")
		}
		asked := w.agent.all()
		if len(asked) < 5 || len(asked) > 8 || slices.ContainsFunc(asked, func(s string) bool { return s != "a granted" }) {
			t.Errorf("asked %v", asked)
		}
		w.agent.says(nil)
		w.until("r1 is on b", time.Second, w.nowhereOn("a"))
	})
}

// joinRouter adds another router that lives.
func (w *world) joinRouter(name string) *fakeNode {
	n := &fakeNode{w: w, name: name, run: cluster.Incarnation(name + "-1"), rooms: map[string]cluster.Epoch{}, dead: make(chan struct{})}
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	w.enter(name, cluster.RouterRole, n.run)
	return n
}

// TestRoutersDieToo holds that another router that is gone, or away, leaves the
// membership, over which halves and majorities are counted; and that nobody
// buries himself.
func TestRoutersDieToo(t *testing.T) {
	inWorld(t, true, nil, []string{"a"}, func(w *world) {
		w.joinRouter("router-2")
		w.joinRouter("router-3")
		w.node("router-2").kill()
		left := func(name string) func() bool {
			return func() bool { _, there := w.view.Member(name); return !there }
		}
		if took := w.until("router-2 has left", 2*time.Second, left("router-2")); took > 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		w.agent.says(cluster.ErrNotProven)
		w.leaseEnds("router-3")
		time.Sleep(2 * time.Second)
		w.agent.says(nil)
		w.until("router-3 has left", time.Second, left("router-3"))
		w.leaseEnds("router-1")
		time.Sleep(5 * time.Second)
		asked := slices.Compact(w.agent.all())
		if want := []string{"router-2 refused", "router-3 granted"}; !slices.Equal(asked, want) {
			t.Errorf("certified: %v, want %v", asked, want)
		}
	})
}

// TestCloseEndsWhatIsKeptOpen holds that a router which ends does not wait for the
// others that watch it.
func TestCloseEndsWhatIsKeptOpen(t *testing.T) {
	kept := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	inWorld(t, false, func(c *Config) { c.Peers = kept }, nil, func(w *world) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.do("GET", alivePath, "")
		}()
		synctest.Wait()
		w.router.Close()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Fatal("the request is still open")
		}
	})
}

// TestNodeComesBack holds that a node that was away for a moment keeps its rooms.
func TestNodeComesBack(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.agent.says(cluster.ErrNotProven)
		w.leaseEnds("a")
		time.Sleep(time.Second)
		w.node("a").register()
		w.agent.says(nil)
		asked := len(w.agent.all())
		time.Sleep(5 * time.Second)
		if w.homes()["r1"] != "a" || len(w.agent.all()) != asked {
			t.Errorf("%v, asked %v", w.homes(), w.agent.all())
		}
	})
}

// TestRestart holds that the rooms of a node's former run are brought back.
func TestRestart(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		n := w.node("a")
		n.mu.Lock()
		n.run, n.rooms = "a-2", map[string]cluster.Epoch{}
		n.mu.Unlock()
		n.register()
		w.put(cluster.DeathKey("a", "a-1"), cluster.Death{Node: "a", Incarnation: "a-1", Evidence: cluster.Replaced, By: "a", At: time.Now()})
		w.until("r1 is owned by a run that lives", time.Second, func() bool {
			e, _ := w.view.Room("r1")
			return !w.router.orphaned(e)
		})
	})
}

// TestFreshRouter holds that a router finds what is to be done when it starts.
func TestFreshRouter(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		if err := w.agent.Certify(w.t.Context(), "a", cluster.Stated); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(w.t.Context())
		done := make(chan error)
		go func() { done <- w.router.Run(ctx) }()
		w.until("r1 is on b", time.Second, w.nowhereOn("a"))
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// full is a node that takes no rooms.
func full(rw http.ResponseWriter, r *http.Request) bool {
	if strings.HasSuffix(r.URL.Path, "/take") {
		problem(rw, 503, "too_many_rooms")
		return true
	}
	return false
}

// TestRescueGoesOn holds that a room is offered to the next where one declines,
// and again later where all do.
func TestRescueGoesOn(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b", "c"}, func(w *world) {
		w.own("r1", "a")
		for _, name := range []string{"b", "c"} {
			n := w.node(name)
			n.does(func() { n.answer = full })
		}
		w.node("a").kill()
		time.Sleep(10 * time.Second)
		if w.homes()["r1"] != "a" {
			t.Fatal("taken though all declined")
		}
		if n := strings.Count(w.log.String(), "no node takes a room whose node is dead"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		n := w.node("c")
		n.does(func() { n.answer = nil })
		w.until("r1 is on c", 10*time.Second, func() bool { return w.homes()["r1"] == "c" })
	})
}

// TestRoutersStandBack holds that of several routers one goes first for each
// room, and the others when it does not.
func TestRoutersStandBack(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		for _, name := range []string{"router-2", "router-3"} {
			w.joinRouter(name)
		}
		ranks := map[int]int{}
		for i := range 30 {
			room := fmt.Sprintf("r%d", i)
			w.own(room, "a")
			ranks[w.router.rank(room)]++
		}
		if len(ranks) != 3 || ranks[0] < 3 || ranks[1] < 3 || ranks[2] < 3 {
			t.Errorf("ranks %v", ranks)
		}
		w.node("a").kill()
		time.Sleep(400 * time.Millisecond)
		left := 0
		for room, home := range w.homes() {
			if home == "a" {
				left++
			} else if w.router.rank(room) != 0 {
				t.Errorf("%s was not for this router to take first", room)
			}
		}
		if left != ranks[1]+ranks[2] {
			t.Errorf("%d rooms left, ranks %v", left, ranks)
		}
		w.until("all rooms are on b", 2*time.Second, w.nowhereOn("a"))
	})
}

// TestFailoverFigures holds that what was done is counted.
func TestFailoverFigures(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.node("a").kill()
		w.until("r1 is on b", time.Second, w.nowhereOn("a"))
		w.do("GET", "/metrics", "").is(200).
			says(`tutti_router_moves_total{reason="failover"} 1`).says("tutti_router_failovers_total 1").
			says(`tutti_router_deaths_certified_total{evidence="refused"} 1`).says("tutti_router_failover_seconds_count 1")
	})
}

func TestPortsThatRefuse(t *testing.T) {
	for address, want := range map[string]string{
		"http://10.0.0.1:8080": "10.0.0.1:8080", "https://node": "node:443", "http://node": "node:80", "http://[::1]:9": "[::1]:9",
	} {
		if got := hostPort(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		if w.router.refuses(w.t.Context(), "http://a.test:80") {
			t.Error("a port that is open refuses")
		}
		if w.router.refuses(w.t.Context(), "http://gone.test:80") {
			t.Error("a host that cannot be reached counts as refusing")
		}
		w.node("a").kill()
		if !w.router.refuses(w.t.Context(), "http://a.test:80") {
			t.Error("a port that is closed does not refuse")
		}
	})
}

func TestTakeIsRefusedByCode(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		e, _ := w.view.Room("r1")
		to, _ := w.router.named("b")
		stale := *e
		stale.Epoch--
		var no *declined
		if _, err := w.router.take(w.t.Context(), to, &stale, false); !errors.As(err, &no) || no.code != "conflict" {
			t.Errorf("%v", err)
		}
		epoch, err := w.router.take(w.t.Context(), to, e, true)
		if err != nil || epoch != e.Epoch+2 {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	})
}
