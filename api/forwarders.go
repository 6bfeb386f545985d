package api

import (
	"cmp"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/mixer"
)

// forwarderRequest is what POST takes.
type forwarderRequest struct {
	Host      string         `json:"host"`
	AudioPort int            `json:"audio_port"`
	VideoPort int            `json:"video_port"`
	Rendition string         `json:"rendition"`
	RTCPMux   bool           `json:"rtcp_mux"`
	SRTP      *forwarderKeys `json:"srtp"`
}

type forwarderKeys struct {
	Profile string `json:"profile"`
	Key     string `json:"key"`
}

// forwarderResource is a forwarder as the API shows it; its key it does not.
type forwarderResource struct {
	ID               string            `json:"id"`
	Host             string            `json:"host"`
	Address          string            `json:"address"`
	AudioPort        int               `json:"audio_port"`
	VideoPort        int               `json:"video_port"`
	Rendition        string            `json:"rendition"`
	RTCPMux          bool              `json:"rtcp_mux"`
	SRTP             *forwarderProfile `json:"srtp,omitempty"`
	State            string            `json:"state"`
	StartedAt        time.Time         `json:"started_at"`
	Packets          uint64            `json:"packets"`
	Bytes            uint64            `json:"bytes"`
	Dropped          uint64            `json:"dropped"`
	Refused          uint64            `json:"refused"`
	KeyFrameRequests uint64            `json:"key_frame_requests"`
	SDPURL           string            `json:"sdp_url"`
}

type forwarderProfile struct {
	Profile string `json:"profile"`
}

func forwarderURL(room, id string) string { return "/v1/rooms/" + room + "/forwarders/" + id }

func describeForwarder(room string, f Forwarder) forwarderResource {
	r := forwarderResource{
		ID: f.ID, Host: f.Host, Address: f.Address, AudioPort: f.AudioPort, VideoPort: f.VideoPort, Rendition: f.Rendition, RTCPMux: f.RTCPMux,
		State: f.State, StartedAt: f.StartedAt.UTC(), Packets: f.Packets, Bytes: f.Bytes, Dropped: f.Dropped, Refused: f.Refused,
		KeyFrameRequests: f.KeyFrameRequests, SDPURL: forwarderURL(room, f.ID) + "/sdp",
	}
	if f.Profile != "" {
		r.SRTP = &forwarderProfile{f.Profile}
	}
	return r
}

// bearer answers how the directory names who makes a request.
func (p *principal) bearer() string { return bearerName(p.hash) }

// bearerName answers how the directory names who has a token of that SHA-256: by the
// hash in hex, empty without a token.
func bearerName(hash [32]byte) string {
	if hash == [32]byte{} {
		return ""
	}
	return hex.EncodeToString(hash[:])
}

// postForwarder answers POST /v1/rooms/{room}/forwarders.
func (s *Server) postForwarder(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	var body forwarderRequest
	if err := decodeInto(doc, &body); err != nil {
		return err
	}
	settings, _ := r.Settings()
	if body.Rendition != "" && !slices.ContainsFunc(settings.Renditions, func(x mixer.Rendition) bool { return x.Name == body.Rendition }) {
		return blame("unknown_rendition", "rendition", "the room has no rendition %q", body.Rendition)
	}
	o := ForwarderOptions{
		Host: body.Host, AudioPort: body.AudioPort, VideoPort: body.VideoPort, Rendition: body.Rendition, RTCPMux: body.RTCPMux,
		Starter: caller(c).bearer(),
	}
	if body.SRTP != nil {
		if body.SRTP.Profile == "" { // nobody shall send plain by a slip
			return blame("invalid_field", "srtp.profile", "srtp.profile must be set")
		}
		o.Profile, o.Key = body.SRTP.Profile, body.SRTP.Key
	}
	f, err := s.cfg.Forwarders.Start(c.Request().Context(), r, o)
	if err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	c.Response().Header().Set(echo.HeaderLocation, forwarderURL(r.ID(), f.ID))
	return writeJSON(c, http.StatusCreated, typeJSON, describeForwarder(r.ID(), f))
}

// listForwarders answers GET /v1/rooms/{room}/forwarders.
func (s *Server) listForwarders(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	p, err := readPage(c)
	if err != nil {
		return err
	}
	list := []forwarderResource{}
	for _, f := range s.cfg.Forwarders.List(r.ID()) {
		list = append(list, describeForwarder(r.ID(), f))
	}
	cursor := func(f forwarderResource) string { return timeCursor(f.StartedAt, f.ID) }
	slices.SortFunc(list, func(a, b forwarderResource) int { return cmp.Compare(cursor(a), cursor(b)) })
	list, next := cut(p, list, cursor)
	return ok(c, struct {
		Forwarders []forwarderResource `json:"forwarders"`
		Next       string              `json:"next_page_token"`
	}{list, next})
}

// getForwarder answers GET of a forwarder.
func (s *Server) getForwarder(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	f, err := s.cfg.Forwarders.Get(r.ID(), c.Param("forwarder"))
	if err != nil {
		return err
	}
	return ok(c, describeForwarder(r.ID(), f))
}

// getForwarderSDP answers what a receiver needs to know. The key is in it for
// whoever gave it.
func (s *Server) getForwarderSDP(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	text, err := s.cfg.Forwarders.SDP(r.ID(), c.Param("forwarder"), caller(c).bearer())
	if err != nil {
		return err
	}
	return writeBody(c, http.StatusOK, typeSDP, []byte(text))
}

// deleteForwarder answers DELETE of a forwarder: nothing is sent after.
func (s *Server) deleteForwarder(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Forwarders.Stop(r.ID(), c.Param("forwarder")); err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	return c.NoContent(http.StatusNoContent)
}
