package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"tutti/mixer"
)

// simMachine is where a member's processes run, one after the other.
type simMachine struct {
	name    string
	role    Role
	process *process // the last one
}

func (m *simMachine) address() string { return "http://" + m.name + ".example" }

// boot starts a member's program.
func (s *simulation) boot(m *simMachine) {
	p := &process{sim: s, machine: m, running: map[*coroutine]bool{}}
	m.process = p
	p.host = &simHost{process: p, rooms: map[string]*simRoom{}}
	log := slog.New(s.log)
	store := simStore{p}
	p.view = NewViewAt(store, log, func() time.Duration { return s.now })
	c := AgentConfig{
		Store: store, View: p.view, Role: m.role, Name: m.name, Address: m.address(), Log: log, TTL: DefaultTTL,
		Now:  func() time.Duration { return s.now },
		Gate: func(until time.Duration) { p.gate = until },
	}
	if m.role == NodeRole {
		c.Host = p.host
	}
	agent, err := NewAgent(c)
	if err != nil {
		panic(err)
	}
	p.agent = agent
	agent.machine, agent.peers = p, simPeers{p}
	p.start(s.now, p.watch)
	p.start(s.now, func() {
		if err := agent.Run(context.Background()); err != nil {
			panic(err)
		}
	})
	switch {
	case s.quiet:
	case m.role == RouterRole:
		p.start(s.now, p.route)
	default:
		p.start(s.now, p.serve)
	}
}

// simPeers is the network as a process reaches it.
type simPeers struct{ process *process }

var errSimRefused = errors.New("connection refused")

// at answers the process at an address, nil if there is none.
func (n simPeers) at(address string) *simMachine {
	for _, m := range n.process.sim.machines {
		if m.address() == address {
			return m
		}
	}
	return nil
}

// call runs f in the process at an address and waits for what comes of it.
func (n simPeers) call(address string, time_ time.Duration, f func(*process)) error {
	s, from, to := n.process.sim, n.process.machine, n.at(address)
	end := s.now + time_
	lost := fmt.Errorf("%s does not answer", address)
	if !s.can(from.name, to.name) {
		s.park(end)
		return lost
	}
	var done, refused bool
	wake := s.waker()
	s.at(s.now+s.latency(), func() {
		p := to.process
		if p.crashed {
			refused = s.can(to.name, from.name)
			if refused {
				wake()
			}
			return
		}
		p.start(s.now, func() {
			f(p)
			if s.can(to.name, from.name) {
				s.at(s.now+s.latency(), func() {
					done = true
					wake()
				})
			}
		})
	})
	s.park(end)
	switch {
	case done:
		return nil
	case refused:
		return errSimRefused
	}
	return lost
}

// Ask implements peers.
func (n simPeers) Ask(_ context.Context, address string, kind ask, q Question) (answer Answer, err error) {
	var given Answer
	err = n.call(address, peerTime, func(p *process) {
		given = p.agent.answer(kind, q)
		p.agent.log.Debug("asked", "kind", kind, "by", q.Node, "inc", q.Incarnation, "yes", given.Yes)
		p.sim.checks.promised(p.sim, p, kind, q, given)
	})
	if err != nil {
		return Answer{}, err
	}
	return given, nil
}

// Alive implements peers.
func (n simPeers) Alive(_ context.Context, address string) (name string, i Incarnation, err error) {
	var who string
	var there Incarnation
	err = n.call(address, peerTime, func(p *process) { who, there = p.machine.name, p.agent.State().Incarnation })
	if err != nil {
		return "", "", err
	}
	return who, there, nil
}

// Refuses implements peers.
func (n simPeers) Refuses(_ context.Context, address string) bool {
	for range dials {
		if !errors.Is(n.call(address, peerTime, func(*process) {}), errSimRefused) {
			return false
		}
	}
	return true
}

// simRoom is a room that a node serves.
type simRoom struct {
	epoch       Epoch
	incarnation Incarnation
	version     uint64
	closes      time.Duration // forever, unless it was moved out
}

// simHost is a node's rooms.
type simHost struct {
	process *process
	rooms   map[string]*simRoom
}

func (h *simHost) make(room string, e Epoch) {
	h.rooms[room] = &simRoom{epoch: e, incarnation: h.process.agent.incarnation, version: 1, closes: forever}
	h.process.sim.checks.due = true
}

// Restore implements Host.
func (h *simHost) Restore(_ context.Context, r Room, _ bool) error {
	s := h.process.sim
	s.park(s.now + s.between(time.Millisecond, 60*time.Millisecond))
	if s.faults && s.chance(30) {
		return errors.New("no room for it")
	}
	h.make(r.ID, r.Epoch)
	s.counts["restored"]++
	return nil
}

