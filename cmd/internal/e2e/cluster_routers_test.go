package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// launchThree starts three routers, each with a store of its own that they keep
// together, and nodes. stores are the routers' by their URLs.
func launchThree(t *testing.T, nodes int) (f *fleet, stores map[string]*server) {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
	f, stores = &fleet{nodes: map[string]*server{}}, map[string]*server{}
	var urls, peers, initial []string
	for i := range 3 {
		urls, peers = append(urls, "http://"+freePort(t)), append(peers, "http://"+freePort(t))
		initial = append(initial, fmt.Sprintf("router-%d=%s", i+1, peers[i]))
	}
	f.url = strings.Join(urls, ",")
	var ready []chan struct{}
	for i := range 3 { // together, as none is ready before two are there
		r := &server{t: t, http: freePort(t), dir: t.TempDir(), at: here, command: "router", flags: []string{
			"--dev", "--name", fmt.Sprintf("router-%d", i+1), "--store-data", t.TempDir(),
			"--set", "store.client=" + urls[i], "--set", "store.peer=" + peers[i], "--set", "store.initial=" + strings.Join(initial, ","),
		}}
		ready = append(ready, r.spawn())
		r.endsWithTest()
		f.routers, stores[urls[i]] = append(f.routers, r), r
	}
	for i, r := range f.routers {
		r.await(ready[i])
	}
	for i := range nodes {
		n := f.node(t, fmt.Sprintf("node-%d", i+1), "--dev")
		n.begin()
		f.nodes[fmt.Sprintf("node-%d", i+1)] = n
	}
	f.watch(t)
	return f, stores
}

// leader answers the router whose store leads.
func (f *fleet) leader(t *testing.T, stores map[string]*server) *server {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(f.url, ","), DialTimeout: 2 * time.Second, Context: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for url, r := range stores {
		if s, err := client.Status(t.Context(), url); err == nil && s.Leader == s.Header.MemberId {
			return r
		}
	}
	t.Fatal("no store leads")
	return nil
}

// makesRoom lets a router make a room, and waits until it has: while the stores choose
// another leader a new room may be refused for the moment.
func makesRoom(t *testing.T, r *server, room string) {
	t.Helper()
	begin := time.Now()
	until(t, patience, func() string {
		_, err := r.call(http.MethodPut, "/v1/rooms/"+room, smallRoom)
		return wrongIf(err != nil, "%v", err)
	})
	t.Logf("%s is made after %v", room, time.Since(begin))
}

// TestThreeRouters loses routers that keep the store among them, the one that leads
// first.
func TestThreeRouters(t *testing.T) {
	f, stores := launchThree(t, 2)
	rooms := []string{"through-1", "through-2", "through-3"}
	for i, r := range f.routers {
		if _, err := r.call(http.MethodPut, "/v1/rooms/"+rooms[i], smallRoom); err != nil {
			t.Fatal(err)
		}
	}
	// serve looks that each of the routers knows each of the rooms.
	serve := func(routers []*server, rooms ...string) string {
		for _, r := range routers {
			for _, room := range rooms {
				if _, err := r.call(http.MethodGet, "/v1/rooms/"+room, nil); err != nil {
					return err.Error()
				}
			}
		}
		return ""
	}
	if wrong := serve(f.routers, rooms...); wrong != "" {
		t.Error(wrong)
	}

	lost := f.leader(t, stores)
	var others []*server
	for _, r := range f.routers {
		if r != lost {
			others = append(others, r)
		}
	}
	viewer := lost.enter(t, rooms[0], "whep", "Viewer")
	rosa, gruen := others[0].invite(t, rooms[0], red), others[1].invite(t, rooms[0], green)
	hear(t, []identity{red, green}, viewer.levels)

	before := f.owner(t, rooms[0])
	lost.kill()
	always(t, 2*time.Second, func() string { return serve(others, rooms...) })
	makesRoom(t, others[0], "without-1")
	makesRoom(t, others[1], "without-2")
	rosa.has(t, 0, 0)
	gruen.has(t, 0, 0)
	hear(t, []identity{red, green}, viewer.levels) // whoever came through the lost one
	if after := f.owner(t, rooms[0]); after != before {
		t.Errorf("the room was at %+v and is at %+v", before, after)
	}

	lost.run()
	if wrong := serve([]*server{lost}, append(rooms, "without-1", "without-2")...); wrong != "" {
		t.Errorf("after it has come back: %s", wrong)
	}
	makesRoom(t, lost, "again")
	if err := viewer.leave(); err != nil { // through it
		t.Error(err)
	}

	// Its store counts again: without it, one of three would be left.
	others[0].kill()
	makesRoom(t, lost, "without-3")
	if wrong := serve([]*server{lost, others[1]}, append(rooms, "again", "without-3")...); wrong != "" {
		t.Error(wrong)
	}
}
