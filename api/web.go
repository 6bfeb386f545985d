package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
)

// webFile is one file of the web page, kept in memory: the page is embedded in
// the program anyway.
type webFile struct {
	name, mediaType, tag string
	body                 []byte
}

// loadWeb reads the web page. Each of its files becomes a route of its own, so
// that what is not there is 404 and what lies elsewhere cannot be reached.
func loadWeb(web fs.FS) (map[string]*webFile, error) {
	files := map[string]*webFile{}
	if web == nil {
		return files, nil
	}
	err := fs.WalkDir(web, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(web, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := &webFile{name: name, mediaType: webType(name, body), tag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
		files["/"+name] = f
		if path.Base(name) == "index.html" {
			files[path.Join("/", path.Dir(name))+slashUnlessRoot(name)] = f
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("api: read the web page: %w", err)
	}
	return files, nil
}

// slashUnlessRoot ends the address of a folder, which is / for the root as it is.
func slashUnlessRoot(name string) string {
	if path.Dir(name) == "." {
		return ""
	}
	return "/"
}

// webTypes are those that browsers insist on, whatever this machine's list says.
var webTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".json": typeJSON, ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".woff2": "font/woff2", ".webmanifest": "application/manifest+json",
}

func webType(name string, body []byte) string {
	ext := path.Ext(name)
	if t, ok := webTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return http.DetectContentType(body)
}

// webRoutes are the files of the web page.
func (s *Server) webRoutes() []route {
	var list []route
	for address, f := range s.files {
		list = append(list, route{method: "GET", path: address, handle: serveFile(f), anyQuery: true})
	}
	slices.SortFunc(list, func(a, b route) int { return bytes.Compare([]byte(a.path), []byte(b.path)) })
	return list
}

// serveFile answers a file that the browser may keep but asks about each time.
func serveFile(f *webFile) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderContentType, f.mediaType)
		h.Set(echo.HeaderCacheControl, "no-cache")
		h.Set("ETag", f.tag)
		http.ServeContent(c.Response(), c.Request(), f.name, time.Time{}, bytes.NewReader(f.body))
		return nil
	}
}
