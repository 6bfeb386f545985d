package api

import "strings"

// tagMatches reports whether an If-Match or If-None-Match header names the
// tag, by the strong comparison (RFC 9110, section 8.8.3.2). tag is strong and
// quoted; empty stands for a resource that does not exist, which nothing
// matches. A header that is malformed matches nothing.
func tagMatches(header, tag string) bool {
	if tag == "" {
		return false
	}
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for _, t := range strings.Split(header, ",") { // our tags have no commas
		if strings.TrimSpace(t) == tag {
			return true
		}
	}
	return false
}

// checkPreconditions answers a Problem where If-Match or If-None-Match forbid
// to change a resource that has the tag now; empty: it does not exist.
func checkPreconditions(ifMatch, ifNoneMatch, tag string) error {
	if ifMatch != "" && !tagMatches(ifMatch, tag) {
		return refuse("precondition_failed", "If-Match does not name the present ETag")
	}
	if ifNoneMatch != "" && tagMatches(ifNoneMatch, tag) {
		return refuse("precondition_failed", "If-None-Match names what is there")
	}
	return nil
}
