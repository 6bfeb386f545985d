package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"tutti/api/cluster"
	"tutti/mixer"
)

// The three doors make one kind of session; they differ in what it sends and
// receives.

// postParticipant answers POST /v1/rooms/{room}/participants.
func (s *Server) postParticipant(c echo.Context) error { return s.openSession(c, mixer.Both) }

// postWHIP answers POST /v1/rooms/{room}/whip (RFC 9725, section 4.2).
func (s *Server) postWHIP(c echo.Context) error { return s.openSession(c, mixer.Publisher) }

// postWHEP answers POST /v1/rooms/{room}/whep (draft-ietf-wish-whep).
func (s *Server) postWHEP(c echo.Context) error { return s.openSession(c, mixer.Viewer) }

// getDoor answers GET and HEAD of the WHIP and WHEP doors: a success without
// content, from which a client learns that it is one.
func (s *Server) getDoor(c echo.Context) error {
	if _, err := s.room(c); err != nil && !(s.cfg.AutoCreate && errors.Is(err, mixer.ErrRoomNotFound)) {
		return err
	}
	c.Response().Header().Set("Accept-Post", typeSDP)
	if c.Request().Method == http.MethodHead {
		c.Response().Header().Set(echo.HeaderContentType, typeSDP)
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
	return c.NoContent(http.StatusNoContent)
}

// openSession answers an offer: 201 with the answer, the session's Location
// and the ETag of its ICE session.
func (s *Server) openSession(c echo.Context, role mixer.Role) error {
	name, err := joinName(c)
	if err != nil {
		return err
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(body, []byte("v=0")) { // RFC 8866, section 5.1
		return refuse("invalid_sdp", "the body is no SDP")
	}
	req := SessionRequest{ID: newSessionID(), Name: name, Role: role, Offer: string(body)}
	was, resumes := s.host.resumed(c.Param("room"), c.QueryParam("resumes"), caller(c))
	if resumes {
		req.Name = was.Name
	}
	room, session, err := s.admit(c, req)
	if err != nil {
		return err
	}
	if resumes {
		s.resume(room, req.ID, was)
	}
	s.owners.add(sessionKey{room, req.ID}, caller(c), s.sessionEnded)
	h := c.Response().Header()
	h.Set(echo.HeaderLocation, "/v1/rooms/"+room+"/participants/"+req.ID)
	h.Set("ETag", session.ETag())
	h.Set("Accept-Patch", typeFragment+", "+typeMerge)
	return writeBody(c, http.StatusCreated, typeSDP, []byte(session.Answer()))
}

// resume gives a session what its person had in a former one, before its media
// flow.
func (s *Server) resume(room, id string, was cluster.Attributes) {
	r, err := s.cfg.Rooms.Get(room)
	if err != nil {
		return // closed meanwhile
	}
	p, err := r.Participant(id)
	if err != nil {
		return
	}
	patch := mixer.ParticipantPatch{AudioMuted: &was.AudioMuted, Deafened: &was.Deafened, VideoMuted: &was.VideoMuted, GainDB: &was.GainDB}
	if err := p.Update(0, patch); err != nil {
		s.log.Warn("session not resumed", "room", room, "participant", id, "error", err)
	}
}

// admit opens the session in the room of the path. A room that is made for it,
// or that closes just then, is made anew once.
func (s *Server) admit(c echo.Context, req SessionRequest) (room string, session Session, err error) {
	for range 2 {
		r, made, err := s.roomToJoin(c)
		if err != nil {
			return "", nil, err
		}
		session, err := s.cfg.Gateway.Open(c.Request().Context(), r, req)
		if err == nil {
			return r.ID(), session, nil
		}
		if made && len(r.Participants()) == 0 {
			r.Close("not joined") // a bad offer leaves no room behind
		}
		if made || !s.cfg.AutoCreate || !errors.Is(err, mixer.ErrRoomClosed) {
			return "", nil, err
		}
	}
	return "", nil, mixer.ErrRoomClosed
}

// roomToJoin answers the room of the path, made where that is allowed.
func (s *Server) roomToJoin(c echo.Context) (r *mixer.Room, made bool, err error) {
	r, err = s.room(c)
	if !s.cfg.AutoCreate || !errors.Is(err, mixer.ErrRoomNotFound) {
		return r, false, err
	}
	settings := mixer.DefaultSettings()
	settings.Tenant = caller(c).grant.Tenant
	r, err = s.create(c.Request().Context(), c.Param("room"), settings, told(c, headerRule))
	if errors.Is(err, mixer.ErrRoomExists) { // somebody else was faster, or it is another tenant's
		r, err = s.room(c)
		return r, false, err
	}
	return r, err == nil, err
}

// newSessionID answers 128 random bits, which nobody guesses (RFC 9725,
// section 5).
func newSessionID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// joinName answers the name that a joiner is shown under: the token's, or that
// of the query.
func joinName(c echo.Context) (string, error) {
	name := c.QueryParam("name")
	if err := mixer.ValidName(name); err != nil {
		var f *mixer.FieldError
		if errors.As(err, &f) {
			return "", blame("invalid_query", "name", "name %s", f.Reason)
		}
		return "", err
	}
	if given := caller(c).grant.Name; given != "" {
		return given, nil
	}
	return name, nil
}

// sessionEnded reports whether a participant has left.
func (s *Server) sessionEnded(k sessionKey) bool {
	r, err := s.cfg.Rooms.Get(k.room)
	if err != nil {
		return true
	}
	_, err = r.Participant(k.participant)
	return err != nil
}

// patchSession answers PATCH with an SDP fragment (RFC 9725, section 4.3): new
// candidates under the tag of the ICE session, or with If-Match: * its restart.
func (s *Server) patchSession(c echo.Context, r *mixer.Room, p *mixer.Participant) error {
	session, live := s.cfg.Gateway.Session(r.ID(), p.ID())
	if !live {
		return mixer.ErrParticipantNotFound
	}
	match := c.Request().Header.Get("If-Match")
	if match == "" {
		return refuse("precondition_required", "send If-Match with the ETag of the ICE session, or * to restart it")
	}
	if !tagMatches(match, session.ETag()) {
		return refuse("precondition_failed", "If-Match does not name the present ICE session")
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return refuse("missing_body", "an SDP fragment is expected")
	}
	if match != "*" {
		if err := session.Trickle(string(body)); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
	answer, err := session.Restart(string(body))
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", session.ETag())
	return writeBody(c, http.StatusOK, typeFragment, []byte(answer))
}
