package api

import (
	"bytes"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/mixer"
)

// guard lets only those requests through to a route's handler that it is meant
// for. The token is judged first, so that who has none learns nothing else.
func (s *Server) guard(r route) echo.HandlerFunc {
	known := slices.Clone(r.query)
	if r.tokenInQuery {
		known = append(known, tokenParam)
	}
	return func(c echo.Context) error {
		if r.stream {
			c.Set(streamKey, true)
		}
		if err := s.authorize(c, r.action); err != nil {
			return err
		}
		if err := checkIDs(c); err != nil {
			return err
		}
		if err := s.atHome(c, r); err != nil {
			return err
		}
		if !r.anyQuery {
			if err := checkQuery(c, known); err != nil {
				return err
			}
		}
		if r.body != nil {
			if err := s.checkBody(c, r); err != nil {
				return err
			}
		}
		return s.directed(c, r.handle(c))
	}
}

// authorize answers a Problem where the request's token does not allow the
// action in the room of its path.
func (s *Server) authorize(c echo.Context, a auth.Action) error {
	if !underV1(c.Request().URL.Path) {
		return nil
	}
	p, ok := c.Get(principalKey).(*principal)
	if !ok || a == auth.None {
		return refuse("forbidden", "the route is closed")
	}
	if !p.grant.Allows(a, c.Param("room")) {
		return refuse("forbidden", "the token's role or room does not allow this")
	}
	return nil
}

// checkIDs looks at the identifiers in the path.
func checkIDs(c echo.Context) error {
	for _, name := range c.ParamNames() {
		id := c.Param(name)
		if strings.Contains(id, "/") { // echo lets the last parameter take the rest of a path
			return refuse("not_found", "no such path")
		}
		if name == "file" { // the recorder generates the names and knows them all
			continue
		}
		if !mixer.ValidID(id) {
			return blame("invalid_id", name, "%s must match [A-Za-z0-9_-]{1,64}", name)
		}
	}
	return nil
}

// checkQuery refuses parameters that the route does not know, and those that
// come twice.
func checkQuery(c echo.Context, known []string) error {
	for name, values := range c.QueryParams() {
		if !slices.Contains(known, name) {
			return blame("invalid_query", name, "there is no query parameter %q here", name)
		}
		if len(values) > 1 {
			return blame("invalid_query", name, "%s is given more than once", name)
		}
	}
	return nil
}

// checkBody refuses a body of another media type, or one whose length is too
// large by its own words; reading it is bounded in any case.
func (s *Server) checkBody(c echo.Context, r route) error {
	req, limit := c.Request(), s.cfg.MaxBody
	if slices.Contains(r.body, mediaType(c)) {
		limit = s.bodyLimit(mediaType(c))
	}
	if req.ContentLength > limit {
		return refuse("body_too_large", "at most %d bytes are taken", limit)
	}
	if limit != s.cfg.MaxBody {
		ExtendUpload(c, s.cfg.WriteTimeout)
	}
	req.Body = http.MaxBytesReader(c.Response(), req.Body, limit)
	header := req.Header.Get(echo.HeaderContentType)
	if header == "" && req.ContentLength == 0 {
		return nil // the handler knows whether it can do without a body
	}
	got, _, err := mime.ParseMediaType(header)
	if err != nil || !slices.Contains(r.body, got) {
		name := "Accept"
		switch r.method {
		case http.MethodPost:
			name = "Accept-Post"
		case http.MethodPatch:
			name = "Accept-Patch" // RFC 5789, section 2.2
		}
		list := strings.Join(r.body, ", ")
		c.Response().Header().Set(name, list)
		return refuse("unsupported_media_type", "the body must be %s", list)
	}
	return nil
}

// readBody reads the body, which checkBody has bounded.
func readBody(c echo.Context) ([]byte, error) {
	var b bytes.Buffer
	if n := c.Request().ContentLength; n > 0 {
		b.Grow(int(n) + bytes.MinRead) // no more than checkBody takes
	}
	if _, err := b.ReadFrom(c.Request().Body); err != nil {
		if p := problemOf(err); p.Code == "body_too_large" {
			return nil, p
		}
		return nil, refuse("client_closed_request", "the body ended early")
	}
	return b.Bytes(), nil
}

// readDocument reads a JSON object. optional takes no body for an empty one.
func readDocument(c echo.Context, optional bool) (document, error) {
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	if optional && len(body) == 0 {
		return document{}, nil
	}
	return parseDocument(body)
}

// mediaType answers the media type of the body without its parameters.
func mediaType(c echo.Context) string {
	t, _, _ := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	return t
}
