package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"tutti/api/cluster"
)

// beat is how often a watch is made sure to be whole.
const beat = 200 * time.Millisecond

var (
	errSilent  = errors.New("the store is silent")
	errBroken  = errors.New("the connection to the store broke")
	errLeft    = errors.New("the endpoint did not answer")
	errStopped = errors.New("whoever was told wants no more")
)

// streams numbers the watches of this process.
var streams atomic.Uint64

// Watch implements cluster.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64, tell func(cluster.Update) bool) error {
	if err := s.watch(ctx, prefix, after, tell); ctx.Err() == nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	return ctx.Err()
}

func (s *Store) watch(ctx context.Context, prefix string, after int64, tell func(cluster.Update) bool) error {
	i, err := s.pick(ctx)
	if err != nil {
		return err
	}
	// Watches share a stream where their metadata are alike; this one must have its
	// own, as progress is told only when all of a stream are up to date.
	ctx = metadata.AppendToOutgoingContext(ctx, "tutti-watch", strconv.FormatUint(streams.Add(1), 10))
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	w := &watch{store: s, client: s.clients[i], endpoint: uint32(i), end: cancel}
	from, end := span(prefix)
	heard := time.AfterFunc(s.limit, func() {
		s.leave(i)
		cancel(errSilent)
	})
	responses := w.client.Watch(ctx, from, clientv3.WithRange(end), clientv3.WithRev(after+1))
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		w.beat(ctx)
	}()
	defer func() {
		heard.Stop()
		cancel(errStopped)
		<-beaten
	}()
	for r := range responses {
		u, fresh, err := w.update(r)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		heard.Reset(s.limit)
		if !tell(u) {
			return errStopped
		}
	}
	if s.closed.Err() != nil {
		return ErrClosed
	}
	return context.Cause(ctx)
}

// watch is one watch on one endpoint.
type watch struct {
	store    *Store
	client   *clientv3.Client
	endpoint uint32
	end      context.CancelCauseFunc
	due      atomic.Int64 // what the endpoint must have reached to count as there
}

// update answers what a response says, and whether it is a sign that the store is
// there and all of it was told.
func (w *watch) update(r clientv3.WatchResponse) (u cluster.Update, fresh bool, err error) {
	if err := r.Err(); err != nil {
		return u, false, translate(err)
	}
	if err := w.store.same(r.Header); err != nil {
		return u, false, err
	}
	if r.IsProgressNotify() {
		due := w.due.Load()
		return cluster.Update{Revision: r.Header.Revision}, due > 0 && r.Header.Revision >= due, nil
	}
	for _, e := range r.Events {
		change := cluster.Change{Entry: entry(e.Kv)}
		if e.Type == clientv3.EventTypeDelete {
			change.Value = nil
		}
		u.Changes = append(u.Changes, change)
		u.Revision = change.Modified
	}
	return u, len(u.Changes) > 0, nil
}

// beat asks a majority for the revision and then the endpoint for its progress,
// until ctx ends. The endpoint must have reached the revision of the time before:
// one that is busy lags a little behind. Once calls have left the endpoint for
// another, so does the watch.
func (w *watch) beat(ctx context.Context) {
	last := int64(0)
	for {
		if w.client.ActiveConnection().GetState() != connectivity.Ready {
			w.end(errBroken)
			return
		}
		if revision, err := w.store.revision(ctx); err == nil {
			w.due.Store(max(last, 1))
			last = revision
			ask, done := context.WithTimeout(ctx, beat)
			_ = w.client.RequestProgress(ask) // what comes of it is seen by the answer
			done()
			if w.store.current.Load() != w.endpoint {
				w.end(errLeft)
				return
			}
		}
		if !sleep(ctx, beat) {
			return
		}
	}
}

// revision asks a majority for the store's revision.
func (s *Store) revision(ctx context.Context) (revision int64, err error) {
	err = s.call(ctx, "ask for the revision", true, func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Get(ctx, "\x00", clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		revision = r.Header.Revision
		return s.same(r.Header)
	})
	return revision, err
}
