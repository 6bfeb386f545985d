package placement

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tutti/api/router/rules"
)

// gain is how much of the average use a move must take off the hotter of its two
// nodes.
const gain = 0.05

// Placed is a room that lives.
type Placed struct {
	Room    string
	Node    string
	Cost    float64 // measured, in milliseconds a second
	Movable bool
	Pool    *rules.Pool // nil: all nodes
}

// Move is a room that should go elsewhere.
type Move struct{ Room, From, To string }

// Rebalance answers a room to be moved away from a node that has more to do than
// Config.HotAt times the average, to the node where it does most good; false
// where none is to be moved, or one was less than Config.MoveEvery ago. It counts
// as moved when it is answered; who has moved it calls Charge.
func (p *Planner) Rebalance(now time.Duration, rooms []Placed) (Move, bool) {
	if p.stale || now-p.moved < p.config.MoveEvery {
		return Move{}, false
	}
	average := p.average()
	var hot []*node
	for _, n := range p.nodes {
		if !n.Draining && n.load()/n.size() > p.config.HotAt*average {
			hot = append(hot, n)
		}
	}
	slices.SortStableFunc(hot, func(a, b *node) int { return cmp.Compare(b.load()/b.size(), a.load()/a.size()) })
	for _, from := range hot {
		if m, ok := p.relieve(now, from, rooms, average*gain); ok {
			p.moved = now
			if r := p.rooms[m.Room]; r != nil {
				r.rested = now + p.config.Rest
			}
			return m, true
		}
	}
	return Move{}, false
}

// average answers the use of all nodes that take rooms, for their size.
func (p *Planner) average() float64 {
	var load, size float64
	for _, n := range p.nodes {
		if !n.Draining {
			load, size = load+n.load(), size+n.size()
		}
	}
	return load / max(size, 1)
}

// relieve answers the move from a node that evens out most: with the least sum of
// squares of what its two nodes are used to, of those that take the least gain off
// the hotter one.
func (p *Planner) relieve(now time.Duration, from *node, rooms []Placed, least float64) (Move, bool) {
	limit, best := from.load()/from.size()-least, math.Inf(1)
	var move Move
	for i := range rooms {
		r := &rooms[i]
		if r.Node != from.Name || !r.Movable || !(r.Cost > 0) || p.resting(now, r.Room) {
			continue
		}
		request := Request{Room: r.Room, Pool: r.Pool}
		pool := request.pool()
		for _, to := range p.nodes {
			a, b := (from.load()-r.Cost)/from.size(), (to.load()+r.Cost)/to.size()
			if to == from || max(a, b) > limit || a*a+b*b >= best || pool.Preferred(to.Labels) < pool.Preferred(from.Labels) ||
				p.why(now, to, &request, r.Cost, pool.Release) != "" {
				continue
			}
			best, move = a*a+b*b, Move{r.Room, from.Name, to.Name}
		}
	}
	return move, move.Room != ""
}

func (p *Planner) resting(now time.Duration, id string) bool {
	r := p.rooms[id]
	return r != nil && now < r.rested
}
