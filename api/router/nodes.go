package router

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/api/cluster"
)

// nodeResource is a node as the API shows it.
type nodeResource struct {
	ID           string            `json:"id"`
	Address      string            `json:"address"`
	Version      string            `json:"version"`
	Labels       map[string]string `json:"labels"`
	State        cluster.NodeState `json:"state"`
	Load         loadResource      `json:"load"`
	Rooms        int               `json:"rooms"`
	Participants int               `json:"participants"`
}

// loadResource is what a node has to do, and what it can, in milliseconds of CPU
// a second; capacity 0 is not known.
type loadResource struct {
	CPU      float64 `json:"cpu"`
	Capacity float64 `json:"capacity"`
}

// resource answers a node. Its rooms are counted in the directory, as its own
// count is a report old.
func (r *Router) resource(n *cluster.Node, rooms map[string]int) nodeResource {
	res := nodeResource{ID: n.Member.Name, Address: n.Member.Address, Labels: map[string]string{}, State: cluster.Dead, Rooms: rooms[n.Member.Name]}
	if l := n.Live; l != nil && !n.Dead {
		res.Address, res.Version, res.State, res.Load.Capacity = l.Address, l.Version, cluster.Active, l.Capacity
		if l.Labels != nil {
			res.Labels = l.Labels
		}
		if drains(n) {
			res.State = cluster.Draining
		}
	}
	if n.Load != nil {
		res.Participants, res.Load.CPU = n.Load.Participants, n.Load.CPU
	}
	return res
}

// counted answers how many rooms each node has.
func (r *Router) counted() map[string]int {
	count := map[string]int{}
	for _, e := range r.cfg.View.Rooms() {
		count[e.Node]++
	}
	return count
}

// listNodes answers GET /v1/nodes.
func (r *Router) listNodes(c echo.Context) error {
	if err := api.OverNodes(c); err != nil {
		return err
	}
	size, after, err := api.ReadPage(c)
	if err != nil {
		return err
	}
	rooms := r.counted()
	nodes := []nodeResource{}
	for _, n := range r.cfg.View.Nodes() {
		nodes = append(nodes, r.resource(n, rooms))
	}
	nodes, next := api.CutPage(size, after, nodes, func(n nodeResource) string { return n.ID })
	return api.JSON(c, http.StatusOK, struct {
		Nodes []nodeResource `json:"nodes"`
		Next  string         `json:"next_page_token"`
	}{nodes, next})
}

// patchNode answers PATCH /v1/nodes/{node}: draining, active again, or dead, by
// the operator's word.
func (r *Router) patchNode(c echo.Context) error {
	if err := api.OverNodes(c); err != nil {
		return err
	}
	var body struct {
		State     string `json:"state"`
		DeadlineS int    `json:"deadline_s"`
	}
	if err := api.DecodeBody(c, &body); err != nil {
		return err
	}
	name := c.Param("node")
	n := r.member(name)
	if n == nil || n.Member.Role != cluster.NodeRole {
		return api.Refuse("node_not_found", "no such node")
	}
	state := cluster.NodeState(body.State)
	switch {
	case state != cluster.Active && state != cluster.Draining && state != cluster.Dead:
		return api.Blame("invalid_field", "state", "state must be active, draining or dead")
	case body.DeadlineS < 0 || body.DeadlineS > int(longestDrain/time.Second):
		return api.Blame("invalid_field", "deadline_s", "deadline_s must be 0 to %d", int(longestDrain/time.Second))
	case body.DeadlineS != 0 && state != cluster.Draining:
		return api.Blame("invalid_field", "deadline_s", "deadline_s goes with draining alone")
	}
	res := r.resource(n, r.counted())
	if state == cluster.Dead {
		switch err := r.certify(c.Request().Context(), name, cluster.Stated); {
		case errors.Is(err, cluster.ErrNoMember):
			return api.Refuse("node_not_found", "no such node")
		case err != nil:
			return api.Refuse("overloaded", "the death could not be written down; see GET /v1/nodes")
		}
	} else if err := r.order(c.Request().Context(), n, state, body.DeadlineS); err != nil {
		return err
	}
	r.log.Info("operator orders", "node", name, "state", state, "deadline_s", body.DeadlineS)
	if res.State != cluster.Dead {
		res.State = state
	}
	return api.JSON(c, http.StatusOK, res)
}

// order writes down what the operator wants of a node.
func (r *Router) order(ctx context.Context, n *cluster.Node, state cluster.NodeState, deadlineS int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	name := n.Member.Name
	value, err := json.Marshal(cluster.Order{Node: name, State: state, DeadlineS: deadlineS})
	if err != nil {
		return err
	}
	w := cluster.Write{Key: cluster.OrderKey(name), Value: value}
	revision, err := r.cfg.Store.Commit(ctx, nil, []cluster.Write{w})
	if err != nil {
		r.log.Warn("order not written", "node", name, "error", err)
		return api.Refuse("overloaded", "the store did not take it in time; see GET /v1/nodes whether it did later")
	}
	r.cfg.View.Learn(cluster.Entry{Key: w.Key, Value: w.Value, Modified: revision})
	return nil
}
