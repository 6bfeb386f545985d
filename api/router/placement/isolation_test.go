package placement

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/api/router/rules"
)

const isolating = `
rules:
  - name: clinic
    match: {tenant: clinic}
    pool: {require: {region: eu}, isolation: dedicated}
  - name: bank
    match: {tenant: bank}
    pool: {isolation: dedicated}
    on_empty: overflow
  - name: school
    match: {tenant: school}
    pool: {require: {region: us}}
    on_empty: next
  - name: overflow
    pool: {forbid: {region: eu}}
`

// TestDedicatedNodesStayDedicated: whatever comes, closes, is refused and is
// reported, no node has rooms of a dedicated rule and of another.
func TestDedicatedNodesStayDedicated(t *testing.T) {
	rs := mustParse(t, isolating)
	rapid.Check(t, func(t *rapid.T) {
		p := NewPlanner(Config{})
		nodes := cluster(6)
		for i := range nodes {
			nodes[i].Labels = map[string]string{"region": []string{"eu", "us"}[i%2]}
		}
		p.Nodes(0, nodes)
		on := map[string]map[string]living{} // by node and room
		now := time.Duration(0)
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				report(p, now, nodes, on)
			case 1:
				closeOne(p, now, on)
			default:
				tenant := rapid.SampledFrom([]string{"clinic", "bank", "school", "other"}).Draw(t, "tenant")
				r := Request{Tenant: tenant, Room: fmt.Sprint("r", step), Hash: rapid.Uint64().Draw(t, "hash")}
				route := p.Route(now, r, rs, &rules.Query{Tenant: tenant})
				if route.Chosen == "" {
					continue
				}
				r.Pool = route.Pool
				p.Charge(now, r, route.Chosen)
				if on[route.Chosen] == nil {
					on[route.Chosen] = map[string]living{}
				}
				on[route.Chosen][r.Room] = living{route.Pool.Rule, now}
			}
			isolated(t, on)
		}
	})
}

// living is a room on a node.
type living struct {
	rule  string
	since time.Duration
}

// report tells the planner what nodes have, but for rooms that they are still making.
func report(p *Planner, now time.Duration, nodes []Node, on map[string]map[string]living) {
	for i := range nodes {
		n := &nodes[i]
		n.Reported, n.Rooms, n.Tenancies = now, len(on[n.Name]), nil
		for _, room := range on[n.Name] {
			if now-room.since >= 3*sec {
				n.Tenancies = append(n.Tenancies, Tenancy{room.rule, room.rule == "clinic" || room.rule == "bank", 1})
			}
		}
	}
	p.Nodes(now, nodes)
}

func closeOne(p *Planner, now time.Duration, on map[string]map[string]living) {
	for _, node := range slices.Sorted(maps.Keys(on)) {
		for _, id := range slices.Sorted(maps.Keys(on[node])) {
			p.Closed(now, id)
			delete(on[node], id)
			return
		}
	}
}

func isolated(t *rapid.T, on map[string]map[string]living) {
	for node, rooms := range on {
		kinds := map[string]bool{}
		for _, room := range rooms {
			kinds[room.rule] = true
		}
		if len(kinds) > 1 && (kinds["clinic"] || kinds["bank"]) {
			t.Fatalf("%s has %v", node, rooms)
		}
	}
}

// TestRouteFollowsTheRules: the steps are those of the rules, and the node is of
// the last one's pool.
func TestRouteFollowsTheRules(t *testing.T) {
	rs := mustParse(t, isolating)
	p := NewPlanner(Config{})
	nodes := cluster(2) // both eu
	p.Nodes(0, nodes)
	for tenant, want := range map[string]struct {
		steps  []string
		chosen bool
	}{
		"clinic": {[]string{"clinic"}, true},
		"bank":   {[]string{"bank"}, true},
		"school": {[]string{"school", "overflow"}, false},
		"other":  {[]string{"overflow"}, false},
	} {
		route := p.Route(0, Request{Tenant: tenant, Room: "r"}, rs, &rules.Query{Tenant: tenant})
		var steps []string
		for _, d := range route.Steps {
			steps = append(steps, d.Rule)
		}
		if fmt.Sprint(steps) != fmt.Sprint(want.steps) || (route.Chosen != "") != want.chosen || route.Pool.Rule != steps[len(steps)-1] {
			t.Errorf("%s: %v to %q", tenant, steps, route.Chosen)
		}
	}
}

// TestStrictPoolsDoNotLeak places rooms on nodes whose load, state and labels
// change all the time.
func TestStrictPoolsDoNotLeak(t *testing.T) {
	rs := mustParse(t, isolating)
	random := rand.New(rand.NewPCG(1, 2))
	p := NewPlanner(Config{})
	nodes := cluster(8)
	clinics := 0
	for i := range 50_000 {
		now := time.Duration(i) * 100 * time.Millisecond
		if i%10 == 0 {
			for j := range nodes {
				nodes[j].Labels = map[string]string{"region": []string{"eu", "us", "asia"}[random.IntN(3)]}
				nodes[j].CPU, nodes[j].Draining, nodes[j].Reported = random.Float64()*4500, random.IntN(4) == 0, now
			}
			p.Nodes(now, nodes)
		}
		p.Stale(random.IntN(5) == 0)
		tenant := []string{"clinic", "bank", "school", "other"}[random.IntN(4)]
		r := Request{Tenant: tenant, Room: "r", Hash: random.Uint64(), Rescue: random.IntN(3) == 0}
		route := p.Route(now, r, rs, &rules.Query{Tenant: tenant})
		if route.Chosen == "" {
			continue
		}
		n := p.byName[route.Chosen]
		if region := n.Labels["region"]; n.Draining || tenant == "clinic" && region != "eu" || tenant == "other" && region == "eu" {
			t.Fatalf("a room of %s goes to %s, %v", tenant, n.Name, n.Labels)
		}
		if tenant == "clinic" {
			clinics++
		}
	}
	if clinics < 1000 {
		t.Errorf("only %d rooms of the clinic had a place", clinics)
	}
}
