package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/api/auth"
)

// What router and nodes tell each other in headers. None of them passes through
// the router from outside, or to the outside.
const (
	headerKey   = "Tutti-Cluster-Key"
	headerEpoch = "Tutti-Epoch"
	headerRoom  = "Tutti-Room"
	headerRule  = "Tutti-Rule"
	headerOwner = "Tutti-Owner"
	headerEvent = "Tutti-Event" // the number after which a stream of events begins
)

// forward passes a request on to the node of the room in its path, or to any
// where the path names none.
func (r *Router) forward(c echo.Context) error {
	req := c.Request()
	d, err := destinationOf(req.Method, req.URL.EscapedPath())
	if err != nil {
		return err
	}
	return r.pass(c, d)
}

// pass carries a request to its destination and the answer back.
func (r *Router) pass(c echo.Context, d destination) error {
	t := &trip{r: r, d: d, in: c.Request()}
	if d.makes {
		grant, err := r.gate.Identify(c)
		t.tenant, t.stranger = grant.Tenant, err != nil
	}
	if d.joins && !t.stranger {
		if err := r.admit(t.tenant); err != nil {
			return err
		}
	}
	done, err := t.readBody(c)
	if err != nil {
		return err
	}
	defer done()
	flush := time.Duration(0)
	if d.rest == "/events" || d.rest == "/live.webm" || strings.Contains(d.rest, "/files/") {
		api.MarkStream(c)
		flush = -1 // each piece as it comes; else all of an answer goes out in one
	}
	ctx, cancel := r.gate.StreamContext(c)
	defer cancel()
	own := c.Response().Header()
	proxy := httputil.ReverseProxy{
		Rewrite: t.rewrite, Transport: t, FlushInterval: flush, BufferPool: buffers{},
		ModifyResponse: func(res *http.Response) error {
			stripIdentity(res.Header)
			clear(own) // the node has set all that belongs to its answer
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { t.failed = err },
		ErrorLog:     slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(newPieces(c.Response(), r.cfg.WriteTimeout), t.in.WithContext(ctx))
	return r.failure(t)
}

// failure answers what a client is told of a request that no node has answered.
func (r *Router) failure(t *trip) error {
	var p *api.Problem
	switch {
	case t.failed == nil, errors.As(t.failed, &p), errors.Is(t.failed, context.Canceled):
		return t.failed
	}
	r.figures.upstream("error")
	r.log.Warn("node did not answer", "room", t.d.room, "node", t.node, "error", t.failed)
	return unreachable()
}

func unreachable() error {
	p := api.Refuse("node_unreachable", "the node did not answer; the request may have been carried out")
	p.RetryAfter = 1
	return p
}

// readBody reads the body of a request, so that it can be sent twice; done is to
// be called when it is not needed any more. A sound may be large, and a few may be
// here at once: that of who may send none is left unread, for the node to refuse.
func (t *trip) readBody(c echo.Context) (done func(), err error) {
	limit, done := t.r.cfg.MaxBody, func() {}
	if t.d.uploads && api.IsSound(c) {
		grant, err := t.r.gate.Identify(c)
		if err != nil || !grant.Allows(auth.Moderate, t.d.room) {
			return done, nil
		}
		select {
		case t.r.uploads <- struct{}{}:
			done = func() { <-t.r.uploads }
		default:
			return nil, api.Refuse("overloaded", "too many sounds are being sent; try again")
		}
		limit = t.r.cfg.MaxUpload
		api.ExtendUpload(c, t.r.cfg.WriteTimeout)
	}
	if t.body, err = readAtMost(c, limit); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

func readAtMost(c echo.Context, limit int64) ([]byte, error) {
	req := c.Request()
	if req.ContentLength > limit {
		return nil, api.Refuse("body_too_large", "at most %d bytes are taken", limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), req.Body, limit))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, err
	}
	if err != nil {
		return nil, api.Refuse("client_closed_request", "the body ended early")
	}
	return body, nil
}

// rewrite makes the request that nodes get of one that came from outside.
func (t *trip) rewrite(p *httputil.ProxyRequest) {
	h := p.Out.Header
	stripIdentity(h)
	for _, name := range []string{"Connection", "Upgrade", "Expect", "Te", "Trailer"} {
		h.Del(name) // of this hop, or of a body that has been read
	}
	p.SetXForwarded()
	h.Set(headerKey, t.r.cfg.Key)
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	if t.d.room == "" {
		return
	}
	h.Set(headerRoom, t.d.room)
	if p.In.URL.Path == "/v1/rooms" { // POST, with an identifier of ours
		return
	}
	rest, err := url.PathUnescape(t.d.rest)
	if err != nil {
		rest = t.d.rest // it was parsed before
	}
	p.Out.URL.Path, p.Out.URL.RawPath = roomsPath+t.d.room+rest, roomsPath+t.d.room+t.d.rest
}

// stripIdentity removes the headers by which one hop tells the next who it is,
// or who the client is. Some programs take - and _ for the same.
func stripIdentity(h http.Header) {
	for name := range h {
		switch n := strings.ToLower(strings.ReplaceAll(name, "_", "-")); {
		case strings.HasPrefix(n, "tutti-"), strings.HasPrefix(n, "x-forwarded"), n == "forwarded",
			n == "x-real-ip", n == "x-client-ip", n == "x-cluster-client-ip", n == "true-client-ip":
			delete(h, name)
		}
	}
}

// again answers a request as it is sent to one node.
func (t *trip) again(ctx context.Context, out *http.Request, to target) (*http.Request, error) {
	base, err := url.Parse(to.address)
	if err != nil {
		return nil, err
	}
	req := out.Clone(ctx)
	req.URL.Scheme, req.URL.Host = base.Scheme, base.Host
	req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, int64(len(t.body))
	req.TransferEncoding = nil
	if len(t.body) > 0 {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(t.body)), nil }
		req.Body, _ = req.GetBody()
	}
	setEpoch(req.Header, to.epoch)
	return req, nil
}

// pieces writes a response whose length nobody knows: each piece has the write
// timeout for itself, so that a response lasts as long as its reader reads.
type pieces struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// newPieces answers the writer. A server that knows no deadlines, as in a test,
// has none.
func newPieces(w http.ResponseWriter, timeout time.Duration) *pieces {
	return &pieces{w, http.NewResponseController(w), timeout}
}

// WriteHeader implements http.ResponseWriter.
func (p *pieces) WriteHeader(status int) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	p.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *pieces) Flush() { _ = p.control.Flush() }

// Unwrap lets an http.ResponseController find the connection.
func (p *pieces) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// buffers lends what answers are copied through.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return *pool.Get().(*[]byte) }

// Put implements httputil.BufferPool.
func (buffers) Put(b []byte) { pool.Put(&b) }
