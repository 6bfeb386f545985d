package router

import (
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
	// Known: the room is there, so that its requests go to Owner.
	Known bool           `json:"known"`
	Owner *cluster.Owner `json:"owner,omitempty"`
	// Here: that incarnation of its owner is alive.
	Here     bool           `json:"here"`
	Previous *cluster.Owner `json:"previous,omitempty"`
	// Storeless: the store is away, so that the order alone decides.
	Storeless bool `json:"storeless"`
	// Route is where it would be placed if it were to be placed now.
	placement.Route
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
	x := explanation{Room: q.Room, Storeless: r.storeless()}
	if e, ok := r.cfg.View.Room(q.Room); ok {
		_, x.Here = r.reach(e.Owner)
		x.Known, x.Owner, x.Previous = true, &e.Owner, e.Previous
		q.Tenant, q.Kind, q.Purpose = e.Settings.Tenant, e.Settings.Kind, e.Settings.Purpose
	}
	for name, into := range map[string]*string{"tenant": &q.Tenant, "kind": &q.Kind, "purpose": &q.Purpose} {
		if c.QueryParams().Has(name) {
			*into = c.QueryParam(name)
		}
	}
	if q.Tenant != "" && !mixer.ValidID(q.Tenant) {
		return api.Blame("invalid_query", "tenant", "tenant must match [A-Za-z0-9_-]{1,64}")
	}
	q.Hash = hashOf(q.Tenant, q.Room)
	x.Route = r.planner.route(&q, nil, false, x.Storeless)
	if x.Steps == nil {
		x.Steps = []placement.Decision{}
	}
	return api.JSON(c, http.StatusOK, x)
}
