package api

import (
	"mime"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/mixer"
)

// recordingFormats are those of the contract, some of which are not there yet.
var recordingFormats = []string{"webm", "mkv", "mp4", "ogg"}

// errNoRecording is what a caller is told of recordings that it may not see.
func errNoRecording() error { return refuse("recording_not_found", "no such recording") }

// listRecordings answers GET /v1/rooms/{room}/recordings; they outlive the room.
func (s *Server) listRecordings(c echo.Context) error {
	p, err := readPage(c)
	if err != nil {
		return err
	}
	grant := caller(c).grant
	list := []Recording{}
	for _, r := range s.cfg.Recordings.List(c.Param("room")) {
		if seesTenant(grant, r.Tenant) {
			list = append(list, whole(r))
		}
	}
	if len(list) == 0 { // a room that never was has no recordings either
		if _, err := s.room(c); err != nil {
			return err
		}
	}
	slices.SortFunc(list, func(a, b Recording) int {
		return slices.Compare([]byte(recordingCursor(a)), []byte(recordingCursor(b)))
	})
	list, next := cut(p, list, recordingCursor)
	return ok(c, struct {
		Recordings []Recording `json:"recordings"`
		Next       string      `json:"next_page_token"`
	}{list, next})
}

// recordingCursor orders recordings by when they began.
func recordingCursor(r Recording) string {
	return r.StartedAt.UTC().Format(time.RFC3339Nano) + "/" + r.ID
}

// whole answers a recording whose lists are lists, even where empty.
func whole(r Recording) Recording {
	if r.Files == nil {
		r.Files = []RecordingFile{}
	}
	if r.Gaps == nil {
		r.Gaps = []RecordingGap{}
	}
	return r
}

// postRecording answers POST /v1/rooms/{room}/recordings.
func (s *Server) postRecording(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	doc, err := readDocument(c, true)
	if err != nil {
		return err
	}
	o := RecordingOptions{Format: "webm"}
	if err := decodeInto(doc, &o); err != nil {
		return err
	}
	if err := checkOptions(r, o); err != nil {
		return err
	}
	rec, err := s.cfg.Recordings.Start(c.Request().Context(), r, o)
	if err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	c.Response().Header().Set(echo.HeaderLocation, "/v1/rooms/"+r.ID()+"/recordings/"+rec.ID)
	return writeJSON(c, http.StatusCreated, typeJSON, whole(rec))
}

func checkOptions(r *mixer.Room, o RecordingOptions) error {
	settings, _ := r.Settings()
	named := func(x mixer.Rendition) bool { return x.Name == o.Rendition }
	switch {
	case !slices.Contains(recordingFormats, o.Format):
		return blame("invalid_field", "format", "format must be webm, mkv, mp4 or ogg")
	case o.Format == "mp4" || o.Format == "ogg":
		return blame("unsupported_format", "format", "the format %q is not there yet", o.Format)
	case o.Rendition != "" && !slices.ContainsFunc(settings.Renditions, named):
		return blame("unknown_rendition", "rendition", "the room has no rendition %q", o.Rendition)
	case o.SegmentS < 0 || o.SegmentS > 86400:
		return blame("invalid_field", "segment_s", "segment_s must be 0 to 86400")
	}
	return nil
}

// recording answers the recording of the path, where the caller may see it.
func (s *Server) recording(c echo.Context) (Recording, error) {
	r, err := s.cfg.Recordings.Get(c.Param("room"), c.Param("recording"))
	if err != nil {
		return r, err
	}
	if !seesTenant(caller(c).grant, r.Tenant) {
		return r, errNoRecording()
	}
	return whole(r), nil
}

// getRecording answers GET of a recording.
func (s *Server) getRecording(c echo.Context) error {
	r, err := s.recording(c)
	if err != nil {
		return err
	}
	return ok(c, r)
}

// patchRecording answers PATCH of a recording's state.
func (s *Server) patchRecording(c echo.Context) error {
	r, err := s.recording(c)
	if err != nil {
		return err
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	var body struct {
		State string `json:"state"`
	}
	if err := decodeInto(doc, &body); err != nil {
		return err
	}
	switch body.State {
	case "paused", "active", "ending":
	default:
		return blame("invalid_field", "state", "state must be paused, active or ending")
	}
	r, err = s.cfg.Recordings.SetState(c.Request().Context(), r.Room, r.ID, body.State)
	if err != nil {
		return err
	}
	s.save(c.Request().Context(), r.Room)
	return ok(c, whole(r))
}

// deleteRecording answers DELETE of a recording that has ended.
func (s *Server) deleteRecording(c echo.Context) error {
	r, err := s.recording(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Recordings.Delete(r.Room, r.ID); err != nil {
		return err
	}
	return done(c)
}

// getFile answers GET of a recording's file, whole or in ranges (RFC 9110,
// section 14).
func (s *Server) getFile(c echo.Context) error {
	r, err := s.recording(c)
	if err != nil {
		return err
	}
	name := c.Param("file")
	if !slices.ContainsFunc(r.Files, func(f RecordingFile) bool { return f.Name == name }) {
		return refuse("file_not_found", "the recording has no such file")
	}
	f, err := s.cfg.Recordings.Open(r.Room, r.ID, name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, mediaTypeOf(name))
	h.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": r.Room + "-" + name}))
	w := s.pieces(c)
	defer w.lift()
	http.ServeContent(w, c.Request(), name, modified(r), f)
	return nil
}

// modified answers when a file was last written, for If-Range; unknown while
// it grows.
func modified(r Recording) time.Time {
	if r.EndedAt == nil {
		return time.Time{}
	}
	return *r.EndedAt
}

func mediaTypeOf(name string) string {
	switch path.Ext(name) {
	case ".webm":
		return "video/webm"
	case ".mkv":
		return "video/x-matroska"
	case ".mp4":
		return "video/mp4"
	case ".ogg":
		return "audio/ogg"
	case ".json":
		return typeJSON
	}
	return echo.MIMEOctetStream
}
