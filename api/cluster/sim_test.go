package cluster

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The simulation runs the production agents, views and the store in memory in
// virtual time, on one goroutine's worth of coroutines: each runs until it waits,
// and a seed decides everything else. So a seed that fails fails again.

// simulation is one run.
type simulation struct {
	rng     *rand.Rand
	now     time.Duration
	events  eventHeap
	order   int
	current *coroutine

	store    *Memory
	down     bool         // the store answers nobody
	slow     bool         // and late
	cut      map[link]int // links that carry nothing, by how many faults
	machines []*simMachine
	trace    uint64         // of all that happened, to compare runs
	log      slog.Handler   // of the agents
	checks   *simChecks     //
	faults   bool           // still to come
	quiet    bool           // no clients and no routers' work of its own
	lossy    int            // one in so many answers of the store is lost
	counts   map[string]int // of what happened, to see that it does
}

// link is one direction between two members, or a member and the store.
type link struct{ from, to string }

const simStoreName = "store"

// event is something that happens at a time.
type event struct {
	at    time.Duration
	order int
	run   func()
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }

func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *eventHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// at lets something happen.
func (s *simulation) at(t time.Duration, run func()) {
	s.order++
	heap.Push(&s.events, &event{max(t, s.now), s.order, run})
}

// until runs the simulation up to a time, or until something is wrong.
func (s *simulation) until(end time.Duration) error {
	for len(s.events) > 0 && s.events[0].at <= end {
		e := heap.Pop(&s.events).(*event)
		s.now = e.at
		s.trace = s.trace*1099511628211 ^ uint64(e.at) ^ uint64(e.order)
		e.run()
		if err := s.checks.look(s); err != nil {
			return fmt.Errorf("at %v: %w", s.now, err)
		}
	}
	s.now = end
	return nil
}

// chance reports true once in n.
func (s *simulation) chance(n int) bool { return s.rng.IntN(n) == 0 }

// between answers a time between two, in nanoseconds, so that no two are alike.
func (s *simulation) between(low, high time.Duration) time.Duration {
	return low + time.Duration(s.rng.Int64N(int64(high-low)))
}

// process is one run of a member's program.
type process struct {
	sim     *simulation
	machine *simMachine
	crashed bool
	paused  time.Duration // until when it is stopped
	running map[*coroutine]bool
	agent   *Agent
	view    *View
	host    *simHost
	gate    time.Duration
	renewed time.Duration // when the store last extended or made its lease
}

// coroutine is one thread of control of a process.
type coroutine struct {
	process *process
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	parks   int // counts; who wakes it must mean this park
}

var errCrash = errors.New("the process has crashed")

// start runs f in a process, from a time on.
func (p *process) start(at time.Duration, f func()) {
	c := &coroutine{process: p}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer delete(p.running, c)
		defer func() {
			if r := recover(); r != nil && r != errCrash { //nolint:errorlint // the very value
				panic(r)
			}
		}()
		c.yield = yield
		f()
	})
	p.running[c] = true
	p.sim.at(at, func() { p.sim.resume(c, 0) })
}

// resume lets a coroutine go on, if it still waits at this park. A stopped process
// goes on later.
func (s *simulation) resume(c *coroutine, park int) {
	switch {
	case c.parks != park || c.process.crashed:
	case c.process.paused > s.now:
		s.at(c.process.paused, func() { s.resume(c, park) })
	default:
		before := s.current
		s.current = c
		c.next()
		s.current = before
	}
}

// park waits until woken; by itself at a time.
func (s *simulation) park(at time.Duration) {
	c := s.current
	c.parks++
	if park := c.parks; at < forever {
		s.at(at, func() { s.resume(c, park) })
	}
	if !c.yield(struct{}{}) {
		panic(errCrash)
	}
}

// waker answers what wakes the current coroutine from its next park.
func (s *simulation) waker() func() {
	c := s.current
	park := c.parks + 1
	return func() { s.at(s.now, func() { s.resume(c, park) }) }
}

// crash ends a process at once.
func (p *process) crash() {
	p.crashed = true
	for c := range p.running {
		c.stop()
	}
}

// can reports whether a message passes now.
func (s *simulation) can(from, to string) bool {
	if (from == simStoreName || to == simStoreName) && s.down {
		return false
	}
	return s.cut[link{from, to}] == 0
}

// latency is how long a message takes.
func (s *simulation) latency() time.Duration {
	switch {
	case s.faults && s.chance(100):
		return s.between(50*time.Millisecond, 1500*time.Millisecond)
	case s.slow:
		return s.between(20*time.Millisecond, 300*time.Millisecond)
	}
	return s.between(200*time.Microsecond, 5*time.Millisecond)
}

// Now implements machine. The process may be interrupted after it has read the
// clock: what it does with the time is then late.
func (p *process) Now() time.Duration {
	s := p.sim
	now := s.now
	if s.current != nil && s.current.process == p && s.faults && s.chance(200) {
		s.park(now + s.between(0, 20*time.Millisecond))
	}
	return now
}

// Wall implements machine.
func (p *process) Wall() time.Time { return time.Unix(1_700_000_000, 0).UTC().Add(p.sim.now) }

