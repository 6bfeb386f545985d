package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// keptCommits is how many commits a Memory keeps for those who watch, at least.
const keptCommits = 10_000

// memoryBeat is how often a Memory says to who watches that it is there.
const memoryBeat = 200 * time.Millisecond

var errMemoryClosed = errors.New("the store is closed")

// Memory is a Store in the memory of one process: for tests and simulations of a
// cluster. It keeps the contract of Store to the letter, and is the reference
// for other stores.
type Memory struct {
	now func() time.Duration

	mu       sync.Mutex
	revision int64
	entries  map[string]Entry
	leases   map[Lease]*tenancy
	granted  Lease         // the last one
	history  []Change      // ascending by Modified, all that came after kept
	kept     int64         // the revision after which history is whole
	changed  chan struct{} // closed and replaced with each commit
	closed   chan struct{}
}

// tenancy is one lease: how long it lasts, when it ends, and what it holds.
type tenancy struct {
	ttl, end time.Duration
	keys     map[string]struct{}
}

// NewMemory answers an empty store whose leases end by the monotonic clock.
func NewMemory() *Memory {
	start := time.Now()
	return NewMemoryAt(func() time.Duration { return time.Since(start) })
}

// NewMemoryAt answers an empty store whose leases end by the clock that now
// reads, which never goes back. Leases that are over end with the next call of
// any method, or of Expire; who watches looks five times a second of real time.
func NewMemoryAt(now func() time.Duration) *Memory {
	return &Memory{
		now:     now,
		entries: map[string]Entry{},
		leases:  map[Lease]*tenancy{},
		changed: make(chan struct{}),
		closed:  make(chan struct{}),
	}
}

// Expire ends the leases that are over and removes what was written under them,
// one commit for each lease. All other methods do it first.
func (m *Memory) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
}

func (m *Memory) expire() {
	now := m.now()
	var over []Lease
	for l, t := range m.leases {
		if t.end <= now {
			over = append(over, l)
		}
	}
	slices.SortFunc(over, func(a, b Lease) int { // always the same, or simulations would not repeat
		return cmp.Or(cmp.Compare(m.leases[a].end, m.leases[b].end), cmp.Compare(a, b))
	})
	for _, l := range over {
		m.end(l)
	}
}

// end removes a lease and what it holds, in one commit.
func (m *Memory) end(l Lease) {
	var writes []Write
	for key := range m.leases[l].keys {
		writes = append(writes, Write{Key: key})
	}
	slices.SortFunc(writes, func(a, b Write) int { return strings.Compare(a.Key, b.Key) })
	delete(m.leases, l)
	m.apply(writes)
}

// enter locks the store for a call, unless ctx has ended or the store is closed.
func (m *Memory) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	select {
	case <-m.closed:
		m.mu.Unlock()
		return errMemoryClosed
	default:
	}
	m.expire()
	return nil
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, prefix string) ([]Entry, int64, error) {
	if err := m.enter(ctx); err != nil {
		return nil, 0, err
	}
	defer m.mu.Unlock()
	var found []Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return found, m.revision, nil
}

// Commit implements Store.
func (m *Memory) Commit(ctx context.Context, conditions []Condition, writes []Write) (int64, error) {
	if err := CheckWrites(writes); err != nil {
		return 0, err
	}
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for _, c := range conditions {
		if m.entries[c.Key].Modified != c.Modified {
			return 0, fmt.Errorf("%w: %q", ErrConflict, c.Key)
		}
	}
	for _, w := range writes {
		if w.Value != nil && w.Lease != 0 && m.leases[w.Lease] == nil {
			return 0, ErrLeaseLost
		}
	}
	m.apply(writes)
	return m.revision, nil
}

// CheckWrites answers an error for what no store does in one commit: a key that is
// empty, or written twice.
func CheckWrites(writes []Write) error {
	seen := make(map[string]bool, len(writes))
	for _, w := range writes {
		if w.Key == "" || seen[w.Key] {
			return fmt.Errorf("commit: the key %q is empty or written twice", w.Key)
		}
		seen[w.Key] = true
	}
	return nil
}

// apply does writes as the next revision, if they change anything, and wakes who
// watches.
func (m *Memory) apply(writes []Write) {
	next := m.revision + 1
	for _, w := range writes {
		old, had := m.entries[w.Key]
		if w.Value == nil && !had {
			continue
		}
		m.revision = next
		if t := m.leases[old.Lease]; t != nil {
			delete(t.keys, w.Key)
		}
		e := Entry{Key: w.Key, Modified: next}
		if w.Value == nil {
			delete(m.entries, w.Key)
		} else {
			e.Value, e.Lease = append([]byte{}, w.Value...), w.Lease
			m.entries[w.Key] = e
			if t := m.leases[w.Lease]; t != nil {
				t.keys[w.Key] = struct{}{}
			}
		}
		m.history = append(m.history, Change{e})
	}
	if m.revision == next {
		if m.revision-m.kept > 2*keptCommits {
			m.compact(m.revision - keptCommits)
		}
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

// Compact forgets what happened up to a revision, for those who watch.
func (m *Memory) Compact(revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.compact(min(revision, m.revision))
}

func (m *Memory) compact(revision int64) {
	if revision > m.kept {
		m.history = slices.Clone(m.history[m.after(revision):])
		m.kept = revision
	}
}

// after answers where in the history that begins which came after a revision.
func (m *Memory) after(revision int64) int {
	i, _ := slices.BinarySearchFunc(m.history, revision+1, func(c Change, r int64) int { return cmp.Compare(c.Modified, r) })
	return i
}

// Watch implements Store.
func (m *Memory) Watch(ctx context.Context, prefix string, after int64, tell func(Update) bool) error {
	ticker := time.NewTicker(memoryBeat)
	defer ticker.Stop()
	for {
		u, changed, err := m.since(ctx, prefix, after)
		if err != nil {
			return err
		}
		if !tell(u) {
			return errors.New("watch: whoever was told wants no more")
		}
		after = u.Revision
		select {
		case <-changed:
		case <-ticker.C:
		case <-m.closed:
			return errMemoryClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// since answers what happened under a prefix after a revision, and what is
// closed when more has.
func (m *Memory) since(ctx context.Context, prefix string, after int64) (Update, chan struct{}, error) {
	if err := m.enter(ctx); err != nil {
		return Update{}, nil, err
	}
	defer m.mu.Unlock()
	if after < m.kept {
		return Update{}, nil, ErrCompacted
	}
	u := Update{Revision: max(after, m.revision)}
	for _, c := range m.history[m.after(after):] {
		if strings.HasPrefix(c.Key, prefix) {
			u.Changes = append(u.Changes, c)
		}
	}
	return u, m.changed, nil
}

// Grant implements Store.
func (m *Memory) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.granted++
	ttl = max(time.Second, (ttl + time.Second - 1).Truncate(time.Second))
	m.leases[m.granted] = &tenancy{ttl: ttl, end: m.now() + ttl, keys: map[string]struct{}{}}
	return m.granted, nil
}

// Renew implements Store.
func (m *Memory) Renew(ctx context.Context, l Lease) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	t := m.leases[l]
	if t == nil {
		return ErrLeaseLost
	}
	t.end = m.now() + t.ttl
	return nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, l Lease) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.leases[l] == nil {
		return ErrLeaseLost
	}
	m.end(l)
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}
