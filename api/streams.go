package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// pieceWriter writes a long response: each piece has the write timeout for
// itself, so that a response may last as long as its reader goes on reading,
// and one that does not is cut.
type pieceWriter struct {
	*echo.Response
	control *http.ResponseController
	timeout time.Duration
	wrote   bool
}

// pieces answers the writer of a long response. A server that knows no deadlines, as in a test, has none.
func (s *Server) pieces(c echo.Context) *pieceWriter {
	w := &pieceWriter{Response: c.Response(), control: http.NewResponseController(c.Response().Writer), timeout: s.cfg.WriteTimeout}
	w.arm()
	return w
}

func (w *pieceWriter) arm() { _ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) }

// Write implements io.Writer.
func (w *pieceWriter) Write(b []byte) (int, error) {
	w.arm()
	w.wrote = true
	return w.Response.Write(b)
}

// Flush sends what was written.
func (w *pieceWriter) Flush() {
	w.arm()
	_ = w.control.Flush()
}

// lift gives what is still to be sent after the handler the timeout once more.
func (w *pieceWriter) lift() { w.arm() }

// streamContext answers a context that ends with the request, or with the
// server's Close.
func (s *Server) streamContext(c echo.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request().Context())
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}
