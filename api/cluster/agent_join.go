package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxClockOff is how far a member's time of day may be off the others'.
const maxClockOff = 10 * time.Second

// Errors of Run.
var (
	// ErrNameTaken: another process has the member's name and answers.
	ErrNameTaken = errors.New("the name is another member's")
	// ErrClockOff: the time of day is not that of the others.
	ErrClockOff = errors.New("the clock is off")
)

// errNotYet: the name's last bearer is away, and nobody has certified its death.
var errNotYet = errors.New("the name's last bearer is not certified dead yet")

type memberEntry struct {
	Member
	modified int64
}

type liveEntry struct {
	Live
	modified int64
	lease    Lease
}

// entries reads what the store has of the member, nil where it has nothing.
func (a *Agent) entries(ctx context.Context) (*memberEntry, *liveEntry, error) {
	return a.entriesOf(ctx, a.cfg.Name)
}

func (a *Agent) entriesOf(ctx context.Context, name string) (m *memberEntry, l *liveEntry, err error) {
	// The live entry is read first: whoever is certified dead between the two
	// has no entry as a member, which the commit's conditions show.
	e, _, err := a.read(ctx, LiveKey(name))
	if err != nil {
		return nil, nil, fmt.Errorf("read who lives: %w", err)
	}
	if e != nil {
		live, err := decodeLive(*e)
		if err != nil {
			return nil, nil, err
		}
		l = &liveEntry{*live, e.Modified, e.Lease}
	}
	if e, _, err = a.read(ctx, MemberKey(name)); err != nil {
		return nil, nil, fmt.Errorf("read who is a member: %w", err)
	}
	if e != nil {
		member, err := decodeMember(*e)
		if err != nil {
			return nil, nil, err
		}
		m = &memberEntry{*member, e.Modified}
	}
	return m, l, nil
}

// join registers the member under a new incarnation, and tries until ctx ends. At
// the first time it gives up where a person has to decide.
func (a *Agent) join(ctx context.Context, first bool) error {
	for !a.ready() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.machine.Sleep(ctx, 20*time.Millisecond)
	}
	logged := ""
	for ctx.Err() == nil {
		// A try whose answer was lost may have arrived, and its incarnation may have
		// been certified dead since: each try has its own.
		t, i := a.begin()
		err := a.check(ctx, first)
		if err == nil {
			err = a.register(ctx, t, i)
		}
		if err == nil {
			a.log.Info("the member is registered", "incarnation", i)
			a.tellGate()
			return nil
		}
		if first && (errors.Is(err, ErrNameTaken) || errors.Is(err, ErrClockOff) || errors.Is(err, ErrForeign)) {
			return fmt.Errorf("join the cluster as %s: %w", a.cfg.Name, err)
		}
		if logged != err.Error() {
			logged = err.Error()
			a.log.Warn("the member is not registered yet", "error", err)
		}
		a.machine.Sleep(ctx, a.cfg.TTL/10)
	}
	return ctx.Err()
}

// ready reports whether the view is whole, and nothing of an earlier tenure is
// under way that could make a room.
func (a *Agent) ready() bool {
	a.mu.Lock()
	restoring := a.restoring
	a.mu.Unlock()
	if restoring > 0 {
		return false
	}
	select {
	case <-a.view.Ready():
		return true
	default:
		return false
	}
}

// begin begins a new incarnation, which is not registered yet.
func (a *Agent) begin() (*Tenure, Incarnation) {
	i := Incarnation(a.machine.Random())
	since := a.machine.Wall()
	a.mu.Lock()
	again := a.closed
	a.incarnation, a.since = i, since
	a.tenure, a.was, a.closed = NewTenure(a.cfg.Name, a.cfg.TTL), Joining, false
	a.lease, a.liveModified, a.memberModified, a.quorum = 0, 0, 0, nil
	a.life, a.die = context.WithCancel(context.Background())
	clear(a.rooms)
	t := a.tenure
	a.mu.Unlock()
	if again && a.cfg.Host != nil {
		// What was being made when the last tenure ended is there now.
		a.cfg.Host.Fence("the member begins anew")
	}
	return t, i
}

// check answers why the member must not join this store.
func (a *Agent) check(ctx context.Context, first bool) error {
	if !first {
		return nil
	}
	family := Prefix[:strings.Index(Prefix[1:], "/")+2]
	entries, _, err := a.list(ctx, family)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Key, Prefix) {
			return fmt.Errorf("%w: %q is of another format", ErrForeign, e.Key)
		}
		if kind(e.Key) == membersAt {
			if _, err := decodeMember(e); err != nil {
				return err
			}
		}
	}
	return a.checkClock(ctx)
}

// checkClock compares the time of day with the median of what the others wrote
// last. Entries that stayed in a store while it was away may be old, and this
// process may have slept: only what is still off when all have written again counts.
func (a *Agent) checkClock(ctx context.Context) error {
	err := a.clockOff(ctx)
	if errors.Is(err, ErrClockOff) {
		a.machine.Sleep(ctx, 3*loadEvery)
		err = a.clockOff(ctx)
	}
	return err
}

