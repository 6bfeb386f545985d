package api

import (
	"github.com/labstack/echo/v4"

	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/mixer/layout"
)

// tileResource is who is drawn where, in pixels of the canvas.
type tileResource struct {
	Participant string `json:"participant"`
	X           int    `json:"x"`
	Y           int    `json:"y"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Z           int    `json:"z"`
	Fit         string `json:"fit"`
}

// layoutResource is a layout with the tiles that it has now.
type layoutResource struct {
	layout.Layout
	Tiles []tileResource `json:"tiles"`
}

var fitNames = map[i420.Fit]string{i420.Cover: "cover", i420.Contain: "contain", i420.Fill: "fill"}

// answerLayout answers a room's layout. Its ETag is that of the settings, of
// which it is a part.
func (s *Server) answerLayout(c echo.Context, r *mixer.Room) error {
	_, version := r.Settings()
	l, tiles := r.Layout()
	res := layoutResource{l, make([]tileResource, 0, len(tiles))}
	for _, t := range tiles {
		res.Tiles = append(res.Tiles, tileResource{t.Seat, t.Rect.Min.X, t.Rect.Min.Y, t.Rect.Dx(), t.Rect.Dy(), t.Z, fitNames[t.Fit]})
	}
	c.Response().Header().Set("ETag", roomTag(r, version))
	return ok(c, res)
}

// getLayout answers GET /v1/rooms/{room}/layout.
func (s *Server) getLayout(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	return s.answerLayout(c, r)
}

// putLayout answers PUT /v1/rooms/{room}/layout. The tiles that GET answers may
// be sent back; they are passed over.
func (s *Server) putLayout(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	if err := planned(doc, "name"); err != nil {
		return err
	}
	delete(doc, "tiles")
	var l layout.Layout
	if err := decodeInto(doc, &l); err != nil {
		return err
	}
	if err := l.Validate(); err != nil {
		if f, ok := err.(*layout.FieldError); ok {
			return blame("invalid_field", f.Field, "%s %s", f.Field, f.Reason)
		}
		return err
	}
	version, err := expected(c, r)
	if err != nil {
		return err
	}
	err = r.Update(version, func(s mixer.Settings) (mixer.Settings, error) {
		s.Layout = l
		return s, nil
	})
	if err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	return s.answerLayout(c, r)
}
