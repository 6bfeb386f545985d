package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"tutti/api/router/placement"
	"tutti/api/router/rules"
)

const placementSeeds = 20

// policy is a way to place rooms.
type policy struct {
	name          string
	plain, moving bool
	config        placement.Config
	top           int
}

var policies = []policy{
	{name: "the hash alone", plain: true},
	{name: "least load, reserved until the next report alone", config: placement.Config{Ramp: 1}},
	{name: "planned, of the first 2 of the order", top: 2},
	{name: "planned, of the first 4 of the order", top: 4},
	{name: "planned, of all (the default)"},
	{name: "planned, of all, rebalanced", moving: true},
}

// measurePlacement lets the router's planner place simulated rooms, and times
// its decisions.
func measurePlacement(ctx context.Context, o options) error {
	fmt.Fprintf(o.out, "## How evenly rooms are spread\n\n")
	fmt.Fprintf(o.out, "%d nodes, %d rooms at a time, %d more within %v every %v, log-normal costs (sigma 0.9) that differ by tenant and grow over %v,\n"+
		"reports every %v, %v simulated %d times, the first hour not counted.\n\n",
		simNodes, simAlive-simBurst*int(simLife/time.Second)/int(simBurstEvery/time.Second), simBurst, simBurstIn, simBurstEvery, simRamp, simReport, simSpan, placementSeeds)
	fmt.Fprintf(o.out, "| placed by | most / average cost of a node, mean | p99 | hottest node p99, mean rooms | refused | rooms moved |\n|---|---|---|---|---|---|\n")
	for _, p := range policies {
		sum, err := simulate(ctx, p, placementSeeds)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.out, "| %s | %.2f | %.2f | %.1f | %d | %.1f %% |\n", p.name, sum.ratios.mean(), sum.ratios.percentile(99),
			sum.hottest.percentile(99)/simMeanCost, sum.refused, 100*float64(sum.moves)/float64(sum.placed))
	}
	showMembership(o)
	return measureDecision(ctx, o)
}

// simulate runs so many seeds and adds up what they saw.
func simulate(ctx context.Context, p policy, seeds int) (*simulation, error) {
	sum := &simulation{}
	for seed := range seeds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := newSimulation(uint64(seed), p)
		s.run()
		sum.ratios, sum.hottest = append(sum.ratios, s.ratios...), append(sum.hottest, s.hottest...)
		sum.placed, sum.refused, sum.moves = sum.placed+s.placed, sum.refused+s.refused, sum.moves+s.moves
	}
	return sum, nil
}

// membership is what becomes of rooms when a node leaves or comes.
type membership struct {
	rooms, own, others, joined int
	before, after              float64 // most over average rooms of a node
}

// changeMembers places rooms by the hash alone on ten nodes, takes one away, and
// adds an eleventh.
func changeMembers(rooms int) membership {
	m := membership{rooms: rooms}
	var seats []placement.Seat
	for i := range simNodes + 1 {
		seats = append(seats, placement.NewSeat(fmt.Sprintf("node-%d", i), 1))
	}
	ten, nine := seats[:simNodes], seats[1:simNodes]
	var before, after [simNodes]int
	for i := range rooms {
		key, _ := placement.Key("tenant", fmt.Sprintf("room-%d", i))
		first := placement.Order(nil, key, ten)[0].Seat
		left := placement.Order(nil, key, nine)[0].Seat + 1
		before[first]++
		after[left]++
		switch {
		case first == 0:
			m.own++
		case left != first:
			m.others++
		}
		if placement.Order(nil, key, seats)[0].Seat != first {
			m.joined++
		}
	}
	m.before = float64(slices.Max(before[:])) / (float64(rooms) / simNodes)
	m.after = float64(slices.Max(after[:])) / (float64(rooms) / (simNodes - 1))
	return m
}

func showMembership(o options) {
	m := changeMembers(10_000)
	fmt.Fprintf(o.out, "\n## When a node leaves or comes\n\n")
	fmt.Fprintf(o.out, "%d rooms by the order of %d nodes alone, which is what routers go by without the store. Rooms that live stay where they are in any case:\n"+
		"the directory is asked before the order.\n\n", m.rooms, simNodes)
	fmt.Fprintf(o.out, "| | rooms |\n|---|---|\n| of the node that leaves, which move | %d (%.1f %%) |\n| of others, which move | %d |\n", m.own, 100*float64(m.own)/float64(m.rooms), m.others)
	fmt.Fprintf(o.out, "| that would be made on an eleventh node if made anew | %d (%.1f %%) |\n", m.joined, 100*float64(m.joined)/float64(m.rooms))
	fmt.Fprintf(o.out, "| most / average rooms of a node, before and after | %.2f, %.2f |\n", m.before, m.after)
}

