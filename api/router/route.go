package router

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/api/cluster"
	"tutti/api/router/placement"
	"tutti/api/router/rules"
	"tutti/mixer"
)

// explanation is what the router would do with a room, and why.
type explanation struct {
	Room string `json:"room"`
	Key  string `json:"key"` // the hash of tenant and room, in hex
	// Owner has the room now, so that its requests go there; null: nobody.
	Owner *ownerResource `json:"owner"`
	// Storeless: the store is away, so that the order alone decides.
	Storeless bool `json:"storeless"`
	// Decision is what the last rule says that was asked; what goes before it said
	// that none of its nodes accepts the room.
	placement.Decision
	Before []placement.Decision `json:"before"`
}

type ownerResource struct {
	cluster.Owner
	Here     bool           `json:"here"` // that incarnation is alive
	Previous *cluster.Owner `json:"previous,omitempty"`
}

// explain answers GET /v1/route: nothing is placed or reserved.
func (r *Router) explain(c echo.Context) error {
	if err := api.OverNodes(c); err != nil {
		return err
	}
	req := c.Request()
	q := rules.Query{Room: c.QueryParam("room"), Host: rules.Host(req.Host), Header: req.Header.Get}
	if !mixer.ValidID(q.Room) {
		return api.Blame("invalid_query", "room", "room must match [A-Za-z0-9_-]{1,64}")
	}
	x := explanation{Room: q.Room, Storeless: r.storeless(), Before: []placement.Decision{}}
	q.Tenant, q.Kind, q.Purpose = c.QueryParam("tenant"), c.QueryParam("kind"), c.QueryParam("purpose")
	if e, ok := r.cfg.View.Room(q.Room); ok {
		_, here := r.reach(e.Owner)
		x.Owner = &ownerResource{e.Owner, here, e.Previous}
		q.Tenant, q.Kind, q.Purpose = e.Settings.Tenant, e.Settings.Kind, e.Settings.Purpose
	}
	if q.Tenant != "" && !mixer.ValidID(q.Tenant) {
		return api.Blame("invalid_query", "tenant", "tenant must match [A-Za-z0-9_-]{1,64}")
	}
	q.Hash = hashOf(q.Tenant, q.Room)
	x.Key = fmt.Sprintf("%016x", q.Hash)
	if steps := r.planner.route(&q, nil, false, x.Storeless).Steps; len(steps) > 0 {
		x.Decision, x.Before = steps[len(steps)-1], steps[:len(steps)-1]
	}
	if x.Candidates == nil {
		x.Candidates = []placement.Choice{}
	}
	return api.JSON(c, http.StatusOK, x)
}
