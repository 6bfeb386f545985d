package etcd

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"tutti/api/cluster"
)

// page is how many entries are read at once, so that each page comes within the
// limit.
const page = 500

// Read implements cluster.Store. What it answers is one revision's, however many
// pages it takes.
func (s *Store) Read(ctx context.Context, prefix string) (entries []cluster.Entry, revision int64, err error) {
	from, end := span(prefix)
	for {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision)}
		var r *clientv3.GetResponse
		err := s.call(ctx, "read the store", true, func(ctx context.Context, c *clientv3.Client) (err error) {
			if r, err = c.Get(ctx, from, options...); err == nil {
				err = s.same(r.Header)
			}
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			entries = append(entries, entry(kv))
			from = string(kv.Key) + "\x00"
		}
		if !r.More {
			return entries, revision, nil
		}
	}
}

// span answers the range of the keys under a prefix.
func span(prefix string) (from, end string) {
	if prefix == "" {
		return "\x00", "\x00"
	}
	return prefix, clientv3.GetPrefixRangeEnd(prefix)
}

// entry answers an entry as cluster has it: an empty value is one, too.
func entry(kv *mvccpb.KeyValue) cluster.Entry {
	return cluster.Entry{Key: string(kv.Key), Value: append([]byte{}, kv.Value...), Modified: kv.ModRevision, Lease: cluster.Lease(kv.Lease)}
}

// Commit implements cluster.Store.
func (s *Store) Commit(ctx context.Context, conditions []cluster.Condition, writes []cluster.Write) (revision int64, err error) {
	if err := cluster.CheckWrites(writes); err != nil {
		return 0, err
	}
	var comparisons []clientv3.Cmp
	for _, c := range conditions {
		comparisons = append(comparisons, clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.Modified))
	}
	var operations []clientv3.Op
	for _, w := range writes {
		if w.Value == nil {
			operations = append(operations, clientv3.OpDelete(w.Key))
		} else {
			operations = append(operations, clientv3.OpPut(w.Key, string(w.Value), clientv3.WithLease(clientv3.LeaseID(w.Lease))))
		}
	}
	err = s.call(ctx, "commit", false, func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Txn(ctx).If(comparisons...).Then(operations...).Commit()
		if err != nil {
			return err
		}
		revision = r.Header.Revision
		if !r.Succeeded {
			return cluster.ErrConflict
		}
		return s.same(r.Header)
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// Grant implements cluster.Store.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (lease cluster.Lease, err error) {
	seconds := max(1, int64((ttl+time.Second-1)/time.Second))
	err = s.call(ctx, "grant a lease", true, func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Grant(ctx, seconds)
		if err != nil {
			return err
		}
		lease = cluster.Lease(r.ID)
		return nil
	})
	return lease, err
}

// Renew implements cluster.Store. It asks without the client's own loop, which
// would not rest while the store is away.
func (s *Store) Renew(ctx context.Context, l cluster.Lease) error {
	return s.call(ctx, "renew the lease", true, func(ctx context.Context, c *clientv3.Client) error {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer cancel() // ends the stream
		stream, err := pb.NewLeaseClient(c.ActiveConnection()).LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(l)}); err != nil {
			return err
		}
		r, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case r.TTL <= 0:
			return cluster.ErrLeaseLost
		}
		return nil
	})
}

// Revoke implements cluster.Store.
func (s *Store) Revoke(ctx context.Context, l cluster.Lease) error {
	return s.call(ctx, "revoke the lease", true, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Revoke(ctx, clientv3.LeaseID(l))
		return err
	})
}