// decider is what a router has in memory: rules, the directory, the nodes.
type decider struct {
	rules   *rules.Rules
	rooms   map[string]int
	seats   []placement.Seat
	ids     []string
	unknown []string // rooms that are not in the directory
	whose   []string // the tenants of ids
	ranked  []placement.Ranked
}

func newDecider(nRules, nRooms, nNodes int) (*decider, error) {
	var doc strings.Builder
	doc.WriteString("rules:\n")
	for i := range nRules - 1 {
		fmt.Fprintf(&doc, "  - name: rule-%d\n    match: {tenant: tenant-%d, %s}\n    pool: {require: {region: eu}}\n    on_empty: next\n", i, i/5,
			[]string{"kind: lesson", "purpose: live", "host: a.example", `room: "ward-*"`, "percent: 5"}[i%5])
	}
	doc.WriteString("  - name: rest\n")
	parsed, err := rules.Parse([]byte(doc.String()))
	if err != nil {
		return nil, err
	}
	d := &decider{rules: parsed, rooms: map[string]int{}, ranked: make([]placement.Ranked, 0, nNodes)}
	for i := range nNodes {
		d.seats = append(d.seats, placement.NewSeat(fmt.Sprintf("node-%d", i), 1))
	}
	for i := range nRooms {
		d.ids = append(d.ids, fmt.Sprintf("room-%d", i))
		d.whose = append(d.whose, fmt.Sprintf("tenant-%d", i%250))
		d.unknown = append(d.unknown, fmt.Sprintf("new-%d", i))
		d.rooms[d.ids[i]] = i % nNodes
	}
	return d, nil
}

// decide answers where a room is; for one that is new, the first of its order.
func (d *decider) decide(tenant, room string) int {
	hash, err := placement.Key(tenant, room)
	if err != nil {
		return -1
	}
	q := rules.Query{Tenant: tenant, Kind: "meeting", Purpose: "live", Host: "b.example", Room: room, Hash: hash}
	rule, _ := d.rules.Match(&q)
	if node, known := d.rooms[room]; known {
		return node + rule // both are used, so that neither is left out
	}
	d.ranked = placement.Order(d.ranked[:0], hash, d.seats)
	return d.ranked[0].Seat + rule
}

// measureDecision times decisions one by one, with the clock's own cost in it.
func measureDecision(ctx context.Context, o options) error {
	const nRules, nRooms = 1000, 10_000
	d, err := newDecider(nRules, nRooms, simNodes)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "\n## How long a decision takes\n\n%d rules, %d rooms in the directory, %d nodes, %d times %d decisions one by one. Asking the clock is in it.\n\n",
		nRules, nRooms, simNodes, o.runs, decisionRounds*nRooms)
	fmt.Fprintf(o.out, "| | median, ns | p99, ns | allocations |\n|---|---|---|---|\n")
	for _, c := range []struct {
		what string
		ids  []string
	}{{"a room that lives: key, rule, directory", d.ids}, {"a new one: the order of nodes besides", d.unknown}} {
		times := make(series, 0, decisionRounds*nRooms)
		var medians, p99s series
		allocations := uint64(0)
		for range o.runs {
			if err := ctx.Err(); err != nil {
				return err
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			times = d.time(times[:0], c.ids)
			runtime.ReadMemStats(&after)
			allocations += after.Mallocs - before.Mallocs
			medians, p99s = append(medians, times.median()), append(p99s, times.percentile(99))
		}
		fmt.Fprintf(o.out, "| %s | %s | %s | %d |\n", c.what, medians.show(0), p99s.show(0), allocations)
	}
	return nil
}

// decisionRounds is how often each room is decided on in one run.
const decisionRounds = 20

// time appends what each decision took, in nanoseconds.
func (d *decider) time(times series, ids []string) series {
	sum := 0
	for i := range decisionRounds * len(ids) {
		i %= len(ids)
		begin := time.Now()
		sum += d.decide(d.whose[i], ids[i])
		times = append(times, float64(time.Since(begin)))
	}
	runtime.KeepAlive(sum)
	return times
}
