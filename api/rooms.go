package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/mixer"
)

// roomResource is a room as the API shows it.
type roomResource struct {
	ID string `json:"id"`
	mixer.Settings
	State        string    `json:"state"` // active; draining with its node
	Node         string    `json:"node"`
	Participants int       `json:"participants"`
	CreatedAt    time.Time `json:"created_at"`
}

func (s *Server) resource(r *mixer.Room, settings mixer.Settings) roomResource {
	state := "active"
	if s.cfg.Rooms.Draining() {
		state = "draining"
	}
	return roomResource{
		ID: r.ID(), Settings: settings, State: state, Node: s.cfg.Node,
		Participants: r.Stats().Participants, CreatedAt: s.createdAt(r).UTC(),
	}
}

// roomTag is the ETag of a room's settings. A room that is made anew under the
// same identifier has other ones.
func roomTag(r *mixer.Room, version uint64) string {
	return fmt.Sprintf("%q", fmt.Sprintf("%x-%d", r.CreatedAt().UnixNano(), version))
}

func (s *Server) answerRoom(c echo.Context, status int, r *mixer.Room) error {
	settings, version := r.Settings()
	c.Response().Header().Set("ETag", roomTag(r, version))
	return writeJSON(c, status, typeJSON, s.resource(r, settings))
}

// listRooms answers GET /v1/rooms.
func (s *Server) listRooms(c echo.Context) error {
	p, err := readPage(c)
	if err != nil {
		return err
	}
	filter := func(name, value string) bool {
		return !c.QueryParams().Has(name) || c.QueryParam(name) == value
	}
	grant := caller(c).grant
	rooms := []roomResource{}
	for _, r := range s.cfg.Rooms.List() {
		if _, moved := s.host.movedTo(r.ID()); moved {
			continue // the other node lists it
		}
		if r.ID() <= p.after || !grant.Allows(auth.ListAll, r.ID()) {
			continue
		}
		settings, _ := r.Settings()
		if !seesTenant(grant, settings.Tenant) || !filter("tenant", settings.Tenant) ||
			!filter("kind", settings.Kind) || !filter("purpose", settings.Purpose) {
			continue
		}
		if res := s.resource(r, settings); filter("state", res.State) && filter("node", res.Node) {
			rooms = append(rooms, res)
		}
	}
	rooms, next := cut(p, rooms, func(r roomResource) string { return r.ID })
	return ok(c, struct {
		Rooms []roomResource `json:"rooms"`
		Next  string         `json:"next_page_token"`
	}{rooms, next})
}

// postRoom answers POST /v1/rooms: a room with an identifier of ours.
func (s *Server) postRoom(c echo.Context) error {
	if caller(c).grant.Room != auth.AllRooms {
		return refuse("forbidden", "the token is for one room; create it with PUT")
	}
	doc, err := readDocument(c, true)
	if err != nil {
		return err
	}
	if _, has := doc["id"]; has {
		return blame("invalid_field", "id", "the server chooses the id; PUT /v1/rooms/{room} creates one of your choice")
	}
	id := strings.ToLower(rand.Text())
	if given := told(c, headerRoom); given != "" {
		if id = given; !mixer.ValidID(id) {
			return blame("invalid_id", headerRoom, "%s must match [A-Za-z0-9_-]{1,64}", headerRoom)
		}
	}
	return s.createRoom(c, id, doc)
}

// putRoom answers PUT /v1/rooms/{room}: creates it, or replaces its settings.
func (s *Server) putRoom(c echo.Context) error {
	doc, err := readDocument(c, true)
	if err != nil {
		return err
	}
	id := c.Param("room")
	if given, has := doc["id"]; has && given != id {
		return blame("invalid_field", "id", "id must be the one in the path")
	}
	delete(doc, "id")
	r, err := s.room(c)
	switch {
	case err == nil:
		return s.changeRoom(c, r, doc, true)
	case errors.Is(err, mixer.ErrRoomNotFound):
		return s.createRoom(c, id, doc)
	}
	return err
}

// createRoom answers 201 with a new room.
func (s *Server) createRoom(c echo.Context, id string, doc document) error {
	req := c.Request()
	if err := checkPreconditions(req.Header.Get("If-Match"), "", ""); err != nil {
		return err
	}
	settings := mixer.DefaultSettings()
	settings.Tenant = caller(c).grant.Tenant
	settings, err := patchSettings(settings, doc)
	if err != nil {
		return err
	}
	if !seesTenant(caller(c).grant, settings.Tenant) {
		return blame("forbidden", "tenant", "the token is for another tenant")
	}
	r, err := s.create(req.Context(), id, settings, told(c, headerRule))
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/rooms/"+id)
	return s.answerRoom(c, http.StatusCreated, r)
}

// getRoom answers GET /v1/rooms/{room}.
func (s *Server) getRoom(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	return s.answerRoom(c, http.StatusOK, r)
}

// patchRoom answers PATCH /v1/rooms/{room}.
func (s *Server) patchRoom(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	if given, has := doc["id"]; has && given != r.ID() {
		return blame("invalid_field", "id", "id cannot be changed")
	}
	delete(doc, "id")
	return s.changeRoom(c, r, doc, false)
}

// changeRoom merges doc into the room's settings or, with replace, into the
// defaults.
func (s *Server) changeRoom(c echo.Context, r *mixer.Room, doc document, replace bool) error {
	version, err := expected(c, r)
	if err != nil {
		return err
	}
	err = r.Update(version, func(old mixer.Settings) (mixer.Settings, error) {
		from := old
		if replace {
			from = mixer.DefaultSettings()
			from.Tenant = old.Tenant
		}
		next, err := patchSettings(from, doc)
		if err == nil && next.Tenant != old.Tenant {
			err = blame("invalid_field", "tenant", "tenant cannot be changed")
		}
		return next, err
	})
	if err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	return s.answerRoom(c, http.StatusOK, r)
}

// expected answers the version of the room's settings that the request's
// preconditions name, 0 where it names none, or a Problem.
func expected(c echo.Context, r *mixer.Room) (uint64, error) {
	_, version := r.Settings()
	h := c.Request().Header
	if err := checkPreconditions(h.Get("If-Match"), h.Get("If-None-Match"), roomTag(r, version)); err != nil {
		return 0, err
	}
	if h.Get("If-Match") == "" {
		return 0, nil
	}
	return version, nil
}

// deleteRoom answers DELETE /v1/rooms/{room}: participants are told, recordings
// end complete.
func (s *Server) deleteRoom(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	if _, err := expected(c, r); err != nil {
		return err
	}
	r.Close("deleted")
	return done(c)
}
