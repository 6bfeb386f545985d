package router

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/api/cluster"
)

// breaks lets a node break the connection of each request under /v1, after then
// was called.
func (n *fakeNode) breaks(then func(*http.Request)) {
	n.does(func() {
		n.answer = func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/v1/") {
				return false
			}
			then(r)
			panic(http.ErrAbortHandler)
		}
	})
}

func (n *fakeNode) methods() (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.seen {
		list = append(list, r.Method)
	}
	return list
}

// TestRepeatedAfterACrash holds that what a node died over is answered by the next
// owner of the room, where it may be sent twice.
func TestRepeatedAfterACrash(t *testing.T) {
	for _, call := range []string{
		"GET /v1/rooms/r1", "HEAD /v1/rooms/r1", "OPTIONS /v1/rooms/r1/whip", "GET /v1/rooms/r1/events",
		"PUT /v1/rooms/r1", "DELETE /v1/rooms/r1", "DELETE /v1/rooms/r1/participants/p1",
	} {
		method, path, _ := strings.Cut(call, " ")
		inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
			w.own("r1", "a")
			a, b := w.node("a"), w.node("b")
			a.breaks(func(*http.Request) { a.kill() })
			began := time.Now()
			w.do(method, path, "").is(200)
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%s: took %v", call, took)
			}
			if got := b.methods(); !slices.Equal(got, []string{method}) || a.count() != 1 {
				t.Errorf("%s: b got %v, a %d requests", call, got, a.count())
			}
		})
	}
}

// TestNotRepeated holds that what may not be done twice is not sent twice, nor what
// sets a condition that the first may have changed.
func TestNotRepeated(t *testing.T) {
	for _, c := range [][]string{
		{"POST", "/v1/rooms/r1/whip"},
		{"POST", "/v1/rooms/r1/recordings"},
		{"PATCH", "/v1/rooms/r1"},
		{"PATCH", "/v1/rooms/r1/participants/p1"},
		{"PUT", "/v1/rooms/r1", "If-None-Match", "*"},
		{"DELETE", "/v1/rooms/r1", "If-Match", `"1"`},
	} {
		inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
			w.own("r1", "a")
			a := w.node("a")
			a.breaks(func(*http.Request) { a.kill() })
			w.do(c[0], c[1], "", c[2:]...).problem(502, "node_unreachable")
			if n := w.node("b").count(); n != 0 || a.count() != 1 {
				t.Errorf("%v: b got %d requests, a %d", c, n, a.count())
			}
		})
	}
}

// TestRepeatedOnce holds that a connection that breaks while the node lives is
// tried once more there, and not for ever.
func TestRepeatedOnce(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.own("r1", "a")
		a := w.node("a")
		a.breaks(func(*http.Request) {})
		w.do("GET", "/v1/rooms/r1", "").problem(502, "node_unreachable")
		if n := a.count(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		a.breaks(func(*http.Request) { a.does(func() { a.answer = nil }) })
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on a")
		if got := w.agent.all(); len(got) != 0 {
			t.Errorf("certified: %v", got)
		}
	})
}

// TestRepeatWaitsForTheRoom holds that it waits from the break on as long as
// others do, and no longer.
func TestRepeatWaitsForTheRoom(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.agent.says(cluster.ErrNotProven)
		w.own("r1", "a")
		a := w.node("a")
		var broke time.Time
		a.breaks(func(*http.Request) {
			time.Sleep(10 * time.Second) // it was asked long before
			broke = time.Now()
			a.kill()
		})
		go func() {
			time.Sleep(12 * time.Second)
			w.agent.says(nil)
		}()
		w.do("GET", "/v1/rooms/r1", "").is(200).says("on b")
		if took := time.Since(broke); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("answered %v after the break", took)
		}
		w.agent.says(cluster.ErrNotProven)
		w.own("r2", "b")
		b := w.node("b")
		b.breaks(func(*http.Request) { b.kill() })
		began := time.Now()
		w.do("GET", "/v1/rooms/r2", "").problem(502, "node_unreachable")
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// TestNewRoomWhoseMakerDies holds that a PUT makes its room whether the node that
// died over it had claimed it or not.
func TestNewRoomWhoseMakerDies(t *testing.T) {
	for _, claimed := range []bool{false, true} {
		inWorld(t, true, nil, []string{"a", "b", "c"}, func(w *world) {
			dead := ""
			for _, n := range w.nodes {
				n.breaks(func(r *http.Request) {
					for _, other := range w.nodes {
						other.does(func() { other.answer = nil })
					}
					if claimed {
						w.ownBy("new", n.name, r.Header.Get(headerRule))
					}
					dead = n.name
					n.kill()
				})
			}
			got := w.do("PUT", "/v1/rooms/new", "{}").is(map[bool]int{false: 201, true: 200}[claimed])
			e, ok := w.view.Room("new")
			if !ok || e.Node == dead || got.body != "new on "+e.Node {
				t.Errorf("%q; %s has died, the room is on %v", got.body, dead, w.homes())
			}
		})
	}
}

// TestAnyNodeRepeats holds that what any node can answer is asked of the next, and
// that the last failure is told where there is none.
func TestAnyNodeRepeats(t *testing.T) {
	inWorld(t, false, nil, []string{"a", "b"}, func(w *world) {
		w.node("a").breaks(func(*http.Request) {})
		w.do("GET", "/v1/rooms/unknown", "").problem(404, "room_not_found")
		w.do("POST", "/v1/tokens", "{}").problem(502, "node_unreachable")
		w.do("GET", "/v1/rooms/unknown/recordings", "").problem(502, "node_unreachable") // a may have them
		w.leaseEnds("b")
		w.do("GET", "/v1/rooms/unknown", "").problem(502, "node_unreachable")
		w.do("PUT", "/v1/rooms/unknown", "").problem(502, "node_unreachable")
	})
}
