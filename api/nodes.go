package api

import (
	"maps"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
)

// nodeResource is a node as the API shows it.
type nodeResource struct {
	ID           string            `json:"id"`
	Address      string            `json:"address"`
	Version      string            `json:"version"`
	Labels       map[string]string `json:"labels"`
	State        string            `json:"state"` // active, draining, dead
	Load         loadResource      `json:"load"`
	Rooms        int               `json:"rooms"`
	Participants int               `json:"participants"`
}

// loadResource is what a node has to do, and what it can, in milliseconds of CPU
// a second.
type loadResource struct {
	CPU      float64 `json:"cpu"`
	Capacity float64 `json:"capacity"`
}

// self answers this node.
func (s *Server) self() nodeResource {
	use := s.host.Usage()
	n := nodeResource{
		ID: s.cfg.Node, Address: s.cfg.Address, Version: s.cfg.Version, Labels: map[string]string{}, State: "active",
		Load: loadResource{use.CPU, s.cfg.Capacity}, Rooms: use.Rooms, Participants: use.Participants,
	}
	maps.Copy(n.Labels, s.cfg.Labels)
	if s.cfg.Rooms.Draining() {
		n.State = "draining"
	}
	return n
}

// overNodes answers a Problem where the token is for one room or tenant: nodes
// belong to none.
func overNodes(c echo.Context) error {
	if g := caller(c).grant; g.Room != auth.AllRooms || g.Tenant != "" {
		return refuse("forbidden", "the token is for one room or tenant alone")
	}
	return nil
}

// listNodes answers GET /v1/nodes.
func (s *Server) listNodes(c echo.Context) error {
	if err := overNodes(c); err != nil {
		return err
	}
	p, err := readPage(c)
	if err != nil {
		return err
	}
	nodes, next := cut(p, []nodeResource{s.self()}, func(n nodeResource) string { return n.ID })
	return ok(c, struct {
		Nodes []nodeResource `json:"nodes"`
		Next  string         `json:"next_page_token"`
	}{nodes, next})
}

// patchNode answers PATCH /v1/nodes/{node}: draining, and active again.
func (s *Server) patchNode(c echo.Context) error {
	if err := overNodes(c); err != nil {
		return err
	}
	if c.Param("node") != s.cfg.Node {
		return refuse("node_not_found", "no such node")
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	var body struct {
		State     string `json:"state"`
		DeadlineS *int   `json:"deadline_s"`
	}
	if err := decodeInto(doc, &body); err != nil {
		return err
	}
	if body.DeadlineS != nil {
		return blame("invalid_field", "deadline_s", "deadline_s is for a router: a node does not move its rooms")
	}
	switch body.State {
	case "active", "draining":
		s.SetDraining(body.State == "draining")
	default:
		return blame("invalid_field", "state", "state must be active or draining: a node does not state its own death")
	}
	return ok(c, s.self())
}

// The time that a minted token is valid, in seconds.
const (
	defaultTTL = 3600
	longestTTL = 30 * 24 * 3600
)

// tokenRequest is what POST /v1/tokens takes.
type tokenRequest struct {
	Room    string    `json:"room"`
	Role    auth.Role `json:"role"`
	Name    string    `json:"name"`
	Tenant  string    `json:"tenant"`
	Subject string    `json:"sub"`
	TTLS    int       `json:"ttl_s"`
}

// postToken answers POST /v1/tokens: a token that gives no more than the
// caller has.
func (s *Server) postToken(c echo.Context) error {
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	mine := caller(c).grant
	req := tokenRequest{TTLS: defaultTTL, Tenant: mine.Tenant}
	if err := decodeInto(doc, &req); err != nil {
		return err
	}
	if req.TTLS < 1 || req.TTLS > longestTTL {
		return blame("invalid_field", "ttl_s", "ttl_s must be 1 to %d", longestTTL)
	}
	grant := auth.Grant{Room: req.Room, Role: req.Role, Name: req.Name, Tenant: req.Tenant, Subject: req.Subject}
	if err := grant.Validate(); err != nil {
		return err
	}
	if !mine.Covers(grant) {
		return refuse("forbidden", "the token that is asked for allows more than the caller's")
	}
	return s.mint(c, grant, time.Duration(req.TTLS)*time.Second)
}

func (s *Server) mint(c echo.Context, grant auth.Grant, ttl time.Duration) error {
	if s.cfg.Auth == nil {
		return refuse("no_signing_key", "the server runs for development, without keys")
	}
	key, has := s.cfg.Auth.Signer()
	if !has {
		return refuse("no_signing_key", "the node verifies tokens only")
	}
	now := s.cfg.Now()
	token, err := auth.Mint(key, grant, ttl, now)
	if err != nil {
		return err
	}
	return writeJSON(c, 201, typeJSON, struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{token, now.Add(ttl).UTC().Truncate(time.Second)})
}
