package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"tutti/mixer"
)

// DefaultTTL is how long a member's lease lasts without a renewal.
const DefaultTTL = 2 * time.Second

// Host is a node's rooms, as its agent needs them. Its methods are called without
// any lock of the agent, from several goroutines.
//
// A room that was made after a Claim is the agent's only if Epoch still knows it
// then: between the two the node may have been fenced.
type Host interface {
	// Restore makes a room with everything in it; planned where its former owner
	// still serves it. It ends when ctx does.
	Restore(ctx context.Context, r Room, planned bool) error
	// MoveOut tells a room's clients that it is elsewhere, and closes it when they
	// have left or their time is up. It does not block.
	MoveOut(room string, to Owner)
	// Fence closes all rooms at once, without a word to the store or to what was recorded.
	Fence(reason string)
	// Describe answers what the directory is to know of a room, and a number that
	// changes with it; false where there is no such room.
	Describe(room string) (Room, uint64, bool)
	// Usage answers what the node has to do.
	Usage() Load
	// Drain says whether the node takes anything new.
	Drain(on bool)
}

// AgentConfig is what an Agent needs.
type AgentConfig struct {
	Store Store
	View  *View // of the same store; who made it runs it
	Host  Host  // nil: none, as in a router
	Role  Role
	Name  string
	// Address is where the others reach this member: it must listen there before Run.
	Address  string
	Labels   map[string]string
	Capacity float64 // CPU milliseconds per second that rooms may take; 0: no bound
	MaxRooms int     // 0: no bound
	Weight   float64 // 0: 1
	Version  string
	Key      string // of the cluster
	// Dev lets whoever comes from this machine in, where Key is empty.
	Dev bool
	// TTL is how long the lease lasts, DefaultTTL if 0: the shorter, the sooner
	// rooms come back elsewhere; the longer, the less a slow store matters.
	TTL time.Duration
	// Gate is told until when media may be sent, by the clock Now; 0: not at all.
	// It must only note that, and is called by one goroutine at a time. nil: nobody is.
	Gate func(until time.Duration)
	Log  *slog.Logger
	Now  func() time.Duration // nil: Boottime
}

// Agent is a member of the cluster: it keeps its tenure and owns its rooms. All
// methods may be called from any goroutine.
type Agent struct {
	cfg     AgentConfig
	view    *View
	machine machine
	peers   peers
	log     *slog.Logger

	renewals, renewalsFailed, refused, fences, stases atomic.Uint64

	gate sync.Mutex // orders what Gate is told
	told time.Duration

	mu             sync.Mutex
	grantor        *Grantor
	tenure         *Tenure
	closed         bool // what the end of this tenure asks for has been done
	was            Standing
	die            context.CancelFunc // ends life
	life           context.Context    // of this tenure
	incarnation    Incarnation
	lease          Lease
	since          time.Time
	liveModified   int64
	memberModified int64
	quorum         []string      // the set that is in the store, if known
	contact        time.Duration // with the store, besides the view's
	latest         int64         // the revision of the newest commit of this agent
	odd            Epoch         // the last of the odd epochs under latest
	draining       bool          // is, as Host was told
	drain          bool          // shall, by Drain
	left           bool
	rooms          map[string]*holding
	busy           map[string]bool // rooms about which the store is being asked
	asking         map[string]bool // members who have not answered yet
	moved          map[string]bool // rooms whose entry has changed
	restoring      int
	ended          chan struct{} // closed when Run ends
}

// AgentState is how a member stands.
type AgentState struct {
	Standing    Standing
	Incarnation Incarnation
	// Until is when the tenure ends if nothing happens, by the agent's clock.
	Until    time.Duration
	Draining bool
}

// AgentStats counts what an agent did since it was made.
type AgentStats struct {
	Renewals, RenewalsFailed uint64
	// Refused are claims, saves and takes of rooms that are somebody else's.
	Refused uint64
	Fences  uint64
	Stases  uint64 // how often it went on without the store
	Rooms   int    // that it owns now
}

