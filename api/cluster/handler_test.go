package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/mixer"
)

// fakeHost is a host whose rooms are names.
type fakeHost struct {
	mu     sync.Mutex
	rooms  map[string]Room
	fenced int
	moved  map[string]Owner
	drain  bool
}

func newFakeHost() *fakeHost { return &fakeHost{rooms: map[string]Room{}, moved: map[string]Owner{}} }

func (h *fakeHost) Restore(_ context.Context, r Room, _ bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rooms[r.ID] = r
	return nil
}

func (h *fakeHost) MoveOut(room string, to Owner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved[room] = to
}

func (h *fakeHost) Fence(string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fenced++
	clear(h.rooms)
}

func (h *fakeHost) Describe(room string) (Room, uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[room]
	return r, r.Seq, ok
}

func (h *fakeHost) Usage() Load { return Load{} }

func (h *fakeHost) Drain(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain = on
}

// served is a member behind a real HTTP server.
type served struct {
	*Agent
	host   *fakeHost
	view   *View
	server *httptest.Server
	stop   func()
}

// serve starts a member of the cluster that a store keeps.
func serve(t *testing.T, store Store, name string, role Role) *served {
	t.Helper()
	var handler http.Handler
	ready := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-ready
		handler.ServeHTTP(w, r)
	}))
	m := &served{host: newFakeHost(), server: server, view: NewView(store, slog.New(slog.DiscardHandler))}
	c := AgentConfig{
		Store: store, View: m.view, Role: role, Name: name, Address: server.URL, Key: "secret",
		Log: slog.New(slog.DiscardHandler), TTL: time.Second,
	}
	if role == NodeRole {
		c.Host = m.host
	}
	agent, err := NewAgent(c)
	if err != nil {
		t.Fatal(err)
	}
	m.Agent = agent
	handler = agent.Handler()
	close(ready)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.view.Run(ctx) })
	running.Go(func() { _ = agent.Run(ctx) })
	m.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		server.CloseClientConnections()
		server.Close()
	})
	t.Cleanup(m.stop)
	return m
}

// eventually waits for what the members do by themselves.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came that %s", what)
}

func (m *served) standing(s Standing) func() bool {
	return func() bool { return m.State().Standing == s }
}

