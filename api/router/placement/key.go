// Package placement says on which node a room is to live.
//
// Each room has an order of all nodes, by weighted rendezvous hashing (Thaler and
// Ravishankar 1998; with weights: Schindelhauer and Schomaker 2005). It depends on
// nothing but the names and weights of the nodes and the room's key, so routers
// with the same members agree on it without asking each other, and a node that
// leaves moves nobody's rooms but its own. Key, hash and order are fixed by
// Version and by testdata/vectors.txt.
//
// A Planner chooses among the first nodes of that order the one that will have
// least to do: what it measured, and what was promised to it and does not show
// in its measurements yet. What a room will cost is learned by tenant, kind and
// purpose.
package placement

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Version numbers the way keys are written and hashed. It is the first byte of
// whatever is hashed; programs of different versions do not agree on an order.
const Version = 1

// InvalidError says that a tenant or a room has no canonical form.
type InvalidError struct {
	Field  string // tenant or room
	Text   string // as it came
	Reason string
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s %.80q: %s", e.Field, e.Text, e.Reason)
}

// Code is what the API calls it.
func (e *InvalidError) Code() string { return "invalid_id" }

// Canonical answers the one form of an identifier, as a room or another field,
// that came as a part of a URL's path: percent-decoded once. It answers an
// *InvalidError where that is no identifier [A-Za-z0-9_-]{1,64}: so also
// where it was encoded twice, ends in a slash or has letters beyond ASCII,
// whichever way Unicode writes them; ASCII is its own NFC.
func Canonical(field, text string) (string, error) {
	decoded := text
	if strings.Contains(text, "%") {
		var err error
		if decoded, err = url.PathUnescape(text); err != nil {
			return "", &InvalidError{field, text, "is not percent-encoded as RFC 3986 2.1 says"}
		}
	}
	if identifier(decoded) {
		return decoded, nil
	}
	reason := "must match [A-Za-z0-9_-]{1,64}"
	switch {
	case strings.Contains(decoded, "%"):
		reason = "is percent-encoded twice"
	case strings.HasSuffix(decoded, "/"):
		reason = "ends in a slash"
	}
	return "", &InvalidError{field, text, reason}
}

// identifier answers what mixer.ValidID does, without a regular expression: it is
// on the way of every request.
func identifier(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// Key answers the hash of a room, xxHash64 with seed 0 of
//
//	Version, tenant, 0x00, room
//
// in their canonical forms; the tenant may be empty. An *InvalidError says that
// one has none. It allocates nothing where nothing was percent-encoded.
func Key(tenant, room string) (uint64, error) {
	var err error
	if tenant != "" {
		if tenant, err = Canonical("tenant", tenant); err != nil {
			return 0, err
		}
	}
	if room, err = Canonical("room", room); err != nil {
		return 0, err
	}
	var buffer [2 + 64 + 64]byte
	b := append(buffer[:0], Version)
	b = append(b, tenant...)
	b = append(b, 0)
	b = append(b, room...)
	return xxhash.Sum64(b), nil
}
