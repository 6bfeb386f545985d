package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/api/events"
	"tutti/mixer"
)

// typeEvents is the media type of server-sent events (WHATWG HTML, 9.2).
const typeEvents = "text/event-stream"

// roomEvents answers GET /v1/rooms/{room}/events. The room may have finished a
// short while ago; what is kept of it is sent then, and the stream ends.
func (s *Server) roomEvents(c echo.Context) error {
	after, err := resumeAfter(c)
	if err != nil {
		return err
	}
	if _, err := s.room(c); err != nil && (!errors.Is(err, mixer.ErrRoomNotFound) || !s.formerly(c)) {
		return err
	}
	r := s.cfg.Events.Room(c.Param("room"), after)
	if r == nil {
		return mixer.ErrRoomNotFound
	}
	defer r.Close()
	return s.sendEvents(c, r, func(e *events.Entry) (uint64, bool) {
		return e.Seq, seesTenant(caller(c).grant, e.Event.Tenant)
	})
}

// formerly reports whether the room of the path has finished and its events
// can still be read by the caller.
func (s *Server) formerly(c echo.Context) bool {
	room, grant := c.Param("room"), caller(c).grant
	if _, finished := s.cfg.Events.Known(room); !finished {
		return false
	}
	r := s.cfg.Events.Room(room, 0)
	if r == nil {
		return false
	}
	defer r.Close()
	kept, _ := r.Poll()
	return slices.ContainsFunc(kept, func(e *events.Entry) bool { return seesTenant(grant, e.Event.Tenant) })
}

// allEvents answers GET /v1/events: those of all rooms that the caller sees.
// Without Last-Event-ID it begins with what happens next.
func (s *Server) allEvents(c echo.Context) error {
	after, err := resumeAfter(c)
	if err != nil {
		return err
	}
	if c.Request().Header.Get(lastEventID) == "" && !c.QueryParams().Has("after") {
		after = s.cfg.Events.Last()
	}
	c.Response().Header().Set("Tutti-Event", strconv.FormatUint(after, 10)) // from where a router goes on when the stream breaks
	r := s.cfg.Events.All(after)
	defer r.Close()
	grant := caller(c).grant
	return s.sendEvents(c, r, func(e *events.Entry) (uint64, bool) {
		return e.Total, seesTenant(grant, e.Event.Tenant) && grant.Allows(auth.ListAll, e.Event.Room)
	})
}

const lastEventID = "Last-Event-ID"

// resumeAfter answers the number that the reader has seen last. What browsers
// send by themselves goes before what stands in the address.
func resumeAfter(c echo.Context) (uint64, error) {
	if text := c.Request().Header.Get(lastEventID); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, blame("invalid_field", lastEventID, "Last-Event-ID must be the id of an event")
		}
		return n, nil
	}
	if !c.QueryParams().Has("after") {
		return 0, nil
	}
	n, err := strconv.ParseUint(c.QueryParam("after"), 10, 64)
	if err != nil {
		return 0, blame("invalid_query", "after", "after must be the id of an event")
	}
	return n, nil
}

// sendEvents sends what a reader reads, until it or the client ends. show
// answers an event's id in this stream and whether the client sees it.
func (s *Server) sendEvents(c echo.Context, r *events.Reader, show func(*events.Entry) (uint64, bool)) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, typeEvents)
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events back
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	ctx, cancel := s.streamContext(c)
	defer cancel()
	w := s.pieces(c)
	if _, err := fmt.Fprintf(w, "retry: 1000\n\n"); err != nil {
		return nil
	}
	w.Flush()
	err := s.pump(ctx, w, r, show)
	if errors.Is(err, events.ErrSlow) {
		s.log.Info("reader of events cut: too slow", "route", c.Path(), "remote", c.RealIP())
	}
	return nil
}

// pump writes events and, where there are none, heartbeats.
func (s *Server) pump(ctx context.Context, w *pieceWriter, r *events.Reader, show func(*events.Entry) (uint64, bool)) error {
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	for {
		batch, err := r.Poll()
		if err != nil {
			return err
		}
		for _, e := range batch {
			if id, visible := show(e); visible {
				if err := writeEvent(w, id, e); err != nil {
					return err
				}
			}
		}
		if len(batch) > 0 {
			w.Flush()
			continue
		}
		select {
		case <-r.Woken():
		case <-beat.C:
			if _, err := io.WriteString(w, ": alive\n\n"); err != nil {
				return err
			}
			w.Flush()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeEvent writes one event; JSON has no line breaks.
func writeEvent(w io.Writer, id uint64, e *events.Entry) error {
	_, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", id, e.Event.Type, e.JSON)
	return err
}
