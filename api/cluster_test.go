package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

// theKey is that of the tests' cluster.
const theKey = "the key of the cluster"

// fakeCluster is a directory in memory, of a node called node-1.
type fakeCluster struct {
	mu     sync.Mutex
	calls  []string
	rooms  map[string]cluster.Owner
	refuse error         // what Claim and Save answer
	stall  bool          // Save does not answer
	onCall func(string)  // told of each call before it is done
	claims chan struct{} // if not nil, Claim waits for it
}

func (f *fakeCluster) called(format string, args ...any) {
	call := fmt.Sprintf(format, args...)
	if f.onCall != nil {
		f.onCall(call)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

// asked answers how many calls there were since took.
func (f *fakeCluster) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// took answers and forgets the calls.
func (f *fakeCluster) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeCluster) Claim(ctx context.Context, room string, s mixer.Settings, _ time.Time) (cluster.Epoch, error) {
	f.called("claim %s %s", room, s.Title)
	if f.claims != nil {
		select {
		case <-f.claims:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return 0, f.refuse
	}
	f.rooms[room] = cluster.Owner{Node: "node-1", Epoch: 7}
	return 7, nil
}

func (f *fakeCluster) Save(ctx context.Context, room string) error {
	f.called("save %s", room)
	if f.stall {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.refuse
}

func (f *fakeCluster) Release(room string) {
	f.called("release %s", room)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rooms, room)
}

func (f *fakeCluster) Left(room string) { f.called("left %s", room) }

func (f *fakeCluster) Epoch(room string) (cluster.Epoch, bool) {
	o, ok := f.Owner(room)
	return o.Epoch, ok && o.Node == "node-1"
}

func (f *fakeCluster) Owner(room string) (cluster.Owner, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.rooms[room]
	return o, ok
}

// moveTo has another node own a room.
func (f *fakeCluster) moveTo(room, node string) cluster.Owner {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms[room] = cluster.Owner{Node: node, Epoch: 9}
	return f.rooms[room]
}

// fakeRunning is a recorder of which one recording runs in every room.
type fakeRunning struct {
	mu    sync.Mutex
	calls []string
	is    []cluster.Recording
}

func (f *fakeRunning) called(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeRunning) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeRunning) Running(string) []cluster.Recording {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.is)
}

func (f *fakeRunning) set(list ...cluster.Recording) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.is = list
}

func (f *fakeRunning) Continue(r *mixer.Room, rec cluster.Recording, planned bool) error {
	f.called("continue %s in %s, planned %v", rec.ID, r.ID(), planned)
	return nil
}
func (f *fakeRunning) HandOver(room string) { f.called("hand over %s", room) }
func (f *fakeRunning) Abandon(room string)  { f.called("abandon %s", room) }

// member is a harness in a cluster.
type member struct {
	*harness
	cluster *fakeCluster
	running *fakeRunning
	host    cluster.Host
}

func newMember(t testing.TB, change func(*Config)) *member {
	t.Helper()
	m := &member{cluster: &fakeCluster{rooms: map[string]cluster.Owner{}}, running: &fakeRunning{}}
	m.harness = newHarness(t, func(c *Config) {
		c.Cluster, c.ClusterKey, c.Running = m.cluster, theKey, m.running
		if change != nil {
			change(c)
		}
	})
	m.host = m.server.Host()
	return m
}

// passed are headers of a request that a router passes on.
func passed(more ...string) []string {
	return append([]string{"Tutti-Cluster-Key: " + theKey}, more...)
}

// eventually waits for another goroutine to come to something.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not happen", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *member) calls(want ...string) {
	m.t.Helper()
	if got := m.cluster.took(); !slices.Equal(got, want) {
		m.t.Errorf("asked the cluster for %q, want %q", got, want)
	}
}

