package cluster

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

const (
	saveEvery = 500 * time.Millisecond
	loadEvery = time.Second
	storeTime = time.Second // for the store to answer what is no renewal
)

func sorted(seq iter.Seq[string]) []string { return slices.Sorted(seq) }

// commit commits, and lets the view and the agent know what came of it.
func (a *Agent) commit(ctx context.Context, conditions []Condition, writes []Write) (int64, error) {
	ctx, cancel := a.machine.Timeout(ctx, storeTime)
	defer cancel()
	revision, err := a.cfg.Store.Commit(ctx, conditions, writes)
	a.met(err)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	if revision > a.latest {
		a.latest, a.odd = revision, 0
	}
	a.mu.Unlock()
	for _, w := range writes {
		a.view.Learn(Entry{Key: w.Key, Value: w.Value, Modified: revision, Lease: w.Lease})
	}
	return revision, nil
}

// read answers one entry, nil if there is none, and the revision as of which.
func (a *Agent) read(ctx context.Context, key string) (*Entry, int64, error) {
	entries, revision, err := a.list(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	for i := range entries {
		if entries[i].Key == key {
			return &entries[i], revision, nil
		}
	}
	return nil, revision, nil
}

// list answers what lies under a prefix.
func (a *Agent) list(ctx context.Context, prefix string) ([]Entry, int64, error) {
	ctx, cancel := a.machine.Timeout(ctx, storeTime)
	defer cancel()
	entries, revision, err := a.cfg.Store.Read(ctx, prefix)
	a.met(err)
	return entries, revision, err
}

// met notes that the store has answered, if it has.
func (a *Agent) met(err error) {
	if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrLeaseLost) {
		return
	}
	now := a.machine.Now()
	a.mu.Lock()
	a.contact = max(a.contact, now)
	a.grantor.Back()
	a.mu.Unlock()
}

// sight is what this member knows of itself when it is asked for a promise. The
// lock is held.
func (a *Agent) sight(now time.Duration) Sight {
	return Sight{Standing: a.tenure.Check(now), Contact: max(a.contact, a.view.Contact()), Live: a.liveModified}
}

// answer is this member's word to another.
func (a *Agent) answer(kind ask, q Question) Answer {
	now := a.machine.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sight(now)
	answer := Answer{Name: a.cfg.Name}
	switch kind {
	case askAway:
		answer.Yes = a.grantor.Away(now, s, q.Node, q.Incarnation)
	case askGrant:
		answer.Yes = a.mayDie(q) && a.grantor.Grant(now, s, q.Node, q.Incarnation)
		answer.Live = s.Live
	case askHold:
		e, known := a.view.Room(q.Room)
		free := a.rooms[q.Room] == nil && (!known || e.Node == q.Node && e.Incarnation == q.Incarnation)
		if q.Node == a.cfg.Name {
			free = true // its own, which it looked up
		}
		answer.Yes = free && a.grantor.Hold(now, s, q.Room, q.Node, q.Incarnation)
	}
	return answer
}

// mayDie reports whether this member sees that an incarnation is a member's whose
// lease has ended. A grant for any other would only weaken it, and would be kept
// for ever.
func (a *Agent) mayDie(q Question) bool {
	n, ok := a.view.Member(q.Node)
	return ok && n.Live == nil && n.Member.Incarnation == q.Incarnation
}

// renew renews the lease and sees that the member's entry is its own.
func (a *Agent) renew(ctx context.Context) {
	sent := a.machine.Now()
	a.mu.Lock()
	t, lease := a.tenure, a.lease
	s := t.Check(sent)
	a.mu.Unlock()
	if s != Held && s != Stasis {
		return
	}
	ctx, cancel := a.machine.Timeout(ctx, t.Renewal())
	defer cancel()
	err := a.cfg.Store.Renew(ctx, lease)
	a.met(err)
	var e *Entry
	if err == nil {
		e, _, err = a.read(ctx, LiveKey(a.cfg.Name))
	}
	switch {
	case errors.Is(err, ErrLeaseLost) || err == nil && e == nil:
		a.lost(ctx, t)
	case err != nil:
		a.renewalsFailed.Add(1)
	default:
		a.renewed(t, sent, e)
	}
}

