package router

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tutti/api"
	"tutti/api/cluster"
	"tutti/mixer"
)

// roomsPath is what the path of everything in a room begins with.
const roomsPath = "/v1/rooms/"

// destination is what the path of a request says.
type destination struct {
	room string // "": any node will do
	rest string // of the path after the room, as it came: "" or with a slash before it
	// makes: the request may make the room. joins: it makes a session.
	makes, joins bool
	// uploads: it may carry a sound.
	uploads bool
	// session: it is about one participant, who may still be where the room was.
	session bool
	// outlives: it is about what is left when a room has ended, which nobody but
	// the node that had it knows.
	outlives bool
}

// destinationOf reads the path of a request as it was sent. The room's
// identifier is decoded once; what is no identifier then is refused.
func destinationOf(method, escapedPath string) (destination, error) {
	after, ok := strings.CutPrefix(escapedPath, roomsPath)
	if !ok {
		return destination{}, nil
	}
	text, _, _ := strings.Cut(after, "/")
	d := destination{rest: after[len(text):]}
	var err error
	if d.room, err = url.PathUnescape(text); err != nil || !mixer.ValidID(d.room) {
		return d, api.Blame("invalid_id", "room", "room must match [A-Za-z0-9_-]{1,64}")
	}
	door := d.rest == "/participants" || d.rest == "/whip" || d.rest == "/whep"
	d.joins = method == http.MethodPost && door
	d.makes = d.joins || method == http.MethodPut && d.rest == ""
	d.uploads = method == http.MethodPost && d.rest == "/announcements"
	d.session = strings.HasPrefix(d.rest, "/participants/")
	d.outlives = d.rest == "/recordings" || strings.HasPrefix(d.rest, "/recordings/") || d.rest == "/events"
	return d, nil
}

// target is a node that a request is sent to.
type target struct {
	node        string
	incarnation cluster.Incarnation
	address     string
	weight      float64       // in the order of a room
	epoch       cluster.Epoch // of the room; 0: not known
}

// member answers what is known of a node.
func (r *Router) member(name string) *cluster.Node {
	n, _ := r.cfg.View.Member(name)
	return n
}

// at answers a node that lives as a target.
func at(n *cluster.Node) target {
	return target{node: n.Member.Name, incarnation: n.Live.Incarnation, address: n.Live.Address, weight: n.Live.Weight}
}

// reach answers the owner of a room as a target, where that very incarnation
// is alive.
func (r *Router) reach(o cluster.Owner) (target, bool) {
	n := r.member(o.Node)
	if n == nil || n.Live == nil || n.Dead || n.Live.Incarnation != o.Incarnation {
		return target{}, false
	}
	t := at(n)
	t.epoch = o.Epoch
	return t, true
}

// find answers where a room is. here is false where its owner is away; known is
// false for a room that there is not, or that nobody has told of yet.
func (r *Router) find(room string) (t target, here, known bool) {
	if e, ok := r.cfg.View.Room(room); ok {
		t, here = r.reach(e.Owner)
		return t, here, true
	}
	if node, ok := r.recent.get(room, r.cfg.Now(), r.storeless()); ok {
		if n := r.member(node); n != nil && n.Live != nil && !n.Dead {
			return at(n), true, true
		}
	}
	return target{}, false, false
}

// await answers where a known room is, as soon as its owner is there, until the
// time is over. known is false when the room is no more.
func (r *Router) await(ctx context.Context, room string, until time.Time) (t target, known bool, err error) {
	for {
		next := r.changed.next()
		t, here, known := r.find(room)
		if here || !known {
			return t, known, nil
		}
		left := until.Sub(r.cfg.Now())
		if left <= 0 {
			return t, true, r.away(room)
		}
		timer := time.NewTimer(left)
		select {
		case <-next:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return t, true, ctx.Err()
		}
		timer.Stop()
	}
}

