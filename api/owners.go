package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"tutti/mixer"
)

// remembered is how long it is known whose a session was that has ended, so
// that a DELETE that is sent again is answered as the first was.
const remembered = time.Minute

// owners remembers which token made which session. Entries of ended sessions
// are dropped in passing, when new ones are made.
type owners struct {
	now func() time.Time

	mu      sync.Mutex
	by      map[sessionKey]*owner
	sweepAt int // size at which the ended ones are looked for
}

type sessionKey struct{ room, participant string }

type owner struct {
	hash    [sha256.Size]byte
	subject string
	ended   time.Time // zero while the session lives
}

func newOwners(now func() time.Time) *owners {
	return &owners{now: now, by: map[sessionKey]*owner{}, sweepAt: 64}
}

// add remembers that p made a session. ended reports whether a session has
// ended without end having been called.
func (o *owners) add(k sessionKey, p *principal, ended func(sessionKey) bool) {
	o.mu.Lock()
	o.by[k] = &owner{hash: p.hash, subject: p.grant.Subject}
	var look []sessionKey
	if len(o.by) >= o.sweepAt {
		for k := range o.by {
			look = append(look, k)
		}
	}
	o.mu.Unlock()
	if look != nil {
		o.sweep(look, ended)
	}
}

func (o *owners) sweep(look []sessionKey, ended func(sessionKey) bool) {
	var gone []sessionKey
	for _, k := range look {
		if ended(k) {
			gone = append(gone, k)
		}
	}
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range gone {
		switch e := o.by[k]; {
		case e == nil:
		case e.ended.IsZero():
			e.ended = now
		case now.Sub(e.ended) >= remembered:
			delete(o.by, k)
		}
	}
	o.sweepAt = max(64, 2*len(o.by))
}

// bearers answers the hashes of the tokens that made these sessions of a room,
// zero where there was none.
func (o *owners) bearers(room string, people []mixer.Attributes) [][sha256.Size]byte {
	list := make([][sha256.Size]byte, len(people))
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, p := range people {
		if e := o.by[sessionKey{room, p.ID}]; e != nil {
			list[i] = e.hash
		}
	}
	return list
}

// end notes that a session has ended.
func (o *owners) end(k sessionKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.by[k]; e != nil && e.ended.IsZero() {
		e.ended = o.now()
	}
}

// owns reports whether p made the session: with the same token, or as the same
// subject.
func (o *owners) owns(k sessionKey, p *principal) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.by[k]
	if e == nil {
		return false
	}
	if e.subject != "" && e.subject == p.grant.Subject {
		return true
	}
	return subtle.ConstantTimeCompare(e.hash[:], p.hash[:]) == 1
}