// A room is claimed before it is made and released when it is no more; what is
// refused for other reasons is never claimed.
func TestRoomsAreClaimedAndReleased(t *testing.T) {
	m := newMember(t, func(c *Config) { c.AutoCreate = true })
	m.json("PUT", "/v1/rooms/r1", m.admin(), `{"canvas":{"width":1}}`).is(400)
	m.json("PUT", "/v1/rooms/r1", m.admin(), `{}`, `If-Match: "x"`).is(412)
	m.calls()
	m.json("PUT", "/v1/rooms/r1", m.admin(), `{"title":"One"}`).is(201)
	m.calls("claim r1 One")
	m.do("DELETE", "/v1/rooms/r1", m.admin(), "").is(200)
	m.json("PUT", "/v1/rooms/r1", m.admin(), `{"title":"Two"}`).is(201) // at once, under the same name
	m.calls("release r1", "claim r1 Two")

	m.offer("/v1/rooms/r2/whip", m.admin()).is(201)
	m.calls("claim r2 ")
	m.gateway.refuse = codedError("invalid_sdp")
	m.offer("/v1/rooms/r3/whip", m.admin()).problem(400, "invalid_sdp", "")
	eventually(t, "release of r3", func() bool { return m.cluster.asked() == 2 })
	m.calls("claim r3 ", "release r3")

	if _, err := m.rooms.Create("r4", mixer.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	m.json("POST", "/v1/rooms", m.admin(), "{}", passed("Tutti-Room: r4")...).problem(409, "room_exists", "")
	m.calls("claim r4 ", "release r4")
	m.host.Drain(true)
	m.json("PUT", "/v1/rooms/r5", m.admin(), "{}").problem(503, "draining", "")
	m.calls()
}

// Of two who make one room at the same time one succeeds, with one claim.
func TestOneClaimARoom(t *testing.T) {
	m := newMember(t, nil)
	m.cluster.claims = make(chan struct{})
	answers := make(chan int, 2)
	for range 2 {
		go func() {
			answers <- m.json("POST", "/v1/rooms", m.admin(), "{}", passed("Tutti-Room: r1")...).StatusCode
		}()
	}
	close(m.cluster.claims)
	if a, b := <-answers, <-answers; a+b != 201+409 {
		t.Errorf("answered with %d and %d", a, b)
	}
	m.calls("claim r1 ")
}

// What the cluster refuses reaches the client with its code.
func TestRefusedClaims(t *testing.T) {
	m := newMember(t, nil)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{cluster.ErrStoreAway, 503, "store_away"},
		{cluster.ErrFenced, 503, "fenced"},
		{fmt.Errorf("claim: %w", cluster.ErrConflict), 503, "overloaded"},
		{context.DeadlineExceeded, 503, "overloaded"},
	} {
		m.cluster.refuse = c.err
		a := m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").problem(c.status, c.code, "")
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.code)
		}
	}
	m.cluster.refuse = &cluster.ElsewhereError{Room: "r1", Owner: cluster.Owner{Node: "node-2"}}
	m.cluster.onCall = func(string) { m.cluster.moveTo("r1", "node-2") } // the claim finds it out
	a := m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").problem(421, "misdirected", "")
	if a.Header.Get("Tutti-Owner") != "node-2" {
		t.Errorf("owner %q", a.Header.Get("Tutti-Owner"))
	}
	m.cluster.onCall, m.cluster.refuse = nil, nil
	delete(m.cluster.rooms, "r1")
	m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201) // nothing stays behind of what was refused
}

// Changes are saved at once, and hold where they cannot be.
func TestChangesAreSaved(t *testing.T) {
	m := newMember(t, nil)
	m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
	session := m.offer("/v1/rooms/r1/whip", m.admin()).is(201).Header.Get("Location")
	m.cluster.took()
	m.cluster.refuse = cluster.ErrStoreAway
	m.json("PATCH", "/v1/rooms/r1", m.admin(), `{"title":"T"}`).is(200)
	m.calls("save r1")
	m.json("PUT", "/v1/rooms/r1", m.admin(), `{"title":"U"}`).is(200)
	m.calls("save r1")
	m.json("PUT", "/v1/rooms/r1/layout", m.admin(), `{"name":"grid"}`).is(200)
	m.calls("save r1")
	m.json("PATCH", session, m.admin(), `{"audio":{"muted":true}}`).is(200)
	m.calls("save r1")
	rec := m.json("POST", "/v1/rooms/r1/recordings", m.admin(), "").is(201).Header.Get("Location")
	m.calls("save r1")
	m.json("PATCH", rec, m.admin(), `{"state":"paused"}`).is(200)
	m.calls("save r1")
	m.json("PATCH", "/v1/rooms/r1", m.admin(), `{"title":7}`).is(400)
	m.calls()
	m.cluster.stall = true
	began := time.Now()
	var r roomResource
	m.json("PATCH", "/v1/rooms/r1", m.admin(), `{"title":"V"}`).is(200).into(&r)
	if took := time.Since(began); r.Title != "V" || took > 4*saveWithin {
		t.Errorf("title %q after %v", r.Title, took)
	}
}