// NewAgent answers an agent that has done nothing yet. It subscribes to the view,
// which is not to run before.
func NewAgent(c AgentConfig) (*Agent, error) {
	if c.Store == nil || c.View == nil || c.Log == nil {
		return nil, errors.New("an agent needs a store, a view and a log")
	}
	if !mixer.ValidID(c.Name) {
		return nil, fmt.Errorf("%q is no name of a member", c.Name)
	}
	if err := ValidAddress(c.Address); err != nil {
		return nil, fmt.Errorf("address of %s: %w", c.Name, err)
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	if c.Now == nil {
		c.Now = Boottime
	}
	if c.Gate == nil {
		c.Gate = func(time.Duration) {}
	}
	a := &Agent{
		cfg: c, view: c.View, machine: &realMachine{now: c.Now}, peers: newHTTPPeers(c.Key),
		log:     c.Log.With("member", c.Name),
		grantor: NewGrantor(c.Name, c.TTL, c.Now()), tenure: NewTenure(c.Name, c.TTL), was: Joining,
		rooms: map[string]*holding{}, busy: map[string]bool{}, asking: map[string]bool{}, moved: map[string]bool{},
		ended: make(chan struct{}),
	}
	a.life, a.die = context.WithCancel(context.Background())
	c.View.Subscribe(a.note)
	return a, nil
}

// Run registers the member and keeps it until ctx ends; then the tenure is over.
// It is to be called once. Errors at the beginning are ErrNameTaken,
// ErrClockOff and ErrForeign.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer a.wait()
	defer cancel()
	if err := a.join(ctx, true); err != nil {
		return err
	}
	a.every(ctx, a.cfg.TTL/5, a.renew)
	a.every(ctx, saveEvery, a.housekeep)
	a.every(ctx, loadEvery, a.publishLoad)
	for ctx.Err() == nil {
		a.tick(ctx)
		a.machine.Sleep(ctx, a.cfg.TTL/40)
	}
	a.fence(a.current(), "the member stops")
	return ctx.Err()
}

// wait waits for all that the agent has begun.
func (a *Agent) wait() {
	if m, ok := a.machine.(*realMachine); ok {
		m.running.Wait()
	}
}

// every calls f again and again, beginning now.
func (a *Agent) every(ctx context.Context, d time.Duration, f func(context.Context)) {
	a.machine.Go(func() {
		for ctx.Err() == nil {
			begun := a.machine.Now()
			f(ctx)
			a.machine.Sleep(ctx, max(0, d-(a.machine.Now()-begun)))
		}
	})
}

// tick does what is due by the clock: it fences and joins again, asks the others
// when the store is away, and lets go of rooms that were taken.
func (a *Agent) tick(ctx context.Context) {
	now := a.machine.Now()
	a.mu.Lock()
	s := a.tenure.Check(now)
	if s == Stasis && a.was == Held {
		a.stases.Add(1)
	}
	changed := s != a.was
	a.was = s
	asks := a.tenure.Asks(now)
	left := a.left
	t := a.tenure
	a.mu.Unlock()
	if changed {
		a.log.Info("the member's standing has changed", "standing", s)
	}
	switch {
	case s == Fenced && !left:
		a.fence(t, "its tenure is over")
		if err := a.join(ctx, false); err != nil && ctx.Err() == nil {
			a.log.Error("the member does not come back", "error", err)
		}
		return
	case asks:
		a.askAll(ctx)
	}
	a.checkLive()
	a.letGo()
}

// current answers the tenure that is or was last.
func (a *Agent) current() *Tenure {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tenure
}

// fence ends a tenure, shuts the gate and closes all rooms. It may be called again.
func (a *Agent) fence(t *Tenure, reason string) {
	a.mu.Lock()
	if a.tenure != t {
		a.mu.Unlock()
		return
	}
	t.Fence()
	a.die()
	done := a.closed
	a.closed = true
	rooms := len(a.rooms)
	clear(a.rooms)
	a.mu.Unlock()
	a.tellGate()
	if done {
		return
	}
	a.fences.Add(1)
	a.log.Warn("the member is fenced", "reason", reason, "rooms", rooms, "incarnation", a.State().Incarnation)
	if a.cfg.Host != nil {
		a.cfg.Host.Fence(reason)
	}
}

