package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/api/auth"
)

// Bounds of what nodes answer about their rooms.
const (
	listIn  = 3 * time.Second
	maxList = 16 << 20 // bytes
)

// postRoom answers POST /v1/rooms: a room with an identifier of the router's.
func (r *Router) postRoom(c echo.Context) error {
	if api.Caller(c).Room != auth.AllRooms {
		return api.Refuse("forbidden", "the token is for one room; create it with PUT")
	}
	return r.pass(c, destination{room: strings.ToLower(rand.Text()), makes: true})
}

// listed is a room as a node lists it; raw is all of it.
type listed struct {
	id, node string
	raw      json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *listed) UnmarshalJSON(b []byte) error {
	var key struct{ ID, Node string }
	if err := json.Unmarshal(b, &key); err != nil {
		return err
	}
	*l = listed{key.ID, key.Node, slices.Clone(b)}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (l listed) MarshalJSON() ([]byte, error) { return l.raw, nil }

// listRooms answers GET /v1/rooms: the pages of all nodes, merged. A page begins
// after a room's identifier, which is the same on all of them.
func (r *Router) listRooms(c echo.Context) error {
	size, after, err := api.ReadPage(c)
	if err != nil {
		return err
	}
	query := c.QueryParams()
	query.Del("access_token")
	query.Set("page_size", strconv.Itoa(size))
	rooms, more, err := r.gather(c, query)
	if err != nil {
		return err
	}
	rooms = r.merged(rooms)
	rooms, next := api.CutPage(size, after, rooms, func(l listed) string { return l.id })
	if next == "" && more && len(rooms) > 0 {
		next = api.PageToken(rooms[len(rooms)-1].id)
	}
	if rooms == nil {
		rooms = []listed{}
	}
	return api.JSON(c, http.StatusOK, struct {
		Rooms []listed `json:"rooms"`
		Next  string   `json:"next_page_token"`
	}{rooms, next})
}

// merged answers rooms by identifier, each once: a room that moves is on two
// nodes, and its owner's word counts.
func (r *Router) merged(rooms []listed) []listed {
	owner := func(l listed) int {
		if e, ok := r.cfg.View.Room(l.id); ok && e.Node == l.node {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(rooms, func(a, b listed) int {
		return cmp.Or(strings.Compare(a.id, b.id), cmp.Compare(owner(a), owner(b)))
	})
	return slices.CompactFunc(rooms, func(a, b listed) bool { return a.id == b.id })
}

// gather asks all nodes for a page of their rooms. more says that one has
// further ones. What a node that does not answer has would be missing without a
// word, so there is no answer then.
func (r *Router) gather(c echo.Context, query url.Values) (rooms []listed, more bool, err error) {
	nodes := r.alive()
	if want := query.Get("node"); want != "" {
		nodes = slices.DeleteFunc(nodes, func(t target) bool { return t.node != want })
	}
	if len(nodes) == 0 && query.Get("node") == "" {
		return nil, false, r.nowhere("no node is there to answer")
	}
	pages := make([]struct {
		Rooms []listed `json:"rooms"`
		Next  string   `json:"next_page_token"`
	}, len(nodes))
	errs := make([]error, len(nodes))
	ctx, cancel := context.WithTimeout(c.Request().Context(), listIn)
	defer cancel()
	var asking sync.WaitGroup
	for i, to := range nodes {
		asking.Go(func() { errs[i] = r.ask(ctx, c, to, "/v1/rooms?"+query.Encode(), &pages[i]) })
	}
	asking.Wait()
	for i, p := range pages {
		if errs[i] != nil && r.gone(nodes[i]) {
			continue // its rooms are being brought back elsewhere
		}
		if errs[i] != nil {
			return nil, false, r.unlisted(nodes[i], errs[i])
		}
		rooms, more = append(rooms, p.Rooms...), more || p.Next != ""
	}
	return rooms, more, nil
}

// gone reports whether an incarnation is known to be away or dead.
func (r *Router) gone(t target) bool {
	n := r.member(t.node)
	return n == nil || n.Live == nil || n.Dead || n.Live.Incarnation != t.incarnation
}

// unlisted answers what a client gets where a node did not list its rooms.
func (r *Router) unlisted(to target, err error) error {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	if unsent(err) {
		r.suspect(to, err)
	}
	r.log.Warn("node did not list its rooms", "node", to.node, "error", err)
	bad := api.Refuse("node_unreachable", "node %s did not answer, so the list would not be whole", to.node)
	bad.RetryAfter = 1
	return bad
}

// ask gets a resource of a node in the name of whoever makes a request.
func (r *Router) ask(ctx context.Context, c echo.Context, to target, path string, into any) error {
	ctx, release := r.during(ctx, to)
	defer release()
	req, err := r.inNameOf(ctx, c, to, path)
	if err != nil {
		return err
	}
	res, err := r.cfg.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("router: ask %s: %w", to.node, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxList))
	if err != nil {
		return fmt.Errorf("router: ask %s: %w", to.node, err)
	}
	if res.StatusCode != http.StatusOK {
		var p api.Problem
		if json.Unmarshal(body, &p) == nil && p.Code != "" && p.Status < 500 {
			return &p
		}
		return fmt.Errorf("router: ask %s: status %d", to.node, res.StatusCode)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("router: ask %s: %w", to.node, err)
	}
	return nil
}

// inNameOf answers a request to a node that says what whoever makes a request
// here has said about themselves.
func (r *Router) inNameOf(ctx context.Context, c echo.Context, to target, path string) (*http.Request, error) {
	in := c.Request()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.address+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = in.Host
	for _, name := range []string{"Authorization", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Accept"} {
		if v := in.Header.Values(name); len(v) > 0 {
			req.Header[name] = v
		}
	}
	if token := c.QueryParam("access_token"); token != "" && in.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set(headerKey, r.cfg.Key)
	(&httputil.ProxyRequest{In: in, Out: req}).SetXForwarded()
	return req, nil
}
