package router

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/api/cluster"
)

// empties lets the old halves of moved rooms be empty after a while.
func (w *world) empties(after time.Duration) {
	w.t.Helper()
	for _, n := range w.nodes {
		answer := func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/take") {
				id := strings.Split(r.URL.Path, "/")[4]
				go func() {
					time.Sleep(after)
					if e, ok := w.view.Room(id); ok && e.Previous != nil {
						next := e.Room
						next.Previous = nil
						w.put(cluster.RoomKey(id), next)
					}
				}()
			}
			return false
		}
		n.does(func() { n.answer = answer })
	}
}

func (w *world) order(node, state string, deadlineS int) *answered {
	w.t.Helper()
	body := fmt.Sprintf(`{"state":%q}`, state)
	if deadlineS > 0 {
		body = fmt.Sprintf(`{"state":%q,"deadline_s":%d}`, state, deadlineS)
	}
	return w.do("PATCH", "/v1/nodes/"+node, body, "Content-Type", "application/merge-patch+json")
}

// TestDrain holds that rooms move one after the other, the next when the last
// one's clients have followed, and that new ones go elsewhere.
func TestDrain(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b", "c"}, func(w *world) {
		for i := range 6 {
			w.own(fmt.Sprintf("r%d", i), "a")
		}
		w.empties(time.Second)
		w.order("a", "draining", 60).is(200).says(`"state":"draining"`)
		for i := range 10 {
			if a := w.do("PUT", fmt.Sprintf("/v1/rooms/new%d", i), "").is(201); strings.HasSuffix(a.body, "on a") {
				t.Error("a new room is on a node that is drained")
			}
		}
		moving := 0
		took := w.until("all rooms are elsewhere", 10*time.Second, func() bool {
			both := 0
			for _, e := range w.view.Rooms() {
				if e.Previous != nil {
					both++
				}
			}
			moving = max(moving, both)
			return w.nowhereOn("a")()
		})
		if moving != 1 || took < 5*time.Second || took > 7*time.Second {
			t.Errorf("%d at once, in %v", moving, took)
		}
		w.do("GET", "/metrics", "").says(`tutti_router_moves_total{reason="drain"} 6`)
	})
}

// TestDrainWaitsForNobodyForEver holds the bound on clients that do not follow.
func TestDrainWaitsForNobodyForEver(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.own("r2", "a")
		w.order("a", "draining", 60).is(200)
		if took := w.until("both are elsewhere", 20*time.Second, w.nowhereOn("a")); took < oldHalf || took > oldHalf+time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestDeadline holds that what is left when the time is over is moved at once.
func TestDeadline(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		for i := range 30 {
			w.own(fmt.Sprintf("r%d", i), "a")
		}
		w.order("a", "draining", 12).is(200)
		took := w.until("all are elsewhere", time.Minute, w.nowhereOn("a"))
		if took < 12*time.Second-100*time.Millisecond || took > 13*time.Second {
			t.Errorf("took %v", took)
		}
		w.do("GET", "/metrics", "").says(`tutti_router_moves_total{reason="deadline"} 27`)
	})
}

// TestDrainIsTakenBack holds that rooms that have not moved stay.
func TestDrainIsTakenBack(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		for i := range 5 {
			w.own(fmt.Sprintf("r%d", i), "a")
		}
		w.order("a", "draining", 60).is(200)
		time.Sleep(7 * time.Second)
		w.order("a", "active", 0).is(200).says(`"state":"active"`)
		time.Sleep(time.Minute)
		stayed := 0
		for _, home := range w.homes() {
			if home == "a" {
				stayed++
			}
		}
		if stayed != 3 {
			t.Errorf("%d rooms stayed", stayed)
		}
		w.own("r9", "a")
		w.do("GET", "/v1/nodes", "").says(`"id":"a"`).says(`"state":"active"`)
	})
}

// TestDrainWithoutRoomElsewhere holds that a drain goes on trying, and does not
// spin.
func TestDrainWithoutRoomElsewhere(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		var mu sync.Mutex
		asked, full := 0, true
		answer := func(rw http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if !full || !strings.HasSuffix(r.URL.Path, "/take") {
				return false
			}
			asked++
			problem(rw, 503, "overloaded")
			return true
		}
		n := w.node("b")
		n.does(func() { n.answer = answer })
		w.order("a", "draining", 600).is(200)
		time.Sleep(time.Minute)
		mu.Lock()
		if asked < 5 || asked > 120 {
			t.Errorf("asked %d times in a minute", asked)
		}
		full = false
		mu.Unlock()
		w.until("r1 is on b", 10*time.Second, w.nowhereOn("a"))
	})
}

