package router

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"tutti/api/cluster"
	"tutti/api/router/placement"
	"tutti/api/router/rules"
	"tutti/mixer"
)

// feedEvery is how often the planner is told what is in the directory, if
// nothing about the nodes changes.
const feedEvery = time.Second

// planner is the placement planner with what it is fed from: the directory.
type planner struct {
	view  Directory
	rules func() *rules.Rules
	clock func() time.Duration

	mu    sync.Mutex
	plan  *placement.Planner
	nodes []*cluster.Node // that it was told of last
	fedAt time.Duration
	loads map[string]reported
	rooms map[string]bool // that it knows
}

// reported is when a node's load came, by the planner's clock.
type reported struct {
	load *cluster.Load
	at   time.Duration
}

func newPlanner(c placement.Config, v Directory, rs func() *rules.Rules, clock func() time.Duration) *planner {
	return &planner{
		view: v, rules: rs, clock: clock, plan: placement.NewPlanner(c),
		loads: map[string]reported{}, rooms: map[string]bool{}, fedAt: -feedEvery,
	}
}

// feed tells the planner what nodes and rooms there are. The lock is held.
func (p *planner) feed(now time.Duration) {
	nodes := p.view.Nodes()
	if now-p.fedAt < feedEvery && slices.Equal(nodes, p.nodes) {
		return
	}
	p.fedAt, p.nodes = now, nodes
	tenancies := p.feedRooms(now)
	var told []placement.Node
	for _, n := range nodes {
		if n.Live == nil || n.Dead {
			continue
		}
		l := n.Live
		t := placement.Node{
			Name: l.Name, Weight: l.Weight, Capacity: l.Capacity, MaxRooms: l.MaxRooms, Labels: l.Labels, Version: l.Version,
			Draining: drains(n), Tenancies: tenancies[l.Name],
		}
		if n.Load != nil {
			t.CPU, t.Rooms, t.Reported = n.Load.CPU, n.Load.Rooms, p.measured(now, n.Load)
		}
		told = append(told, t)
	}
	p.plan.Nodes(now, told)
}

// feedRooms tells the planner which rooms there are, and answers whose rooms
// each node has.
func (p *planner) feedRooms(now time.Duration) map[string][]placement.Tenancy {
	known := make(map[string]bool, len(p.rooms))
	tenancies := map[string][]placement.Tenancy{}
	for _, e := range p.view.Rooms() {
		known[e.ID] = true
		q := queryOf(&e.Room)
		_, pool := p.rules().Match(&q)
		p.plan.Charge(now, requestOf(&q, pool), e.Node)
		if pool == nil {
			continue
		}
		list := tenancies[e.Node]
		i := slices.IndexFunc(list, func(t placement.Tenancy) bool { return t.Rule == pool.Rule })
		if i < 0 {
			i, list = len(list), append(list, placement.Tenancy{Rule: pool.Rule, Dedicated: pool.Isolation == rules.Dedicated})
		}
		list[i].Rooms++
		tenancies[e.Node] = list
	}
	for id := range p.rooms {
		if !known[id] {
			p.plan.Closed(now, id)
		}
	}
	p.rooms = known
	return tenancies
}

// measured tells the planner what a node's rooms cost, once for each report, and
// answers when the report came.
func (p *planner) measured(now time.Duration, l *cluster.Load) time.Duration {
	if last := p.loads[l.Name]; last.load == l {
		return last.at
	}
	p.loads[l.Name] = reported{l, now}
	for id, cost := range l.Costs {
		if e, ok := p.view.Room(id); ok && e.Node == l.Name {
			p.plan.Measured(now, id, e.Settings.Tenant, e.Settings.Kind, e.Settings.Purpose, cost)
		}
	}
	return now
}

// drains reports whether a node is to take no more rooms. An order that the node
// has not had the time to follow counts already, also one that takes it back.
func drains(n *cluster.Node) bool {
	if n.Order != nil && n.OrderModified > n.LiveModified {
		return n.Order.State == cluster.Draining
	}
	return n.Live.State != cluster.Active || n.Order != nil && n.Order.State == cluster.Draining
}

// route answers where a room would go, and why. Without the store it is the
// first of its order.
func (p *planner) route(q *rules.Query, exclude []string, rescue, storeless bool) placement.Route {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	p.feed(now)
	p.plan.Stale(storeless)
	r := requestOf(q, nil)
	r.Exclude, r.Rescue = exclude, rescue
	return p.plan.Route(now, r, p.rules(), q)
}

// charge says that a room is on a node now.
func (p *planner) charge(q *rules.Query, pool *rules.Pool, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.Charge(p.clock(), requestOf(q, pool), node)
}

// refused says that a node did not take a room.
func (p *planner) refused(q *rules.Query, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.Refused(p.clock(), requestOf(q, nil), node)
}

// rebalance answers a room that should go elsewhere.
func (p *planner) rebalance() (placement.Move, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	p.feed(now)
	costs := map[string]float64{}
	for _, n := range p.nodes {
		if n.Load != nil {
			for id, cost := range n.Load.Costs {
				costs[id] = cost
			}
		}
	}
	var rooms []placement.Placed
	for _, e := range p.view.Rooms() {
		q := queryOf(&e.Room)
		_, pool := p.rules().Match(&q)
		rooms = append(rooms, placement.Placed{Room: e.ID, Node: e.Node, Cost: costs[e.ID], Movable: e.Previous == nil, Pool: pool})
	}
	return p.plan.Rebalance(now, rooms)
}