func (a *Agent) clockOff(ctx context.Context) error {
	before := a.machine.Wall()
	entries, _, err := a.list(ctx, loadsAt)
	if err != nil {
		return fmt.Errorf("read the members' clocks: %w", err)
	}
	after := a.machine.Wall()
	var offs []time.Duration
	for _, e := range entries {
		load, err := decodeLoad(e)
		if err != nil || load.Name == a.cfg.Name {
			continue
		}
		off := before.Sub(load.At)
		if off < 0 {
			off = min(0, after.Sub(load.At)) // ahead of both readings, or between them
		}
		offs = append(offs, off)
	}
	if len(offs) == 0 {
		return nil
	}
	slices.Sort(offs)
	if off := offs[len(offs)/2]; off.Abs() > maxClockOff {
		return fmt.Errorf("%w: by %v from the median of %d other members", ErrClockOff, off.Round(time.Millisecond), len(offs))
	}
	return nil
}

// register writes the member's entries under a new lease, and certifies the death
// of the incarnation that had the name before.
func (a *Agent) register(ctx context.Context, t *Tenure, i Incarnation) error {
	name := a.cfg.Name
	member, live, err := a.entries(ctx)
	if err != nil {
		return err
	}
	death, err := a.predecessor(ctx, i, member, live)
	if err != nil {
		return err
	}
	members, _, err := a.list(ctx, membersAt)
	if err != nil {
		return err
	}
	quorum := []string{name}
	for _, e := range members {
		quorum = append(quorum, e.Key[len(membersAt):])
	}
	quorum = everybody([][]string{quorum})

	sent := a.machine.Now()
	grant, cancel := a.machine.Timeout(ctx, storeTime)
	lease, err := a.cfg.Store.Grant(grant, a.cfg.TTL)
	cancel()
	if err != nil {
		return fmt.Errorf("get a lease: %w", err)
	}
	record := Member{Name: name, Role: a.cfg.Role, Address: a.cfg.Address, Since: a.machine.Wall(), Incarnation: i, Quorum: quorum}
	conditions := []Condition{{LiveKey(name), 0}, {MemberKey(name), 0}}
	if live != nil {
		conditions[0].Modified = live.modified
	}
	if member != nil {
		conditions[1].Modified, record.Since = member.modified, member.Since
	}
	writes := []Write{{MemberKey(name), encode(record), 0}, {LiveKey(name), encode(a.liveRecord(i)), lease}}
	if death != nil {
		writes = append(writes, Write{DeathKey(name, death.Incarnation), encode(death), 0})
	}
	revision, err := a.commit(ctx, conditions, writes)
	if err != nil {
		return fmt.Errorf("write the member's entries: %w", err)
	}
	now := a.machine.Now()
	a.mu.Lock()
	a.lease, a.liveModified, a.memberModified, a.quorum = lease, revision, revision, quorum
	t.Begin(now, sent, quorum)
	a.mu.Unlock()
	return nil
}

// predecessor answers the certificate for the incarnation that had the member's
// name before, nil if there was none, or why the name is not free.
func (a *Agent) predecessor(ctx context.Context, i Incarnation, member *memberEntry, live *liveEntry) (*Death, error) {
	var (
		old     Incarnation
		address string
	)
	switch {
	case live != nil:
		old, address = live.Incarnation, live.Address
	case member != nil:
		old, address = member.Incarnation, member.Address
	}
	if old == "" {
		return nil, nil
	}
	death := &Death{Node: a.cfg.Name, Incarnation: old, Evidence: Replaced, By: a.cfg.Name, At: a.machine.Wall()}
	name, there, err := a.peers.Alive(ctx, address)
	switch {
	case err == nil && name == a.cfg.Name && there == i: // this process, which has bound the address
	case err == nil && name == a.cfg.Name:
		return nil, fmt.Errorf("%w, at %s", ErrNameTaken, address)
	case address == a.cfg.Address:
		// It is not served yet, or through something that does not let this process in.
	case a.peers.Refuses(ctx, address):
		death.Evidence = Refused
	default:
		return nil, fmt.Errorf("%w: incarnation %s at %s", errNotYet, old, address)
	}
	return death, nil
}

// housekeep does what is due now and then, while the store is there.
func (a *Agent) housekeep(ctx context.Context) {
	a.followOrder(ctx)
	if a.State().Standing != Held {
		return
	}
	a.writeQuorum(ctx)
	a.saveAll(ctx)
	a.sweep(ctx)
}

