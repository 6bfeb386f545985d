package api

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// The sizes of a page.
const (
	defaultPage = 50
	largestPage = 500
)

// page is which part of a list is asked for.
type page struct {
	size  int
	after string // the cursor of the last item seen; empty: from the beginning
}

// readPage reads page_size and page_token.
func readPage(c echo.Context) (page, error) {
	p := page{size: defaultPage}
	if text := c.QueryParam("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > largestPage {
			return p, blame("invalid_query", "page_size", "page_size must be 1 to %d", largestPage)
		}
		p.size = n
	}
	after, err := base64.RawURLEncoding.DecodeString(c.QueryParam("page_token"))
	if err != nil || len(after) > 256 {
		return p, blame("invalid_query", "page_token", "page_token must be the next_page_token of an earlier answer")
	}
	p.after = string(after)
	return p, nil
}

// timeCursor is a cursor of what is sorted by a time, and by its identifier where
// times are the same.
func timeCursor(at time.Time, id string) string { return fmt.Sprintf("%020d/%s", at.UnixNano(), id) }

// cut answers the page of a list that is sorted by its cursors, and the token
// of the next page, empty at the end. What comes and goes between two pages
// shifts nothing.
func cut[T any](p page, items []T, cursor func(T) string) (part []T, next string) {
	for len(items) > 0 && p.after != "" && cursor(items[0]) <= p.after {
		items = items[1:]
	}
	if len(items) <= p.size {
		return items, ""
	}
	part = items[:p.size]
	return part, base64.RawURLEncoding.EncodeToString([]byte(cursor(part[len(part)-1])))
}
