package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// put commits one record to a store, without conditions.
func put(t *testing.T, s Store, key string, record any) Entry {
	t.Helper()
	value := encode(record)
	if text, ok := record.(string); ok {
		value = []byte(text)
	}
	return commit(t, s, Write{Key: key, Value: value})
}

func commit(t *testing.T, s Store, w Write) Entry {
	t.Helper()
	revision, err := s.Commit(t.Context(), nil, []Write{w})
	if err != nil {
		t.Fatal(err)
	}
	return Entry{Key: w.Key, Value: w.Value, Modified: revision, Lease: w.Lease}
}

func room(id, node string, epoch Epoch) Room {
	return Room{ID: id, Owner: Owner{Node: node, Incarnation: "i1", Epoch: epoch}}
}

func member(name string, role Role) Member {
	return Member{Name: name, Role: role, Address: "http://192.0.2.1:8080", Incarnation: "i1", Quorum: []string{name}}
}

func live(name string, role Role) Live {
	return Live{Name: name, Role: role, Address: "http://192.0.2.1:8080", Incarnation: "i1", State: Active}
}

// watched runs a view in virtual time until the test ends.
func watched(t *testing.T, s Store, subscribers ...func(Change)) (*View, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	start := time.Now()
	v := NewViewAt(s, slog.New(slog.NewTextHandler(&log, nil)), func() time.Duration { return time.Since(start) + time.Hour })
	for _, f := range subscribers {
		v.Subscribe(f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
	synctest.Wait()
	return v, &log
}

func TestViewFollowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		put(t, s, RoomKey("early"), room("early", "a", 2))
		var told []string
		v, _ := watched(t, s, func(c Change) { told = append(told, c.Key) })
		<-v.Ready()
		put(t, s, RoomKey("late"), room("late", "a", 4))
		e := put(t, s, RoomKey("early"), room("early", "b", 6))
		commit(t, s, Write{Key: RoomKey("late")})
		synctest.Wait()
		r, ok := v.Room("early")
		if !ok || r.Node != "b" || r.Epoch != 6 || r.Modified != e.Modified {
			t.Errorf("early is %+v", r)
		}
		if _, ok := v.Room("late"); ok || len(v.Rooms()) != 1 {
			t.Error("late is still there")
		}
		want := []string{RoomKey("early"), RoomKey("late"), RoomKey("early"), RoomKey("late")}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if v.Revision() != 4 {
			t.Errorf("revision %d", v.Revision())
		}
		put(t, s, RoomKey("a"), room("a", "a", 8))
		synctest.Wait()
		if rooms := v.Rooms(); len(rooms) != 2 || rooms[0].ID != "a" || rooms[1] != r {
			t.Errorf("rooms %v", rooms)
		}
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if ago := v.now() - v.Contact(); ago > 300*time.Millisecond {
				t.Fatalf("the last contact was %v ago", ago)
			}
		}
	})
}

func TestViewOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		v, _ := watched(t, s)
		lease, err := s.Grant(t.Context(), 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, MemberKey("b"), member("b", NodeRole))
		put(t, s, MemberKey("r"), member("r", RouterRole))
		m := put(t, s, MemberKey("a"), member("a", NodeRole))
		l := commit(t, s, Write{Key: LiveKey("a"), Value: encode(live("a", NodeRole)), Lease: lease})
		put(t, s, LoadKey("a"), Load{Name: "a", Rooms: 3})
		put(t, s, LoadKey("stranger"), Load{Name: "stranger"})
		o := put(t, s, OrderKey("a"), Order{Node: "a", State: Draining})
		synctest.Wait()
		if n := v.Nodes(); len(n) != 2 || n[0].Member.Name != "a" || n[1].Member.Name != "b" {
			t.Fatalf("nodes %v", n)
		}
		if len(v.Members()) != 3 {
			t.Errorf("%d members", len(v.Members()))
		}
		a, _ := v.Member("a")
		if a.MemberModified != m.Modified || a.LiveModified != l.Modified || a.OrderModified != o.Modified ||
			a.Live.State != Active || a.Load.Rooms != 3 || a.Order.State != Draining || a.Dead {
			t.Errorf("a is %+v", a)
		}
		time.Sleep(3 * time.Second)
		d := put(t, s, DeathKey("a", "i1"), Death{Node: "a", Incarnation: "i1", Evidence: Granted})
		synctest.Wait()
		if dead, _ := v.Member("a"); dead.Live != nil || !dead.Dead || a.Live == nil {
			t.Errorf("a is %+v after its lease, and was %+v", dead, a)
		}
		if death, at := v.Death("a", "i1"); death == nil || death.Evidence != Granted || at != d.Modified {
			t.Errorf("death %+v at %d", death, at)
		}
		commit(t, s, Write{Key: MemberKey("a")})
		synctest.Wait()
		if _, ok := v.Member("a"); ok {
			t.Error("a is still a member")
		}
	})
}

func TestViewSkipsWhatIsForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		for key, record := range map[string]any{
			RoomKey("x"):              "{",
			RoomKey("y"):              room("z", "a", 2),
			RoomKey("none"):           Room{ID: "none"},
			RoomKey("a b"):            room("a b", "a", 2),
			Prefix + "format":         "7",
			Prefix + "boats/x":        "{}",
			DeathKey("a", "i1") + "/": Death{Node: "a", Incarnation: "i1"},
			DeathKey("a/b", "c"):      Death{Node: "a/b", Incarnation: "c"},
			LiveKey("a"):              Live{Name: "a", Incarnation: "i1", Address: "nowhere"},
			MemberKey("big"):          string(encode(member("big", NodeRole))) + strings.Repeat(" ", maxRecord),
			OrderKey("a"):             Order{Node: "a", State: Dead},
		} {
			put(t, s, key, record)
		}
		v, log := watched(t, s)
		if v.Foreign() != 11 || len(v.Rooms()) != 0 || len(v.Members()) != 0 {
			t.Errorf("%d foreign, %d rooms, %d members", v.Foreign(), len(v.Rooms()), len(v.Members()))
		}
		if got := strings.Count(log.String(), "skipped"); got != 11 {
			t.Errorf("logged %d times:\n%s", got, log)
		}
		good := put(t, s, RoomKey("x"), room("x", "a", 2))
		put(t, s, RoomKey("x"), "[]")
		synctest.Wait()
		if r, ok := v.Room("x"); !ok || r.Modified != good.Modified || v.Foreign() != 12 {
			t.Errorf("x is %+v after garbage, %d foreign", r, v.Foreign())
		}
		if got := strings.Count(log.String(), "skipped"); got != 11 {
			t.Errorf("logged %d times", got)
		}
		commit(t, s, Write{Key: RoomKey("x")})
		synctest.Wait()
		if _, ok := v.Room("x"); ok {
			t.Error("x is still there")
		}
	})
}

func TestViewLearns(t *testing.T) {
	entry := func(modified int64, epoch Epoch) Entry {
		return Entry{Key: RoomKey("x"), Value: encode(room("x", "a", epoch)), Modified: modified}
	}
	gone := func(modified int64) Entry { return Entry{Key: RoomKey("x"), Modified: modified} }
	watch := func(e Entry) func(*View) { return func(v *View) { v.update(Update{[]Change{{e}}, e.Modified}) } }
	learn := func(e Entry) func(*View) { return func(v *View) { v.Learn(e) } }
	whole := func(revision int64, entries ...Entry) func(*View) {
		return func(v *View) { v.replace(entries, revision) }
	}
	for name, c := range map[string]struct {
		steps []func(*View)
		want  Epoch // 0: no such room
	}{
		"ahead":                   {[]func(*View){watch(entry(3, 1)), learn(entry(5, 2)), watch(entry(4, 9))}, 2},
		"ahead, then newer":       {[]func(*View){learn(entry(5, 2)), watch(entry(6, 3))}, 3},
		"old":                     {[]func(*View){watch(entry(3, 1)), learn(entry(2, 9))}, 1},
		"gone meanwhile":          {[]func(*View){watch(entry(3, 1)), watch(gone(4)), learn(entry(3, 9))}, 0},
		"removal ahead":           {[]func(*View){watch(entry(3, 1)), learn(gone(5)), watch(entry(4, 9)), watch(gone(5))}, 0},
		"removal ahead, again":    {[]func(*View){learn(gone(5)), watch(gone(5)), watch(entry(6, 3))}, 3},
		"removal of nothing":      {[]func(*View){learn(gone(5)), watch(Entry{Key: OrderKey("a"), Modified: 6})}, 0},
		"removal, then learned":   {[]func(*View){learn(gone(5)), learn(entry(6, 4)), watch(gone(5))}, 4},
		"before the whole":        {[]func(*View){learn(entry(5, 2)), whole(4, entry(3, 9))}, 2},
		"not yet in the whole":    {[]func(*View){learn(entry(5, 2)), whole(4)}, 2},
		"not yet, then gone":      {[]func(*View){learn(entry(5, 2)), whole(4), watch(gone(6))}, 0},
		"removed before whole":    {[]func(*View){learn(gone(5)), whole(4, entry(3, 9))}, 0},
		"whole is newer":          {[]func(*View){learn(entry(5, 9)), whole(7, entry(6, 3))}, 3},
		"whole lacks it":          {[]func(*View){watch(entry(5, 9)), whole(7)}, 0},
		"another store":           {[]func(*View){watch(entry(50, 9)), whole(7, entry(6, 3))}, 3},
		"another store lacks it":  {[]func(*View){watch(entry(50, 9)), whole(7)}, 0},
		"another store, empty":    {[]func(*View){watch(entry(50, 9)), whole(0)}, 0},
		"watch after another one": {[]func(*View){watch(entry(50, 9)), whole(7), watch(entry(8, 4))}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewView(nil, slog.New(slog.DiscardHandler))
			for _, step := range c.steps {
				step(v)
			}
			r, ok := v.Room("x")
			if ok != (c.want != 0) || ok && r.Epoch != c.want {
				t.Errorf("is %+v, want epoch %d", r, c.want)
			}
			if v.revision >= 5 && (len(v.buried) > 0 || len(v.known) != len(v.Rooms())) {
				t.Errorf("remembers %v and %v at %d", v.known, v.buried, v.revision)
			}
		})
	}
}

func TestRoomAllocatesNothing(t *testing.T) {
	v := NewView(nil, slog.New(slog.DiscardHandler))
	var u Update
	for i := range int64(10_000) {
		id := fmt.Sprint("room-", i)
		u.Changes = append(u.Changes, Change{Entry{Key: RoomKey(id), Value: encode(room(id, "a", 2)), Modified: i + 1}})
		u.Revision = i + 1
	}
	v.update(u)
	if len(v.Rooms()) != 10_000 || v.Rooms()[1].ID != "room-1" {
		t.Fatalf("%d rooms", len(v.Rooms()))
	}
	put := func() {
		if _, ok := v.Room("room-7777"); !ok {
			t.Error("room-7777 is not there")
		}
		v.Rooms()
		v.Nodes()
	}
	if n := testing.AllocsPerRun(100, put); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
