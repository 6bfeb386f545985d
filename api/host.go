package api

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

// The times of a planned move, counted from when the clients are told: they join
// the new half at a random time within the first, leave the old half after the
// second, and are put out of it after the third.
const (
	joinWithin = 500 * time.Millisecond
	leaveAfter = 1500 * time.Millisecond
	moveWithin = 5 * time.Second
)

const (
	// keepAttributes is how long a person's attributes wait for them to come back
	// to a room that was moved.
	keepAttributes = time.Minute
	// claimWithin bounds the store's part in making a room, saveWithin its part in
	// changing one, which goes on without it.
	claimWithin = 5 * time.Second
	saveWithin  = 500 * time.Millisecond
	// fenceWithin is how long Fence waits for the rooms to be gone.
	fenceWithin = time.Second
)

// host keeps a node's rooms for its cluster. It implements cluster.Host.
type host struct {
	s     *Server
	usage *usage

	mu     sync.Mutex // never held while calling out
	homes  map[string]*home
	fences int // how often everything was shut
}

// home is one room's life on this node, from before it is made until it is
// released.
type home struct {
	fences int           // host.fences when it began
	made   chan struct{} // closed when the room is there, or was given up
	gone   chan struct{} // closed when it is no more, and that was said

	// under host.mu
	room      *mixer.Room // nil until it is made
	created   time.Time   // wherever that was
	rule      string      // of the router that placed it
	movedTo   string      // the node that has it now; empty: this one
	left      bool        // it is no longer this node's, so that nothing is released
	kept      map[string]cluster.Attributes
	keptUntil time.Time
	described cluster.Room // with version
	version   uint64
}

func newHost(s *Server) *host {
	return &host{s: s, usage: newUsage(s.cfg.Now()), homes: map[string]*home{}}
}

// Host answers the server's rooms as a cluster's agent needs them.
func (s *Server) Host() cluster.Host { return s.host }

