package cluster

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store. Whatever else it answers means that the store could not be
// reached in time, and that a Commit may have happened or not.
var (
	// ErrConflict: a condition of a Commit did not hold, and nothing was written.
	ErrConflict = errors.New("the store has changed meanwhile")
	// ErrLeaseLost: the lease has ended.
	ErrLeaseLost = errors.New("the lease has ended")
	// ErrCompacted: what a Watch asks for is no longer kept; read anew.
	ErrCompacted = errors.New("the revision is no longer kept")
)

// Lease is a promise of the store to remove what is written under it when it is
// not renewed for its time to live. 0 is none.
type Lease int64

// Entry is a key with its value. Revisions count the store's commits from 1.
type Entry struct {
	Key      string
	Value    []byte // not to be written
	Modified int64  // the revision that wrote the value
	Lease    Lease
}

// Condition holds where the key was written last by the revision Modified; with
// 0, where there is no such key.
type Condition struct {
	Key      string
	Modified int64
}

// Write sets a key; a nil Value removes it.
type Write struct {
	Key   string
	Value []byte
	Lease Lease
}

// Change is what a commit did to one key; a nil Value says that it is gone.
type Change struct {
	Entry
}

// Update is what a Watch tells: the changes of one revision or several, in
// order, with the last one's number.
type Update struct {
	Changes  []Change
	Revision int64
}

// Store is a strictly serialisable key-value store with leases. Its methods may
// be called from any goroutine and answer when ctx ends at the latest.
type Store interface {
	// Read answers what lies under a prefix, by key, as of a revision not older
	// than the call.
	Read(ctx context.Context, prefix string) (entries []Entry, revision int64, err error)
	// Commit does all writes where all conditions hold, and answers their
	// revision; ErrConflict where they do not, ErrLeaseLost where a write's lease
	// has ended.
	Commit(ctx context.Context, conditions []Condition, writes []Write) (revision int64, err error)
	// Watch calls tell for what happens under a prefix after a revision, in order,
	// one call at a time, until ctx ends, the store is lost or tell answers false. Now and
	// then it is called without changes, so that whoever watches knows that the
	// store is there. It answers why it ended, never nil.
	Watch(ctx context.Context, prefix string, after int64, tell func(Update) bool) error
	// Grant answers a new lease. ttl is rounded up to a second.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)
	// Renew lets the lease begin anew: ErrLeaseLost where it has ended.
	Renew(ctx context.Context, l Lease) error
	// Revoke ends a lease now, and removes what was written under it.
	Revoke(ctx context.Context, l Lease) error
	// Close frees what the store holds here. It may be called again.
	Close() error
}