// queryOf answers what the rules can know of a room that is there: nothing of
// the request that made it, but the rule that it was placed by.
func queryOf(r *cluster.Room) rules.Query {
	q := rules.Query{Tenant: r.Settings.Tenant, Kind: r.Settings.Kind, Purpose: r.Settings.Purpose, Room: r.ID, Rule: r.Rule}
	q.Hash = hashOf(q.Tenant, q.Room)
	return q
}

// hashOf answers a room's key. A tenant without a canonical form counts as none:
// the node refuses it.
func hashOf(tenant, room string) uint64 {
	h, err := placement.Key(tenant, room)
	if err != nil {
		h, _ = placement.Key("", room)
	}
	return h
}

func requestOf(q *rules.Query, pool *rules.Pool) placement.Request {
	return placement.Request{Tenant: q.Tenant, Kind: q.Kind, Purpose: q.Purpose, Room: q.Room, Hash: q.Hash, Pool: pool}
}

// query answers what the rules can know of a room that a request is about. A
// PUT says what the room is to be; what is wrong with it, the node says.
func (t *trip) query() rules.Query {
	q := rules.Query{Tenant: t.tenant, Host: rules.Host(t.in.Host), Room: t.d.room, Header: t.in.Header.Get}
	if t.d.makes && !t.d.joins {
		var settings struct{ Tenant, Kind, Purpose string }
		_ = json.Unmarshal(t.body, &settings)
		if settings.Tenant != "" && q.Tenant == "" && mixer.ValidID(settings.Tenant) {
			q.Tenant = settings.Tenant
		}
		q.Kind, q.Purpose = settings.Kind, settings.Purpose
	}
	q.Hash = hashOf(q.Tenant, q.Room)
	return q
}

// choose answers the node that a room is to go to.
func (r *Router) choose(q *rules.Query, exclude []string, rescue bool) (to target, pool *rules.Pool, ok bool) {
	for {
		route := r.planner.route(q, exclude, rescue, r.storeless())
		if route.Chosen == "" {
			return to, nil, false
		}
		if n := r.member(route.Chosen); n != nil && n.Live != nil && !n.Dead {
			return at(n), route.Pool, true
		}
		exclude = append(exclude[:len(exclude):len(exclude)], route.Chosen)
	}
}

// make asks the nodes that a new room may go to, one after the other, until one
// takes it. The node claims the room; nobody else knows that it could.
func (t *trip) make(out *http.Request, q *rules.Query) (*http.Response, error) {
	var exclude []string
	var last *http.Response
	var broke error
	for {
		to, pool, ok := t.r.choose(q, exclude, false)
		if !ok {
			break
		}
		exclude = append(exclude, to.node)
		out.Header.Set(headerRule, pool.Rule)
		a, err := t.send(out, to)
		switch {
		case unsent(err), errors.Is(err, errOver):
			t.r.suspect(to, err)
			continue
		case t.repeats(out.Context(), err):
			t.r.doubt(to)
			t.r.refresh(out.Context(), t.d.room)
			if _, _, known := t.r.find(t.d.room); known { // it was made, and only the answer got lost
				return t.toOwner(out)
			}
			broke = err
			continue
		case err != nil:
			return nil, err
		case a.elsewhere():
			if t.turn(out.Context(), a) {
				return t.toOwner(out)
			}
			return nil, t.r.away(t.d.room)
		case a.StatusCode == http.StatusServiceUnavailable && declines(a.code):
			t.r.planner.refused(q, to.node)
			t.r.log.Info("node takes no room", "room", t.d.room, "node", to.node, "code", a.code)
			drop(last)
			last = a.Response
			continue
		}
		drop(last)
		if a.StatusCode == http.StatusCreated {
			t.r.recent.put(t.d.room, to.node, t.r.cfg.Now())
			t.r.planner.charge(q, pool, to.node)
			t.r.log.Info("room placed", "room", t.d.room, "node", to.node, "rule", pool.Rule)
		}
		t.r.figures.decided("placed")
		return a.Response, nil
	}
	if last != nil {
		t.r.figures.decided("declined")
		return last, nil
	}
	if broke != nil {
		return nil, broke
	}
	return nil, t.r.nowhere("no node takes the room")
}

// declines reports whether a node says with a code that another one may do.
func declines(code string) bool {
	return code == "draining" || code == "overloaded" || code == "too_many_rooms"
}

// drop closes an answer that nobody gets.
func drop(res *http.Response) {
	if res != nil {
		_ = res.Body.Close() // a failure is of no interest any more
	}
}

// begin says that a room is being made by the caller, if nobody else does so;
// else the channel is closed when they are done.
func (r *Router) begin(room string) (wait chan struct{}, first bool) {
	mine := make(chan struct{})
	other, had := r.making.LoadOrStore(room, mine)
	return other.(chan struct{}), !had
}

func (r *Router) done(room string, wait chan struct{}) {
	r.making.Delete(room)
	close(wait)
}

// ordered answers the nodes that live in a room's order.
func (r *Router) ordered(q *rules.Query) []target {
	var seats []placement.Seat
	nodes := r.alive()
	for _, t := range nodes {
		seats = append(seats, placement.NewSeat(t.node, t.weight))
	}
	var list []target
	for _, ranked := range placement.Order(nil, q.Hash, seats) {
		list = append(list, nodes[ranked.Seat])
	}
	return list
}

// alive answers the nodes that live, by name.
func (r *Router) alive() []target {
	var list []target
	for _, n := range r.cfg.View.Nodes() {
		if n.Live != nil && !n.Dead {
			list = append(list, at(n))
		}
	}
	return list
}