// tellGate tells until when media may be sent, if that has changed.
func (a *Agent) tellGate() {
	a.gate.Lock()
	defer a.gate.Unlock()
	a.mu.Lock()
	until := a.tenure.Until()
	a.mu.Unlock()
	if until != a.told {
		a.told = until
		a.cfg.Gate(until)
	}
}

// State answers how the member stands now.
func (a *Agent) State() AgentState {
	now := a.machine.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return AgentState{Standing: a.tenure.Check(now), Incarnation: a.incarnation, Until: a.tenure.Until(), Draining: a.draining}
}

// Stats answers what the agent did.
func (a *Agent) Stats() AgentStats {
	a.mu.Lock()
	rooms := len(a.rooms)
	a.mu.Unlock()
	return AgentStats{
		Renewals: a.renewals.Load(), RenewalsFailed: a.renewalsFailed.Load(), Refused: a.refused.Load(),
		Fences: a.fences.Load(), Stases: a.stases.Load(), Rooms: rooms,
	}
}

// Drain lets the node take nothing new, or something again, whatever the operator
// has ordered: for a process that is asked to stop.
func (a *Agent) Drain(on bool) {
	a.mu.Lock()
	a.drain = on
	a.mu.Unlock()
}

// Rooms answers how many rooms the agent owns.
func (a *Agent) Rooms() int { return a.Stats().Rooms }

// note is told of each change of the view.
func (a *Agent) note(c Change) {
	if kind(c.Key) == roomsAt {
		a.mu.Lock()
		a.moved[c.Key[len(roomsAt):]] = true
		a.mu.Unlock()
	}
}

// checkLive fences where the member's live entry is gone or another's, by the view.
func (a *Agent) checkLive() {
	n, ok := a.view.Member(a.cfg.Name)
	seen := a.view.Revision()
	now := a.machine.Now()
	a.mu.Lock()
	t := a.tenure
	s := t.Check(now)
	own := ok && n.Live != nil && n.Live.Incarnation == a.incarnation
	gone := (!ok || n.Live == nil) && s == Held
	another := ok && n.Live != nil && n.LiveModified > a.liveModified
	lost := (s == Held || s == Stasis) && !own && seen >= a.liveModified && (gone || another)
	a.mu.Unlock()
	if lost {
		a.fence(t, "its entry was removed or replaced")
	}
}

// letGo moves out the rooms that somebody else has taken.
func (a *Agent) letGo() {
	a.mu.Lock()
	if len(a.moved) == 0 {
		a.mu.Unlock()
		return
	}
	moved := a.moved
	a.moved = map[string]bool{}
	a.mu.Unlock()
	for _, id := range sorted(maps.Keys(moved)) {
		e, ok := a.view.Room(id)
		a.mu.Lock()
		h := a.rooms[id]
		if !ok {
			if h != nil {
				h.saved = false // so that it is saved anew, and entered again if need be
			}
			a.mu.Unlock()
			continue
		}
		out := h != nil && h.entered && e.Modified > h.modified && !a.owns(e.Owner)
		a.mu.Unlock()
		if out {
			a.moveOut(id, h, e.Owner)
		}
	}
}

// owns reports whether an owner is this incarnation. The lock is held.
func (a *Agent) owns(o Owner) bool { return o.Node == a.cfg.Name && o.Incarnation == a.incarnation }

// publishLoad writes what the member has to do, as far as anybody may know.
func (a *Agent) publishLoad(ctx context.Context) {
	load := Load{}
	if a.cfg.Host != nil {
		load = a.cfg.Host.Usage()
	}
	load.Name, load.At = a.cfg.Name, a.machine.Wall()
	a.mu.Lock()
	held, lease, live := a.tenure.standing == Held, a.lease, a.liveModified
	a.mu.Unlock()
	if held {
		_, _ = a.commit(ctx, []Condition{{LiveKey(a.cfg.Name), live}}, []Write{{LoadKey(a.cfg.Name), encode(load), lease}})
	}
}
