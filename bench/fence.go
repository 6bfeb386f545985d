package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tutti/bench/load"
)

// lease is that of the nodes (cluster.lease_s).
const lease = 2 * time.Second

// measureFence stops a node (SIGSTOP) or cuts it off from the store and the
// other members, for longer than its lease, and looks whether it sends anything
// when it should not: after it goes on, or later than its lease after the cut.
func measureFence(ctx context.Context, o options) error {
	var total fences
	for _, how := range []string{"stopped", "cut off"} {
		f, err := fenceRuns(ctx, o, how)
		if err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		if total.text == "" {
			total.text = "| a node is | runs | rooms that were taken over | of these, with a packet after its time | last packet after the cut, worst, s | sound again, median s | p95 s |\n|---|---|---|---|---|---|---|\n"
		}
		total.text += fmt.Sprintf("| %s | %d | %d | %d | %s | %.2f | %.2f |\n", how, f.runs, f.taken, f.late, f.last(how), f.again.median(), f.again.percentile(95))
	}
	fmt.Fprintf(o.out, "A node with a room of two people is stopped with SIGSTOP for 2.5 to 4 s, or cut off from the store and the members for as\nlong while its clients reach it. Its lease is %v.\n\n%s", lease, total.text)
	return nil
}

// fences are the outcomes of several runs.
type fences struct {
	runs, taken int
	late        int    // of those, in which something was sent when it should not
	ends, again series // seconds
	text        string
}

func (f *fences) last(how string) string {
	if how == "stopped" {
		return "-"
	}
	return fmt.Sprintf("%.2f", f.ends.percentile(100))
}

// fenceClusters are how many clusters are watched at once: they sleep most of the
// time.
const fenceClusters = 4

func fenceRuns(ctx context.Context, o options, how string) (*fences, error) {
	all, failed := make([]*fences, fenceClusters), make([]error, fenceClusters)
	var work sync.WaitGroup
	for i := range fenceClusters {
		work.Go(func() { all[i], failed[i] = fenceCluster(ctx, o, how, o.fences/2/fenceClusters) })
	}
	work.Wait()
	sum := new(fences)
	for _, f := range all {
		if f != nil {
			sum.runs, sum.taken, sum.late = sum.runs+f.runs, sum.taken+f.taken, sum.late+f.late
			sum.ends, sum.again = append(sum.ends, f.ends...), append(sum.again, f.again...)
		}
	}
	return sum, errors.Join(failed...)
}

// fenceCluster makes so many runs in one cluster.
func fenceCluster(ctx context.Context, o options, how string, runs int) (*fences, error) {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"b", "c"}, rules: pinned})
	if err != nil {
		return nil, err
	}
	defer c.stop()
	toStore, err := newGate(strings.TrimPrefix(c.storeAt[0], "http://"))
	if err != nil {
		return nil, err
	}
	defer toStore.close()
	if err := c.prepareNode("a"); err != nil {
		return nil, err
	}
	toNode, err := newGate(strings.TrimPrefix(c.nodes["a"].url, "http://"))
	if err != nil {
		return nil, err
	}
	defer toNode.close()
	a := c.nodes["a"]
	for i, arg := range a.args {
		if arg == c.storeAt[0] {
			a.args[i] = toStore.url()
		}
	}
	a.args = append(a.args, "--set", "cluster.advertise="+toNode.url())
	if err := c.startNode(ctx, "a"); err != nil {
		return nil, err
	}
	f := new(fences)
	for f.runs < runs {
		if err := c.fenceOnce(ctx, f, how, []*gate{toStore, toNode}); err != nil {
			return f, fmt.Errorf("run %d: %w", f.runs+1, err)
		}
		f.runs++
	}
	return f, nil
}

