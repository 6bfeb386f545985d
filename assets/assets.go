// Package assets holds the files that are built into the binary: the web page
// and its client library tutti.js, plain ES modules that are served as they
// are.
package assets

import (
	"embed"
	"io/fs"
)

// The tests beside the page stay out: each folder is named.
//
//go:embed web/*.html web/*.js web/*.css web/*.svg web/lib web/app
var files embed.FS

// ContentSecurityPolicy is the header to serve the page with: nothing but its
// own files, no inline script or style, and nobody may frame it.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Web answers the page's files, with index.html at the root. All of them are
// small and may be served with an ETag and no-cache.
func Web() fs.FS {
	sub, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}
