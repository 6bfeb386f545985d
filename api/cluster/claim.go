package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tutti/mixer"
)

const (
	claimTime = 3 * time.Second // for a claim or a take, when the store does not answer
	// epochBits are the bits of an epoch below the store's revision. They are 0 in
	// those that the store has granted, and count the others.
	epochBits = 8
	// previousTime is for how long a room's entry names its former owner after a
	// planned move.
	previousTime = 30 * time.Second
)

// refusal is an error with the stable word that programs go by.
type refusal struct{ code, text string }

func (r *refusal) Error() string { return r.text }

// Code is the stable word.
func (r *refusal) Code() string { return r.code }

// What an agent refuses, and why.
var (
	ErrFenced       error = &refusal{"fenced", "the node is not in the cluster now"}
	ErrStoreAway    error = &refusal{"store_away", "the store does not answer, and not enough members confirm that it is away"}
	ErrDraining     error = &refusal{"draining", "the node takes nothing new"}
	ErrTooManyRooms error = &refusal{"too_many_rooms", "the node has all the rooms it may have"}
	ErrOverloaded   error = &refusal{"overloaded", "the node has all the load it may have"}
	ErrNoRoom       error = &refusal{"room_not_found", "there is no such room"}
	ErrAlive        error = &refusal{"conflict", "the room's owner is not certified dead"}
)

// ElsewhereError says that a room is another's.
type ElsewhereError struct {
	Room  string
	Owner Owner
}

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("room %s is on node %s in epoch %d", e.Room, e.Owner.Node, e.Owner.Epoch)
}

// Code is the stable word that programs go by.
func (e *ElsewhereError) Code() string { return "misdirected" }

// holding is a room that this node owns. Under the agent's lock.
type holding struct {
	epoch    Epoch
	entered  bool   // in the directory; else the store was away when it was made
	modified int64  // the revision of its entry, as known
	version  uint64 // of Describe, as written
	saved    bool   // version has a meaning
	planned  bool
	previous *Owner // until
	until    time.Duration
}

// granted answers the epoch of an owner whom the commit of a revision made so. It is
// above all that were given before. (A revision that was read before the commit
// would not be: between the two another may have had the room and closed it.)
func granted(revision int64) Epoch { return Epoch(revision) << epochBits }

// makeshift answers an epoch that nobody else has or will have, for a room that is
// made while the store is away: the newest revision is this agent's own commit,
// so no other agent counts under it. The lock is held.
func (a *Agent) makeshift() (Epoch, bool) {
	next := a.odd + 2
	if a.odd == 0 {
		next = 1
	}
	if next >= 1<<epochBits {
		return 0, false
	}
	a.odd = next
	return Epoch(a.latest)<<epochBits + next, true
}