// MoveOut implements Host.
func (h *simHost) MoveOut(room string, _ Owner) {
	h.process.sim.counts["moved out"]++
	if r := h.rooms[room]; r != nil {
		r.closes = h.process.sim.now + h.process.sim.between(0, 5*time.Second)
	}
}

// Fence implements Host.
func (h *simHost) Fence(string) {
	h.process.sim.counts["fenced"]++
	clear(h.rooms)
}

// Describe implements Host.
func (h *simHost) Describe(room string) (Room, uint64, bool) {
	r := h.rooms[room]
	if r == nil {
		return Room{}, 0, false
	}
	return Room{Seq: r.version}, r.version, true
}

// Usage implements Host.
func (h *simHost) Usage() Load { return Load{Rooms: len(h.rooms)} }

// Drain implements Host.
func (h *simHost) Drain(bool) { h.process.sim.counts["drain"]++ }

// serve is a node's clients: they make rooms, change them and leave them.
func (p *process) serve() {
	s := p.sim
	for {
		s.park(s.now + s.between(50*time.Millisecond, 900*time.Millisecond))
		if !s.faults {
			continue
		}
		room := fmt.Sprintf("r%d", s.rng.IntN(5))
		r := p.host.rooms[room]
		switch {
		case r == nil:
			p.open(room)
		case r.closes == forever && s.chance(3):
			delete(p.host.rooms, room)
			p.agent.Release(room)
		case r.closes == forever:
			r.version++
			if s.chance(2) {
				_ = p.agent.Save(context.Background(), room)
			}
		}
	}
}

// open makes a room as the API does: claim, make, look again.
func (p *process) open(room string) {
	s := p.sim
	epoch, err := p.agent.Claim(context.Background(), room, mixer.Settings{}, p.Wall())
	if err != nil {
		return
	}
	if r := p.host.rooms[room]; r != nil && r.closes == forever {
		return // restored meanwhile
	}
	if s.chance(2) {
		s.park(s.now + s.between(0, 20*time.Millisecond))
	}
	if own, ok := p.agent.Epoch(room); ok && own == epoch {
		p.host.make(room, epoch)
		s.counts["opened"]++
		if epoch&(1<<epochBits-1) != 0 {
			s.counts["opened away"]++
		}
	}
}

// route is what a router does for the rooms of the dead, and the operator's moves.
func (p *process) route() {
	s := p.sim
	ctx := context.Background()
	for {
		s.park(s.now + s.between(100*time.Millisecond, 400*time.Millisecond))
		for _, n := range p.view.Members() {
			p.bury(ctx, n)
		}
		for _, e := range p.view.Rooms() {
			death, _ := p.view.Death(e.Node, e.Incarnation)
			planned := death == nil
			if planned && !(s.faults && s.chance(8)) {
				continue
			}
			if target := p.target(e); target != nil {
				p.start(s.now, func() { p.place(target, e, planned) })
			}
		}
	}
}

// bury certifies the death of a member that seems dead.
func (p *process) bury(ctx context.Context, n *Node) {
	s := p.sim
	evidence := Granted
	switch {
	case n.Member.Name == p.machine.name:
		return
	case n.Live != nil && s.chance(3):
		evidence = Refused // as when a connection has broken
	case n.Live != nil:
		return
	case s.chance(2):
		evidence = Refused
	}
	if p.agent.Certify(ctx, n.Member.Name, evidence) == nil {
		s.counts["certified "+string(evidence)]++
	}
}

// target answers the machine of a node that is to take a room.
func (p *process) target(e *RoomEntry) *simMachine {
	var fit []*simMachine
	for _, n := range p.view.Nodes() {
		if n.Live != nil && (n.Member.Name != e.Node || n.Live.Incarnation != e.Incarnation) {
			fit = append(fit, p.sim.machine(n.Member.Name))
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[p.sim.rng.IntN(len(fit))]
}

func (p *process) place(target *simMachine, e *RoomEntry, planned bool) {
	_ = simPeers{p}.call(target.address(), 2*time.Second, func(to *process) {
		epoch, err := to.agent.Take(context.Background(), e.ID, e.Owner, planned)
		if err == nil {
			to.sim.counts["taken"]++
			if r := to.host.rooms[e.ID]; r != nil && r.epoch < epoch {
				r.epoch = epoch
			}
		}
	})
}

func (s *simulation) machine(name string) *simMachine {
	i := slices.IndexFunc(s.machines, func(m *simMachine) bool { return m.name == name })
	return s.machines[i]
}

// simRooms answers the rooms of a host by name.
func simRooms(h *simHost) []string { return slices.Sorted(maps.Keys(h.rooms)) }
