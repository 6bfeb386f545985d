package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tutti/api/cluster"
	"tutti/mixer"
)

// What a router says in the headers of a request that it passes on to a node.
// Without the key of the cluster nothing of it is believed.
const (
	headerKey           = "Tutti-Cluster-Key"
	headerEpoch         = "Tutti-Epoch" // of the room, as the router knows it
	headerRoom          = "Tutti-Room"  // the identifier of a room that is made by POST
	headerRule          = "Tutti-Rule"  // that places the room, if the request makes it
	headerForwardedFor  = "X-Forwarded-For"
	headerForwardedHost = "X-Forwarded-Host"
	// headerOwner is said by a node: which one has the room.
	headerOwner = "Tutti-Owner"
)

// memberKey in a request's context: a member of the cluster passed it on.
const memberKey = "tutti.member"

// trust is the first of all middlewares: it takes a request that a router passed
// on for what its client sent, and from any other what only a router may say.
func (s *Server) trust(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.cfg.Cluster == nil {
			return next(c)
		}
		req := c.Request()
		if !s.fromMember(req) {
			for _, name := range []string{headerKey, headerEpoch, headerRoom, headerRule, headerForwardedFor, headerForwardedHost} {
				req.Header.Del(name)
			}
			return next(c)
		}
		c.Set(memberKey, true)
		req.Header.Del(headerKey)
		list := strings.Split(req.Header.Get(headerForwardedFor), ",")
		if ip := net.ParseIP(strings.TrimSpace(list[len(list)-1])); ip != nil {
			req.RemoteAddr = net.JoinHostPort(ip.String(), "0")
		}
		if host := req.Header.Get(headerForwardedHost); host != "" {
			req.Host = host
		}
		return next(c)
	}
}

// fromMember reports whether a request carries the key of the cluster.
func (s *Server) fromMember(req *http.Request) bool {
	given, has := req.Header[headerKey]
	if !has || len(given) != 1 {
		return false
	}
	if s.cfg.ClusterKey == "" {
		host, _, err := net.SplitHostPort(req.RemoteAddr)
		return s.cfg.Dev && err == nil && loopback(host) && given[0] == ""
	}
	a, b := sha256.Sum256([]byte(given[0])), sha256.Sum256([]byte(s.cfg.ClusterKey))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// told answers a header of a request that a member passed on, or "".
func told(c echo.Context, header string) string {
	if member, _ := c.Get(memberKey).(bool); !member {
		return ""
	}
	return c.Request().Header.Get(header)
}

// atHome answers a Problem where the room of the path is another node's, or is
// here in another epoch than the router believes. A room that has moved answers
// its sessions still, until they have left.
func (s *Server) atHome(c echo.Context, r route) error {
	id := c.Param("room")
	if s.cfg.Cluster == nil || id == "" {
		return nil
	}
	if to, moved := s.host.movedTo(id); moved {
		if r.leaving {
			return nil
		}
		return misdirected(id, to)
	}
	text := told(c, headerEpoch)
	if text == "" {
		return nil
	}
	epoch, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return blame("invalid_field", headerEpoch, "%s must be a number", headerEpoch)
	}
	if own, owns := s.cfg.Cluster.Epoch(id); owns && own != cluster.Epoch(epoch) {
		return refuse("stale_epoch", "the room's epoch is %d", own)
	}
	return nil
}

// elsewhere answers a Problem where, by the directory, another node has a room
// that is not here; else err.
func (s *Server) elsewhere(id string, err error) error {
	if s.cfg.Cluster == nil || id == "" {
		return err
	}
	if o, known := s.cfg.Cluster.Owner(id); known && o.Node != s.cfg.Node {
		return misdirected(id, o.Node)
	}
	return err
}

func misdirected(id, node string) *Problem {
	p := refuse("misdirected", "the room %s is on %s", id, node)
	p.Owner = node
	return p
}

// directed turns the end of a room, and a recording that is not here, into a
// Problem that says where the room is.
func (s *Server) directed(c echo.Context, err error) error {
	if err == nil || s.cfg.Cluster == nil {
		return err
	}
	switch problemOf(err).Code {
	case mixer.ErrRoomClosed.Code(), "recording_not_found":
		return s.elsewhere(c.Param("room"), err)
	}
	return err
}
