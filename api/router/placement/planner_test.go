package placement

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/api/router/rules"
)

const sec = time.Second

// cluster answers nodes that have nothing to do.
func cluster(n int) []Node {
	var nodes []Node
	for i := range n {
		nodes = append(nodes, Node{Name: fmt.Sprintf("node-%d", i), Capacity: 4000, Labels: map[string]string{"region": "eu"}, Version: "1.0"})
	}
	return nodes
}

func ask(id string) Request {
	hash, err := Key("t", id)
	if err != nil {
		panic(err)
	}
	return Request{Tenant: "t", Kind: "meeting", Purpose: "live", Room: id, Hash: hash}
}

// choice answers what a decision says of one node.
func choice(t *testing.T, d Decision, node string) Choice {
	t.Helper()
	i := slices.IndexFunc(d.Candidates, func(c Choice) bool { return c.Node == node })
	if i < 0 {
		t.Fatalf("%s is no candidate", node)
	}
	return d.Candidates[i]
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestABurstSpreads(t *testing.T) {
	p := NewPlanner(Config{})
	p.Nodes(0, cluster(10))
	count := map[string]int{}
	for i := range 60 {
		r := ask(fmt.Sprintf("room-%d", i))
		d := p.Place(sec, r)
		p.Charge(sec, r, d.Chosen)
		count[d.Chosen]++
	}
	for node, n := range count {
		if n != 6 || len(count) != 10 {
			t.Errorf("%s got %d of 60", node, n)
		}
	}
}

// TestRoomsAreMadeAheadOfTheirTime holds that what is only promised refuses no
// room, and that what a node does refuse it.
func TestRoomsAreMadeAheadOfTheirTime(t *testing.T) {
	p := NewPlanner(Config{})
	nodes := cluster(2)
	p.Nodes(0, nodes)
	count := map[string]int{}
	for i := range 200 { // expected to cost 20,000, of which the nodes have 8,000
		r := ask(fmt.Sprintf("room-%d", i))
		d := p.Place(sec, r)
		if d.Chosen == "" {
			t.Fatalf("room %d is refused: %+v", i, d.Candidates)
		}
		p.Charge(sec, r, d.Chosen)
		count[d.Chosen]++
	}
	if n := count["node-0"]; n != 100 {
		t.Errorf("%d of 200 are on one of two nodes", n)
	}
	nodes[0].CPU, nodes[1].CPU = 3700, 3700
	p.Nodes(2*sec, nodes)
	if d := p.Place(2*sec, ask("late")); d.Chosen != "" || d.Candidates[0].Why != whyCeiling {
		t.Errorf("busy nodes take a room: %+v", d)
	}
}

func TestTheOrderDecidesBetweenEquals(t *testing.T) {
	p := NewPlanner(Config{})
	p.Nodes(0, cluster(10))
	for i := range 20 {
		r := ask(fmt.Sprintf("room-%d", i))
		d := p.Place(0, r)
		first := p.seats[Order(nil, r.Hash, p.seats)[0].Seat].Name
		if d.Chosen != first || d.Candidates[0].Node != first || len(d.Candidates) != 10 {
			t.Errorf("%s, not %s", d.Chosen, first)
		}
	}
}

func TestAReservationDecaysAsItIsMeasured(t *testing.T) {
	p := NewPlanner(Config{Ramp: 100 * sec, Cost: 200})
	nodes := cluster(1)
	p.Nodes(0, nodes)
	r := ask("a")
	p.Charge(10*sec, r, "node-0")
	p.Charge(12*sec, r, "node-0") // heard again: nothing
	reserved := func(now time.Duration) float64 { return choice(t, p.Place(now, ask("b")), "node-0").Reserved }
	if got := reserved(20 * sec); !near(got, 200) {
		t.Errorf("%v before a report", got)
	}
	for _, c := range []struct {
		reported time.Duration
		want     float64
	}{{10 * sec, 200}, {35 * sec, 150}, {60 * sec, 100}, {109 * sec, 2}, {110 * sec, 0}} {
		nodes[0].Reported = c.reported
		p.Nodes(110*sec, nodes)
		if got := reserved(110 * sec); !near(got, c.want) {
			t.Errorf("%v after a report of %v, not %v", got, c.reported, c.want)
		}
	}
}

func TestAReservationOfASilentNodeEnds(t *testing.T) {
	p := NewPlanner(Config{Ramp: 100 * sec})
	nodes := cluster(1)
	nodes[0].Reported = sec
	p.Nodes(sec, nodes)
	p.Charge(2*sec, ask("a"), "node-0")
	for now, want := range map[time.Duration]int{201 * sec: 1, 202 * sec: 0} {
		q := NewPlanner(Config{Ramp: 100 * sec})
		q.Nodes(sec, nodes)
		q.Charge(2*sec, ask("a"), "node-0")
		q.Nodes(now, nodes)
		if got := len(q.nodes[0].charges); got != want {
			t.Errorf("%d charges at %v", got, now)
		}
	}
}

func TestMovedAndClosedRoomsAreCredited(t *testing.T) {
	p := NewPlanner(Config{})
	nodes := cluster(2)
	nodes[0].CPU = 500
	p.Nodes(0, nodes)
	p.Charge(0, ask("a"), "node-0")
	nodes[0].Reported = 200 * sec
	p.Measured(200*sec, "a", "t", "meeting", "live", 300)
	p.Nodes(200*sec, nodes)
	p.Charge(201*sec, ask("a"), "node-1")
	d := p.Place(201*sec, ask("b"))
	if a, b := choice(t, d, "node-0"), choice(t, d, "node-1"); !near(a.Reserved, -300) || !near(b.Reserved, 300) || !near(a.Predicted, 200+d.Cost) {
		t.Errorf("%+v, %+v", a, b)
	}
	p.Closed(202*sec, "a")
	p.Closed(202*sec, "a")
	if b := choice(t, p.Place(202*sec, ask("b")), "node-1"); !near(b.Reserved, -300) || b.Predicted < 0 {
		t.Errorf("%+v after it has closed", b)
	}
	nodes[0].Reported, nodes[1].Reported = 207*sec, 207*sec
	p.Nodes(207*sec, nodes)
	if d := p.Place(207*sec, ask("b")); choice(t, d, "node-0").Reserved != 0 || choice(t, d, "node-1").Reserved != 0 {
		t.Errorf("%+v after reports", d.Candidates)
	}
}

func TestARefusalFreesAndRests(t *testing.T) {
	p := NewPlanner(Config{})
	p.Nodes(0, cluster(2))
	r := ask("a")
	first := p.Place(0, r).Chosen
	p.Charge(0, r, first)
	p.Refused(0, r, first)
	p.Refused(0, r, "nobody")
	d := p.Place(sec, r)
	if c := choice(t, d, first); c.Accepts || c.Why != whyRefused || c.Reserved != 0 || d.Chosen == first || d.Chosen == "" {
		t.Errorf("%+v", d)
	}
	if d := p.Place(5*sec, r); d.Chosen != first {
		t.Errorf("%s after the rest", d.Chosen)
	}
	r.Exclude, r.Rescue = []string{d.Chosen}, true
	if d := p.Place(sec, r); d.Chosen != first {
		t.Errorf("a room without a node is not offered to one that refused: %+v", d.Candidates)
	}
}

// TestARoomIsNotCountedTwice holds that a room adds nothing to the node that it is on.
func TestARoomIsNotCountedTwice(t *testing.T) {
	p := NewPlanner(Config{})
	nodes := cluster(2)
	p.Nodes(0, nodes)
	r := ask("a")
	p.Charge(0, r, "node-0")
	d := p.Place(0, r)
	if here, there := choice(t, d, "node-0"), choice(t, d, "node-1"); here.Predicted != 100 || there.Predicted != 100 {
		t.Errorf("here %+v, there %+v", here, there)
	}
}

func TestPredictionNarrows(t *testing.T) {
	p := NewPlanner(Config{Ramp: 10 * sec, Cost: 70})
	p.Nodes(0, cluster(1))
	expect := func(tenant, kind, basis string, least, most float64) {
		t.Helper()
		d := p.Place(1000*sec, Request{Tenant: tenant, Kind: kind, Purpose: "live", Room: "new"})
		if d.Basis != basis || !(d.Cost >= least && d.Cost <= most) {
			t.Errorf("%s, %s: %v by %s, not by %s", tenant, kind, d.Cost, d.Basis, basis)
		}
	}
	expect("big", "lesson", "none", 70, 70)
	p.Measured(0, "young", "big", "lesson", "live", 5000)
	p.Measured(9*sec, "young", "big", "lesson", "live", 5000)
	expect("big", "lesson", "none", 70, 70)
	for i := range 20 {
		for tenant, cost := range map[string]float64{"big": 1000, "small": 10} {
			for _, at := range []time.Duration{0, 10 * sec, 11 * sec} { // the last is too early to count again
				p.Measured(at, fmt.Sprint(tenant, i), tenant, "lesson", "live", cost)
			}
		}
	}
	expect("big", "lesson", "tenant", 900, 1000)
	expect("small", "lesson", "tenant", 10, 60)
	expect("new", "lesson", "kind", 400, 600)
	expect("new", "concert", "all", 400, 600)
	for _, bad := range []float64{math.NaN(), -1, math.Inf(1)} {
		p.Measured(50*sec, "big0", "big", "lesson", "live", bad)
	}
	expect("big", "lesson", "tenant", 900, 1000)
}

func TestMemoryIsBounded(t *testing.T) {
	p := NewPlanner(Config{Ramp: sec})
	for i := range maxClasses + 100 {
		p.costs.add(class{tenant: fmt.Sprint(i), kind: fmt.Sprint(i)}, 1)
		p.Measured(0, fmt.Sprint(i), "t", "k", "p", 1)
	}
	if len(p.costs.classes) > maxClasses || len(p.costs.kinds) > maxClasses {
		t.Errorf("%d classes, %d kinds", len(p.costs.classes), len(p.costs.kinds))
	}
	p.Nodes(time.Hour, nil)
	if len(p.rooms) != 0 {
		t.Errorf("%d rooms that nobody speaks of", len(p.rooms))
	}
}

func TestWhyNot(t *testing.T) {
	eu := mustParse(t, "rules:\n  - name: eu\n    pool: {require: {region: eu}, forbid: {gpu: '*'}, release: {version: '1.0'}, max_rooms: 3, ceiling: 0.5}\n")
	_, pool := eu.Match(&rules.Query{})
	for _, c := range []struct {
		why  string
		node func(*Node)
		req  func(*Request)
	}{
		{"", nil, nil},
		{"lacks region=eu", func(n *Node) { n.Labels = map[string]string{"region": "us"} }, nil},
		{"has gpu=*", func(n *Node) { n.Labels = map[string]string{"region": "eu", "gpu": "x"} }, nil},
		{whyExcluded, nil, func(r *Request) { r.Exclude = []string{"node-0"} }},
		{whyDraining, func(n *Node) { n.Draining = true }, nil},
		{whyRelease, func(n *Node) { n.Version = "1.1" }, nil},
		{whyTaken, func(n *Node) { n.Tenancies = []Tenancy{{"other", true, 1}} }, nil},
		{"", func(n *Node) { n.Tenancies = []Tenancy{{"other", true, 0}, {"third", false, 9}} }, nil},
		{whyFull, func(n *Node) { n.MaxRooms, n.Rooms = 5, 5 }, nil},
		{"", func(n *Node) { n.MaxRooms, n.Rooms = 5, 4 }, nil},
		{whyFull, func(n *Node) { n.Tenancies = []Tenancy{{"eu", false, 3}} }, nil},
		{whyCeiling, func(n *Node) { n.CPU = 1901 }, nil},
		{"", func(n *Node) { n.CPU = 1901 }, func(r *Request) { r.Rescue = true }},
		{"", func(n *Node) { n.CPU, n.Capacity = 9999, 0 }, nil},
	} {
		p := NewPlanner(Config{Cost: 100})
		nodes := cluster(1)
		if c.node != nil {
			c.node(&nodes[0])
		}
		p.Nodes(0, nodes)
		r := ask("a")
		r.Pool = pool
		if c.req != nil {
			c.req(&r)
		}
		d := p.Place(0, r)
		if got := d.Candidates[0]; got.Why != c.why || got.Accepts != (c.why == "") || (d.Chosen == "") != (c.why != "") {
			t.Errorf("%q, not %q", got.Why, c.why)
		}
	}
}

func mustParse(t testing.TB, doc string) *rules.Rules {
	t.Helper()
	rs, err := rules.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestPendingRoomsCount(t *testing.T) {
	p := NewPlanner(Config{})
	nodes := cluster(1)
	nodes[0].MaxRooms = 2
	p.Nodes(sec, nodes)
	for i, want := range []string{"node-0", "node-0", ""} {
		r := ask(fmt.Sprint("r", i))
		d := p.Place(2*sec, r)
		if d.Chosen != want {
			t.Errorf("room %d goes to %q", i, d.Chosen)
		}
		p.Charge(2*sec, r, d.Chosen)
	}
	nodes[0].Rooms, nodes[0].Reported = 1, 3*sec // one was not made after all
	p.Nodes(3*sec, nodes)
	if d := p.Place(3*sec, ask("r9")); d.Chosen != "node-0" {
		t.Error("what was counted counts twice")
	}
}

func TestPreferenceReleaseAndTop(t *testing.T) {
	nodes := cluster(6)
	for i := range nodes {
		nodes[i].Labels = map[string]string{"zone": string(rune('a' + i%3))}
		nodes[i].CPU = float64(i) // node-0 has least to do
	}
	nodes[5].Version = "2.0"
	for _, c := range []struct {
		pool   rules.Pool
		chosen string
		any    bool
	}{
		{pool: rules.Pool{}, chosen: "node-0"},
		{pool: rules.Pool{Prefer: []rules.Label{{Key: "zone", Value: "b"}}}, chosen: "node-1"},
		{pool: rules.Pool{Prefer: []rules.Label{{Key: "zone", Value: "z"}}}, chosen: "node-0"},
		{pool: rules.Pool{Release: "2.0"}, chosen: "node-5"},
		{pool: rules.Pool{Release: "3.0"}, chosen: ""},
		{pool: rules.Pool{Release: "3.0", AnyRelease: true}, chosen: "node-0", any: true},
	} {
		p := NewPlanner(Config{})
		p.Nodes(0, nodes)
		r := ask("a")
		r.Pool = &c.pool
		if d := p.Place(0, r); d.Chosen != c.chosen || d.AnyRelease != c.any {
			t.Errorf("%+v: %s", c.pool, d.Chosen)
		}
	}
	for top := 1; top <= 6; top++ {
		p := NewPlanner(Config{})
		p.Nodes(0, nodes)
		r := ask("a")
		r.Pool = &rules.Pool{Top: top}
		d := p.Place(0, r)
		least := slices.MinFunc(d.Candidates[:top], func(a, b Choice) int { return int(a.CPU - b.CPU) })
		if d.Chosen != least.Node {
			t.Errorf("top %d: %s, not %s", top, d.Chosen, least.Node)
		}
	}
}

// TestStaleGoesByTheOrder: without the store two planners that have seen
// different things choose the same.
func TestStaleGoesByTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := NewPlanner(Config{}), NewPlanner(Config{})
		for _, p := range []*Planner{a, b} {
			nodes := cluster(8)
			for i := range nodes {
				nodes[i].CPU = rapid.Float64Range(0, 9000).Draw(t, "cpu")
			}
			p.Nodes(0, nodes)
			p.Refused(0, ask("x"), "node-3")
			p.Stale(true)
		}
		r := ask(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "room"))
		one, two := a.Place(0, r), b.Place(0, r)
		if one.Chosen != two.Chosen || one.Chosen != one.Candidates[0].Node || !one.Stale {
			t.Fatalf("%s, %s", one.Chosen, two.Chosen)
		}
		if _, ok := a.Rebalance(time.Hour, []Placed{{Room: "r", Node: "node-0", Cost: 100, Movable: true}}); ok {
			t.Fatal("moves rooms without the store")
		}
	})
}