func (c *cluster) fenceOnce(ctx context.Context, f *fences, how string, gates []*gate) error {
	room := fmt.Sprintf("a-%d", f.runs)
	if err := c.put(ctx, room, map[string]any{"empty_timeout_s": 2}); err != nil {
		return err
	}
	people, err := c.visit(ctx, room, 2)
	defer func() { leaveAll(people) }()
	if err != nil {
		return err
	}
	if at, err := c.roomsOn(ctx, "a"); err != nil || at == 0 {
		return fmt.Errorf("%d rooms are on the node: %w", at, err)
	}
	w, err := c.witness(ctx, room)
	if err != nil {
		return err
	}
	defer w.crowd.Close()
	before := people[0].sessions()
	away := 2500*time.Millisecond + rand.N(1500*time.Millisecond)
	begin := time.Now()
	if how == "stopped" {
		err = c.nodes["a"].cmd.Process.Signal(syscall.SIGSTOP)
	} else {
		for _, g := range gates {
			g.cut()
		}
	}
	if err != nil {
		return err
	}
	if err := sleep(ctx, away); err != nil {
		return err
	}
	over := time.Now()
	if how == "stopped" {
		err = c.nodes["a"].cmd.Process.Signal(syscall.SIGCONT)
	} else {
		for _, g := range gates {
			g.mend()
		}
	}
	if err != nil {
		return err
	}
	for i, v := range people {
		if err := v.await(ctx, begin.Add(100*time.Millisecond), 15*time.Second); err != nil {
			return fmt.Errorf("person %d: %w", i, err)
		}
	}
	if err := sleep(ctx, time.Until(over.Add(time.Second))); err != nil {
		return err
	}
	if people[0].sessions() > before { // else the node was back before its lease had ended
		f.taken++
		f.note(how, w.heard(), people, begin, over)
	}
	return c.back(ctx, "a")
}

// note sees what came of a run in which the node lost its room. end is when its
// last packet came.
func (f *fences) note(how string, end time.Time, people []*visitor, begin, over time.Time) {
	latest, from := over, begin.Add(100*time.Millisecond)
	if how != "stopped" {
		latest, from = begin.Add(lease), end.Add(time.Millisecond)
		f.ends = append(f.ends, end.Sub(begin).Seconds())
	}
	if end.After(latest) {
		f.late++
	}
	for _, v := range people {
		if at := v.since(from); !at.IsZero() {
			f.again = append(f.again, at.Sub(begin).Seconds())
		}
	}
}

// witness listens in a room of a node and never leaves it: whatever the node
// sends is seen, by whom it should no longer send it to as well.
type witness struct {
	crowd *load.Load
	last  atomic.Int64 // UnixNano
}

func (c *cluster) witness(ctx context.Context, room string) (*witness, error) {
	w := new(witness)
	var err error
	w.crowd, err = load.New(load.Config{Listen: true, OnSound: func(_ int, at time.Time, _ []byte) { w.last.Store(at.UnixNano()) }})
	if err != nil {
		return nil, err
	}
	return w, w.crowd.Add(ctx, 1, func(ctx context.Context, _ int, offer string) (string, func(context.Context), error) {
		answer, _, err := roundTrip(ctx, http.MethodPost, c.url+"/v1/rooms/"+room+"/whep", "application/sdp", []byte(offer))
		return string(answer), nil, err
	})
}

// heard answers when the last packet came.
func (w *witness) heard() time.Time { return time.Unix(0, w.last.Load()) }

// back waits until a node is active again.
func (c *cluster) back(ctx context.Context, node string) error {
	for begin := time.Now(); time.Since(begin) < 20*time.Second; {
		body, _, err := roundTrip(ctx, http.MethodGet, c.url+"/v1/nodes", "", nil)
		if err == nil && strings.Count(string(body), `"state":"active"`) == len(c.nodes) {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the node is not back after 20 s")
}

// gate is a way to an address that can be cut: then what was on it goes nowhere,
// without a word, as in a network that is parted.
type gate struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	opened *sync.Cond
	closed bool
}

func newGate(to string) (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{listener: l, to: to}
	g.opened = sync.NewCond(&g.mu)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.serve(conn)
		}
	}()
	return g, nil
}

func (g *gate) url() string { return "http://" + g.listener.Addr().String() }
func (g *gate) close()      { _ = g.listener.Close(); g.mend() }

func (g *gate) cut() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}

func (g *gate) mend() {
	g.mu.Lock()
	g.closed = false
	g.mu.Unlock()
	g.opened.Broadcast()
}

// pass waits while the way is cut.
func (g *gate) pass() {
	g.mu.Lock()
	for g.closed {
		g.opened.Wait()
	}
	g.mu.Unlock()
}

func (g *gate) serve(near net.Conn) {
	defer near.Close()
	g.pass()
	far, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer far.Close()
	go g.carry(near, far)
	g.carry(far, near)
}

func (g *gate) carry(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.pass()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
