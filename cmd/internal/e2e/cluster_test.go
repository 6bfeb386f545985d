package e2e

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/api/cluster"
	"tutti/api/cluster/etcd"
)

// fleet is a cluster on this machine: routers, of which the first has the store
// with it, before nodes.
type fleet struct {
	routers []*server
	nodes   map[string]*server
	store   cluster.Store
	view    *cluster.View
	url     string // of the store; several with commas between
}

// launch starts a cluster. All of it is gone when the test ends.
func launch(t *testing.T, routers, nodes int, flags ...string) *fleet {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
	f := &fleet{nodes: map[string]*server{}, url: "http://" + freePort(t)}
	flags = append([]string{"--dev"}, flags...)
	for i := range routers {
		own := []string{"--name", fmt.Sprintf("router-%d", i+1), "--cluster", f.url}
		if i == 0 {
			own = []string{"--name", "router-1", "--store-data", t.TempDir(), "--set", "store.client=" + f.url, "--set", "store.peer=http://" + freePort(t)}
		}
		r := &server{t: t, http: freePort(t), dir: t.TempDir(), at: here, command: "router", flags: append(own, flags...)}
		r.begin()
		f.routers = append(f.routers, r)
	}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i+1)
		f.nodes[name] = f.node(t, name, flags...)
		f.nodes[name].begin()
	}
	f.watch(t)
	return f
}

// node answers a node of the cluster that has not begun.
func (f *fleet) node(t *testing.T, name string, flags ...string) *server {
	t.Helper()
	return &server{
		t: t, http: freePort(t), udp: freePort(t), dir: t.TempDir(), at: here, command: "node",
		flags: append([]string{"--name", name, "--cluster", f.url}, flags...),
	}
}

// watch lets the test see the directory.
func (f *fleet) watch(t *testing.T) {
	t.Helper()
	store, err := etcd.Dial(etcd.Config{Endpoints: strings.Split(f.url, ",")})
	if err != nil {
		t.Fatal(err)
	}
	f.store, f.view = store, cluster.NewView(store, slog.New(slog.DiscardHandler))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = f.view.Run(t.Context()) // ends with the test
	}()
	t.Cleanup(func() {
		<-watched
		_ = store.Close()
	})
	select {
	case <-f.view.Ready():
	case <-time.After(patience):
		t.Fatal("the store cannot be read")
	}
}

// owner answers which node a room is on, by the directory, which tells of a new
// room a little later than the router does.
func (f *fleet) owner(t *testing.T, room string) cluster.Owner {
	t.Helper()
	var owner cluster.Owner
	until(t, patience, func() string {
		e, ok := f.view.Room(room)
		if ok {
			owner = e.Owner
		}
		return wrongIf(!ok, "the directory does not know %s", room)
	})
	return owner
}

// movesFrom waits until a room is on another node than before, and answers which.
func (f *fleet) movesFrom(t *testing.T, room string, before cluster.Owner, within time.Duration) cluster.Owner {
	t.Helper()
	until(t, within, func() string {
		return wrongIf(f.owner(t, room).Incarnation == before.Incarnation, "%s is still on %s", room, before.Node)
	})
	after := f.owner(t, room)
	if after.Epoch <= before.Epoch {
		t.Errorf("%s: epoch %d follows %d", room, after.Epoch, before.Epoch)
	}
	return after
}

// nodeState is what the routers tell of a node.
type nodeState struct {
	ID    string
	State string
	Rooms int
}

func (f *fleet) state(t *testing.T, router *server, name string) nodeState {
	t.Helper()
	for _, n := range ask[struct{ Nodes []nodeState }](t, router, http.MethodGet, "/v1/nodes", nil).Nodes {
		if n.ID == name {
			return n
		}
	}
	return nodeState{}
}

// becomes waits until the routers tell that a node is as it should be.
func (f *fleet) becomes(t *testing.T, router *server, want nodeState) {
	t.Helper()
	until(t, patience, func() string {
		got := f.state(t, router, want.ID)
		return wrongIf(got != want, "%s is %+v, not %+v", want.ID, got, want)
	})
}

// checkSettings looks whether a room is still as smallRoom says.
func checkSettings(t *testing.T, s *server, room string) {
	t.Helper()
	got := ask[struct {
		Canvas struct{ Width, Height, FPS int }
		Layout struct{ Name string }
	}](t, s, http.MethodGet, "/v1/rooms/"+room, nil)
	if got.Canvas.Width != 640 || got.Canvas.Height != 360 || got.Canvas.FPS != 15 || got.Layout.Name != "grid" {
		t.Errorf("%s is now %+v", room, got)
	}
}

