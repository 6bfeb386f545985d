package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// simChecks are the invariants, looked at every few milliseconds and whenever
// something has changed that matters.
type simChecks struct {
	due       bool
	next      time.Duration
	sent      map[roomEpoch]Incarnation // who sent for a room in an epoch
	dead      map[Incarnation]Evidence
	entered   map[string]Owner                         // the last owner that the directory had
	confirmed map[Incarnation]map[string]time.Duration // when somebody last told it that the store is away
	failed    error
}

type roomEpoch struct {
	room  string
	epoch Epoch
}

func newSimChecks() *simChecks {
	return &simChecks{
		sent: map[roomEpoch]Incarnation{}, dead: map[Incarnation]Evidence{}, entered: map[string]Owner{},
		confirmed: map[Incarnation]map[string]time.Duration{},
	}
}

// promised notes what a member has promised another.
func (c *simChecks) promised(s *simulation, by *process, kind ask, q Question, answer Answer) {
	if !answer.Yes {
		return
	}
	s.counts[string(kind)]++
	if kind == askAway {
		if c.confirmed[q.Incarnation] == nil {
			c.confirmed[q.Incarnation] = map[string]time.Duration{}
		}
		c.confirmed[q.Incarnation][by.machine.name] = s.now
	}
}

// written looks at what a commit has written: epochs rise with each owner.
func (c *simChecks) written(s *simulation, writes []Write, revision int64) {
	c.due = true
	for _, w := range writes {
		switch {
		case kind(w.Key) == deathsAt:
			var d Death
			if err := json.Unmarshal(w.Value, &d); err != nil {
				panic(err)
			}
			c.dead[d.Incarnation] = d.Evidence
			s.counts["dead "+string(d.Evidence)]++
		case kind(w.Key) == roomsAt && w.Value != nil:
			r, err := decodeRoom(Entry{Key: w.Key, Value: w.Value, Modified: revision})
			if err != nil {
				panic(err)
			}
			before := c.entered[r.ID]
			if r.Epoch <= before.Epoch && r.Owner != before || r.Epoch&(1<<epochBits-1) != 0 {
				c.failed = fmt.Errorf("room %s goes from %+v to %+v", r.ID, before, r.Owner)
			}
			c.entered[r.ID] = r.Owner
		}
	}
}

// look checks who sends now.
func (c *simChecks) look(s *simulation) error {
	if c.failed != nil || !c.due && s.now < c.next {
		return c.failed
	}
	c.due, c.next = false, s.now+5*time.Millisecond
	for _, m := range s.machines {
		p := m.process
		if p.crashed || p.paused > s.now {
			continue
		}
		for _, id := range simRooms(p.host) {
			r := p.host.rooms[id]
			if r.closes <= s.now {
				delete(p.host.rooms, id)
				continue
			}
			if h := p.agent.rooms[id]; h != nil && r.closes == forever {
				r.epoch = h.epoch
			}
			if s.now >= p.gate {
				continue
			}
			if err := c.sends(s, p, id, r); err != nil {
				return fmt.Errorf("%s (%s) sends for room %s in epoch %d: %w", m.name, r.incarnation, id, r.epoch, err)
			}
		}
	}
	return nil
}

// sends answers why a process must not send for a room now.
func (c *simChecks) sends(s *simulation, p *process, id string, r *simRoom) error {
	key := roomEpoch{id, r.epoch}
	if other, ok := c.sent[key]; ok && other != r.incarnation {
		return fmt.Errorf("%s has sent in that epoch", other)
	}
	c.sent[key] = r.incarnation
	if evidence, dead := c.dead[r.incarnation]; dead {
		return fmt.Errorf("it is certified dead: %s", evidence)
	}
	if p.agent.rooms[id] == nil && r.closes == forever {
		return fmt.Errorf("it does not own the room")
	}
	if s.now <= p.renewed+DefaultTTL {
		return nil
	}
	return c.excused(s, p.machine.name, r.incarnation)
}

// excused answers why a member whose lease is over must not go on: too few of the
// quorum set that the store has stand by it.
func (c *simChecks) excused(s *simulation, name string, i Incarnation) error {
	e, ok := s.store.entries[MemberKey(name)]
	if !ok {
		return fmt.Errorf("it is no member")
	}
	m, err := decodeMember(e)
	if err != nil || m.Incarnation != i {
		return fmt.Errorf("its name is another incarnation's")
	}
	standing := 1
	for by, at := range c.confirmed[i] {
		if s.now-at <= DefaultTTL && slices.Contains(m.Quorum, by) {
			standing++
		}
	}
	if 2*standing < len(m.Quorum) {
		return fmt.Errorf("its lease is over, and %d of %d confirm", standing, len(m.Quorum))
	}
	return nil
}

