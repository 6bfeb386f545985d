package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/api/cluster"
)

// deaths answers whose certificates the store has.
func (w *world) deaths() (list []string) {
	entries, _, err := w.store.Read(w.t.Context(), deathsAt)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, strings.TrimPrefix(e.Key, deathsAt))
	}
	return list
}

// died writes a certificate that was given some time ago.
func (w *world) died(name string, i cluster.Incarnation, ago time.Duration) {
	w.put(cluster.DeathKey(name, i), cluster.Death{Node: name, Incarnation: i, Evidence: cluster.Replaced, By: name, At: time.Now().Add(-ago)})
}

// TestOldDeathsAreForgotten holds that certificates go a day after the death, and
// when no room needs them.
func TestOldDeathsAreForgotten(t *testing.T) {
	inWorld(t, true, nil, []string{"a", "b"}, func(w *world) {
		w.agent.says(cluster.ErrNotProven)
		for i := range 5 {
			w.died("gone", cluster.Incarnation(fmt.Sprintf("g%d", i)), 25*time.Hour)
		}
		w.died("a", "a-0", 25*time.Hour)
		w.died("b", "b-0", 24*time.Hour-15*time.Minute)
		w.own("r1", "a")
		e, _ := w.view.Room("r1")
		moved := e.Room
		moved.Previous = &cluster.Owner{Node: "a", Incarnation: "a-0", Epoch: 1}
		w.put(cluster.RoomKey("r1"), moved)
		stuck := e.Room // nobody takes it
		stuck.ID, stuck.Owner = "r2", cluster.Owner{Node: "gone", Incarnation: "g2", Epoch: 1}
		for _, name := range []string{"a", "b"} {
			n := w.node(name)
			n.does(func() { n.answer = full })
		}
		w.put(cluster.RoomKey("r2"), stuck)
		w.put(deathsAt+"odd/x", cluster.Death{Node: "gone", Incarnation: "g9", At: w.began.Add(-48 * time.Hour)}) // not what its key says

		time.Sleep(11 * time.Minute)
		if got, want := w.deaths(), []string{"a/a-0", "b/b-0", "gone/g2", "odd/x"}; !slices.Equal(got, want) {
			t.Errorf("left are %v, want %v", got, want)
		}
		w.put(cluster.RoomKey("r1"), e.Room)
		w.commit(cluster.Write{Key: cluster.RoomKey("r2")})
		time.Sleep(10 * time.Minute)
		if got, want := w.deaths(), []string{"odd/x"}; !slices.Equal(got, want) {
			t.Errorf("left are %v, want %v", got, want)
		}
	})
}

// TestDeathsAreForgottenByOneRouter holds that of several routers one does it, and
// none while it cannot see all rooms.
func TestDeathsAreForgottenByOneRouter(t *testing.T) {
	inWorld(t, true, nil, []string{"a"}, func(w *world) {
		w.died("gone", "g1", 25*time.Hour)
		w.commit(cluster.Write{Key: cluster.RoomKey("r1"), Value: []byte("{")})
		time.Sleep(11 * time.Minute)
		if got := w.deaths(); len(got) != 1 {
			t.Errorf("left are %v, though a room may name it", got)
		}
		w.commit(cluster.Write{Key: cluster.RoomKey("r1")})
		first := ""
		for i := 2; w.router.rank("deaths") == 0; i++ {
			first = fmt.Sprintf("router-%d", i)
			w.joinRouter(first)
		}
		time.Sleep(10 * time.Minute)
		if got := w.deaths(); len(got) != 1 {
			t.Errorf("left are %v, though another router is to do it", got)
		}
		w.node(first).kill()
		time.Sleep(10 * time.Minute)
		if got := w.deaths(); slices.Contains(got, "gone/g1") {
			t.Errorf("left are %v", got)
		}
	})
}
