package placement

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tutti/api/router/rules"
)

// Config is how a Planner plans. The zero value of a field means its default.
type Config struct {
	// Ramp is how long a new room takes until it costs what it will cost: 120 s. Too
	// short, and bursts pile up where nothing is measured yet; too long, and rooms
	// count twice.
	Ramp time.Duration
	// Report is how often nodes say what they have to do: 5 s.
	Report time.Duration
	// Cost is what a room costs before any was measured, in milliseconds of CPU a
	// second: 100.
	Cost float64
	// Ceiling is the share of its capacity to which a node may be used where the
	// rule does not say: 0.9. The rest is for rooms that grow.
	Ceiling float64
	// RefusedFor is how long a node that refused a room is not asked again: 5 s.
	RefusedFor time.Duration
	// HotAt is how much above the average a node's use must be to have a room moved
	// away, 1.2; MoveEvery the least time between two such moves, 30 s; Rest how long
	// a room that was moved stays where it is, 10 min. Each move costs every client
	// a second session.
	HotAt     float64
	MoveEvery time.Duration
	Rest      time.Duration
}

func (c Config) withDefaults() Config {
	c.Ramp = cmp.Or(c.Ramp, 120*time.Second)
	c.Report = cmp.Or(c.Report, 5*time.Second)
	c.Cost = cmp.Or(c.Cost, 100)
	c.Ceiling = cmp.Or(c.Ceiling, 0.9)
	c.RefusedFor = cmp.Or(c.RefusedFor, 5*time.Second)
	c.HotAt = cmp.Or(c.HotAt, 1.2)
	c.MoveEvery = cmp.Or(c.MoveEvery, 30*time.Second)
	c.Rest = cmp.Or(c.Rest, 10*time.Minute)
	return c
}

// Node is a node as it said last what it is and has.
type Node struct {
	Name   string
	Weight float64 // its share in the order; 0 is 1
	// Capacity is the CPU that rooms may take, in milliseconds a second; 0: unknown,
	// then nodes are compared by CPU and weight, and there is no ceiling.
	Capacity float64
	MaxRooms int // 0: any number
	Labels   map[string]string
	Version  string
	Draining bool
	CPU      float64 // in milliseconds a second, averaged over Config.Report
	Rooms    int
	// Reported is when CPU and Rooms were measured, by the planner's clock; 0: now.
	Reported  time.Duration
	Tenancies []Tenancy // whose rooms these are
}

// Tenancy is the rooms of one rule on a node.
type Tenancy struct {
	Rule      string
	Dedicated bool // the rule's pool has that isolation
	Rooms     int
}

// Planner chooses nodes for rooms. It has no clock: each method that takes now,
// the time by any clock that does not go back, is to be called with a now not before the
// last one. It is not safe for concurrent use; a call takes microseconds, so a mutex does.
type Planner struct {
	config Config
	nodes  []*node // by name
	seats  []Seat  // of nodes
	byName map[string]*node
	rooms  map[string]*room
	costs  costs
	stale  bool
	moved  time.Duration // when a room was moved last
	ranked []Ranked      // scratch
}

// node is what the planner knows of one.
type node struct {
	Node
	refused  time.Duration // until when it is not to be asked
	charges  []charge
	reserved float64 // the sum of what charges are still to show
	pending  int     // rooms of charges that were not counted yet
}

// charge is what a room will cost its node, or with another sign what will be
// gone; it shows in what the node measures bit by bit over its ramp.
type charge struct {
	room      string
	rule      string
	dedicated bool
	cost      float64
	at, ramp  time.Duration
}

// left answers how much of a charge a measurement does not show yet.
func (c *charge) left(measured time.Duration) float64 {
	done := float64(measured-c.at) / float64(c.ramp)
	return c.cost * (1 - min(max(done, 0), 1))
}

// NewPlanner answers a planner that knows no nodes yet.
func NewPlanner(c Config) *Planner {
	c = c.withDefaults()
	return &Planner{
		config: c, byName: map[string]*node{}, rooms: map[string]*room{},
		costs: newCosts(c.Cost), moved: -c.MoveEvery,
	}
}

