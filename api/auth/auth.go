// Package auth mints and verifies the bearer tokens of the API, and says what
// a grant allows.
//
// A token is a JWT (RFC 7519) signed with HS256 or EdDSA. A key is bound to its
// algorithm when it is made: a token is verified only by keys of the algorithm
// that its header names, so that a public key can never be taken for a secret.
// Every token must expire. A Verifier is immutable and may be used from any
// goroutine; it takes the time as an argument and reads no clock.
package auth

import (
	"errors"
	"fmt"
	"time"

	"tutti/mixer"
)

// Role is what the bearer of a token may do in the rooms that it names.
type Role string

// The roles. Viewer and Publisher do one half of what a Participant does; a
// Moderator is a participant who also changes the room; an Admin also creates
// rooms, sees all of them and mints tokens.
const (
	Viewer      Role = "viewer"
	Publisher   Role = "publisher"
	Participant Role = "participant"
	Moderator   Role = "moderator"
	Admin       Role = "admin"
)

// AllRooms is the room of a grant that holds for every room.
const AllRooms = "*"

// The lengths to which the free text of a grant is held.
const (
	maxName    = 64  // runes, as a participant's name
	maxSubject = 256 // bytes
)

// Grant is what a token gives to its bearer.
type Grant struct {
	Room    string // a room's identifier, or AllRooms
	Role    Role
	Name    string // shown on the tile; where set, the bearer cannot choose another
	Tenant  string // where set, only rooms of that tenant exist for the bearer
	Subject string // who it is; sessions of one subject may be changed with any of its tokens
}

// What makes a token useless. Verify wraps one of them.
var (
	ErrMalformed = errors.New("auth: the token is malformed")
	ErrSignature = errors.New("auth: the token's signature is not by a known key")
	ErrExpired   = errors.New("auth: the token has expired or is not valid yet")
	ErrClaims    = errors.New("auth: the token's claims are incomplete")
)

// Validate answers what is wrong with a grant, or nil.
func (g Grant) Validate() error {
	switch g.Role {
	case Viewer, Publisher, Participant, Moderator, Admin:
	default:
		return &mixer.FieldError{Field: "role", Reason: "must be viewer, publisher, participant, moderator or admin"}
	}
	if g.Room != AllRooms && !mixer.ValidID(g.Room) {
		return &mixer.FieldError{Field: "room", Reason: "must be * or match [A-Za-z0-9_-]{1,64}"}
	}
	if g.Tenant != "" && !mixer.ValidID(g.Tenant) {
		return &mixer.FieldError{Field: "tenant", Reason: "must match [A-Za-z0-9_-]{1,64}"}
	}
	if len([]rune(g.Name)) > maxName {
		return &mixer.FieldError{Field: "name", Reason: fmt.Sprintf("must have at most %d characters", maxName)}
	}
	if len(g.Subject) > maxSubject {
		return &mixer.FieldError{Field: "sub", Reason: fmt.Sprintf("must have at most %d bytes", maxSubject)}
	}
	return nil
}

// leeway is how far the clock of whoever mints may be off.
const leeway = 5 * time.Second
