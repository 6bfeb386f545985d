package cluster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tutti/mixer"
)

// joinAs runs a member until it gives up, and answers why.
func joinAs(t *testing.T, store Store, name, address string) error {
	t.Helper()
	view := NewView(store, slog.New(slog.DiscardHandler))
	agent, err := NewAgent(AgentConfig{
		Store: store, View: view, Role: NodeRole, Host: newFakeHost(), Name: name, Address: address, Key: "secret",
		Log: slog.New(slog.DiscardHandler), TTL: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	go func() { _ = view.Run(ctx) }()
	return agent.Run(ctx)
}

func TestANameThatAnswersElsewhereIsTaken(t *testing.T) {
	store := NewMemory()
	a := serve(t, store, "a", NodeRole)
	eventually(t, "a is registered", a.standing(Held))
	if err := joinAs(t, store, "a", "http://127.0.0.1:1"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("a second one of the name joins: %v", err)
	}
	if s := a.State(); s.Standing != Held || a.Stats().Fences != 0 {
		t.Errorf("the first one is disturbed: %+v", s)
	}
}

func TestAClockThatIsOffIsRefused(t *testing.T) {
	store := NewMemory()
	lease, err := store.Grant(context.Background(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	load := Load{Name: "b", At: time.Now().Add(time.Minute)}
	if _, err := store.Commit(context.Background(), nil, []Write{{LoadKey("b"), encode(load), lease}}); err != nil {
		t.Fatal(err)
	}
	if err := joinAs(t, store, "a", "http://127.0.0.1:1"); !errors.Is(err, ErrClockOff) || !strings.Contains(err.Error(), "by -") {
		t.Errorf("%v", err)
	}
}

func TestAStoreOfAnotherFormatIsRefused(t *testing.T) {
	for _, e := range []Write{{Key: "/tutti/2/members/a", Value: []byte("{}")}, {Key: MemberKey("b"), Value: []byte("hello")}} {
		store := NewMemory()
		if _, err := store.Commit(context.Background(), nil, []Write{e}); err != nil {
			t.Fatal(err)
		}
		if err := joinAs(t, store, "a", "http://127.0.0.1:1"); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", e.Key, err)
		}
	}
}

// What the operator states is dead fences itself if it lives, closes its rooms,
// and comes back as somebody new.
func TestAStatedDeathFences(t *testing.T) {
	store := NewMemory()
	a, r := serve(t, store, "a", NodeRole), serve(t, store, "r", RouterRole)
	eventually(t, "a is registered", a.standing(Held))
	eventually(t, "r is registered", r.standing(Held))
	ctx := context.Background()
	if _, err := a.Claim(ctx, "room", mixer.Settings{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	before := a.State().Incarnation
	if err := r.Certify(ctx, "a", Departed); !errors.Is(err, ErrNotProven) {
		t.Errorf("another says that it departs: %v", err)
	}
	if err := r.Certify(ctx, "a", Granted); !errors.Is(err, ErrNotProven) {
		t.Errorf("granted while it lives: %v", err)
	}
	if err := r.Certify(ctx, "a", Stated); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a is another", func() bool { s := a.State(); return s.Standing == Held && s.Incarnation != before })
	a.host.mu.Lock()
	fenced := a.host.fenced
	a.host.mu.Unlock()
	if _, ok := a.Epoch("room"); ok || fenced == 0 || a.Stats().Fences != 1 {
		t.Errorf("its room is there still, or it was not told: %d, %+v", fenced, a.Stats())
	}
	if d, _ := r.view.Death("a", before); d == nil || d.Evidence != Stated || d.By != "r" {
		t.Errorf("the certificate is %+v", d)
	}
}

func TestLeavingCertifiesItself(t *testing.T) {
	store := NewMemory()
	a, r := serve(t, store, "a", NodeRole), serve(t, store, "r", RouterRole)
	eventually(t, "a is registered", a.standing(Held))
	eventually(t, "r is registered", r.standing(Held))
	i := a.State().Incarnation
	if err := a.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { _, ok := r.view.Member("a"); return !ok })
	if d, _ := r.view.Death("a", i); d == nil || d.Evidence != Departed {
		t.Errorf("the certificate is %+v", d)
	}
	if s := a.State(); s.Standing != Fenced || s.Until != 0 {
		t.Errorf("it goes on: %+v", s)
	}
}

func TestAnOrderDrains(t *testing.T) {
	store := NewMemory()
	a := serve(t, store, "a", NodeRole)
	eventually(t, "a is registered", a.standing(Held))
	ctx := context.Background()
	if _, err := store.Commit(ctx, nil, []Write{{OrderKey("a"), encode(Order{Node: "a", State: Draining}), 0}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says that it drains", func() bool {
		n, ok := a.view.Member("a")
		return ok && n.Live != nil && n.Live.State == Draining
	})
	a.host.mu.Lock()
	drains := a.host.drain
	a.host.mu.Unlock()
	if _, err := a.Claim(ctx, "room", mixer.Settings{}, time.Now()); !errors.Is(err, ErrDraining) || !drains {
		t.Errorf("it takes a room: %v, %v", err, drains)
	}
}

// orderedHost notes when it is fenced.
type orderedHost struct {
	*fakeHost
	note func(string)
}

func (h orderedHost) Fence(reason string) { h.note("fence: " + reason) }

// Nothing is sent any more when the rooms begin to close, and it is done once.
func TestTheGateShutsBeforeTheRoomsClose(t *testing.T) {
	var happened []string
	note := func(what string) { happened = append(happened, what) }
	store := NewMemory()
	a, err := NewAgent(AgentConfig{
		Store: store, View: NewView(store, slog.New(slog.DiscardHandler)), Host: orderedHost{newFakeHost(), note},
		Role: NodeRole, Name: "a", Address: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler),
		Gate: func(until time.Duration) { note("gate " + until.String()) },
		Now:  func() time.Duration { return 10 * time.Second },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.tenure.Begin(10*time.Second, 10*time.Second, []string{"a", "b", "c"})
	a.tellGate()
	a.fence(a.current(), "gone")
	a.fence(a.current(), "again")
	if got, want := strings.Join(happened, ", "), "gate 11.6s, gate 0s, fence: gone"; got != want {
		t.Errorf("%s; not %s", got, want)
	}
}
