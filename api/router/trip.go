package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"tutti/api"
	"tutti/api/cluster"
)

// trip is one request on its way to a node. It is the transport of its
// ReverseProxy: it finds the node, tries another one where the first has not
// begun, and answers what a node answered in the end.
type trip struct {
	r      *Router
	d      destination
	in     *http.Request
	tenant string
	// stranger: whoever asks has no token that is good; nothing is made for them.
	stranger bool
	body     []byte
	node     string // that was tried last
	turns    int    // how often it was found that the room is elsewhere
	repeated bool   // it was sent once more after the connection to a node had broken
	failed   error
}

// answer is what a node answered; code is that of a problem that the router goes by.
type answer struct {
	*http.Response
	code string
}

// elsewhere reports whether the node says that it does not have the room, or in
// another epoch.
func (a answer) elsewhere() bool {
	return a.StatusCode == http.StatusMisdirectedRequest || a.code == "stale_epoch"
}

// errOver: the node's incarnation died while its answer was waited for.
var errOver = errors.New("router: the node has died meanwhile")

// RoundTrip implements http.RoundTripper.
func (t *trip) RoundTrip(out *http.Request) (*http.Response, error) {
	if t.d.room == "" {
		return t.anywhere(out, t.r.alive())
	}
	if _, _, known := t.r.find(t.d.room); known {
		return t.toOwner(out)
	}
	return t.unknown(out)
}

// toOwner asks the owner of a known room, which may have to be waited for.
func (t *trip) toOwner(out *http.Request) (*http.Response, error) {
	ctx := out.Context()
	until := t.r.cfg.Now().Add(t.r.cfg.Wait)
	for {
		to, known, err := t.r.await(ctx, t.d.room, until)
		if err != nil {
			return nil, err
		}
		if !known {
			return t.unknown(out)
		}
		a, err := t.send(out, to)
		switch {
		case errors.Is(err, errOver):
			until = t.r.cfg.Now().Add(t.r.cfg.Wait) // it counts from the death
			continue
		case unsent(err):
			if !t.r.cfg.Now().Before(until) {
				return nil, unreachable()
			}
			t.r.suspect(to, err)
			t.r.glance(ctx)
			continue
		case t.repeats(ctx, err):
			t.r.doubt(to)
			until = t.r.cfg.Now().Add(t.r.cfg.Wait)
			if !pause(ctx, breath) {
				return nil, ctx.Err()
			}
			continue
		case err != nil:
			return nil, err
		case a.elsewhere():
			if t.turn(ctx, a) {
				continue
			}
			return nil, t.r.away(t.d.room)
		case a.code == "participant_not_found" && t.d.session:
			return t.orBefore(out, a)
		case to.epoch == 0 && t.turns == 0 && (a.code == "room_not_found" || declines(a.code)): // it was made here a moment ago
			t.turns++
			t.r.recent.forget(t.d.room)
			if t.d.makes {
				drop(a.Response)
				return t.unknown(out)
			}
		}
		t.r.figures.decided("known")
		return a.Response, nil
	}
}

// turn is called where a node says that the room is elsewhere. It reports
// whether it is to be tried once more.
func (t *trip) turn(ctx context.Context, a answer) bool {
	drop(a.Response)
	t.r.figures.refused()
	t.turns++
	owner := a.Header.Get(headerOwner)
	t.r.log.Info("room is elsewhere", "room", t.d.room, "node", t.node, "code", a.code, "owner", owner)
	if t.turns > 2 {
		return false
	}
	t.r.recent.forget(t.d.room)
	if !t.r.refresh(ctx, t.d.room) && owner != "" && owner != t.node {
		t.r.recent.put(t.d.room, owner, t.r.cfg.Now()) // of use where the store is away
	}
	return true
}

// orBefore asks where the room was before it moved, for a participant who is not
// where it is now.
func (t *trip) orBefore(out *http.Request, now answer) (*http.Response, error) {
	e, ok := t.r.cfg.View.Room(t.d.room)
	if !ok || e.Previous == nil {
		return now.Response, nil
	}
	to, ok := t.r.reach(*e.Previous)
	if !ok {
		return now.Response, nil
	}
	before, err := t.send(out, to)
	if err != nil {
		return now.Response, nil
	}
	if before.StatusCode == http.StatusNotFound || before.elsewhere() {
		drop(before.Response)
		return now.Response, nil
	}
	drop(now.Response)
	t.r.figures.decided("previous")
	return before.Response, nil
}

// unknown asks about a room that nobody has told of: a node that may make it, or
// any, so that errors come from one place.
func (t *trip) unknown(out *http.Request) (*http.Response, error) {
	q := t.query()
	if !t.d.makes || t.stranger {
		return t.anywhere(out, t.r.ordered(&q))
	}
	if wait, first := t.r.begin(t.d.room); !first {
		select { // somebody makes it just now
		case <-wait:
		case <-out.Context().Done():
			return nil, out.Context().Err()
		}
		if _, _, known := t.r.find(t.d.room); known {
			return t.toOwner(out)
		}
	} else {
		defer t.r.done(t.d.room, wait)
	}
	return t.make(out, &q)
}