func (m *served) post(t *testing.T, path, key string, body any) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, m.server.URL+path, bytes.NewReader(encode(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(KeyHeader, key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// A node's process ends; a router certifies its death by its port, and another
// node takes its room over HTTP.
func TestARoomIsTakenFromANodeThatIsGone(t *testing.T) {
	store := NewMemory()
	a, b, r := serve(t, store, "a", NodeRole), serve(t, store, "b", NodeRole), serve(t, store, "r", RouterRole)
	for _, m := range []*served{a, b, r} {
		eventually(t, "all are registered", m.standing(Held))
	}
	ctx := context.Background()
	epoch, err := a.Claim(ctx, "room", mixer.Settings{Title: "Maths"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var elsewhere *ElsewhereError
	if _, err := b.Claim(ctx, "room", mixer.Settings{}, time.Now()); !errors.As(err, &elsewhere) || elsewhere.Owner.Node != "a" || elsewhere.Owner.Epoch != epoch {
		t.Errorf("a room of another is claimed: %v", err)
	}
	from := Owner{"a", a.State().Incarnation, epoch}
	if status, p := b.post(t, "/cluster/v1/rooms/room/take", "secret", TakeRequest{From: from}); status != 409 || p["code"] != "conflict" {
		t.Errorf("a room of a node that lives is taken: %d %v", status, p)
	}
	if err := r.Certify(ctx, "a", Refused); !errors.Is(err, ErrNotProven) {
		t.Errorf("a node that listens is certified dead: %v", err)
	}
	a.stop()
	if err := r.Certify(ctx, "a", Refused); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the router may ask again
		status, answer := b.post(t, "/cluster/v1/rooms/room/take", "secret", TakeRequest{From: from})
		if got, ok := b.Epoch("room"); status != 200 || !ok || Epoch(answer["epoch"].(float64)) != got || got <= epoch {
			t.Fatalf("%d %v, epoch %d after %d", status, answer, got, epoch)
		}
	}
	if r, _, ok := b.host.Describe("room"); !ok || r.Settings.Title != "Maths" {
		t.Errorf("restored: %+v", r)
	}
	if status, p := b.post(t, "/cluster/v1/rooms/none/take", "secret", TakeRequest{From: from}); status != 404 || p["code"] != "room_not_found" {
		t.Errorf("a room that is none: %d %v", status, p)
	}
}

func TestAPlannedMove(t *testing.T) {
	store := NewMemory()
	a, b := serve(t, store, "a", NodeRole), serve(t, store, "b", NodeRole)
	eventually(t, "a is registered", a.standing(Held))
	eventually(t, "b is registered", b.standing(Held))
	ctx := context.Background()
	epoch, err := a.Claim(ctx, "room", mixer.Settings{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a.host.rooms["room"] = Room{Seq: 42}
	if err := a.Save(ctx, "room"); err != nil {
		t.Fatal(err)
	}
	b.Drain(true)
	from := Owner{"a", a.State().Incarnation, epoch}
	if status, p := b.post(t, "/cluster/v1/rooms/room/take", "secret", TakeRequest{From: from, Planned: true}); status != 503 || p["code"] != "draining" {
		t.Errorf("a node that drains takes a room: %d %v", status, p)
	}
	b.Drain(false)
	eventually(t, "b takes it", func() bool {
		_, err := b.Take(ctx, "room", from, true)
		return err == nil
	})
	eventually(t, "a lets go", func() bool {
		a.host.mu.Lock()
		defer a.host.mu.Unlock()
		return a.host.moved["room"].Node == "b"
	})
	if _, ok := a.Epoch("room"); ok {
		t.Error("the old owner has it still")
	}
	e, ok := b.view.Room("room")
	if !ok || e.Node != "b" || e.Previous == nil || *e.Previous != from || e.Seq != 42 {
		t.Errorf("the directory has %+v", e)
	}
	b.Left("room") // not b's to say
	a.Left("room")
	eventually(t, "nothing of it is left on a", func() bool {
		e, _ := b.view.Room("room")
		return e.Previous == nil && e.Owner == (Owner{"b", b.State().Incarnation, e.Epoch}) && e.Seq == 42
	})
	now, _ := b.Epoch("room")
	b.host.mu.Lock()
	b.host.rooms["room"] = Room{Seq: 43}
	b.host.mu.Unlock()
	if err := b.Save(ctx, "room"); err != nil {
		t.Fatal(err)
	}
	if e, _ := b.view.Room("room"); e.Seq != 43 || e.Previous != nil || e.Epoch != now {
		t.Errorf("the directory has %+v, and the epoch was %d", e, now)
	}
	b.Release("room")
	eventually(t, "it is gone", func() bool { _, ok := a.view.Room("room"); return !ok })
}

func TestOnlyMembersAreAnswered(t *testing.T) {
	store := NewMemory()
	a := serve(t, store, "a", NodeRole)
	eventually(t, "a is registered", a.standing(Held))
	q := Question{Node: "b", Incarnation: "b1"}
	for _, c := range []struct {
		path, key string
		body      any
		status    int
		code      string
	}{
		{"/cluster/v1/away", "", q, 403, "forbidden"},
		{"/cluster/v1/grant", "secreT", q, 403, "forbidden"},
		{"/cluster/v1/rooms/r/take", "", q, 403, "forbidden"},
		{"/cluster/v1/away", "secret", "hello", 400, "invalid_json"},
		{"/cluster/v1/hold", "secret", q, 400, "invalid_json"},
		{"/cluster/v1/grant", "secret", Question{Node: "../b", Incarnation: "b1"}, 400, "invalid_json"},
		{"/cluster/v1/rooms/r/take", "secret", TakeRequest{}, 400, "invalid_json"},
	} {
		if status, p := a.post(t, c.path, c.key, c.body); status != c.status || p["code"] != c.code {
			t.Errorf("%s: %d %v", c.path, status, p)
		}
	}
	status, answer := a.post(t, "/cluster/v1/away", "secret", q)
	if status != 200 || answer["name"] != "a" || answer["yes"] != false {
		t.Errorf("away: %d %v", status, answer)
	}
}

func TestWithoutAKeyOnlyThisMachineIsLetInAndOnlyUnderDev(t *testing.T) {
	for _, c := range []struct {
		dev      bool
		from     string
		expected bool
	}{
		{true, "127.0.0.1:1", true},
		{true, "[::1]:1", true},
		{true, "192.0.2.1:1", false},
		{false, "127.0.0.1:1", false},
	} {
		a := &Agent{cfg: AgentConfig{Dev: c.dev}}
		r := httptest.NewRequest(http.MethodGet, "/cluster/v1/alive", nil)
		r.RemoteAddr = c.from
		if got := a.trusts(r); got != c.expected {
			t.Errorf("dev %v, from %s: %v", c.dev, c.from, got)
		}
	}
}

// Whoever asks whether a member is alive hears at once when it is not.
func TestAliveEndsWithTheMember(t *testing.T) {
	store := NewMemory()
	a := serve(t, store, "a", NodeRole)
	eventually(t, "a is registered", a.standing(Held))
	r, err := http.NewRequest(http.MethodGet, a.server.URL+"/cluster/v1/alive", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(KeyHeader, "secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if name, i := resp.Header.Get(memberHeader), resp.Header.Get(incarnationHeader); name != "a" || i != string(a.State().Incarnation) {
		t.Errorf("%q %q is alive", name, i)
	}
	a.stop()
	if _, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Log(err) // any end will do
	}
	p := newHTTPPeers("secret")
	if !p.Refuses(context.Background(), a.server.URL) {
		t.Error("a port that nobody listens on does not refuse")
	}
	if p.Refuses(context.Background(), "http://nobody.invalid") {
		t.Error("what has no address refuses")
	}
}

func TestAPortThatListensDoesNotRefuse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if newHTTPPeers("").Refuses(context.Background(), "http://"+l.Addr().String()) {
		t.Error("it refuses")
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(`{"node":"a","incarnation":"a1"}`)
	f.Add(`{"node":"a","incarnation":"a1","room":"r"}`)
	f.Add(`{"node":"../a","incarnation":"a1"}`)
	f.Add(`[]`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []ask{askAway, askHold} {
			q, err := parseQuestion(strings.NewReader(text), kind)
			if err == nil && (!mixer.ValidID(q.Node) || !mixer.ValidID(string(q.Incarnation)) || kind == askHold && !mixer.ValidID(q.Room)) {
				t.Errorf("%q is taken for %+v", text, q)
			}
		}
	})
}