// TestCluster is a cluster's life, one thing after the other: two guests of a room
// hear each other through two routers whatever becomes of the node.
func TestCluster(t *testing.T) {
	f := launch(t, 2, 3)
	one, two := f.routers[0], f.routers[1]
	if _, err := one.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Fatal(err)
	}
	if _, err := two.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Errorf("the other router does not know the room: %v", err)
	}
	rosa, gruen := one.invite(t, "r", red), two.invite(t, "r", green)
	hearEachOther(t, rosa, gruen)

	steps := []struct {
		name string
		run  func(*testing.T, *fleet, *resident, *resident)
	}{
		{"a session works through any router", sessionsAnywhere},
		{"a drain disturbs nobody", drains},
		{"a node that sleeps longer than its lease is silent when it wakes", sleeps},
		{"a node that is killed loses nobody", isKilled},
		{"a node that is told to end moves its rooms first", isEnded},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, f, rosa, gruen) }) {
			return // what follows would only fail for the same reason
		}
	}
}

// sessionsAnywhere asks each router for the session that the other one has made.
func sessionsAnywhere(t *testing.T, f *fleet, rosa, gruen *resident) {
	for i, at := range []string{gruen.here().location, rosa.here().location} {
		if _, err := f.routers[i].call(http.MethodGet, at, nil); err != nil {
			t.Error(err)
		}
	}
	viewer := f.routers[1].enter(t, "r", "whep", "Viewer")
	hear(t, []identity{red, green}, viewer.levels)
	if err := viewer.leave(); err != nil {
		t.Error(err)
	}
	if list := f.routers[0].participants(t, "r"); len(list) != 2 {
		t.Errorf("in the room are %v", list)
	}
}

// drains empties the room's node by the API, and lets it take rooms again.
func drains(t *testing.T, f *fleet, rosa, gruen *resident) {
	before := f.owner(t, "r")
	if _, err := f.routers[0].call(http.MethodPatch, "/v1/nodes/"+before.Node, map[string]any{"state": "draining", "deadline_s": 20}); err != nil {
		t.Fatal(err)
	}
	f.movesFrom(t, "r", before, patience)
	f.becomes(t, f.routers[1], nodeState{before.Node, "draining", 0})
	rosa.has(t, 1, 0)
	gruen.has(t, 1, 0)
	hearEachOther(t, rosa, gruen)
	checkSettings(t, f.routers[1], "r")
	if _, err := f.routers[1].call(http.MethodPatch, "/v1/nodes/"+before.Node, map[string]any{"state": "active"}); err != nil {
		t.Fatal(err)
	}
	f.becomes(t, f.routers[0], nodeState{before.Node, "active", 0})
}

// sleeps stops the room's node for longer than its lease lasts.
func sleeps(t *testing.T, f *fleet, rosa, gruen *resident) {
	before := f.owner(t, "r")
	node := f.nodes[before.Node]
	witness := f.routers[0].enter(t, "r", "whep", "Witness") // who does not leave
	until(t, patience, func() string {
		packets, _ := witness.counts()
		return wrongIf(packets == 0, "the witness hears nothing")
	})
	if err := node.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	woken := false
	defer func() {
		if !woken {
			_ = node.cmd.Process.Signal(syscall.SIGCONT)
		}
	}()
	f.movesFrom(t, "r", before, patience)
	packets, pictures := witness.counts()
	woken = true
	if err := node.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	always(t, 2*time.Second, func() string {
		p, v := witness.counts()
		return wrongIf(p != packets || v != pictures, "the node that woke up has sent %d packets of sound and %d pictures", p-packets, v-pictures)
	})
	_ = witness.vanish()
	rosa.has(t, 1, 1)
	gruen.has(t, 1, 1)
	hearEachOther(t, rosa, gruen)
	checkSettings(t, f.routers[0], "r")
	f.becomes(t, f.routers[0], nodeState{before.Node, "active", 0})
	if rooms := ask[struct{ Rooms []struct{ ID string } }](t, node, http.MethodGet, "/v1/rooms", nil); len(rooms.Rooms) > 0 {
		t.Errorf("the node that woke up has the rooms %v", rooms)
	}
}

// isKilled kills the room's node, and lets it come again.
func isKilled(t *testing.T, f *fleet, rosa, gruen *resident) {
	before := f.owner(t, "r")
	begin := time.Now()
	f.nodes[before.Node].kill()
	f.movesFrom(t, "r", before, patience)
	t.Logf("the room is on another node after %v", time.Since(begin))
	rosa.has(t, 1, 2)
	gruen.has(t, 1, 2)
	hearEachOther(t, rosa, gruen)
	t.Logf("everybody hears everybody after %v", time.Since(begin))
	checkSettings(t, f.routers[1], "r")
	if list := f.routers[0].participants(t, "r"); len(list) != 2 {
		t.Errorf("in the room are %v", list)
	}
	f.nodes[before.Node].run()
	f.becomes(t, f.routers[0], nodeState{before.Node, "active", 0})
}

// isEnded sends SIGTERM to the room's node.
func isEnded(t *testing.T, f *fleet, rosa, gruen *resident) {
	before := f.owner(t, "r")
	if code := f.nodes[before.Node].terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if after := f.owner(t, "r"); after.Node == before.Node {
		t.Error("the node has ended and its room is still there")
	}
	rosa.has(t, 2, 2)
	gruen.has(t, 2, 2)
	hearEachOther(t, rosa, gruen)
	if s := f.state(t, f.routers[0], before.Node); s.State == "active" {
		t.Errorf("the node that has left is %+v", s)
	}
}
