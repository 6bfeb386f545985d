package placement

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/api/router/rules"
)

// uneven answers a planner for four nodes of which the first is hot, and the rooms
// of all.
func uneven() (*Planner, []Node, []Placed) {
	p := NewPlanner(Config{})
	nodes := cluster(4)
	var rooms []Placed
	for i, n := range []int{8, 4, 4, 2} {
		nodes[i].CPU = float64(n) * 100
		for j := range n {
			rooms = append(rooms, Placed{Room: fmt.Sprintf("r%d-%d", i, j), Node: nodes[i].Name, Cost: 100, Movable: true})
		}
	}
	p.Nodes(0, nodes)
	return p, nodes, rooms
}

func TestRebalanceMovesOneFromTheHottest(t *testing.T) {
	p, _, rooms := uneven()
	m, ok := p.Rebalance(0, rooms)
	if !ok || m.From != "node-0" || m.To != "node-3" {
		t.Fatalf("%+v, %v", m, ok)
	}
	p.Measured(0, m.Room, "t", "k", "p", 100)
	p.Charge(0, Request{Room: m.Room}, m.To)
	if _, ok := p.Rebalance(29*sec, rooms); ok {
		t.Error("moves again within 30 s")
	}
	if m, ok := p.Rebalance(30*sec, rooms); !ok || m.From != "node-0" {
		t.Errorf("%+v, %v after 30 s", m, ok)
	}
}

func TestRebalanceLeavesBe(t *testing.T) {
	for name, change := range map[string]func(p *Planner, nodes []Node, rooms []Placed){
		"rooms that may not move": func(_ *Planner, _ []Node, rooms []Placed) {
			for i := range rooms {
				rooms[i].Movable = false
			}
		},
		"rooms that cost nothing": func(_ *Planner, _ []Node, rooms []Placed) {
			for i := range rooms {
				rooms[i].Cost = 0
			}
		},
		"rooms that nobody else may have": func(_ *Planner, nodes []Node, rooms []Placed) {
			nodes[0].Version = "2.0"
			for i := range rooms {
				rooms[i].Pool = &rules.Pool{Release: "2.0"}
			}
		},
		"rooms on the preferred node": func(_ *Planner, nodes []Node, rooms []Placed) {
			nodes[0].Labels = map[string]string{"zone": "a"}
			for i := range rooms {
				rooms[i].Pool = &rules.Pool{Prefer: []rules.Label{{Key: "zone", Value: "a"}}}
			}
		},
		"a room that would be as hot elsewhere": func(_ *Planner, _ []Node, rooms []Placed) {
			for i := range rooms {
				rooms[i].Cost = 700
			}
		},
		"nodes less than a fifth above the average": func(_ *Planner, nodes []Node, _ []Placed) {
			for i := range nodes {
				nodes[i].CPU = []float64{540, 450, 420, 420}[i]
			}
		},
		"nodes with a hot neighbour that drains": func(_ *Planner, nodes []Node, _ []Placed) {
			nodes[0].Draining = true
			nodes[3].CPU = 400
		},
	} {
		p, nodes, rooms := uneven()
		change(p, nodes, rooms)
		p.Nodes(0, nodes)
		if m, ok := p.Rebalance(0, rooms); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestARoomThatMovedRests(t *testing.T) {
	p, _, rooms := uneven()
	for i := range rooms {
		rooms[i].Movable = i == 0
		p.Measured(0, rooms[i].Room, "t", "k", "p", 100)
	}
	if m, ok := p.Rebalance(0, rooms); !ok || m.Room != rooms[0].Room {
		t.Fatalf("%+v, %v", m, ok)
	}
	for now, want := range map[time.Duration]bool{599 * sec: false, 600 * sec: true} {
		if _, ok := p.Rebalance(now, rooms); ok != want {
			t.Errorf("%v: %v", now, ok)
		}
	}
}

// TestAMoveHelps: the hotter of the two nodes is cooler after a move.
func TestAMoveHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPlanner(Config{})
		nodes := cluster(5)
		var rooms []Placed
		for i := range rapid.IntRange(1, 40).Draw(t, "rooms") {
			n := &nodes[rapid.IntRange(0, 4).Draw(t, "node")]
			r := Placed{Room: fmt.Sprint("r", i), Node: n.Name, Cost: rapid.Float64Range(0, 300).Draw(t, "cost"), Movable: rapid.Bool().Draw(t, "movable")}
			n.CPU += r.Cost
			rooms = append(rooms, r)
		}
		p.Nodes(0, nodes)
		m, ok := p.Rebalance(0, rooms)
		if !ok {
			return
		}
		for _, r := range rooms {
			if r.Room != m.Room {
				continue
			}
			from, to := p.byName[m.From].CPU, p.byName[m.To].CPU
			if !r.Movable || r.Node != m.From || max(from-r.Cost, to+r.Cost) >= from || from <= to {
				t.Fatalf("%+v of cost %v from %v to %v", m, r.Cost, from, to)
			}
		}
	})
}
