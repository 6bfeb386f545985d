package api

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
)

// The media types of the API.
const (
	typeJSON     = "application/json"
	typeMerge    = "application/merge-patch+json"
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// route is one entry of the API.
type route struct {
	method, path string // the path in echo's notation
	handle       echo.HandlerFunc
	// action is what the token must allow in the room of the path. auth.None
	// stands for a route that needs no token; it may not lie under /v1.
	action auth.Action
	// query are the parameters that the route knows; any other is refused,
	// unless anyQuery, for clients that add their own.
	query    []string
	anyQuery bool
	// body are the media types that are taken; none: a body is not looked at.
	body []string
	// tokenInQuery accepts ?access_token=, for elements of a page that cannot
	// send a header.
	tokenInQuery bool
	// stream is a response without an end.
	stream bool
	// leaving requests are answered by the old half of a room that has moved, too.
	leaving bool
	// forwarded requests are judged by whoever they are passed on to.
	forwarded bool
}

var (
	paging   = []string{"page_size", "page_token"}
	jsonBody = []string{typeJSON}
	patch    = []string{typeMerge}
	offer    = []string{typeSDP}
)

const (
	roomPath         = "/v1/rooms/:room"
	participantPath  = roomPath + "/participants/:participant"
	recordingPath    = roomPath + "/recordings/:recording"
	announcementPath = roomPath + "/announcements/:announcement"
	forwarderPath    = roomPath + "/forwarders/:forwarder"
)

// routes is the whole API; HEAD goes with every GET, OPTIONS with every path.
func (s *Server) routes() []route {
	return slices.Concat(s.roomRoutes(), s.sessionRoutes(), s.outputRoutes(), s.nodeRoutes(), s.openRoutes(), s.webRoutes())
}

func (s *Server) roomRoutes() []route {
	return []route{
		{method: "GET", path: "/v1/rooms", handle: s.listRooms, action: auth.ListAll, query: append([]string{"tenant", "kind", "purpose", "state", "node"}, paging...)},
		{method: "POST", path: "/v1/rooms", handle: s.postRoom, action: auth.Create, body: jsonBody},
		{method: "PUT", path: roomPath, handle: s.putRoom, action: auth.Create, body: jsonBody},
		{method: "GET", path: roomPath, handle: s.getRoom, action: auth.Watch},
		{method: "PATCH", path: roomPath, handle: s.patchRoom, action: auth.Moderate, body: patch},
		{method: "DELETE", path: roomPath, handle: s.deleteRoom, action: auth.Moderate},
		{method: "GET", path: roomPath + "/layout", handle: s.getLayout, action: auth.Watch},
		{method: "PUT", path: roomPath + "/layout", handle: s.putLayout, action: auth.Moderate, body: jsonBody},
		{method: "POST", path: roomPath + "/layout/preview", handle: notImplemented, action: auth.Watch},
		{method: "GET", path: roomPath + "/snapshot.png", handle: s.snapshotPNG, action: auth.Watch, tokenInQuery: true},
		{method: "GET", path: roomPath + "/snapshot.jpg", handle: s.snapshotJPEG, action: auth.Watch, tokenInQuery: true},
	}
}

func (s *Server) sessionRoutes() []route {
	return []route{
		{method: "GET", path: roomPath + "/participants", handle: s.listParticipants, action: auth.Watch, query: paging},
		{method: "POST", path: roomPath + "/participants", handle: s.postParticipant, action: auth.Join, anyQuery: true, body: offer},
		{method: "GET", path: roomPath + "/whip", handle: s.getDoor, action: auth.Publish, anyQuery: true},
		{method: "POST", path: roomPath + "/whip", handle: s.postWHIP, action: auth.Publish, anyQuery: true, body: offer},
		{method: "GET", path: roomPath + "/whep", handle: s.getDoor, action: auth.Watch, anyQuery: true},
		{method: "POST", path: roomPath + "/whep", handle: s.postWHEP, action: auth.Watch, anyQuery: true, body: offer},
		{method: "GET", path: participantPath, handle: s.getParticipant, action: auth.OwnMedia, leaving: true},
		{method: "PATCH", path: participantPath, handle: s.patchParticipant, action: auth.OwnMedia, body: []string{typeMerge, typeFragment}, leaving: true},
		{method: "DELETE", path: participantPath, handle: s.deleteParticipant, action: auth.OwnMedia, leaving: true},
	}
}

func (s *Server) outputRoutes() []route {
	return []route{
		{method: "GET", path: roomPath + "/recordings", handle: s.listRecordings, action: auth.Moderate, query: paging},
		{method: "POST", path: roomPath + "/recordings", handle: s.postRecording, action: auth.Moderate, body: jsonBody},
		{method: "GET", path: recordingPath, handle: s.getRecording, action: auth.Moderate},
		{method: "PATCH", path: recordingPath, handle: s.patchRecording, action: auth.Moderate, body: patch},
		{method: "DELETE", path: recordingPath, handle: s.deleteRecording, action: auth.Moderate},
		{method: "GET", path: recordingPath + "/files/:file", handle: s.getFile, action: auth.Moderate, tokenInQuery: true, stream: true},
		{method: "GET", path: roomPath + "/live.webm", handle: s.getLive, action: auth.Watch, tokenInQuery: true, stream: true},
		{method: "GET", path: roomPath + "/forwarders", handle: s.listForwarders, action: auth.Moderate, query: paging},
		{method: "POST", path: roomPath + "/forwarders", handle: s.postForwarder, action: auth.Moderate, body: jsonBody},
		{method: "GET", path: forwarderPath, handle: s.getForwarder, action: auth.Moderate},
		{method: "DELETE", path: forwarderPath, handle: s.deleteForwarder, action: auth.Moderate},
		{method: "GET", path: forwarderPath + "/sdp", handle: s.getForwarderSDP, action: auth.Moderate},
		{method: "GET", path: roomPath + "/announcements", handle: s.listAnnouncements, action: auth.Moderate, query: paging},
		{method: "POST", path: roomPath + "/announcements", handle: s.postAnnouncement, action: auth.Moderate, query: []string{"gain_db", "loop"}, body: []string{typeJSON, typeOgg, typeWAV}},
		{method: "GET", path: announcementPath, handle: s.getAnnouncement, action: auth.Moderate},
		{method: "PATCH", path: announcementPath, handle: s.patchAnnouncement, action: auth.Moderate, body: patch},
		{method: "DELETE", path: announcementPath, handle: s.deleteAnnouncement, action: auth.Moderate},
		{method: "GET", path: roomPath + "/events", handle: s.roomEvents, action: auth.Watch, query: []string{"after"}, tokenInQuery: true, stream: true, leaving: true},
		{method: "GET", path: "/v1/events", handle: s.allEvents, action: auth.ListAll, query: []string{"after"}, tokenInQuery: true, stream: true},
	}
}

func (s *Server) nodeRoutes() []route {
	return []route{
		{method: "GET", path: "/v1/nodes", handle: s.listNodes, action: auth.Operate, query: paging},
		{method: "PATCH", path: "/v1/nodes/:node", handle: s.patchNode, action: auth.Operate, body: patch},
		{method: "GET", path: "/v1/route", handle: s.getRoute, action: auth.Operate, query: []string{"room", "tenant", "kind", "purpose"}},
		{method: "POST", path: "/v1/tokens", handle: s.postToken, action: auth.Operate, body: jsonBody},
	}
}

// openRoutes are those that take no token.
func (s *Server) openRoutes() []route {
	return []route{
		{method: "GET", path: "/healthz", handle: s.healthz, anyQuery: true},
		{method: "GET", path: "/readyz", handle: s.readyz, anyQuery: true},
		{method: "GET", path: "/metrics", handle: echo.WrapHandler(s.cfg.Metrics.Handler()), anyQuery: true},
		{method: "GET", path: "/openapi.yaml", handle: s.getOpenAPI, anyQuery: true},
	}
}

// notImplemented answers what the contract has and this version has not.
func notImplemented(c echo.Context) error {
	return refuse("not_implemented", "%s is not there yet", c.Path())
}

// register gives the routes to echo, each behind its guard.
func (s *Server) register(routes []route) {
	allow := map[string][]string{}
	accept := map[string][]string{}
	for _, r := range routes {
		if r.forwarded {
			s.forwarded[r.path] = true
			s.echo.Add(r.method, r.path, r.handle)
			continue
		}
		h := s.guard(r)
		s.echo.Add(r.method, r.path, h)
		allow[r.path] = append(allow[r.path], r.method)
		if endsInParameter(r.path, routes) { // else echo gives the parameter all the rest of a path
			s.echo.RouteNotFound(r.path+"/:rest", echo.NotFoundHandler)
		}
		if r.method == http.MethodGet {
			s.echo.HEAD(r.path, h)
			allow[r.path] = append(allow[r.path], http.MethodHead)
		}
		if r.method == http.MethodPost {
			accept[r.path] = r.body
		}
		if r.tokenInQuery {
			s.queryTokens[r.path] = true
		}
	}
	for at, methods := range allow {
		s.echo.OPTIONS(at, options(append(methods, http.MethodOptions), accept[at]))
	}
}

// endsInParameter reports whether a path ends in a parameter and no other goes
// on from there.
func endsInParameter(at string, routes []route) bool {
	return strings.HasPrefix(path.Base(at), ":") &&
		!slices.ContainsFunc(routes, func(r route) bool { return strings.HasPrefix(r.path, at+"/") })
}

// options answers what can be done with a path; to a browser's preflight, too
// (the middleware cors has set the rest). It tells nothing that is not public,
// so it takes no token (RFC 9725, section 4.2).
func options(allow, acceptPost []string) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderAllow, strings.Join(allow, ", "))
		if len(acceptPost) > 0 {
			h.Set("Accept-Post", strings.Join(acceptPost, ", "))
		}
		if h.Get(echo.HeaderAccessControlAllowOrigin) != "" {
			h.Set(echo.HeaderAccessControlAllowMethods, strings.Join(allow, ", "))
			h.Set(echo.HeaderAccessControlAllowHeaders, corsHeaders)
			h.Set(echo.HeaderAccessControlMaxAge, "7200")
		}
		h.Set(echo.HeaderContentLength, "0")
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
}
