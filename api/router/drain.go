package router

import (
	"context"
	"sync"
	"time"

	"tutti/api/cluster"
)

// How nodes are drained.
const (
	defaultDrain = 30 * time.Minute
	longestDrain = 24 * time.Hour
	oldHalf      = 5 * time.Second // how long clients may stay where a room was
	drainAgain   = time.Second     // after a pass in which no room could be moved
)

// drainAll moves rooms away from nodes that are to be drained, for as long as
// ctx lasts. Of several routers one does it for each node.
func (r *Router) drainAll(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	var busy sync.Map // name: struct{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		next := r.changed.next()
		for _, n := range r.cfg.View.Nodes() {
			name := n.Member.Name
			if !r.draining(name) || r.rank(name) != 0 {
				continue
			}
			if _, others := busy.LoadOrStore(name, true); !others {
				running.Go(func() {
					defer busy.Delete(name)
					r.drain(ctx, name)
				})
			}
		}
		select {
		case <-next:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// draining reports whether a node is there and is to be drained.
func (r *Router) draining(name string) bool {
	n := r.member(name)
	return n != nil && n.Live != nil && !n.Dead && drains(n)
}

// drain moves a node's rooms away one after the other until the node is gone or
// taken back. When the time is over, all that is left is moved at once.
func (r *Router) drain(ctx context.Context, name string) {
	r.log.Info("node drains", "node", name)
	began, order := r.cfg.Now(), int64(0)
	for ctx.Err() == nil && r.draining(name) {
		n := r.member(name)
		if n.OrderModified != order { // said anew, it counts anew
			began, order = r.cfg.Now(), n.OrderModified
		}
		rooms := r.roomsOf(name)
		left := began.Add(drainTime(n)).Sub(r.cfg.Now())
		next := r.changed.next()
		moved := false
		switch {
		case len(rooms) == 0:
		case left <= 0:
			moved = r.moveAll(ctx, rooms)
		default:
			moved = r.moveNext(ctx, name, rooms, left)
		}
		if moved {
			continue
		}
		timer := time.NewTimer(drainAgain)
		select {
		case <-timer.C:
		case <-next:
			if len(rooms) > 0 { // nobody takes them: not again for each change
				pause(ctx, drainAgain/4)
			}
		case <-ctx.Done():
		}
		timer.Stop()
	}
	r.log.Info("drain has ended", "node", name, "rooms", len(r.roomsOf(name)))
}

// drainTime is how long a drain may take.
func drainTime(n *cluster.Node) time.Duration {
	if n.Order != nil && n.Order.State == cluster.Draining && n.Order.DeadlineS > 0 {
		return time.Duration(n.Order.DeadlineS) * time.Second
	}
	return defaultDrain
}

// roomsOf answers the rooms that a node has, by identifier.
func (r *Router) roomsOf(name string) []*cluster.RoomEntry {
	var list []*cluster.RoomEntry
	for _, e := range r.cfg.View.Rooms() {
		if e.Node == name && !r.orphaned(e) {
			list = append(list, e)
		}
	}
	return list
}

// moveNext moves the first of the rooms that can be moved, and waits until its
// clients have followed, all within the time that is left.
func (r *Router) moveNext(ctx context.Context, name string, rooms []*cluster.RoomEntry, left time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	for _, e := range rooms {
		if ctx.Err() != nil || !r.draining(name) {
			return true // there is something else to do
		}
		if r.move(ctx, e, "", "drain", false) {
			r.followed(ctx, e.ID)
			return true
		}
	}
	return false
}

// moveAll moves all rooms without waiting for their clients.
func (r *Router) moveAll(ctx context.Context, rooms []*cluster.RoomEntry) (moved bool) {
	var running sync.WaitGroup
	slots := make(chan struct{}, rescuesAtOnce)
	results := make([]bool, len(rooms))
	for i, e := range rooms {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			results[i] = r.move(ctx, e, "", "deadline", true)
		})
	}
	running.Wait()
	for _, ok := range results {
		moved = moved || ok
	}
	return moved
}

// move has a room taken by another node while its owner still has it: by the
// node named, or by the first that accepts. urgent takes one above its ceiling.
func (r *Router) move(ctx context.Context, e *cluster.RoomEntry, node, reason string, urgent bool) bool {
	if !r.seize(e.ID) {
		return false
	}
	defer r.moves.Delete(e.ID)
	q := queryOf(&e.Room)
	exclude := []string{e.Node}
	for ctx.Err() == nil {
		to, pool, ok := r.choose(&q, exclude, urgent)
		if node != "" {
			to, ok = r.named(node)
		}
		if !ok {
			r.log.Info("no node takes a room that is to move", "room", e.ID, "node", e.Node, "reason", reason)
			return false
		}
		epoch, err := r.take(ctx, to, e, true)
		if err == nil {
			r.planner.charge(&q, pool, to.node)
			r.figures.moved(reason)
			r.log.Info("room moved", "room", e.ID, "node", to.node, "epoch", epoch, "from", e.Node, "reason", reason)
			r.refresh(ctx, e.ID)
			return true
		}
		exclude = r.notTaken(ctx, e, to, err, exclude)
		now, ok := r.cfg.View.Room(e.ID)
		if node != "" || !ok || now.Owner != e.Owner {
			return false
		}
		e = now
	}
	return false
}

// named answers a node that takes rooms.
func (r *Router) named(name string) (target, bool) {
	n := r.member(name)
	if n == nil || n.Live == nil || n.Dead || drains(n) {
		return target{}, false
	}
	return at(n), true
}

// followed waits until the clients of a room that was moved have left where it
// was, but not for long.
func (r *Router) followed(ctx context.Context, room string) {
	ctx, cancel := context.WithTimeout(ctx, oldHalf)
	defer cancel()
	for {
		next := r.changed.next()
		if e, ok := r.cfg.View.Room(room); !ok || e.Previous == nil {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// rebalance moves a room from a hot node to a cooler one now and then.
func (r *Router) rebalance(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Rebalance)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if r.storeless() || r.rank("rebalance") != 0 {
			continue
		}
		m, ok := r.planner.rebalance()
		if !ok {
			continue
		}
		if e, ok := r.cfg.View.Room(m.Room); ok && e.Node == m.From {
			r.move(ctx, e, m.To, "rebalance", false)
		}
	}
}
