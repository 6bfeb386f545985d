package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// observe is the outermost middleware: it turns errors and panics into
// problems, and logs and counts every answer. Paths are logged without their
// query, headers not at all, so that no token gets into a log.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := s.cfg.Now()
		defer func() {
			cause := recover()
			begun := c.Response().Committed
			if cause != nil && cause != http.ErrAbortHandler {
				s.panicked(c, cause)
			}
			s.account(c, s.cfg.Now().Sub(began))
			if cause != nil && begun {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
		}()
		if err := next(c); err != nil {
			s.fail(err, c)
		}
		return nil
	}
}

// panicked counts and logs a panic and answers 500, where nothing was answered.
func (s *Server) panicked(c echo.Context, cause any) {
	s.cfg.Metrics.Panic()
	s.log.Error("request panicked", "method", c.Request().Method, "route", c.Path(), "panic", cause, "stack", string(debug.Stack()))
	s.fail(refuse("internal", "see the server's log"), c)
}

// account logs and counts an answered request.
func (s *Server) account(c echo.Context, took time.Duration) {
	req, res := c.Request(), c.Response()
	route := c.Path()
	if route == "" {
		route = "unmatched"
	}
	stream, _ := c.Get(streamKey).(bool)
	s.cfg.Metrics.Request(req.Method, route, res.Status, took, stream)
	level := slog.LevelDebug
	switch {
	case route == "/readyz": // it is asked until it says yes
	case res.Status == http.StatusBadGateway, res.Status == http.StatusServiceUnavailable:
		level = slog.LevelWarn // a node has died, or nobody takes more: no fault of this program
	case res.Status >= 500 && res.Status != http.StatusNotImplemented:
		level = slog.LevelError
	case req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != http.MethodOptions:
		level = slog.LevelInfo
	}
	s.log.Log(req.Context(), level, "request", "method", req.Method, "path", req.URL.Path, "route", route,
		"status", res.Status, "bytes", res.Size, "took", took, "remote", c.RealIP())
}

// fail answers an error as a problem. It is echo's HTTPErrorHandler, too.
func (s *Server) fail(err error, c echo.Context) {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		s.log.Error("request failed", "method", c.Request().Method, "route", c.Path(), "error", err)
	}
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	for _, name := range []string{"ETag", "Content-Disposition", "Last-Modified"} {
		h.Del(name) // set for the answer that is not given
	}
	h.Set(echo.HeaderCacheControl, "no-store")
	switch {
	case p.RetryAfter > 0:
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(p.RetryAfter))
	case p.Status == http.StatusServiceUnavailable:
		h.Set(echo.HeaderRetryAfter, retryAfter)
	}
	if p.Owner != "" {
		h.Set(headerOwner, p.Owner)
	}
	if err := writeJSON(c, p.Status, problemType, p); err != nil {
		s.log.Debug("answer not taken", "error", err)
	}
}

// corsHeaders are the request headers that a page of another origin may send.
const corsHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, Range"

// corsExposed are the response headers that it may read.
const corsExposed = "Location, ETag, Link, Retry-After, Accept-Patch, Accept-Post, Allow, WWW-Authenticate, Content-Disposition, Content-Range"

// cors lets pages of other origins use what lies under /v1. Credentials of the
// browser are never allowed, so any origin may be.
func (s *Server) cors(next echo.HandlerFunc) echo.HandlerFunc {
	anyOrigin := slices.Contains(s.cfg.Origins, "*")
	return func(c echo.Context) error {
		req := c.Request()
		if !underV1(req.URL.Path) {
			return next(c)
		}
		h := c.Response().Header()
		origin := req.Header.Get(echo.HeaderOrigin)
		switch {
		case anyOrigin:
			h.Set(echo.HeaderAccessControlAllowOrigin, "*")
		default:
			h.Add(echo.HeaderVary, echo.HeaderOrigin)
			if origin != "" && slices.Contains(s.cfg.Origins, origin) {
				h.Set(echo.HeaderAccessControlAllowOrigin, origin)
			}
		}
		if h.Get(echo.HeaderAccessControlAllowOrigin) != "" {
			h.Set(echo.HeaderAccessControlExposeHeaders, corsExposed)
		}
		return next(c)
	}
}

// harden sets the headers that keep a browser from doing more with an answer
// than it is meant for. What lies under /v1 is data and never a page.
func (s *Server) harden(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		h.Set(echo.HeaderReferrerPolicy, "no-referrer")
		if underV1(c.Request().URL.Path) {
			h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
			h.Set(echo.HeaderCacheControl, "no-store")
		} else {
			h.Set(echo.HeaderContentSecurityPolicy, s.cfg.WebPolicy)
			h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), autoplay=(self)")
		}
		return next(c)
	}
}
