package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

func contains(set []string, name string) bool { return slices.Contains(set, name) }

// Release says that a room is closed: it leaves the directory, at once or when the
// store is there.
func (a *Agent) Release(room string) {
	a.mu.Lock()
	h := a.rooms[room]
	delete(a.rooms, room)
	life := a.life
	a.mu.Unlock()
	if h != nil && h.entered {
		a.machine.Go(func() { a.clear(life, room) })
	}
}

// Left says that nothing is left here of a room that has moved: its entry no
// longer names this node as the one before, at once or after previousTime.
func (a *Agent) Left(room string) {
	a.mu.Lock()
	life := a.life
	a.mu.Unlock()
	a.machine.Go(func() {
		for range 3 {
			if err := a.unname(life, room); !errors.Is(err, ErrConflict) {
				return
			}
		}
	})
}

// unname takes this incarnation out of a room's entry. The owner notices when it
// writes next.
func (a *Agent) unname(ctx context.Context, room string) error {
	e, _, err := a.readRoom(ctx, room)
	if err != nil || e == nil || e.Previous == nil {
		return err
	}
	m := a.look(room)
	if e.Previous.Node != a.cfg.Name || e.Previous.Incarnation != m.incarnation || m.standing != Held {
		return nil
	}
	r := e.Room
	r.Previous = nil
	_, err = a.commit(ctx, []Condition{{RoomKey(room), e.Modified}, {LiveKey(a.cfg.Name), m.live}}, []Write{{RoomKey(room), encode(r), 0}})
	return err
}

// sweep removes entries of rooms that this incarnation should have and does not:
// released while the store was away, or claimed by a commit whose answer was lost.
func (a *Agent) sweep(ctx context.Context) {
	for _, e := range a.view.Rooms() {
		a.mu.Lock()
		stray := a.owns(e.Owner) && a.rooms[e.ID] == nil && !a.busy[e.ID]
		a.mu.Unlock()
		if stray {
			a.clear(ctx, e.ID)
		}
	}
}

// clear removes a room's entry, if it is this incarnation's and there is no such
// room here.
func (a *Agent) clear(ctx context.Context, room string) {
	if err := a.lock(ctx, room); err != nil {
		return
	}
	defer a.unlock(room)
	m := a.look(room)
	if m.holding != nil || m.standing != Held {
		return
	}
	e, revision, err := a.readRoom(ctx, room)
	switch {
	case err != nil:
		return
	case e == nil:
		a.view.Learn(Entry{Key: RoomKey(room), Modified: revision})
	case e.Node == a.cfg.Name && e.Incarnation == m.incarnation:
		// Where this fails, the next sweep finds the entry again.
		_, _ = a.commit(ctx, []Condition{{RoomKey(room), e.Modified}, {LiveKey(a.cfg.Name), m.live}}, []Write{{Key: RoomKey(room)}})
	}
}

// saveAll writes what has changed of the rooms.
func (a *Agent) saveAll(ctx context.Context) {
	a.mu.Lock()
	rooms := sorted(maps.Keys(a.rooms))
	a.mu.Unlock()
	for _, room := range rooms {
		if ctx.Err() != nil || a.State().Standing != Held {
			return
		}
		if err := a.Save(ctx, room); err != nil {
			a.log.Debug("a room is not saved yet", "room", room, "error", err)
		}
	}
}

// Save writes what Describe says of a room, if that has changed, and enters a room
// that was made while the store was away. A room that turns out to be somebody
// else's is moved out.
func (a *Agent) Save(ctx context.Context, room string) error {
	if err := a.lock(ctx, room); err != nil {
		return err
	}
	defer a.unlock(room)
	for range 3 {
		err := a.save(ctx, room)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := a.settleRoom(ctx, room); err != nil {
			return err
		}
	}
	return fmt.Errorf("save room %s: %w", room, ErrConflict)
}

func (a *Agent) save(ctx context.Context, room string) error {
	if a.cfg.Host == nil {
		return nil
	}
	now := a.machine.Now()
	r, version, ok := a.cfg.Host.Describe(room)
	a.mu.Lock()
	h := a.rooms[room]
	if h == nil || !ok {
		a.mu.Unlock()
		return nil
	}
	entered := h.entered
	if h.previous != nil && now > h.until {
		h.previous, h.saved = nil, false
	}
	done := h.entered && h.saved && h.version == version
	r.ID, r.Owner, r.Previous = room, Owner{a.cfg.Name, a.incarnation, h.epoch}, h.previous
	conditions := []Condition{{RoomKey(room), h.modified}, {LiveKey(a.cfg.Name), a.liveModified}}
	a.mu.Unlock()
	switch {
	case done:
		return nil
	case !entered:
		return a.enter(ctx, room, h, r, version)
	}
	written, err := a.commit(ctx, conditions, []Write{{RoomKey(room), encode(r), 0}})
	if err != nil {
		return fmt.Errorf("save room %s: %w", room, err)
	}
	a.mu.Lock()
	h.modified, h.version, h.saved = written, version, true
	a.mu.Unlock()
	return nil
}

// settleRoom finds out whose a room is, after a write of its entry has conflicted.
func (a *Agent) settleRoom(ctx context.Context, room string) error {
	e, _, err := a.readRoom(ctx, room)
	if err != nil {
		return err
	}
	m := a.look(room)
	h := m.holding
	switch {
	case h == nil || !h.entered:
	case e == nil:
		// Nobody removes what is another's; an entry that is gone is entered again.
		a.mu.Lock()
		h.entered = false
		a.mu.Unlock()
	case e.Node == a.cfg.Name && e.Incarnation == m.incarnation && e.Epoch == h.epoch:
		a.mu.Lock()
		h.modified, h.saved, h.previous = e.Modified, false, e.Previous
		a.mu.Unlock()
	default:
		a.moveOut(room, h, e.Owner)
	}
	return nil
}

// enter puts a room into the directory that was made while the store was away. If
// another has it, it is moved out to that one.
func (a *Agent) enter(ctx context.Context, room string, h *holding, r Room, version uint64) error {
	e, _, err := a.readRoom(ctx, room)
	if err != nil {
		return fmt.Errorf("enter room %s: %w", room, err)
	}
	m := a.look(room)
	conditions := []Condition{{RoomKey(room), 0}, {LiveKey(a.cfg.Name), m.live}}
	if e != nil {
		conditions[0].Modified = e.Modified
		if e.Node != a.cfg.Name || e.Incarnation != m.incarnation {
			death, err := a.deathOf(ctx, e.Owner)
			if errors.Is(err, ErrAlive) {
				a.moveOut(room, h, e.Owner)
				return nil
			}
			if err != nil {
				return err
			}
			conditions = append(conditions, death)
		}
	}
	r.Epoch = 0 // the commit's
	written, err := a.commit(ctx, conditions, []Write{{RoomKey(room), encode(r), 0}})
	if err != nil {
		return fmt.Errorf("enter room %s: %w", room, err)
	}
	a.mu.Lock()
	h.epoch, h.entered, h.modified, h.version, h.saved = granted(written), true, written, version, true
	a.mu.Unlock()
	return nil
}

// moveOut lets go of a room that another has.
func (a *Agent) moveOut(room string, h *holding, to Owner) {
	a.mu.Lock()
	current, epoch := a.rooms[room] == h, h.epoch
	if current {
		delete(a.rooms, room)
	}
	a.mu.Unlock()
	if current {
		a.refused.Add(1)
		a.log.Info("a room is another's now", "room", room, "epoch", epoch, "owner", to.Node, "its_epoch", to.Epoch)
		a.cfg.Host.MoveOut(room, to)
	}
}
