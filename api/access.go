package api

import (
	"crypto/sha256"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/mixer"
)

// principal is who makes a request.
type principal struct {
	grant auth.Grant
	hash  [sha256.Size]byte // of the token; of nothing without one
}

// What the middlewares leave in a request's context.
const (
	principalKey = "tutti.principal" // *principal
	streamKey    = "tutti.stream"    // bool: the response has no end
)

// tokenParam carries a token where no header can be sent.
const tokenParam = "access_token"

// underV1 reports whether a path belongs to the part that needs tokens.
func underV1(path string) bool { return path == "/v1" || strings.HasPrefix(path, "/v1/") }

// authenticate finds out who asks, for everything under /v1 but OPTIONS:
// unknown paths as well, so that they tell nothing to strangers.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		if !underV1(req.URL.Path) || req.Method == http.MethodOptions || s.forwarded[c.Path()] {
			return next(c)
		}
		p, err := s.identify(c)
		if err != nil {
			problem := problemOf(err)
			challenge := `Bearer realm="tutti"`
			if problem.Code == "invalid_token" { // RFC 6750, section 3
				challenge += `, error="invalid_token"`
			}
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
			return err
		}
		c.Set(principalKey, p)
		return next(c)
	}
}

// identify answers who asks, or a Problem.
func (s *Server) identify(c echo.Context) (*principal, error) {
	token := s.bearer(c)
	if token == "" || s.cfg.Auth == nil {
		if s.cfg.Dev && local(c.Request()) {
			return &principal{grant: auth.Grant{Room: auth.AllRooms, Role: auth.Admin}}, nil
		}
		if token == "" || s.cfg.Auth == nil {
			return nil, refuse("token_required", "send Authorization: Bearer with a token")
		}
	}
	grant, err := s.cfg.Auth.Verify(token, s.cfg.Now())
	if err != nil {
		return nil, unauthorized(err)
	}
	return &principal{grant, sha256.Sum256([]byte(token))}, nil
}

// bearer answers the token of a request, or "". The scheme's name has no case
// (RFC 9110, section 11.1).
func (s *Server) bearer(c echo.Context) string {
	scheme, token, ok := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if m := c.Request().Method; (m == http.MethodGet || m == http.MethodHead) && s.queryTokens[c.Path()] {
		return c.QueryParam(tokenParam)
	}
	return ""
}

// local reports whether a request comes from this machine and was meant for
// it: from its own address, under its own name (so that a name that somebody
// binds to 127.0.0.1 is of no use), and not from another site's page.
func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !loopback(host) || !loopback(hostname(r.Host)) {
		return false
	}
	if origin := r.Header.Get(echo.HeaderOrigin); origin != "" {
		u, err := url.Parse(origin)
		return err == nil && loopback(u.Hostname())
	}
	return r.Header.Get("Sec-Fetch-Site") != "cross-site" || r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// hostname cuts the port off a Host header.
func hostname(host string) string {
	u := url.URL{Host: host}
	return u.Hostname()
}

// caller answers who makes a request that passed the guard.
func caller(c echo.Context) *principal { return c.Get(principalKey).(*principal) }

// room answers the room of the path, where it exists for the caller: the rooms
// of other tenants do not.
func (s *Server) room(c echo.Context) (*mixer.Room, error) {
	r, err := s.cfg.Rooms.Get(c.Param("room"))
	if err != nil {
		return nil, s.elsewhere(c.Param("room"), err)
	}
	if !seesTenant(caller(c).grant, tenantOf(r)) {
		return nil, mixer.ErrRoomNotFound
	}
	return r, nil
}

func tenantOf(r *mixer.Room) string {
	settings, _ := r.Settings()
	return settings.Tenant
}

// seesTenant reports whether what belongs to a tenant exists for a grant.
func seesTenant(g auth.Grant, tenant string) bool { return g.Tenant == "" || g.Tenant == tenant }
