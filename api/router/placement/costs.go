package placement

import (
	"math"
	"time"
)

const (
	// memory is over how many rooms a moving average goes.
	memory = 32
	// doubt is how many rooms' worth of belief the wider class has in a narrower one.
	doubt = 1
	// maxClasses bounds what is remembered of tenants, kinds and purposes.
	maxClasses = 10_000
)

// average is a moving one, of up to memory outcomes.
type average struct {
	n    float64
	mean float64
}

func (a *average) add(x float64) {
	a.n = min(a.n+1, memory)
	a.mean += (x - a.mean) / a.n
}

// or answers the average, drawn towards what is believed without it.
func (a *average) or(belief float64) float64 {
	if a == nil {
		return belief
	}
	return (a.n*a.mean + doubt*belief) / (a.n + doubt)
}

// class is whose rooms tend to cost the same.
type class struct{ tenant, kind, purpose string }

// costs is what rooms have cost, in milliseconds a second.
type costs struct {
	unknown float64
	all     average
	kinds   map[string]*average
	classes map[class]*average
}

func newCosts(unknown float64) costs {
	return costs{unknown: unknown, kinds: map[string]*average{}, classes: map[class]*average{}}
}

func (c *costs) add(of class, cost float64) {
	c.all.add(cost)
	learn(c.kinds, of.kind, cost)
	learn(c.classes, of, cost)
}

// learn makes room by forgetting any other: who comes often comes back.
func learn[K comparable](averages map[K]*average, key K, cost float64) {
	a := averages[key]
	if a == nil {
		if len(averages) >= maxClasses {
			for other := range averages {
				delete(averages, other)
				break
			}
		}
		a = &average{}
		averages[key] = a
	}
	a.add(cost)
}

// predict answers what a new room will cost, and what that was learned from.
func (c *costs) predict(tenant, kind, purpose string) (cost float64, basis string) {
	if c.all.n == 0 {
		return c.unknown, "none"
	}
	cost, basis = c.all.mean, "all"
	if a := c.kinds[kind]; a != nil {
		cost, basis = a.or(cost), "kind"
	}
	if a := c.classes[class{tenant, kind, purpose}]; a != nil {
		cost, basis = a.or(cost), "tenant"
	}
	return cost, basis
}

// room is what the planner knows of one.
type room struct {
	class   class
	node    string
	since   time.Duration // on the node
	cost    float64       // measured last; 0: never
	learned time.Duration // when its cost went into the averages last
	seen    time.Duration
	rested  time.Duration // from when on it may be moved again
}

// Measured says what a room costs now, in milliseconds of CPU a second. A room
// counts in the averages once it has been there for the ramp, and again after each.
func (p *Planner) Measured(now time.Duration, id, tenant, kind, purpose string, cost float64) {
	if !(cost >= 0) || math.IsInf(cost, 1) {
		return
	}
	r := p.rooms[id]
	if r == nil {
		r = &room{since: now, learned: now}
		p.rooms[id] = r
	}
	r.class = class{tenant, kind, purpose}
	r.cost, r.seen = cost, now
	if now-r.learned >= p.config.Ramp {
		r.learned = now
		p.costs.add(r.class, cost)
	}
}

// forget drops rooms of which nothing has been heard for long.
func (p *Planner) forget(now time.Duration) {
	for id, r := range p.rooms {
		if now-r.seen > max(4*p.config.Ramp, p.config.Rest) {
			delete(p.rooms, id)
		}
	}
}
