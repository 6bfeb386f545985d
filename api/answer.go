package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// writeJSON answers a value with its length.
func writeJSON(c echo.Context, status int, mediaType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeBody(c, status, mediaType, append(body, '\n'))
}

// writeBody answers bytes with their length: some clients cannot read chunks.
// HEAD gets the same headers alone.
func writeBody(c echo.Context, status int, mediaType string, body []byte) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, mediaType)
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	c.Response().WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err := c.Response().Write(body)
	return err
}

// ok answers a resource.
func ok(c echo.Context, v any) error { return writeJSON(c, http.StatusOK, typeJSON, v) }

// done answers that there is nothing to say: 200 with no body, as RFC 9725
// wants it for DELETE.
func done(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderContentLength, "0")
	c.Response().WriteHeader(http.StatusOK)
	return nil
}
