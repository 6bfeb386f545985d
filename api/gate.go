package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
)

// Gate is the chain that a Server's requests pass, for what answers the same API
// in front of nodes: requests are observed, authenticated and guarded alike, and
// errors look alike. It serves the web page, the contract, the metrics and
// /healthz by itself. Its methods may be called from any goroutine.
type Gate struct{ s *Server }

// Route is one entry of an API behind a Gate.
type Route struct {
	Method, Path string // the path in echo's notation
	Handle       echo.HandlerFunc
	// Action is what the token must allow. auth.None stands for a route that needs
	// no token; it may not lie under /v1.
	Action auth.Action
	// Query are the parameters that the route knows; any other is refused.
	Query []string
	// Body are the media types that are taken; none: a body is not looked at.
	Body []string
	// TokenInQuery accepts ?access_token=, for elements of a page.
	TokenInQuery bool
	// Stream is a response without an end.
	Stream bool
	// Forwarded is for what the handler passes on to a node, which judges the
	// request: nothing of it is looked at here.
	Forwarded bool
}

// NewGate answers a gate for the routes. Of cfg it needs Metrics, and Auth
// unless Dev is set; it has no use for rooms, sessions, recordings and events.
func NewGate(cfg Config, own []Route) (*Gate, error) {
	switch {
	case cfg.Metrics == nil:
		return nil, errors.New("api: the gate lacks Metrics")
	case cfg.Auth == nil && !cfg.Dev:
		return nil, errNoKeys
	}
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	var routes []route
	for _, r := range own {
		routes = append(routes, route{
			method: r.Method, path: r.Path, handle: r.Handle, action: r.Action, query: r.Query, body: r.Body,
			tokenInQuery: r.TokenInQuery, stream: r.Stream, forwarded: r.Forwarded,
		})
	}
	for _, r := range s.openRoutes() {
		if r.path != "/readyz" { // only the caller knows
			routes = append(routes, r)
		}
	}
	s.register(append(routes, s.webRoutes()...))
	return &Gate{s}, nil
}

// Handler answers what is behind the gate.
func (g *Gate) Handler() http.Handler { return g.s.echo }

// HTTPServer answers a net/http server as Server.HTTPServer does.
func (g *Gate) HTTPServer() *http.Server { return g.s.HTTPServer() }

// Close ends the streams that StreamContext was asked for.
func (g *Gate) Close() { g.s.Close() }

// Identify answers who makes a forwarded request, or a Problem.
func (g *Gate) Identify(c echo.Context) (auth.Grant, error) {
	p, err := g.s.identify(c)
	if err != nil {
		return auth.Grant{}, err
	}
	return p.grant, nil
}

// StreamContext answers a context that ends with the request, or with Close.
func (g *Gate) StreamContext(c echo.Context) (context.Context, context.CancelFunc) {
	return g.s.streamContext(c)
}

// Caller answers who makes a request that passed the gate.
func Caller(c echo.Context) auth.Grant { return caller(c).grant }

// OverNodes answers a Problem where the caller's token is for one room or
// tenant: nodes belong to none.
func OverNodes(c echo.Context) error { return overNodes(c) }

// MarkStream keeps a request's duration out of the figures: its answer lasts for
// as long as somebody reads it.
func MarkStream(c echo.Context) { c.Set(streamKey, true) }

// Refuse answers a problem of a code in the table of errors.go.
func Refuse(code, format string, args ...any) *Problem { return refuse(code, format, args...) }

// Blame answers a problem that one field is the cause of.
func Blame(code, field, format string, args ...any) *Problem {
	return blame(code, field, format, args...)
}

// JSON answers a value, with its length.
func JSON(c echo.Context, status int, v any) error { return writeJSON(c, status, typeJSON, v) }

// DecodeBody puts the JSON object of a request's body into the struct that into
// points to; what the struct lacks, or has otherwise, is a Problem that names it.
func DecodeBody(c echo.Context, into any) error {
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	return decodeInto(doc, into)
}

// ReadPage answers what part of a list is asked for: its size, and the cursor of
// the last item seen, or nothing for the first part.
func ReadPage(c echo.Context) (size int, after string, err error) {
	p, err := readPage(c)
	return p.size, p.after, err
}

// CutPage answers the page of a list that is sorted by its cursors, and the token
// of the next page, empty at the end.
func CutPage[T any](size int, after string, items []T, cursor func(T) string) (part []T, next string) {
	return cut(page{size, after}, items, cursor)
}

// PageToken answers the token of the page that begins after a cursor.
func PageToken(after string) string { return base64.RawURLEncoding.EncodeToString([]byte(after)) }
