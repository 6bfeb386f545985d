package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// DefaultMaxUpload bounds a sound that is sent, in bytes, where nobody says
// otherwise.
const DefaultMaxUpload = 20 << 20

const (
	// uploadWithin is how long a sound may take to come: 20 MiB at 1.4 Mbit/s.
	uploadWithin = 2 * time.Minute
	// MaxUploads is how many sounds may come at once, as each is held in memory.
	MaxUploads = 8
)

// isSound reports whether a body of a media type may be as large as MaxUpload.
func isSound(mediaType string) bool { return mediaType == typeOgg || mediaType == typeWAV }

// IsSound reports whether the body of a request is a sound, by its media type.
func IsSound(c echo.Context) bool { return isSound(mediaType(c)) }

// bodyLimit answers how many bytes a body of a media type may have.
func (s *Server) bodyLimit(mediaType string) int64 {
	if isSound(mediaType) {
		return s.cfg.MaxUpload
	}
	return s.cfg.MaxBody
}

// ExtendUpload gives a request whose body is a sound more time to come, and to
// be answered, than the limits on slow requests leave. It is for those that have
// passed the gate, or will before their body is read.
func ExtendUpload(c echo.Context, answer time.Duration) {
	control := http.NewResponseController(c.Response().Writer)
	until := time.Now().Add(uploadWithin)
	_ = control.SetReadDeadline(until) // a server that knows no deadlines, as in a test, has none
	_ = control.SetWriteDeadline(until.Add(answer))
}
