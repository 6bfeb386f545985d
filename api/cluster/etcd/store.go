package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/status"

	"tutti/api/cluster"
)

// Errors of this store besides those of cluster.Store.
var (
	// ErrClosed: the store was closed here.
	ErrClosed = errors.New("the store is closed")
	// ErrOther: the endpoints lead to another etcd than before. Nothing of what this
	// process knows holds there, so it is not used.
	ErrOther = errors.New("the endpoints lead to another store than before")

	errUnreachable = errors.New("no endpoint can be reached")
)

const (
	attempts   = 3                     // within the limit, of calls that may be repeated
	pause      = 20 * time.Millisecond // between them
	maxMessage = 8 << 20               // bytes, of one commit
)

// gRPC logs into a variable of the whole process; what matters comes back as an
// error.
func init() { grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) }

// Config says which etcd to use.
type Config struct {
	// Endpoints are the client URLs of etcd's members, such as
	// http://192.0.2.1:2379. Each may be away for as long as a majority is there.
	Endpoints []string
	// Limit bounds every call. It should be well below the lease's time to live, so
	// that a renewal can be tried again, and above the time of an election. 1 s by
	// default.
	Limit time.Duration
	// Log gets etcd's warnings, until Close; none by default.
	Log *slog.Logger
}

// Store is a cluster.Store in etcd.
type Store struct {
	limit   time.Duration
	clients []*clientv3.Client // one for each endpoint
	current atomic.Uint32      // which of them is asked first
	id      atomic.Uint64      // of the etcd that answered first

	closing sync.Once
	silent  atomic.Bool // once Close has begun
	closed  context.Context
	close   context.CancelFunc
}

// Dial answers the store at the given endpoints. It does not wait for it: calls
// fail for as long as it is away.
func Dial(c Config) (*Store, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("etcd: no endpoints")
	}
	if c.Limit == 0 {
		c.Limit = time.Second
	}
	s := &Store{limit: c.Limit}
	s.closed, s.close = context.WithCancel(context.Background())
	for _, endpoint := range c.Endpoints {
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, errors.Join(fmt.Errorf("etcd: the endpoint %q is no address such as http://192.0.2.1:2379", endpoint), s.Close())
		}
		client, err := clientv3.New(s.clientConfig(endpoint, c))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("etcd: dial %s: %w", endpoint, err), s.Close())
		}
		client.ActiveConnection().Connect()
		s.clients = append(s.clients, client)
	}
	s.current.Store(rand.Uint32N(uint32(len(s.clients))))
	return s, nil
}

func (s *Store) clientConfig(endpoint string, c Config) clientv3.Config {
	return clientv3.Config{
		Endpoints:            []string{endpoint},
		DialKeepAliveTime:    10 * time.Second, // the least that gRPC allows
		DialKeepAliveTimeout: 3 * time.Second,
		PermitWithoutStream:  true,
		MaxCallSendMsgSize:   maxMessage,
		MaxUnaryRetries:      1, // the next try goes to another endpoint
		Logger:               zapLogger(c.Log, &s.silent),
		DialOptions: []grpc.DialOption{
			grpc.WithIdleTimeout(0), // or a connection that is not used gets lost unseen
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
				MinConnectTimeout: c.Limit,
			}),
		},
	}
}

// Close ends the connections, and with them all calls and watches.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		s.silent.Store(true)
		s.close()
		for _, c := range s.clients {
			if e := c.Close(); !errors.Is(e, context.Canceled) {
				err = errors.Join(err, e)
			}
		}
	})
	return err
}

// call asks the current endpoint, within the limit; where repeat says so, also
// the next ones while no answer comes.
func (s *Store) call(ctx context.Context, what string, repeat bool, ask func(context.Context, *clientv3.Client) error) error {
	within, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	attempt := s.limit
	if repeat {
		attempt /= attempts
	}
	for {
		i, err := s.pick(within)
		if err == nil {
			try, done := context.WithTimeout(within, attempt)
			err = translate(ask(try, s.clients[i]))
			done()
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case s.closed.Err() != nil:
			return fmt.Errorf("%s: %w", what, ErrClosed)
		case isAnswer(err):
			return fmt.Errorf("%s: %w", what, err)
		}
		s.leave(i)
		if !repeat || errors.Is(err, errUnreachable) || !sleep(within, pause) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// pick answers the endpoint to ask: the current one, or the first after it that
// is connected, which is the current one then. While one is being connected, it
// waits.
func (s *Store) pick(ctx context.Context) (int, error) {
	for {
		first, waiting := int(s.current.Load()), false
		for n := range s.clients {
			i := (first + n) % len(s.clients)
			switch conn := s.clients[i].ActiveConnection(); conn.GetState() {
			case connectivity.Ready:
				s.current.CompareAndSwap(uint32(first), uint32(i))
				return i, nil
			case connectivity.Idle:
				conn.Connect()
				waiting = true
			case connectivity.Connecting:
				waiting = true
			case connectivity.TransientFailure, connectivity.Shutdown:
			}
		}
		if !waiting {
			return first, errUnreachable
		}
		if !sleep(ctx, pause/4) {
			return first, fmt.Errorf("%w: %w", errUnreachable, ctx.Err())
		}
	}
}

// leave lets calls ask the next endpoint first, if it was this one.
func (s *Store) leave(i int) {
	s.current.CompareAndSwap(uint32(i), uint32((i+1)%len(s.clients)))
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// translate answers etcd's errors as those of cluster.Store.
func translate(err error) error {
	err = rpctypes.Error(err)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return cluster.ErrLeaseLost
	case errors.Is(err, rpctypes.ErrCompacted):
		return cluster.ErrCompacted
	}
	return err
}

// isAnswer reports whether an error is what the store answers, so that another
// endpoint would answer the same.
func isAnswer(err error) bool {
	for _, answer := range []error{cluster.ErrLeaseLost, cluster.ErrCompacted, cluster.ErrConflict, ErrOther} {
		if errors.Is(err, answer) {
			return true
		}
	}
	var e rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &e) {
		code = e.Code()
	}
	return code == codes.InvalidArgument || code == codes.ResourceExhausted || code == codes.PermissionDenied
}

// same reports whether an answer came from the etcd that answered first.
func (s *Store) same(h *pb.ResponseHeader) error {
	if h != nil && !s.id.CompareAndSwap(0, h.ClusterId) && s.id.Load() != h.ClusterId {
		return ErrOther
	}
	return nil
}