// Nodes says which nodes there are and what they have to do. Whatever was
// reserved on a node that is gone is forgotten.
func (p *Planner) Nodes(now time.Duration, nodes []Node) {
	byName := make(map[string]*node, len(nodes))
	for _, n := range nodes {
		known := p.byName[n.Name]
		if known == nil {
			known = &node{refused: now}
		}
		n.Reported = cmp.Or(n.Reported, now)
		known.Node = n
		known.settle(now, p.config.Report)
		byName[n.Name] = known
	}
	p.byName = byName
	p.nodes = slices.SortedFunc(maps.Values(byName), func(a, b *node) int { return cmp.Compare(a.Name, b.Name) })
	p.seats = p.seats[:0]
	for _, n := range p.nodes {
		p.seats = append(p.seats, NewSeat(n.Name, n.Weight))
	}
	p.forget(now)
}

// Stale says whether the store is away, so that nothing of what nodes measure
// is heard: then the first of a room's order that the rule allows is chosen,
// whatever it has to do, so that all routers choose the same.
func (p *Planner) Stale(on bool) { p.stale = on }

// settle drops the charges that have shown, or that were never going to, and adds
// up the rest.
func (n *node) settle(now, report time.Duration) {
	n.charges = slices.DeleteFunc(n.charges, func(c charge) bool {
		return n.Reported-c.at >= max(c.ramp, report) || now-c.at >= 2*max(c.ramp, report)
	})
	n.reserved, n.pending = 0, 0
	for i := range n.charges {
		c := &n.charges[i]
		n.reserved += c.left(n.Reported)
		if c.at >= n.Reported {
			if c.cost >= 0 {
				n.pending++
			} else {
				n.pending--
			}
		}
	}
}

func (p *Planner) add(n *node, c charge, now time.Duration) {
	n.charges = append(n.charges, c)
	n.settle(now, p.config.Report)
}

func (p *Planner) drop(n *node, room string, now time.Duration) {
	n.charges = slices.DeleteFunc(n.charges, func(c charge) bool { return c.room == room })
	n.settle(now, p.config.Report)
}

// load answers what the node will have to do with the rooms that it has.
func (n *node) load() float64 { return max(0, n.CPU+n.reserved) }

// size answers what a node's load is to be divided by to compare it.
func (n *node) size() float64 {
	switch {
	case n.Capacity > 0:
		return n.Capacity
	case n.Weight > 0:
		return n.Weight * 1000
	}
	return 1000
}

// full answers whether the node has as many rooms as it, or the pool, may have.
func (n *node) full(p *rules.Pool) bool {
	if n.MaxRooms > 0 && n.Rooms+n.pending >= n.MaxRooms {
		return true
	}
	if p.MaxRooms <= 0 {
		return false
	}
	rooms := 0
	for _, t := range n.Tenancies {
		if t.Rule == p.Rule {
			rooms += t.Rooms
		}
	}
	for i := range n.charges {
		if c := &n.charges[i]; c.rule == p.Rule && c.cost >= 0 && c.at >= n.Reported {
			rooms++
		}
	}
	return rooms >= p.MaxRooms
}

// taken answers whether rooms of others keep a pool's rooms from a node: any at
// all where it wants the node for itself, and those who want that where not. A room
// counts from when it is charged, for as long as its charge does: at least until
// a report that is one interval younger, so that its tenancy has no gap while
// the room is being made.
func (n *node) taken(p *rules.Pool) bool {
	alone := p.Isolation == rules.Dedicated
	for _, t := range n.Tenancies {
		if t.Rooms > 0 && t.Rule != p.Rule && (alone || t.Dedicated) {
			return true
		}
	}
	for i := range n.charges {
		if c := &n.charges[i]; c.cost >= 0 && c.rule != p.Rule && (alone || c.dedicated) {
			return true
		}
	}
	return false
}