// whole answers what is not as it should be when all faults are over.
func (s *simulation) whole() error {
	entries, _, err := s.store.Read(context.Background(), roomsAt)
	if err != nil {
		return err
	}
	owned := map[string]string{}
	for _, e := range entries {
		r, err := decodeRoom(e)
		if err != nil {
			return err
		}
		owned[r.ID] = r.Node
		p := s.machine(r.Node).process
		h := p.agent.rooms[r.ID]
		served := p.host.rooms[r.ID]
		switch {
		case p.crashed || p.agent.incarnation != r.Incarnation:
			return fmt.Errorf("room %s belongs to %s, which is dead", r.ID, r.Incarnation)
		case h == nil || h.epoch != r.Epoch:
			return fmt.Errorf("room %s belongs to %s in epoch %d, which has %+v", r.ID, r.Node, r.Epoch, h)
		case served == nil || served.closes < forever || s.now >= p.gate:
			return fmt.Errorf("room %s is not served by %s", r.ID, r.Node)
		}
	}
	for _, m := range s.machines {
		if m.process.crashed {
			continue
		}
		if st := m.process.agent.State(); st.Standing != Held {
			return fmt.Errorf("%s is %s", m.name, st.Standing)
		}
		for id, r := range m.process.host.rooms {
			if r.closes > s.now && owned[id] != m.name {
				return fmt.Errorf("room %s is served by %s but belongs to %q", id, m.name, owned[id])
			}
		}
	}
	return nil
}

// fault does something bad, for a time that ends before end, and plans the next.
func (s *simulation) fault(end time.Duration) {
	s.at(s.now+s.between(50*time.Millisecond, 1200*time.Millisecond), func() {
		if s.now >= end {
			return
		}
		over := s.now + s.between(50*time.Millisecond, time.Second)
		if s.chance(2) {
			over = s.now + s.between(time.Second, 6*time.Second)
		}
		s.pick(min(over, end))
		s.fault(end)
	})
}

func (s *simulation) pick(over time.Duration) {
	m := s.machines[s.rng.IntN(len(s.machines))]
	n := s.rng.IntN(12)
	s.counts[fmt.Sprintf("fault %d", n)]++
	switch n {
	case 0, 1: // the store, in one direction or both
		s.sever(over, []string{m.name}, []string{simStoreName}, s.rng.IntN(3))
	case 2: // all but the store
		s.sever(over, []string{m.name}, s.others(m.name), s.rng.IntN(3))
	case 3: // all
		s.sever(over, []string{m.name}, append(s.others(m.name), simStoreName), s.rng.IntN(3))
	case 4, 5: // in two halves, one of which has the store
		one, two := []string{}, []string{simStoreName}
		for _, m := range s.machines {
			if s.chance(2) {
				one = append(one, m.name)
			} else {
				two = append(two, m.name)
			}
		}
		s.sever(over, one, two, s.rng.IntN(3))
	case 6:
		s.down = true
		s.at(over, func() { s.down = false })
	case 7:
		m.process.paused = max(m.process.paused, over)
	case 8:
		s.slow = true
		s.at(over, func() { s.slow = false })
	case 9:
		s.order1(m)
	default:
		s.crash(m, over)
	}
}

// crash ends a member's process, and begins another when the time is over.
func (s *simulation) crash(m *simMachine, over time.Duration) {
	if m.process.crashed {
		return
	}
	m.process.crash()
	s.at(over, func() { s.boot(m) })
}

// order1 lets the operator drain a node, or stop that.
func (s *simulation) order1(m *simMachine) {
	o := Order{Node: m.name, State: Draining}
	if s.chance(2) {
		o.State = Active
	}
	_, _ = s.store.Commit(context.Background(), nil, []Write{{OrderKey(m.name), encode(o), 0}})
}

func (s *simulation) others(name string) (others []string) {
	for _, m := range s.machines {
		if m.name != name {
			others = append(others, m.name)
		}
	}
	return others
}

// sever cuts the links from one group to another (0), back (1) or both.
func (s *simulation) sever(over time.Duration, one, two []string, which int) {
	var cut []link
	for _, a := range one {
		for _, b := range two {
			if which != 1 {
				cut = append(cut, link{a, b})
			}
			if which != 0 {
				cut = append(cut, link{b, a})
			}
		}
	}
	for _, l := range cut {
		s.cut[l]++
	}
	s.at(over, func() {
		for _, l := range cut {
			s.cut[l]--
		}
	})
}
