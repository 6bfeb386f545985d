package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tutti/api/cluster"
)

// A crash is seen by what it breaks. To each other member, node or router, one
// request is kept open that is never answered; when that ends, the member's port
// is tried. A port that refuses three times says that the process is gone. Routers
// are among them because the others count halves and majorities over all members.
const (
	alivePath  = "/cluster/v1/alive"
	dials      = 3
	dialPause  = 50 * time.Millisecond // three within 100 ms
	certifyIn  = 2 * time.Second
	buryAgain  = 500 * time.Millisecond
	watchAgain = 50 * time.Millisecond
)

// watchMembers keeps a request open to each other member that lives.
func (r *Router) watchMembers(ctx context.Context) {
	var watchers sync.WaitGroup
	defer watchers.Wait()
	watched := map[tenureOf]context.CancelFunc{}
	for ctx.Err() == nil {
		next := r.changed.next()
		there := map[tenureOf]bool{}
		for _, to := range r.others() {
			k := tenureOf{to.node, to.incarnation}
			there[k] = true
			if watched[k] == nil {
				own, stop := context.WithCancel(ctx)
				watched[k] = stop
				watchers.Go(func() { r.watch(own, to) })
			}
		}
		for k, stop := range watched {
			if !there[k] {
				stop()
				delete(watched, k)
			}
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	for _, stop := range watched {
		stop()
	}
}

// others answers the members that live, but not this one, by name.
func (r *Router) others() []target {
	var list []target
	for _, n := range r.cfg.View.Members() {
		if n.Live != nil && !n.Dead && n.Member.Name != r.cfg.Name {
			list = append(list, at(n))
		}
	}
	return list
}

// watch keeps a request open to one member until ctx ends, or the member is
// certified dead.
func (r *Router) watch(ctx context.Context, to target) {
	again := watchAgain
	for ctx.Err() == nil {
		began := r.cfg.Now()
		err := r.holdOn(ctx, to)
		if ctx.Err() != nil || r.tryPort(ctx, to) {
			return
		}
		if r.cfg.Now().Sub(began) > time.Second {
			again = watchAgain
		}
		r.log.Debug("request kept open has ended", "member", to.node, "error", err)
		pause(ctx, again)
		again = min(2*again, time.Second)
	}
}

// holdOn answers when the request that is kept open has ended.
func (r *Router) holdOn(ctx context.Context, to target) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.address+alivePath, nil)
	if err != nil {
		return err
	}
	req.Header.Set(headerKey, r.cfg.Key)
	res, err := r.cfg.Transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// suspect is called where a node could not be reached: its port is tried, where
// nobody does so already.
func (r *Router) suspect(to target, err error) {
	switch {
	case errors.Is(err, errOver):
		r.figures.upstream("over")
	case refusedDial(err):
		r.figures.upstream("refused")
		go r.tryPort(r.life, to)
	default:
		r.figures.upstream("unreachable")
	}
}

// doubt is called where the connection to a node broke before it had answered.
func (r *Router) doubt(to target) {
	r.figures.upstream("broken")
	go r.tryPort(r.life, to)
}

// tryPort tries a member's port and, for as long as it refuses, certifies the
// member's death. It reports whether that has been done.
func (r *Router) tryPort(ctx context.Context, to target) (dead bool) {
	if _, others := r.probes.LoadOrStore(to.node, true); others {
		return false
	}
	defer r.probes.Delete(to.node)
	for r.refuses(ctx, to.address) {
		if n := r.member(to.node); n == nil || n.Dead || n.Live != nil && n.Live.Incarnation != to.incarnation {
			return true
		}
		if err := r.certify(ctx, to.node, cluster.Refused); err == nil {
			return true
		}
		pause(ctx, 100*time.Millisecond)
	}
	return false
}

// refuses reports whether nobody listens at an address: three times refused.
func (r *Router) refuses(ctx context.Context, address string) bool {
	host := hostPort(address)
	for i := range dials {
		if i > 0 && !pause(ctx, dialPause) {
			return false
		}
		conn, err := r.cfg.Dial(ctx, "tcp", host)
		if err == nil {
			_ = conn.Close() // it was only to see
			return false
		}
		if !refusedDial(err) {
			return false
		}
	}
	return true
}

// hostPort answers what to dial for an address.
func hostPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// certify has the death of a member's present incarnation written down.
func (r *Router) certify(ctx context.Context, name string, e cluster.Evidence) error {
	ctx, cancel := context.WithTimeout(ctx, certifyIn)
	defer cancel()
	err := r.cfg.Agent.Certify(ctx, name, e)
	if err != nil {
		r.log.Debug("death not certified", "member", name, "evidence", e, "error", err)
		return err
	}
	r.figures.certified(string(e))
	r.log.Warn("member certified dead", "member", name, "evidence", e)
	return nil
}

// bury certifies the deaths of other members that are away: whose lease has ended.
func (r *Router) bury(ctx context.Context) {
	var buried sync.WaitGroup
	defer buried.Wait()
	var busy sync.Map // name: struct{}
	for ctx.Err() == nil {
		next := r.changed.next()
		for _, n := range r.cfg.View.Members() {
			name := n.Member.Name
			if n.Live != nil || n.Dead || name == r.cfg.Name {
				continue
			}
			if _, others := busy.LoadOrStore(name, true); !others {
				buried.Go(func() {
					defer busy.Delete(name)
					r.buryOne(ctx, name)
				})
			}
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}

// buryOne asks for a member's death until it is certified or the member is back.
func (r *Router) buryOne(ctx context.Context, name string) {
	r.log.Warn("member is away", "member", name)
	for ctx.Err() == nil {
		n := r.member(name)
		if n == nil || n.Live != nil || n.Dead {
			return
		}
		evidence := cluster.Granted
		if r.refuses(ctx, n.Member.Address) {
			evidence = cluster.Refused
		}
		if r.certify(ctx, name, evidence) == nil {
			return
		}
		pause(ctx, buryAgain)
	}
}