// anywhere asks the first node that can be reached; for what outlives rooms, the
// first that knows of it.
func (t *trip) anywhere(out *http.Request, nodes []target) (*http.Response, error) {
	var last *http.Response
	var broke error
	for _, to := range nodes {
		a, err := t.send(out, to)
		switch {
		case unsent(err), errors.Is(err, errOver):
			t.r.suspect(to, err)
			continue
		case !t.d.outlives && t.repeats(out.Context(), err): // what outlives rooms, the next need not know
			t.r.doubt(to)
			broke = err
			continue
		case err != nil:
			return nil, err
		case a.StatusCode == http.StatusMisdirectedRequest && t.d.room != "" && t.turn(out.Context(), a):
			return t.toOwner(out)
		case a.StatusCode == http.StatusNotFound && t.d.outlives:
			drop(last)
			last = a.Response
			continue
		}
		drop(last)
		t.r.figures.decided("any")
		return a.Response, nil
	}
	if last != nil {
		t.r.figures.decided("any")
		return last, nil
	}
	if broke != nil {
		return nil, broke
	}
	return nil, t.r.nowhere("no node is there to answer")
}

// nowhere is what is answered where no node is there.
func (r *Router) nowhere(detail string) error {
	r.figures.decided("no_node")
	p := api.Refuse("no_node", "%s", detail)
	p.RetryAfter = 1 + int(r.limits.random()*3)
	return p
}

// send asks one node. Of a short problem the code is read; the body is whole in
// any case.
func (t *trip) send(out *http.Request, to target) (answer, error) {
	t.node = to.node
	ctx, release := t.r.during(out.Context(), to)
	req, err := t.again(ctx, out, to)
	if err != nil {
		release()
		return answer{}, err
	}
	res, err := t.r.cfg.Transport.RoundTrip(req)
	if err != nil {
		if over := context.Cause(ctx); errors.Is(over, errOver) {
			err = over
		}
		release()
		return answer{}, err
	}
	res.Body = &released{res.Body, release}
	a := answer{Response: res}
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusConflict, http.StatusMisdirectedRequest, http.StatusServiceUnavailable:
		a.code = readCode(res)
	}
	return a, nil
}

// during answers a context that also ends when a node's incarnation has died; it
// is to be released.
func (r *Router) during(ctx context.Context, to target) (context.Context, func()) {
	tenure := r.tenures.of(to.node, to.incarnation)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(tenure, func() { cancel(errOver) })
	if d, _ := r.cfg.View.Death(to.node, to.incarnation); d != nil {
		cancel(errOver) // whoever swept may have been here before
	}
	return ctx, func() { stop(); cancel(nil) }
}

// maxProblem is the most of a problem that is read, in bytes.
const maxProblem = 16 << 10

// readCode reads the code of a problem, and puts the body together again.
func readCode(res *http.Response) string {
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "application/problem+json" {
		return ""
	}
	begin, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	rest := res.Body
	res.Body = &joined{io.MultiReader(bytes.NewReader(begin), rest), rest}
	if err != nil {
		return ""
	}
	return codeOf(begin)
}

// joined is a body of which the beginning has been read.
type joined struct {
	io.Reader
	io.Closer
}

// released is a body that frees what the request held.
type released struct {
	io.ReadCloser
	release func()
}

func (b *released) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// breath is how long a request waits after its connection has broken: a process
// that is being killed closes its connections and its port one after the other.
const breath = 50 * time.Millisecond

// repeats reports whether a request that failed on its way, before any answer
// came, is to be sent once more: it was not given up, and to have done it twice is
// as good as once.
func (t *trip) repeats(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || t.repeated || !t.idempotent() {
		return false
	}
	t.repeated = true
	return true
}

// idempotent reports whether a request may be sent again though the first may
// have been carried out (RFC 9110, 9.2.2). Where the request sets a condition,
// the second would be judged by what the first has done.
func (t *trip) idempotent() bool {
	h := t.in.Header
	switch t.in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	case http.MethodPut:
		return t.d.rest == "" && h.Get("If-Match") == "" && h.Get("If-None-Match") == ""
	case http.MethodDelete:
		return h.Get("If-Match") == "" && h.Get("If-None-Match") == ""
	}
	return false
}

// unsent reports whether a request failed before anything of it was sent.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refusedDial reports whether a port was tried and nobody listens there.
func refusedDial(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// glance waits for a change in the directory, but not long.
func (r *Router) glance(ctx context.Context) {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-r.changed.next():
	case <-timer.C:
	case <-ctx.Done():
	}
}

func setEpoch(h http.Header, e cluster.Epoch) {
	h.Del(headerEpoch)
	if e != 0 {
		h.Set(headerEpoch, strconv.FormatUint(uint64(e), 10))
	}
}
