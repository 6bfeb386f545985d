package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"tutti/api/router/placement"
	"tutti/api/router/rules"
)

// The simulated cluster: costs in milliseconds of CPU a second, time in
// simulated time. A class of rooms begins every half hour, besides those that come
// at any time; on the average two hundred rooms live at once.
const (
	simNodes      = 10
	simCapacity   = 4000.0
	simTenants    = 20
	simSpan       = 6 * time.Hour
	simWarm       = time.Hour // in which the cluster fills, and nothing is counted
	simLife       = 38 * time.Minute
	simAlive      = 200
	simBurst      = 60
	simBurstIn    = 20 * time.Second
	simBurstEvery = 30 * time.Minute
	simRamp       = 120 * time.Second
	simReport     = 5 * time.Second
	simMeanCost   = 100.0
	simTenantSD   = 0.6 // of the logarithm of what tenants' rooms cost
	simRoomSD     = 0.67
)

// simRoom is a room of the simulation.
type simRoom struct {
	id, tenant string
	hash       uint64
	begin, end time.Duration
	full       float64 // what it costs after the ramp
	node       int     // -1: refused
}

// cost answers what the room costs at a time.
func (r *simRoom) cost(at time.Duration) float64 {
	return r.full * min(1, float64(at-r.begin)/float64(simRamp))
}

// simulation is a cluster with one policy.
type simulation struct {
	planner *placement.Planner
	policy  policy
	pool    *rules.Pool
	coming  []*simRoom
	alive   []*simRoom
	names   []string
	seats   []placement.Seat
	report  []placement.Node
	ratios  series // most over average cost of nodes, each report
	hottest series // the cost of the hottest node, each report
	placed  int
	refused int
	moves   int
}

// newSimulation makes a cluster. The rooms that will come depend on the seed
// alone.
func newSimulation(seed uint64, p policy) *simulation {
	s := &simulation{planner: placement.NewPlanner(p.config), policy: p, pool: &rules.Pool{Rule: "default", Top: p.top}}
	for i := range simNodes {
		name := fmt.Sprintf("node-%d", i)
		s.names = append(s.names, name)
		s.seats = append(s.seats, placement.NewSeat(name, 1))
		s.report = append(s.report, placement.Node{Name: name, Weight: 1, Capacity: simCapacity, MaxRooms: 1000})
	}
	s.coming = simTraffic(seed)
	return s
}

// simTraffic answers all rooms that will come, by time.
func simTraffic(seed uint64) []*simRoom {
	r := rand.New(rand.NewPCG(seed, 4))
	var tenants []float64
	for range simTenants {
		tenants = append(tenants, logNormal(r, simTenantSD))
	}
	var rooms []*simRoom
	add := func(at time.Duration) {
		t := r.IntN(simTenants)
		room := &simRoom{
			id: fmt.Sprintf("room-%d-%d", seed, len(rooms)), tenant: fmt.Sprintf("tenant-%d", t), begin: at,
			end: at + time.Duration(r.ExpFloat64()*float64(simLife)), full: simMeanCost * tenants[t] * logNormal(r, simRoomSD), node: -1,
		}
		room.hash, _ = placement.Key(room.tenant, room.id)
		rooms = append(rooms, room)
	}
	bursts := simBurst * simLife.Seconds() / simBurstEvery.Seconds() // of the rooms alive
	every := simLife.Seconds() / (simAlive - bursts)
	for at := 0.0; at < simSpan.Seconds(); at += r.ExpFloat64() * every {
		add(time.Duration(at * float64(time.Second)))
	}
	for at := time.Duration(0); at < simSpan; at += simBurstEvery {
		for range simBurst {
			add(at + time.Duration(r.Float64()*float64(simBurstIn)))
		}
	}
	slices.SortFunc(rooms, func(a, b *simRoom) int { return cmp.Compare(a.begin, b.begin) })
	return rooms
}

// logNormal answers a factor of mean 1.
func logNormal(r *rand.Rand, sd float64) float64 { return math.Exp(sd*r.NormFloat64() - sd*sd/2) }

// run lets the time pass. Each node reports in its turn, a tenth of the interval
// after the one before.
func (s *simulation) run() {
	const step = simReport / simNodes
	s.planner.Nodes(0, s.report)
	for tick := 0; time.Duration(tick)*step < simSpan; tick++ {
		now := time.Duration(tick+1) * step
		s.begin(now)
		s.end(now)
		s.tell(now, tick%simNodes)
		if tick%simNodes == 0 {
			s.sample(now)
			s.rebalance(now)
		}
	}
}

// begin places the rooms that have come.
func (s *simulation) begin(now time.Duration) {
	for len(s.coming) > 0 && s.coming[0].begin <= now {
		room := s.coming[0]
		s.coming = s.coming[1:]
		if s.policy.plain {
			room.node = placement.Order(nil, room.hash, s.seats)[0].Seat
		} else if request := s.request(room); !s.place(now, room, request) {
			s.refused++
			continue
		}
		s.placed++
		s.alive = append(s.alive, room)
	}
}

func (s *simulation) request(r *simRoom) placement.Request {
	return placement.Request{Tenant: r.tenant, Kind: "meeting", Purpose: "live", Room: r.id, Hash: r.hash, Pool: s.pool}
}

func (s *simulation) place(now time.Duration, room *simRoom, request placement.Request) bool {
	d := s.planner.Place(now, request)
	room.node = slices.Index(s.names, d.Chosen)
	if room.node < 0 {
		return false
	}
	s.planner.Charge(now, request, d.Chosen)
	return true
}

// end closes the rooms whose time is up.
func (s *simulation) end(now time.Duration) {
	s.alive = slices.DeleteFunc(s.alive, func(r *simRoom) bool {
		if r.end <= now {
			s.planner.Closed(now, r.id)
		}
		return r.end <= now
	})
}

// tell passes on what one node measured over the last interval.
func (s *simulation) tell(now time.Duration, node int) {
	n := &s.report[node]
	n.CPU, n.Rooms, n.Reported = 0, 0, now
	for _, r := range s.alive {
		if r.node == node {
			cost := r.cost(max(r.begin, now-simReport/2))
			n.CPU, n.Rooms = n.CPU+cost, n.Rooms+1
			s.planner.Measured(now, r.id, r.tenant, "meeting", "live", cost)
		}
	}
	s.planner.Nodes(now, s.report)
}

func (s *simulation) sample(now time.Duration) {
	var nodes [simNodes]float64
	sum := 0.0
	for _, r := range s.alive {
		nodes[r.node] += r.cost(now)
		sum += r.cost(now)
	}
	if now > simWarm {
		most := slices.Max(nodes[:])
		s.ratios = append(s.ratios, most/(sum/simNodes))
		s.hottest = append(s.hottest, most)
	}
}

func (s *simulation) rebalance(now time.Duration) {
	if !s.policy.moving {
		return
	}
	var rooms []placement.Placed
	for _, r := range s.alive {
		rooms = append(rooms, placement.Placed{Room: r.id, Node: s.names[r.node], Cost: r.cost(now), Movable: true})
	}
	move, ok := s.planner.Rebalance(now, rooms)
	if !ok {
		return
	}
	r := s.alive[slices.IndexFunc(s.alive, func(r *simRoom) bool { return r.id == move.Room })]
	r.node = slices.Index(s.names, move.To)
	s.planner.Charge(now, s.request(r), move.To)
	s.moves++
}

func (s series) mean() float64 {
	sum := 0.0
	for _, x := range s {
		sum += x
	}
	return sum / float64(max(len(s), 1))
}
