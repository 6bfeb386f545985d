package api

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"tutti/api/router/placement"
	"tutti/mixer"
)

// defaultRule is the rule of a server that has none.
const defaultRule = "default"

// routeResource explains where a room would go, as a router does it.
type routeResource struct {
	Room       string              `json:"room"`
	Key        string              `json:"key"` // of the room and its tenant, in hex
	Rule       string              `json:"rule"`
	Owner      *ownerResource      `json:"owner"` // null: nobody has it
	Candidates []candidateResource `json:"candidates"`
	Chosen     string              `json:"chosen"` // empty: nobody takes it
}

type ownerResource struct {
	Node  string `json:"node"`
	Epoch uint64 `json:"epoch"`
}

// candidateResource is a node as a decision sees it; CPU in milliseconds a
// second.
type candidateResource struct {
	Node      string  `json:"node"`
	Score     float64 `json:"score"`
	CPU       float64 `json:"cpu"`
	Reserved  float64 `json:"reserved"`
	Predicted float64 `json:"predicted"`
	Accepts   bool    `json:"accepts"`
	Why       string  `json:"why"`
}

// getRoute answers GET /v1/route of a node, to which every room goes that is
// nowhere else.
func (s *Server) getRoute(c echo.Context) error {
	if err := overNodes(c); err != nil {
		return err
	}
	room, tenant := c.QueryParam("room"), c.QueryParam("tenant")
	if !mixer.ValidID(room) {
		return blame("invalid_query", "room", "room must match [A-Za-z0-9_-]{1,64}")
	}
	if tenant != "" && !mixer.ValidID(tenant) {
		return blame("invalid_query", "tenant", "tenant must match [A-Za-z0-9_-]{1,64}")
	}
	r, err := s.cfg.Rooms.Get(room)
	if err == nil {
		tenant = tenantOf(r)
	}
	key, kerr := placement.Key(tenant, room)
	if kerr != nil {
		return kerr
	}
	usage := s.host.Usage()
	seat := placement.NewSeat(s.cfg.Node, 1)
	self := candidateResource{Node: s.cfg.Node, Score: placement.Score(key, &seat), CPU: usage.CPU, Predicted: usage.CPU, Accepts: true}
	if self.Accepts = !s.cfg.Rooms.Draining(); !self.Accepts {
		self.Why = "is draining"
	}
	res := routeResource{Room: room, Key: fmt.Sprintf("%016x", key), Rule: defaultRule, Candidates: []candidateResource{self}}
	if self.Accepts {
		res.Chosen = s.cfg.Node
	}
	if err == nil {
		res.Owner = &ownerResource{Node: s.cfg.Node}
	}
	if s.cfg.Cluster != nil {
		if o, known := s.cfg.Cluster.Owner(room); known {
			res.Owner = &ownerResource{o.Node, uint64(o.Epoch)}
		}
	}
	return ok(c, res)
}