// writeQuorum writes the quorum set that the membership asks for. Until the outcome
// is known, the tenure satisfies the old set and the new one.
func (a *Agent) writeQuorum(ctx context.Context) {
	quorum := []string{a.cfg.Name}
	for _, n := range a.view.Members() {
		quorum = append(quorum, n.Member.Name)
	}
	quorum = everybody([][]string{quorum})
	a.mu.Lock()
	t := a.tenure
	same := len(t.Quorum()) == 1 && slices.Equal(a.quorum, quorum)
	modified, live, i := a.memberModified, a.liveModified, a.incarnation
	if !same {
		t.Propose(quorum)
	}
	a.mu.Unlock()
	if same {
		return
	}
	a.tellGate() // before the write: it may be done while this process sleeps
	name := a.cfg.Name
	record := Member{Name: name, Role: a.cfg.Role, Address: a.cfg.Address, Since: a.machine.Wall(), Incarnation: i, Quorum: quorum}
	revision, err := a.commit(ctx,
		[]Condition{{MemberKey(name), modified}, {LiveKey(name), live}},
		[]Write{{MemberKey(name), encode(record), 0}})
	if errors.Is(err, ErrConflict) {
		a.readQuorum(ctx, t, modified)
		return
	}
	if err == nil {
		a.settle(t, revision, quorum)
	}
}

// readQuorum sees which quorum set is in the store, where a write of one has
// conflicted: an earlier one may have arrived after all.
func (a *Agent) readQuorum(ctx context.Context, t *Tenure, modified int64) {
	member, live, err := a.entries(ctx)
	if err != nil || live == nil {
		return // the next renewal will see
	}
	a.mu.Lock()
	own := member != nil && a.owns(Owner{Node: member.Name, Incarnation: member.Incarnation})
	current := a.tenure == t
	if own && current && a.owns(Owner{Node: live.Name, Incarnation: live.Incarnation}) {
		a.liveModified = max(a.liveModified, live.modified)
	}
	a.mu.Unlock()
	switch {
	case !own:
		a.fence(t, "it is no member any more")
	case member.modified > modified:
		// The writes that are still under way expect what this one has replaced.
		a.settle(t, member.modified, member.Quorum)
	}
}

// settle takes over the quorum set that the store has.
func (a *Agent) settle(t *Tenure, modified int64, quorum []string) {
	a.mu.Lock()
	if a.tenure == t {
		a.memberModified, a.quorum = modified, quorum
		t.Settle(quorum)
	}
	a.mu.Unlock()
	a.tellGate()
}

// followOrder lets the node do what the operator or Drain wants, and says so in
// its entry.
func (a *Agent) followOrder(ctx context.Context) {
	wanted := false
	if n, ok := a.view.Member(a.cfg.Name); ok && n.Order != nil {
		wanted = n.Order.State == Draining
	}
	a.mu.Lock()
	wanted = wanted || a.drain
	turned := wanted != a.draining
	a.draining = wanted
	standing, lease, live, i, t := a.tenure.standing, a.lease, a.liveModified, a.incarnation, a.tenure
	a.mu.Unlock()
	if turned && a.cfg.Host != nil {
		a.cfg.Host.Drain(wanted)
	}
	n, ok := a.view.Member(a.cfg.Name)
	if standing != Held || !ok || n.Live == nil || n.Live.Incarnation != i || (n.Live.State == Draining) == wanted {
		return
	}
	name := a.cfg.Name
	revision, err := a.commit(ctx, []Condition{{LiveKey(name), live}}, []Write{{LiveKey(name), encode(a.liveRecord(i)), lease}})
	if err != nil {
		return // the next renewal finds out what is in the store
	}
	a.mu.Lock()
	if a.tenure == t {
		a.liveModified = max(a.liveModified, revision)
	}
	a.mu.Unlock()
}

// Leave takes the member out of the cluster for good: whatever rooms it still has
// are closed here first, and made anew by others. It tries until ctx ends.
func (a *Agent) Leave(ctx context.Context) error {
	t := a.current()
	a.mu.Lock()
	a.left = true
	i, lease := a.incarnation, a.lease
	a.mu.Unlock()
	a.fence(t, "the member leaves")
	name := a.cfg.Name
	for {
		member, live, err := a.entries(ctx)
		if err == nil && (member == nil || member.Incarnation != i) {
			break // it has arrived, or somebody else has seen to it
		}
		if err == nil {
			conditions := []Condition{{MemberKey(name), member.modified}, {LiveKey(name), 0}}
			death := Death{Node: name, Incarnation: i, Evidence: Departed, By: name, At: a.machine.Wall()}
			writes := []Write{{Key: MemberKey(name)}, {DeathKey(name, i), encode(death), 0}}
			if live != nil {
				conditions[1].Modified = live.modified
				writes = append(writes, Write{Key: LiveKey(name)})
			}
			if _, err = a.commit(ctx, conditions, writes); err == nil {
				break
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("leave the cluster: %w", err)
		}
		a.machine.Sleep(ctx, 50*time.Millisecond)
	}
	if err := a.cfg.Store.Revoke(ctx, lease); err != nil && !errors.Is(err, ErrLeaseLost) {
		a.log.Debug("the lease ends by itself", "error", err)
	}
	return nil
}
