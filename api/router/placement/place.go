package placement

import (
	"cmp"
	"slices"
	"time"

	"tutti/api/router/rules"
)

// Request is a room that wants a node.
type Request struct {
	Tenant, Kind, Purpose string
	Room                  string
	Hash                  uint64   // as Key answers it
	Exclude               []string // nodes that have been asked already
	// Pool is the rule's that the room falls under; nil: all nodes.
	Pool *rules.Pool
	// Rescue: the room has lost its node, and a node above its ceiling, or one that
	// refused a moment ago, is better than none.
	Rescue bool
}

var anywhere = &rules.Pool{Rule: "default", OnEmpty: rules.Refuse}

func (r *Request) pool() *rules.Pool {
	if r.Pool == nil {
		return anywhere
	}
	return r.Pool
}

// Choice is one node as a decision sees it. CPU, Reserved and Predicted are in
// milliseconds a second.
type Choice struct {
	Node      string  `json:"node"`
	Score     float64 `json:"score"`     // in the room's order
	CPU       float64 `json:"cpu"`       // measured
	Reserved  float64 `json:"reserved"`  // promised, and not yet in CPU
	Predicted float64 `json:"predicted"` // both, and this room
	Preferred int     `json:"preferred"` // labels that the rule prefers
	Accepts   bool    `json:"accepts"`
	Why       string  `json:"why,omitempty"` // it does not
}

// Decision is where a room is to go, and why.
type Decision struct {
	Rule string `json:"rule"`
	// Cost is what the room is expected to cost, in milliseconds a second; Basis
	// what that was learned from: tenant (with kind and purpose), kind, all or none.
	Cost  float64 `json:"cost"`
	Basis string  `json:"basis"`
	// Candidates are all nodes in the room's order.
	Candidates []Choice `json:"candidates"`
	Chosen     string   `json:"chosen"` // empty: none accepts
	// AnyRelease: no node of the rule's release accepts, so others were asked.
	AnyRelease bool `json:"any_release,omitempty"`
	Stale      bool `json:"stale,omitempty"` // by the order alone
}

// Why a node does not accept a room.
const (
	whyExcluded = "was asked already"
	whyDraining = "is draining"
	whyRelease  = "has another release"
	whyTaken    = "has rooms of other rules"
	whyRefused  = "refused a room just now"
	whyFull     = "has all the rooms it may have"
	whyCeiling  = "would have too much to do"
)

// Place decides where a room goes. It reserves nothing: who acts on it calls
// Charge.
func (p *Planner) Place(now time.Duration, r Request) Decision {
	pool := r.pool()
	d := Decision{Rule: pool.Rule, Stale: p.stale}
	d.Cost, d.Basis = p.costs.predict(r.Tenant, r.Kind, r.Purpose)
	if known := p.rooms[r.Room]; known != nil && known.cost > 0 {
		d.Cost, d.Basis = known.cost, "room"
	}
	p.ranked = Order(p.ranked[:0], r.Hash, p.seats)
	d.Candidates = make([]Choice, len(p.ranked))
	best := p.settle(now, &r, &d, pool.Release)
	if best < 0 && pool.Release != "" && pool.AnyRelease {
		d.AnyRelease = true
		best = p.settle(now, &r, &d, "")
	}
	if best >= 0 {
		d.Chosen = d.Candidates[best].Node
	}
	return d
}

// settle answers the number of the candidate to choose, or -1. Where only what
// is reserved speaks against all of them, what they have to do decides: rooms
// that are made in numbers ahead of their time cost nothing yet.
func (p *Planner) settle(now time.Duration, r *Request, d *Decision, release string) int {
	for _, promised := range []bool{true, false} {
		p.ask(now, r, d, release, promised)
		if best := p.best(d, r.pool().Top); best >= 0 {
			return best
		}
	}
	return -1
}

// ask fills in what each node says to a room; promised tells whether what is
// reserved counts against its ceiling.
func (p *Planner) ask(now time.Duration, r *Request, d *Decision, release string, promised bool) {
	pool := r.pool()
	for i, ranked := range p.ranked {
		n := p.nodes[ranked.Seat]
		load, cost := n.CPU, d.Cost
		if promised {
			load = n.load()
		}
		if known := p.rooms[r.Room]; known != nil && known.node == n.Name {
			cost = 0 // it is there already
		}
		why := p.why(now, n, r, load+cost, release)
		d.Candidates[i] = Choice{
			Node: n.Name, Score: Score(r.Hash, &p.seats[ranked.Seat]), CPU: n.CPU, Reserved: n.reserved, Predicted: n.load() + cost,
			Preferred: pool.Preferred(n.Labels), Accepts: why == "", Why: why,
		}
	}
}

// why answers why a node does not accept a room, or nothing. What nodes measure
// plays no part while the store is away.
func (p *Planner) why(now time.Duration, n *node, r *Request, load float64, release string) string {
	pool := r.pool()
	if why, ok := pool.Admits(n.Labels); !ok {
		return why
	}
	switch {
	case slices.Contains(r.Exclude, n.Name):
		return whyExcluded
	case n.Draining:
		return whyDraining
	case release != "" && n.Version != release:
		return whyRelease
	case n.taken(pool):
		return whyTaken
	case p.stale:
		return ""
	case now < n.refused && !r.Rescue:
		return whyRefused
	case n.full(pool):
		return whyFull
	case !r.Rescue && n.Capacity > 0 && load > cmp.Or(pool.Ceiling, p.config.Ceiling)*n.Capacity:
		return whyCeiling
	}
	return ""
}

// best answers the number of the candidate to choose, or -1: of those that have
// most of the preferred labels, the first top ones in the order, that with least
// to do for its size. With the store away, the first.
func (p *Planner) best(d *Decision, top int) int {
	preferred := -1
	for i := range d.Candidates {
		if c := &d.Candidates[i]; c.Accepts {
			preferred = max(preferred, c.Preferred)
		}
	}
	best, seen, least := -1, 0, 0.0
	for i := range d.Candidates {
		c := &d.Candidates[i]
		if !c.Accepts || c.Preferred < preferred {
			continue
		}
		if load := c.Predicted / p.nodes[p.ranked[i].Seat].size(); best < 0 || load < least {
			best, least = i, load
		}
		if seen++; seen == top || p.stale {
			break
		}
	}
	return best
}

// Route is the way of a room through the rules.
type Route struct {
	// Steps are what was decided at each rule, the last one last; none: no rule
	// matches.
	Steps  []Decision  `json:"steps"`
	Chosen string      `json:"chosen,omitempty"` // empty: refused
	Pool   *rules.Pool `json:"-"`                // of the last step
}

// Route places a room by rules: by the first that matches, and from there by what
// its rule says while no node accepts. Request.Pool plays no part.
func (p *Planner) Route(now time.Duration, r Request, rs *rules.Rules, q *rules.Query) Route {
	var route Route
	for i, pool := rs.Match(q); i >= 0; i, pool = rs.Then(q, i) {
		r.Pool, route.Pool = pool, pool
		d := p.Place(now, r)
		route.Steps = append(route.Steps, d)
		if route.Chosen = d.Chosen; d.Chosen != "" {
			break
		}
	}
	return route
}
