package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// getLive answers GET /v1/rooms/{room}/live.webm: the mix, until the reader or
// the room goes. The status is sent with the first bytes, so that a stream that
// cannot begin is answered with a problem.
func (s *Server) getLive(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "video/webm")
	if c.Request().Method == http.MethodHead {
		c.Response().WriteHeader(http.StatusOK)
		return nil
	}
	ctx, cancel := s.streamContext(c)
	defer cancel()
	w := s.pieces(c)
	err = s.cfg.Live.Stream(ctx, r, w, w.Flush)
	switch {
	case ctx.Err() != nil && w.wrote:
		return nil
	case err != nil && w.wrote:
		s.log.Info("live stream ended", "room", r.ID(), "error", err)
		return nil
	case err != nil:
		h.Del(echo.HeaderContentType)
	}
	return err
}
