package placement

import "time"

// Charge says that a room is on a node from now on, because it was placed there
// by this router or by another. What it is expected to cost is reserved and
// decays over the ramp. For a room that comes from another node that is what it
// was measured to cost there, and the other is credited with it. It does nothing for a
// room that is charged to that node already. Rooms that lived before the planner
// are not to be charged: nodes measure them already.
func (p *Planner) Charge(now time.Duration, r Request, to string) {
	known := p.rooms[r.Room]
	if known != nil && known.node == to {
		known.seen = now
		return
	}
	pool := r.pool()
	c := charge{room: r.Room, rule: pool.Rule, dedicated: pool.Isolation == "dedicated", at: now, ramp: p.config.Ramp}
	c.cost, _ = p.costs.predict(r.Tenant, r.Kind, r.Purpose)
	if known == nil {
		known = &room{class: class{r.Tenant, r.Kind, r.Purpose}}
		p.rooms[r.Room] = known
	} else if known.cost > 0 {
		c.cost, c.ramp = known.cost, p.config.Report
	}
	p.leave(now, r.Room, known)
	known.node, known.since, known.learned, known.seen = to, now, now, now
	if n := p.byName[to]; n != nil {
		p.add(n, c, now)
	}
}

// leave takes a room off its node.
func (p *Planner) leave(now time.Duration, id string, r *room) {
	n := p.byName[r.node]
	if n == nil {
		return
	}
	p.drop(n, id, now)
	if r.cost > 0 {
		p.add(n, charge{room: id, cost: -r.cost, at: now, ramp: p.config.Report}, now)
	}
}

// Refused says that a node did not take a room that was charged to it or not.
// What was reserved is free again, and the node is not asked for a while.
func (p *Planner) Refused(now time.Duration, r Request, by string) {
	n := p.byName[by]
	if n == nil {
		return
	}
	n.refused = now + p.config.RefusedFor
	if known := p.rooms[r.Room]; known != nil && known.node == by {
		p.drop(n, r.Room, now)
		known.node = ""
	}
}

// Closed says that a room has ended.
func (p *Planner) Closed(now time.Duration, id string) {
	if r := p.rooms[id]; r != nil {
		p.leave(now, id, r)
		delete(p.rooms, id)
	}
}
