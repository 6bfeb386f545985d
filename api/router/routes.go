package router

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"tutti/api"
	"tutti/api/auth"
)

// routes are what the router answers by itself, and what it passes on. What
// belongs to a room is passed on, OPTIONS included, so that there is one place
// that judges it.
func (r *Router) routes() []api.Route {
	paging := []string{"page_size", "page_token"}
	list := []api.Route{
		{Method: "GET", Path: "/v1/rooms", Handle: r.listRooms, Action: auth.ListAll, Query: append([]string{"tenant", "kind", "purpose", "state", "node"}, paging...)},
		{Method: "POST", Path: "/v1/rooms", Handle: r.postRoom, Action: auth.Create, Body: []string{echo.MIMEApplicationJSON}},
		{Method: "GET", Path: "/v1/events", Handle: r.events, Action: auth.ListAll, Query: []string{"after"}, TokenInQuery: true, Stream: true},
		{Method: "GET", Path: "/v1/nodes", Handle: r.listNodes, Action: auth.Operate, Query: paging},
		{Method: "PATCH", Path: "/v1/nodes/:node", Handle: r.patchNode, Action: auth.Operate, Body: []string{"application/merge-patch+json"}},
		{Method: "GET", Path: "/v1/route", Handle: r.explain, Action: auth.Operate, Query: []string{"room", "tenant", "kind", "purpose"}},
		{Method: "GET", Path: "/readyz", Handle: r.readyz},
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/v1/rooms/:room", "/v1/rooms/:room/*", "/v1/tokens"} {
			list = append(list, api.Route{Method: method, Path: path, Handle: r.forward, Forwarded: true})
		}
	}
	return list
}

// readyz answers GET /readyz: the router knows the rooms. A store that is away
// does not change that.
func (r *Router) readyz(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	select {
	case <-r.cfg.View.Ready():
	default:
		return api.Refuse("overloaded", "the directory has not been read yet")
	}
	return api.JSON(c, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"ready", r.cfg.Version})
}
