package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// contract is the OpenAPI document.
//
//go:embed openapi.yaml
var contract []byte

// getOpenAPI answers GET /openapi.yaml (media type of RFC 9512).
func (s *Server) getOpenAPI(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
	return writeBody(c, http.StatusOK, "application/yaml", contract)
}

// status is what the two questions about the server's health are answered with.
type status struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// healthz answers GET /healthz: the process lives.
func (s *Server) healthz(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return ok(c, status{"alive", s.cfg.Version})
}

// readyz answers GET /readyz: the node takes new rooms, or 503.
func (s *Server) readyz(c echo.Context) error {
	if !s.Ready() {
		return refuse("draining", "the node takes no new rooms")
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return ok(c, status{"ready", s.cfg.Version})
}