// away is what is answered where a room's node has not come back in time.
func (r *Router) away(room string) error {
	r.figures.decided("away")
	p := api.Refuse("room_away", "the node of room %s is away; the room is being brought back", room)
	p.RetryAfter = 1 + int(r.limits.random()*3)
	return p
}

// refresh reads a room's entry from the store, where what a node says differs
// from what the directory has. It reports whether the room's owner is another
// one now.
func (r *Router) refresh(ctx context.Context, room string) (changed bool) {
	before, had := r.cfg.View.Room(room)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	entries, revision, err := r.cfg.Store.Read(ctx, cluster.RoomKey(room))
	if err != nil {
		r.log.Debug("room not read", "room", room, "error", err)
		return false
	}
	gone := true
	for _, e := range entries {
		if e.Key == cluster.RoomKey(room) { // others begin with the same letters
			r.cfg.View.Learn(e)
			gone = false
		}
	}
	if gone && had {
		r.cfg.View.Learn(cluster.Entry{Key: cluster.RoomKey(room), Modified: revision})
	}
	after, has := r.cfg.View.Room(room)
	return had != has || has && after.Owner != before.Owner
}

// storeless reports whether the store has been away for as long as a lease lasts.
func (r *Router) storeless() bool { return r.cfg.Boottime()-r.cfg.View.Contact() > r.cfg.TTL }

// How many new rooms are remembered, and for how long.
const (
	recentRooms = 4096
	recentFor   = 5 * time.Second
)

// recent remembers where rooms were made a moment ago, until the directory says
// it itself.
type recent struct {
	mu    sync.Mutex
	rooms map[string]made
	ring  [recentRooms]string // what was remembered, the oldest at next
	next  int
}

type made struct {
	node string
	at   time.Time
}

func newRecent() *recent { return &recent{rooms: map[string]made{}} }

func (m *recent) put(room, node string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, has := m.rooms[room]; !has {
		delete(m.rooms, m.ring[m.next])
		m.ring[m.next] = room
		m.next = (m.next + 1) % recentRooms
	}
	m.rooms[room] = made{node, now}
}

// get answers where a room was made; while the store is away nobody else says so.
func (m *recent) get(room string, now time.Time, storeless bool) (node string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.rooms[room]
	return e.node, ok && !e.at.IsZero() && (storeless || now.Sub(e.at) < recentFor)
}

// forget drops a room, so that it is looked for anew.
func (m *recent) forget(room string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, has := m.rooms[room]; has {
		m.rooms[room] = made{node: e.node}
	}
}

// tenure is a context for what is sent to one incarnation of a node: it ends
// when the death of that incarnation is certified, so that nobody waits for an
// answer of a node that stands still.
type tenure struct {
	ctx context.Context
	end context.CancelFunc
}

type tenureOf struct {
	node        string
	incarnation cluster.Incarnation
}

// tenures are the incarnations that requests were sent to.
type tenures struct {
	mu sync.Mutex
	by map[tenureOf]tenure
}

// of answers the context of an incarnation.
func (s *tenures) of(node string, i cluster.Incarnation) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[tenureOf]tenure{}
	}
	k := tenureOf{node, i}
	t, ok := s.by[k]
	if !ok {
		t.ctx, t.end = context.WithCancel(context.Background())
		s.by[k] = t
	}
	return t.ctx
}

// sweep ends the tenures of those that have died.
func (s *tenures) sweep(death func(string, cluster.Incarnation) (*cluster.Death, int64)) {
	s.mu.Lock()
	var over []tenureOf
	for k := range s.by {
		over = append(over, k)
	}
	s.mu.Unlock()
	for _, k := range over {
		if d, _ := death(k.node, k.incarnation); d == nil {
			continue
		}
		s.mu.Lock()
		t, ok := s.by[k]
		delete(s.by, k)
		s.mu.Unlock()
		if ok {
			t.end()
		}
	}
}

// codeOf answers the code of a problem document, or "".
func codeOf(body []byte) string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &p) // whatever is no problem has no code
	return p.Code
}