// enter takes the place of a room: mixer.ErrRoomExists where it is here already.
// One that is just ending is waited for.
func (h *host) enter(ctx context.Context, id string) (*home, error) {
	for {
		h.mu.Lock()
		there := h.homes[id]
		if there == nil {
			n := &home{fences: h.fences, made: make(chan struct{}), gone: make(chan struct{})}
			h.homes[id] = n
			h.mu.Unlock()
			return n, nil
		}
		h.mu.Unlock()
		select {
		case <-there.made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if h.lives(there) {
			return nil, mixer.ErrRoomExists
		}
		select {
		case <-there.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lives reports whether a room is here and this node's.
func (h *host) lives(n *home) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.room == nil || n.left {
		return false
	}
	select {
	case <-n.room.Done():
		return false
	default:
		return true
	}
}

// giveUp leaves a place in which no room was made.
func (h *host) giveUp(id string, n *home) {
	h.mu.Lock()
	delete(h.homes, id)
	h.mu.Unlock()
	close(n.made)
	close(n.gone)
}

// settle puts a room that was made in its place, unless everything was shut
// meanwhile: then it is closed.
func (h *host) settle(id string, n *home, r *mixer.Room, fill func(*home)) error {
	h.mu.Lock()
	if h.fences != n.fences {
		h.mu.Unlock()
		h.abandon(r, "fenced")
		h.giveUp(id, n)
		return refuse("fenced", "the node has lost its place in the cluster")
	}
	n.room = r
	fill(n)
	moved := n.movedTo != ""
	h.mu.Unlock()
	close(n.made)
	go h.watch(id, n)
	if moved {
		go h.seeOff(r)
	}
	return nil
}

// watch waits for the end of a room and says so.
func (h *host) watch(id string, n *home) {
	<-n.room.Done()
	h.mu.Lock()
	release, moved := !n.left, n.movedTo != ""
	delete(h.homes, id)
	h.mu.Unlock()
	switch cluster := h.s.cfg.Cluster; {
	case cluster == nil:
	case release:
		cluster.Release(id)
	case moved:
		cluster.Left(id)
	}
	close(n.gone)
}

// create makes a room that is new, as this node's where there is a cluster. rule
// is what the router says that it was placed by.
func (s *Server) create(ctx context.Context, id string, settings mixer.Settings, rule string) (*mixer.Room, error) {
	if s.cfg.Cluster == nil {
		return s.cfg.Rooms.Create(id, settings)
	}
	if s.cfg.Rooms.Draining() {
		return nil, mixer.ErrDraining
	}
	ctx, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	n, err := s.host.enter(ctx, id)
	if err != nil {
		return nil, err
	}
	created := s.cfg.Now()
	if _, err := s.cfg.Cluster.Claim(ctx, id, settings, created); err != nil {
		s.host.giveUp(id, n)
		if errors.Is(err, cluster.ErrConflict) { // others were faster, time and again
			return nil, refuse("overloaded", "try again")
		}
		return nil, s.elsewhere(id, err)
	}
	r, err := s.cfg.Rooms.Create(id, settings)
	if err != nil {
		s.cfg.Cluster.Release(id)
		s.host.giveUp(id, n)
		return nil, err
	}
	return r, s.host.settle(id, n, r, func(n *home) { n.created, n.rule = created, rule })
}

// createdAt answers when a room was created, on whatever node that was.
func (s *Server) createdAt(r *mixer.Room) time.Time {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if n := s.host.homes[r.ID()]; n != nil && n.room == r {
		return n.created
	}
	return r.CreatedAt()
}

// save has the cluster write down what was changed in a room. Where the store is
// away that is done when it is back.
func (s *Server) save(ctx context.Context, room string) {
	if s.cfg.Cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveWithin)
	defer cancel()
	if err := s.cfg.Cluster.Save(ctx, room); err != nil {
		s.log.Warn("change not saved yet", "room", room, "error", err)
	}
}

// Restore makes a room that was on another node, with what went along with it.
// One that is here already is left as it is.
func (h *host) Restore(ctx context.Context, was cluster.Room, planned bool) error {
	if old := h.halfOf(was.ID); old != nil {
		h.handOver(was.ID) // without a word: they go on at once
		old.Close("moved") // it comes back before all have left
	}
	n, err := h.enter(ctx, was.ID)
	if errors.Is(err, mixer.ErrRoomExists) {
		return nil
	}
	if err != nil {
		return err
	}
	h.s.cfg.Events.Continue(was.ID, was.Seq)
	r, err := h.s.cfg.Rooms.Create(was.ID, was.Settings)
	if err != nil {
		h.giveUp(was.ID, n)
		return err
	}
	for _, rec := range was.Recordings {
		if h.s.cfg.Running == nil {
			break
		}
		if err := h.s.cfg.Running.Continue(r, rec, planned); err != nil {
			h.s.log.Error("recording does not go on", "room", was.ID, "recording", rec.ID, "error", err)
		}
	}
	h.forward(r, was.Forwarders, planned)
	until := h.s.cfg.Now().Add(keepAttributes)
	return h.settle(was.ID, n, r, func(n *home) {
		n.created, n.rule, n.kept, n.keptUntil = was.CreatedAt, was.Rule, maps.Clone(was.Participants), until
	})
}

// forward lets forwarders go on in a room that has come: in a planned move when the
// old half ends its own, so that a receiver has one or the other.
func (h *host) forward(r *mixer.Room, list []cluster.Forwarder, planned bool) {
	after := time.Duration(0)
	if planned {
		after = leaveAfter
	}
	for _, f := range list {
		if h.s.cfg.Forwarding == nil {
			return
		}
		if err := h.s.cfg.Forwarding.Continue(r, f, after); err != nil {
			h.s.log.Error("forwarder does not go on", "room", r.ID(), "forwarder", f.ID, "error", err)
		}
	}
}

// handOver ends what goes on elsewhere of a room's forwarders.
func (h *host) handOver(room string) {
	if h.s.cfg.Forwarding != nil {
		h.s.cfg.Forwarding.HandOver(room)
	}
}

// halfOf answers the old half of a room that has moved, or nil.
func (h *host) halfOf(id string) *mixer.Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.homes[id]; n != nil && n.movedTo != "" {
		return n.room // nil while it is being made
	}
	return nil
}

// movedTo answers the node that a room has moved to whose old half is here.
func (h *host) movedTo(id string) (node string, moved bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.homes[id]; n != nil && n.movedTo != "" {
		return n.movedTo, true
	}
	return "", false
}

// MoveOut tells a room's clients that it is on another node now, and closes this
// half when they have left. It does not block.
func (h *host) MoveOut(room string, to cluster.Owner) {
	h.mu.Lock()
	n := h.homes[room]
	if n == nil || n.left {
		h.mu.Unlock()
		return
	}
	n.left, n.movedTo = true, to.Node
	r := n.room
	h.mu.Unlock()
	if r != nil { // else it is being made, and goes when it is
		go h.seeOff(r)
	}
}

// seeOff is what becomes of the old half of a room.
func (h *host) seeOff(r *mixer.Room) {
	r.Moved(mixer.Move{JoinWithinMS: int(joinWithin.Milliseconds()), LeaveAfterMS: int(leaveAfter.Milliseconds())})
	leave, end := time.After(leaveAfter), time.After(moveWithin)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for left := false; ; {
		select {
		case <-r.Done():
			return
		case <-leave:
			left = true
			if h.s.cfg.Running != nil {
				h.s.cfg.Running.HandOver(r.ID())
			}
			h.handOver(r.ID())
		case <-look.C:
			if !left || r.Stats().Participants > 0 {
				continue
			}
			r.Close("moved")
			return
		case <-end:
			r.Close("moved")
			return
		}
	}
}

// Fence shuts every room at once. What was recorded is left as it is.
func (h *host) Fence(reason string) {
	h.mu.Lock()
	h.fences++
	for _, n := range h.homes {
		n.left = true
	}
	h.mu.Unlock()
	var closing sync.WaitGroup
	for _, r := range h.s.cfg.Rooms.List() {
		closing.Go(func() { h.abandon(r, reason) })
	}
	done := make(chan struct{})
	go func() { closing.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(fenceWithin):
		h.s.log.Warn("rooms are still being closed", "reason", reason)
	}
}

// abandon closes a room at once, and leaves its recordings as they are.
func (h *host) abandon(r *mixer.Room, reason string) {
	if h.s.cfg.Running != nil {
		h.s.cfg.Running.Abandon(r.ID())
	}
	h.handOver(r.ID())
	r.Drop(reason)
}

// Drain stops the node from taking new rooms, or lets it take them again.
func (h *host) Drain(on bool) { h.s.SetDraining(on) }