// lock waits until nobody else asks the store about a room.
func (a *Agent) lock(ctx context.Context, room string) error {
	for {
		a.mu.Lock()
		free := !a.busy[room]
		if free {
			a.busy[room] = true
		}
		a.mu.Unlock()
		if free {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.machine.Sleep(ctx, 5*time.Millisecond)
	}
}

func (a *Agent) unlock(room string) {
	a.mu.Lock()
	delete(a.busy, room)
	a.mu.Unlock()
}

// moment is how the agent stands at the beginning of an operation.
type moment struct {
	tenure      *Tenure
	standing    Standing
	incarnation Incarnation
	live        int64
	draining    bool
	rooms       int
	holding     *holding // of the room in question
}

func (a *Agent) look(room string) moment {
	now := a.machine.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return moment{a.tenure, a.tenure.Check(now), a.incarnation, a.liveModified, a.draining || a.drain, len(a.rooms), a.rooms[room]}
}

// own takes a room into what this node owns, unless the tenure under which it was
// claimed is over.
func (a *Agent) own(m moment, room string, h *holding) error {
	now := a.machine.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tenure != m.tenure || m.tenure.Check(now) == Fenced {
		return ErrFenced
	}
	a.rooms[room] = h
	return nil
}

// retry calls try until it succeeds, is refused, or its time is up. What it must
// not try again is an error with a code.
func (a *Agent) retry(ctx context.Context, try func() (Epoch, error)) (Epoch, error) {
	end := a.machine.Now() + claimTime
	for {
		epoch, err := try()
		var final interface{ Code() string }
		if err == nil || errors.As(err, &final) {
			return epoch, err
		}
		if ctx.Err() != nil || a.machine.Now() >= end {
			return 0, fmt.Errorf("%w: %w", ErrStoreAway, err)
		}
		a.machine.Sleep(ctx, 20*time.Millisecond)
	}
}

// Claim makes this node the owner of a new room, and answers the epoch. While the
// store is away half of the members must hold the room for it, and the epoch is odd
// until the store is back. *ElsewhereError where the room is another's; ErrFenced,
// ErrStoreAway, ErrDraining, ErrTooManyRooms. The caller must look again with Epoch
// when the room is made.
func (a *Agent) Claim(ctx context.Context, room string, s mixer.Settings, created time.Time) (Epoch, error) {
	if err := a.lock(ctx, room); err != nil {
		return 0, err
	}
	defer a.unlock(room)
	var first int64 // the revision that the first try has seen
	return a.retry(ctx, func() (Epoch, error) {
		m := a.look(room)
		switch {
		case m.standing == Joining || m.standing == Fenced:
			return 0, ErrFenced
		case m.holding != nil:
			return m.holding.epoch, nil
		case m.draining:
			return 0, ErrDraining
		case a.cfg.MaxRooms > 0 && m.rooms >= a.cfg.MaxRooms:
			return 0, ErrTooManyRooms
		case m.standing == Stasis:
			return a.claimAway(ctx, m, room)
		}
		return a.claim(ctx, m, &first, Room{ID: room, Settings: s, CreatedAt: created})
	})
}

// claim enters a new room in the directory.
func (a *Agent) claim(ctx context.Context, m moment, first *int64, r Room) (Epoch, error) {
	e, revision, err := a.readRoom(ctx, r.ID)
	if err != nil {
		return 0, err
	}
	if *first == 0 {
		*first = revision
	}
	var modified int64
	if e != nil {
		if e.Node != a.cfg.Name || e.Incarnation != m.incarnation {
			a.refused.Add(1)
			return 0, &ElsewhereError{r.ID, e.Owner}
		}
		if e.Modified > *first { // an earlier try has arrived
			return e.Epoch, a.own(m, r.ID, &holding{epoch: e.Epoch, entered: true, modified: e.Modified})
		}
		modified = e.Modified // that of a room which was released
	}
	r.Owner = Owner{Node: a.cfg.Name, Incarnation: m.incarnation}
	written, err := a.commit(ctx,
		[]Condition{{RoomKey(r.ID), modified}, {LiveKey(a.cfg.Name), m.live}},
		[]Write{{RoomKey(r.ID), encode(r), 0}})
	if err != nil {
		return 0, err
	}
	epoch := granted(written)
	return epoch, a.own(m, r.ID, &holding{epoch: epoch, entered: true, modified: written})
}

// readRoom reads a room's entry, nil if there is none.
func (a *Agent) readRoom(ctx context.Context, room string) (*RoomEntry, int64, error) {
	e, revision, err := a.read(ctx, RoomKey(room))
	if err != nil || e == nil {
		return nil, revision, err
	}
	r, err := decodeRoom(*e)
	if err != nil {
		return nil, revision, err
	}
	a.view.Learn(*e)
	return &RoomEntry{*r, e.Modified}, revision, nil
}

// claimAway takes a new room while the store is away, if half of the members hold
// it for this node.
func (a *Agent) claimAway(ctx context.Context, m moment, room string) (Epoch, error) {
	if e, known := a.view.Room(room); known && (e.Node != a.cfg.Name || e.Incarnation != m.incarnation) {
		return 0, &ElsewhereError{room, e.Owner}
	}
	q := Question{Node: a.cfg.Name, Incarnation: m.incarnation, Room: room}
	if !a.answer(askHold, q).Yes {
		return 0, ErrStoreAway
	}
	a.mu.Lock()
	sets := m.tenure.Quorum()
	a.mu.Unlock()
	names := everybody(sets)
	answers := make([]bool, len(names))
	var asks []func()
	for i, name := range names {
		asks = append(asks, func() { answers[i] = name == a.cfg.Name || a.askOne(ctx, name, askHold, q).Yes })
	}
	a.machine.All(asks...)
	for _, set := range sets {
		held := 0
		for i, name := range names {
			if answers[i] && contains(set, name) {
				held++
			}
		}
		if 2*held < len(set) {
			return 0, ErrStoreAway
		}
	}
	a.mu.Lock()
	epoch, ok := a.makeshift()
	a.mu.Unlock()
	if !ok {
		return 0, ErrStoreAway
	}
	return epoch, a.own(m, room, &holding{epoch: epoch})
}

// Take makes this node the owner of a room that another had: planned, or after the
// death of that one, and restores it. It may be called again. *ElsewhereError
// where the room is not from's any more; ErrAlive where it may still be served;
// ErrNoRoom, ErrFenced, ErrStoreAway, ErrDraining, ErrTooManyRooms, ErrOverloaded.
func (a *Agent) Take(ctx context.Context, room string, from Owner, planned bool) (Epoch, error) {
	if a.cfg.Host == nil {
		return 0, fmt.Errorf("take room %s: %w", room, ErrDraining) // a router has no rooms
	}
	if err := a.lock(ctx, room); err != nil {
		return 0, err
	}
	defer a.unlock(room)
	return a.retry(ctx, func() (Epoch, error) { return a.take(ctx, room, from, planned) })
}

func (a *Agent) take(ctx context.Context, room string, from Owner, planned bool) (Epoch, error) {
	m := a.look(room)
	if h := m.holding; h != nil && m.standing != Fenced {
		if h.epoch > from.Epoch {
			return h.epoch, nil
		}
		a.moveOut(room, h, from) // taken from here, as this node does not see yet
		m = a.look(room)
	}
	if err := a.admits(m); err != nil {
		return 0, err
	}
	e, _, err := a.readRoom(ctx, room)
	if err != nil {
		return 0, err
	}
	if e == nil {
		return 0, ErrNoRoom
	}
	own := e.Node == a.cfg.Name && e.Incarnation == m.incarnation // an earlier try has arrived
	if e.Owner != from && !own {
		a.refused.Add(1)
		return 0, &ElsewhereError{room, e.Owner}
	}
	conditions := []Condition{{RoomKey(room), e.Modified}, {LiveKey(a.cfg.Name), m.live}}
	h := &holding{entered: true, planned: planned}
	switch {
	case own:
		h.previous, h.planned = e.Previous, e.Previous != nil
	case planned:
		h.previous = &from
	default:
		death, err := a.deathOf(ctx, from)
		if err != nil {
			return 0, err
		}
		conditions = append(conditions, death)
	}
	h.until = a.machine.Now() + previousTime
	r := e.Room
	r.Owner, r.Previous = Owner{Node: a.cfg.Name, Incarnation: m.incarnation}, h.previous
	if h.modified, err = a.commit(ctx, conditions, []Write{{RoomKey(room), encode(r), 0}}); err != nil {
		return 0, err
	}
	h.epoch = granted(h.modified)
	r.Epoch = h.epoch
	if err := a.own(m, room, h); err != nil {
		return 0, err
	}
	return h.epoch, a.restore(ctx, m, h, r)
}

// admits answers why the node takes no room from another.
func (a *Agent) admits(m moment) error {
	switch {
	case m.standing == Joining || m.standing == Fenced:
		return ErrFenced
	case m.standing == Stasis:
		return ErrStoreAway
	case m.draining:
		return ErrDraining
	case a.cfg.MaxRooms > 0 && m.rooms >= a.cfg.MaxRooms:
		return ErrTooManyRooms
	case a.cfg.Capacity > 0 && a.cfg.Host.Usage().CPU >= a.cfg.Capacity:
		return ErrOverloaded
	}
	return nil
}

// deathOf answers the condition that an owner is certified dead.
func (a *Agent) deathOf(ctx context.Context, o Owner) (Condition, error) {
	key := DeathKey(o.Node, o.Incarnation)
	if d, modified := a.view.Death(o.Node, o.Incarnation); d != nil {
		return Condition{key, modified}, nil
	}
	e, _, err := a.read(ctx, key)
	if err != nil {
		return Condition{}, err
	}
	if e == nil {
		return Condition{}, ErrAlive
	}
	return Condition{key, e.Modified}, nil
}

// restore lets the host make a room that was taken. What it cannot make is given
// up: nobody else would look for it here.
func (a *Agent) restore(ctx context.Context, m moment, h *holding, r Room) error {
	a.mu.Lock()
	life, current := a.life, a.tenure == m.tenure
	if current {
		a.restoring++
	}
	a.mu.Unlock()
	if !current {
		return ErrFenced
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(life, cancel)
	err := a.cfg.Host.Restore(ctx, r, h.planned)
	stop()
	cancel()
	a.mu.Lock()
	a.restoring--
	still := a.rooms[r.ID] == h
	if err != nil && still {
		delete(a.rooms, r.ID)
	}
	a.mu.Unlock()
	switch {
	case err != nil:
		a.log.Error("a room that was taken cannot be made", "room", r.ID, "epoch", h.epoch, "error", err)
		return fmt.Errorf("restore room %s: %w: %w", r.ID, ErrOverloaded, err)
	case !still:
		// Taken away meanwhile, or the member is fenced, which closes it before the next
		// tenure begins.
		if e, ok := a.view.Room(r.ID); ok && a.current() == m.tenure {
			a.cfg.Host.MoveOut(r.ID, e.Owner)
			return &ElsewhereError{r.ID, e.Owner}
		}
		return ErrFenced
	}
	a.log.Info("a room was taken", "room", r.ID, "epoch", h.epoch, "planned", h.planned)
	return nil
}

// Epoch answers in which epoch this node owns a room, if it does.
func (a *Agent) Epoch(room string) (Epoch, bool) {
	now := a.machine.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.rooms[room]
	if h == nil || a.tenure.Check(now) == Fenced {
		return 0, false
	}
	return h.epoch, true
}

// Owner answers who owns a room, as far as this member knows.
func (a *Agent) Owner(room string) (Owner, bool) {
	if epoch, own := a.Epoch(room); own {
		return Owner{a.cfg.Name, a.State().Incarnation, epoch}, true
	}
	e, ok := a.view.Room(room)
	if !ok {
		return Owner{}, false
	}
	return e.Owner, true
}