// renewed takes over what a renewal has found: the member's entry, or another's.
func (a *Agent) renewed(t *Tenure, sent time.Duration, e *Entry) {
	live, err := decodeLive(*e)
	now := a.machine.Now()
	a.mu.Lock()
	own := err == nil && live.Incarnation == a.incarnation
	current := a.tenure == t
	if own && current {
		a.liveModified, a.lease = max(a.liveModified, e.Modified), e.Lease
		t.Renewed(now, sent)
	}
	a.mu.Unlock()
	switch {
	case current && !own:
		a.fence(t, "its entry is another's")
	case current:
		a.renewals.Add(1)
		a.view.Learn(*e)
		a.tellGate()
	}
}

// lost is what follows when the lease or the entry under it is gone. In stasis the
// lease may have ended while the store was away, and the member registers again,
// unless its death was certified meanwhile.
func (a *Agent) lost(ctx context.Context, t *Tenure) {
	now := a.machine.Now()
	a.mu.Lock()
	current, s, i := a.tenure == t, t.Check(now), a.incarnation
	a.mu.Unlock()
	switch {
	case !current || s == Fenced:
	case s == Held:
		a.fence(t, "its lease has ended")
	default:
		if err := a.revive(ctx, t, i); err != nil {
			a.renewalsFailed.Add(1)
			a.log.Warn("the member is not registered again yet", "error", err)
		}
	}
}

// revive puts the member's entry back under a new lease, with the same
// incarnation.
func (a *Agent) revive(ctx context.Context, t *Tenure, i Incarnation) error {
	member, live, err := a.entries(ctx)
	if err != nil {
		return err
	}
	if member == nil || member.Incarnation != i || live != nil && live.Incarnation != i {
		a.fence(t, "it was certified dead")
		return nil
	}
	sent := a.machine.Now()
	if live != nil { // an earlier try has arrived
		a.mu.Lock()
		a.lease, a.liveModified = live.lease, live.modified
		a.mu.Unlock()
		return nil
	}
	lease, err := a.cfg.Store.Grant(ctx, a.cfg.TTL)
	if err != nil {
		return err
	}
	name := a.cfg.Name
	revision, err := a.commit(ctx,
		[]Condition{{LiveKey(name), 0}, {MemberKey(name), member.modified}},
		[]Write{{LiveKey(name), encode(a.liveRecord(i)), lease}})
	if err != nil {
		return err
	}
	now := a.machine.Now()
	a.mu.Lock()
	if a.tenure == t {
		a.lease, a.liveModified, a.memberModified = lease, revision, member.modified
		t.Renewed(now, sent)
	}
	a.mu.Unlock()
	a.tellGate()
	return nil
}

// liveRecord is what the member says of itself.
func (a *Agent) liveRecord(i Incarnation) Live {
	c := &a.cfg
	a.mu.Lock()
	defer a.mu.Unlock()
	state := Active
	if a.draining {
		state = Draining
	}
	return Live{
		Name: c.Name, Role: c.Role, Incarnation: i, Address: c.Address, Labels: c.Labels, Version: c.Version,
		State: state, Capacity: c.Capacity, MaxRooms: c.MaxRooms, Weight: c.Weight, Since: a.since,
	}
}

// askAll asks the members of the quorum set whether they see the store, unless
// they still owe an answer.
func (a *Agent) askAll(ctx context.Context) {
	asked := a.machine.Now()
	a.mu.Lock()
	t := a.tenure
	q := Question{Node: a.cfg.Name, Incarnation: a.incarnation}
	var names []string
	for _, name := range everybody(t.Quorum()) {
		if name != a.cfg.Name && !a.asking[name] {
			a.asking[name] = true
			names = append(names, name)
		}
	}
	a.mu.Unlock()
	for _, name := range names {
		a.machine.Go(func() {
			yes := a.askOne(ctx, name, askAway, q).Yes
			now := a.machine.Now()
			a.mu.Lock()
			delete(a.asking, name)
			if yes {
				t.Confirmed(now, asked, name)
			}
			a.mu.Unlock()
			a.tellGate()
		})
	}
}

// askOne asks a member by its name; no answer is a no.
func (a *Agent) askOne(ctx context.Context, name string, kind ask, q Question) Answer {
	n, ok := a.view.Member(name)
	if !ok {
		return Answer{}
	}
	answer, err := a.peers.Ask(ctx, n.Member.Address, kind, q)
	if err != nil || answer.Name != name {
		return Answer{}
	}
	return answer
}

// everybody answers who is in any of the sets.
func everybody(sets [][]string) []string {
	all := slices.Concat(sets...)
	slices.Sort(all)
	return slices.Compact(all)
}