// Sleep implements machine.
func (p *process) Sleep(_ context.Context, d time.Duration) {
	p.sim.park(p.sim.now + d + p.sim.between(0, time.Millisecond))
}

type simDeadline struct{}

// Timeout implements machine: the virtual time is in the context.
func (p *process) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	end := min(deadline(ctx), p.sim.now+d)
	return context.WithValue(ctx, simDeadline{}, end), func() {}
}

func deadline(ctx context.Context) time.Duration {
	if end, ok := ctx.Value(simDeadline{}).(time.Duration); ok {
		return end
	}
	return forever
}

// Go implements machine.
func (p *process) Go(f func()) { p.start(p.sim.now, f) }

// All implements machine.
func (p *process) All(fs ...func()) {
	left := len(fs)
	if left == 0 {
		return
	}
	wake := p.sim.waker()
	for _, f := range fs {
		p.start(p.sim.now, func() {
			f()
			if left--; left == 0 {
				wake()
			}
		})
	}
	p.sim.park(forever)
}

// Random implements machine.
func (p *process) Random() string {
	return fmt.Sprintf("%s-%08x", p.machine.name, p.sim.rng.Uint32())
}

// simStore is the store as a process reaches it.
type simStore struct {
	process *process
}

var errSimAway = errors.New("the store does not answer")

// call sends a request to the store and waits for the answer. What fails may have
// been done, and may even be done later.
func (st simStore) call(ctx context.Context, do func() error) error {
	p, s := st.process, st.process.sim
	end := min(deadline(ctx), s.now+time.Second)
	giveUp := func() error {
		if s.chance(3) {
			end = s.now // a connection that breaks is noticed at once
		}
		s.park(max(end, s.now))
		return errSimAway
	}
	if end <= s.now {
		return errSimAway
	}
	arrives := s.now + s.latency()
	if !s.can(p.machine.name, simStoreName) {
		return giveUp()
	}
	var (
		err  error
		done bool
		wake = s.waker()
	)
	s.at(arrives, func() { // whether or not whoever asked still waits
		if s.down {
			return
		}
		err = do()
		if s.can(simStoreName, p.machine.name) && !(s.faults && s.chance(s.lossy)) {
			s.at(s.now+s.latency(), func() {
				done = true
				wake()
			})
		}
	})
	s.park(end)
	if !done {
		return errSimAway
	}
	return err
}

// Read implements Store.
func (st simStore) Read(ctx context.Context, prefix string) (entries []Entry, revision int64, err error) {
	err = st.call(ctx, func() (err error) {
		entries, revision, err = st.process.sim.store.Read(context.Background(), prefix)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return entries, revision, nil
}

// Commit implements Store.
func (st simStore) Commit(ctx context.Context, conditions []Condition, writes []Write) (int64, error) {
	var revision int64
	err := st.call(ctx, func() (err error) {
		s := st.process.sim
		revision, err = s.store.Commit(context.Background(), conditions, writes)
		if err == nil {
			s.checks.written(s, writes, revision)
			if s.log != slog.DiscardHandler {
				st.process.agent.log.Debug("commit", "writes", simWrites(writes), "revision", revision)
			}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// Watch implements Store; the simulation feeds the views itself.
func (st simStore) Watch(context.Context, string, int64, func(Update) bool) error { return errSimAway }

// Grant implements Store.
func (st simStore) Grant(ctx context.Context, ttl time.Duration) (l Lease, err error) {
	err = st.call(ctx, func() (err error) {
		l, err = st.process.sim.store.Grant(context.Background(), ttl)
		st.process.renewed = st.process.sim.now
		return err
	})
	return l, err
}

// Renew implements Store.
func (st simStore) Renew(ctx context.Context, l Lease) error {
	return st.call(ctx, func() error {
		err := st.process.sim.store.Renew(context.Background(), l)
		if err == nil {
			st.process.renewed = st.process.sim.now
		}
		return err
	})
}

// Revoke implements Store.
func (st simStore) Revoke(ctx context.Context, l Lease) error {
	return st.call(ctx, func() error { return st.process.sim.store.Revoke(context.Background(), l) })
}

// Close implements Store.
func (st simStore) Close() error { return nil }

// watch keeps a process's view: as View.Run does, in virtual time.
func (p *process) watch() {
	s := p.sim
	ctx := context.Background()
	for p.view.catchUp(ctx, true) != nil {
		s.park(s.now + s.between(20*time.Millisecond, 200*time.Millisecond))
	}
	for {
		s.park(s.now + s.between(20*time.Millisecond, 60*time.Millisecond))
		if !s.can(p.machine.name, simStoreName) || !s.can(simStoreName, p.machine.name) {
			continue
		}
		u, _, err := s.store.since(ctx, Prefix, p.view.Revision())
		if err != nil {
			panic(err)
		}
		s.park(s.now + s.latency())
		p.view.sign()
		p.view.update(u)
	}
}

// simWrites answers the keys that a commit has written, for the log.
func simWrites(writes []Write) string {
	text := ""
	for _, w := range writes {
		text += fmt.Sprintf("%s=%s ", w.Key, w.Value)
	}
	return text
}