// TestNodeThatDrainsByItself holds that a node that is told to stop is emptied
// like one that the operator drains.
func TestNodeThatDrainsByItself(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		w.put(cluster.LiveKey("a"), cluster.Live{Name: "a", Role: cluster.NodeRole, Incarnation: "a-1", Address: "http://a.test:80", State: cluster.Draining, Since: w.began})
		w.until("r1 is on b", time.Second, w.nowhereOn("a"))
	})
}

func TestWhoDrains(t *testing.T) {
	order := func(s cluster.NodeState) *cluster.Order { return &cluster.Order{State: s} }
	for i, c := range []struct {
		live          cluster.NodeState
		order         *cluster.Order
		lived, orders int64
		want          bool
	}{
		{cluster.Active, nil, 1, 0, false},
		{cluster.Draining, nil, 1, 0, true},
		{cluster.Active, order(cluster.Draining), 1, 2, true},
		{cluster.Draining, order(cluster.Draining), 3, 2, true},
		{cluster.Draining, order(cluster.Active), 3, 4, false}, // taken back a moment ago
		{cluster.Draining, order(cluster.Active), 5, 4, true},  // it was told to stop since
		{cluster.Active, order(cluster.Draining), 5, 4, true},  // it began anew, and is still to be drained
	} {
		n := &cluster.Node{Live: &cluster.Live{State: c.live}, LiveModified: c.lived, Order: c.order, OrderModified: c.orders}
		if got := drains(n); got != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}

func TestRebalance(t *testing.T) {
	inWorld(t, true, func(c *Config) { c.Rebalance = 30 * time.Second }, []string{"a", "b"}, func(w *world) {
		costs := map[string]float64{}
		for i := range 6 {
			room := fmt.Sprintf("r%d", i)
			w.own(room, "a")
			costs[room] = 100
		}
		report := func() {
			mine := map[string]float64{}
			for room, home := range w.homes() {
				if home == "a" {
					mine[room] = costs[room]
				}
			}
			w.put(cluster.LoadKey("a"), cluster.Load{Name: "a", At: time.Now(), CPU: 100 * float64(len(mine)), Rooms: len(mine), Costs: mine})
			w.put(cluster.LoadKey("b"), cluster.Load{Name: "b", At: time.Now(), CPU: 100 * float64(6-len(mine)), Rooms: 6 - len(mine)})
		}
		report()
		moved := func() int {
			n := 0
			for _, home := range w.homes() {
				if home == "b" {
					n++
				}
			}
			return n
		}
		time.Sleep(29 * time.Second)
		if moved() != 0 {
			t.Fatal("moved at once")
		}
		for i := 1; i <= 6; i++ {
			report()
			time.Sleep(30 * time.Second)
			if n := moved(); n > i {
				t.Fatalf("%d rooms moved in %d turns", n, i)
			}
		}
		if n := moved(); n < 2 || n > 3 {
			t.Errorf("%d rooms moved in all", n)
		}
	})
}

func TestOrders(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		for body, code := range map[string]string{
			`{"state":"gone"}`: "invalid_field", `{"state":"draining","deadline_s":-1}`: "invalid_field", `{"state":"draining","deadline_s":90000}`: "invalid_field",
			`{"state":"active","deadline_s":5}`: "invalid_field", `{"state":"draining","x":1}`: "unknown_field", `[]`: "invalid_json", ``: "missing_body",
			`{"state":"draining","deadline_s":"5"}`: "invalid_field",
		} {
			w.do("PATCH", "/v1/nodes/a", body, "Content-Type", "application/merge-patch+json").problem(400, code)
		}
		w.order("b", "draining", 0).problem(404, "node_not_found")
		w.order("router-1", "draining", 0).problem(404, "node_not_found")
		w.do("PATCH", "/v1/nodes/a", `{}`, "Content-Type", "text/plain").problem(415, "unsupported_media_type")
		w.order("a", "draining", 90).is(200)
		n, _ := w.view.Member("a")
		if n.Order == nil || *n.Order != (cluster.Order{Node: "a", State: cluster.Draining, DeadlineS: 90}) {
			t.Errorf("order %+v", n.Order)
		}
		var res nodeResource
		if err := json.Unmarshal([]byte(w.order("a", "dead", 0).is(200).body), &res); err != nil || res.State != cluster.Dead {
			t.Errorf("%+v %v", res, err)
		}
		if !w.agent.had("a stated") {
			t.Errorf("asked %v", w.agent.all())
		}
	})
}
