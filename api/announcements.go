package api

import (
	"crypto/rand"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/mixer"
)

// The media types of a sound that is sent.
const (
	typeOgg = "audio/ogg"
	typeWAV = "audio/wav"
)

// The states of an announcement.
const (
	statePlaying = "playing"
	stateEnded   = "ended"
)

// announcementResource is an announcement as the API shows it.
type announcementResource struct {
	ID        string    `json:"id"`
	File      string    `json:"file"` // empty: it was sent
	State     string    `json:"state"`
	GainDB    float64   `json:"gain_db"`
	Loop      bool      `json:"loop"`
	StartedAt time.Time `json:"started_at"`
	PlayedMS  int64     `json:"played_ms"` // of all rounds
}

// announcementSettings is what of an announcement can be changed.
type announcementSettings struct {
	State  string  `json:"state"`
	GainDB float64 `json:"gain_db"`
	Loop   bool    `json:"loop"`
}

func describeAnnouncement(a *mixer.Announcement, state string) announcementResource {
	i := a.Info()
	return announcementResource{i.ID, i.File, state, i.GainDB, i.Loop, i.StartedAt.UTC(), i.Played.Milliseconds()}
}

// postAnnouncement answers POST /v1/rooms/{room}/announcements: a file of the
// folder by its name, or a sound as the body.
func (s *Server) postAnnouncement(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	read := s.namedSound
	if isSound(mediaType(c)) {
		read = s.sentSound
	}
	cfg, err := read(c)
	if err != nil {
		return err
	}
	cfg.ID = strings.ToLower(rand.Text())
	a, err := r.Announce(cfg)
	if err != nil {
		cfg.Source.Close()
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/rooms/"+r.ID()+"/announcements/"+cfg.ID)
	return writeJSON(c, http.StatusCreated, typeJSON, describeAnnouncement(a, statePlaying))
}

// namedSound reads a request that names a file of the folder.
func (s *Server) namedSound(c echo.Context) (cfg mixer.AnnounceConfig, err error) {
	for name := range c.QueryParams() {
		return cfg, blame("invalid_query", name, "%s belongs into the body, which is JSON", name)
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return cfg, err
	}
	var body struct {
		File   string  `json:"file"`
		GainDB float64 `json:"gain_db"`
		Loop   bool    `json:"loop"`
	}
	if err := decodeInto(doc, &body); err != nil {
		return cfg, err
	}
	if body.File == "" {
		return cfg, blame("invalid_field", "file", "file must name a file; a sound can be sent as %s or %s", typeOgg, typeWAV)
	}
	if err := mixer.CheckGain("gain_db", body.GainDB); err != nil {
		return cfg, err
	}
	source, err := s.cfg.Sounds.File(body.File)
	if err != nil {
		p := problemOf(err)
		if p.Status == http.StatusInternalServerError {
			return cfg, err
		}
		p.Field = "file"
		return cfg, p
	}
	return mixer.AnnounceConfig{File: body.File, Source: source, GainDB: body.GainDB, Loop: body.Loop}, nil
}

// sentSound reads a request whose body is the sound. Few of them are held in
// memory at once.
func (s *Server) sentSound(c echo.Context) (cfg mixer.AnnounceConfig, err error) {
	if cfg, err = readSoundQuery(c); err != nil {
		return cfg, err
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		return cfg, refuse("overloaded", "too many sounds are being sent; try again")
	}
	body, err := readBody(c)
	if err != nil {
		return cfg, err
	}
	if len(body) == 0 {
		return cfg, refuse("missing_body", "a sound is expected")
	}
	cfg.Source, err = s.cfg.Sounds.Sound(body)
	return cfg, err
}

// readSoundQuery reads gain_db and loop.
func readSoundQuery(c echo.Context) (cfg mixer.AnnounceConfig, err error) {
	if text := c.QueryParam("gain_db"); text != "" {
		cfg.GainDB, err = strconv.ParseFloat(text, 64)
		if err != nil || mixer.CheckGain("gain_db", cfg.GainDB) != nil {
			return cfg, blame("invalid_query", "gain_db", "gain_db must be %v to %v", mixer.MinGainDB, mixer.MaxGainDB)
		}
	}
	switch c.QueryParam("loop") {
	case "", "false":
	case "true":
		cfg.Loop = true
	default:
		return cfg, blame("invalid_query", "loop", "loop must be true or false")
	}
	return cfg, nil
}

// listAnnouncements answers GET /v1/rooms/{room}/announcements, those that play.
func (s *Server) listAnnouncements(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	p, err := readPage(c)
	if err != nil {
		return err
	}
	list := []announcementResource{}
	for _, a := range r.Announcements() {
		list = append(list, describeAnnouncement(a, statePlaying))
	}
	list, next := cut(p, list, func(a announcementResource) string { return timeCursor(a.StartedAt, a.ID) })
	return ok(c, struct {
		Announcements []announcementResource `json:"announcements"`
		Next          string                 `json:"next_page_token"`
	}{list, next})
}

// announcement answers the announcement of the path, which plays.
func (s *Server) announcement(c echo.Context) (*mixer.Announcement, error) {
	r, err := s.room(c)
	if err != nil {
		return nil, err
	}
	return r.Announcement(c.Param("announcement"))
}

// getAnnouncement answers GET of an announcement.
func (s *Server) getAnnouncement(c echo.Context) error {
	a, err := s.announcement(c)
	if err != nil {
		return err
	}
	return ok(c, describeAnnouncement(a, statePlaying))
}

// patchAnnouncement answers PATCH of an announcement: its gain and whether it
// loops, or its end. Null brings back what is the default.
func (s *Server) patchAnnouncement(c echo.Context) error {
	a, err := s.announcement(c)
	if err != nil {
		return err
	}
	patch, err := readDocument(c, false)
	if err != nil {
		return err
	}
	if err := conform(patch, reflect.TypeFor[announcementSettings](), ""); err != nil {
		return err
	}
	i := a.Info()
	doc := mergePatch(toDocument(announcementSettings{statePlaying, i.GainDB, i.Loop}), patch)
	fill(doc, toDocument(announcementSettings{State: statePlaying}))
	var next announcementSettings
	if err := decodeInto(doc, &next); err != nil {
		return err
	}
	if next.State != statePlaying && next.State != stateEnded {
		return blame("invalid_field", "state", "state must be playing or ended")
	}
	if touches(patch, "gain_db") {
		if err := a.SetGain(next.GainDB); err != nil {
			return err
		}
	}
	if touches(patch, "loop") {
		a.SetLoop(next.Loop)
	}
	if next.State == stateEnded {
		a.Stop()
	}
	return ok(c, describeAnnouncement(a, next.State))
}

// deleteAnnouncement answers DELETE of an announcement: it ends within 20 ms.
func (s *Server) deleteAnnouncement(c echo.Context) error {
	a, err := s.announcement(c)
	if err != nil {
		return err
	}
	a.Stop()
	return c.NoContent(http.StatusNoContent)
}
