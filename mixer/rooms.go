package mixer

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"tutti/codec/i420"
	"tutti/mixer/overlay"
)

// Config is what all rooms of a node share.
type Config struct {
	Codecs Codecs
	// Scale fits a picture into dst where it does not have its size already, as
	// for one frame after a change of layout; nil draws it cut.
	Scale func(dst, src *i420.Frame, fit i420.Fit)
	// Fonts are files tried in order for the glyphs of name labels (TTF, OTF,
	// TTC); where none has a glyph, an embedded Latin font has the last word.
	Fonts []string
	// OnEvent is told everything that happens, in order for each room; it must
	// not block and may not call back into the room. May be nil.
	OnEvent func(Event)
	// MaxRooms bounds the rooms; 0 for 10000.
	MaxRooms int
	// StaleAfter is how long a camera may send nothing before its tile shows the
	// name instead; 0 for 2 s.
	StaleAfter time.Duration
}

// Rooms is the registry of a node's rooms.
type Rooms struct {
	cfg     Config
	painter *overlay.Painter
	frames  i420.Pool // canvases

	mu       sync.Mutex
	rooms    map[string]*Room
	draining bool
	closed   Stats // sums over the rooms that are no more
}

// NewRooms answers an empty registry. It fails where a font file is broken.
func NewRooms(cfg Config) (*Rooms, error) {
	if cfg.MaxRooms == 0 {
		cfg.MaxRooms = 10000
	}
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = 2 * time.Second
	}
	p, err := overlay.New(overlay.Config{Fonts: cfg.Fonts})
	if err != nil {
		return nil, err
	}
	return &Rooms{cfg: cfg, painter: p, rooms: map[string]*Room{}}, nil
}

// Create makes a room: ErrRoomExists, ErrDraining, ErrTooManyRooms or a *FieldError.
func (rs *Rooms) Create(id string, s Settings) (*Room, error) {
	if !ValidID(id) {
		return nil, &FieldError{"id", "must match [A-Za-z0-9_-]{1,64}"}
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r, err := rs.add(id, s)
	if err != nil {
		return nil, err
	}
	r.open()
	return r, nil
}

func (rs *Rooms) add(id string, s Settings) (*Room, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case rs.rooms[id] != nil:
		return nil, ErrRoomExists
	case rs.draining:
		return nil, ErrDraining
	case len(rs.rooms) >= rs.cfg.MaxRooms:
		return nil, ErrTooManyRooms
	}
	r := newRoom(rs, id, s)
	rs.rooms[id] = r
	return r, nil
}

// Get answers a room or ErrRoomNotFound.
func (rs *Rooms) Get(id string) (*Room, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.rooms[id]; r != nil {
		return r, nil
	}
	return nil, ErrRoomNotFound
}

// List answers all rooms, by identifier.
func (rs *Rooms) List() []*Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := make([]*Room, 0, len(rs.rooms))
	for _, r := range rs.rooms {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *Room) int { return cmp.Compare(a.id, b.id) })
	return list
}

// Stats answers the sums over all rooms that are and were.
func (rs *Rooms) Stats() Stats {
	rs.mu.Lock()
	sum := rs.closed
	rooms := make([]*Room, 0, len(rs.rooms))
	for _, r := range rs.rooms {
		rooms = append(rooms, r)
	}
	rs.mu.Unlock()
	for _, r := range rooms {
		sum.add(r.Stats())
	}
	return sum
}

// Drain refuses new rooms from now on, or takes them again, and tells every
// room.
func (rs *Rooms) Drain(on bool) {
	rs.mu.Lock()
	told := on && !rs.draining
	rs.draining = on
	rs.mu.Unlock()
	if !told {
		return
	}
	for _, r := range rs.List() {
		r.emit(Event{Type: NodeDraining})
	}
}

// Draining reports whether new rooms are refused.
func (rs *Rooms) Draining() bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.draining
}

// Close drains and closes every room, all at once. It answers ctx's error
// where they have not all ended by then.
func (rs *Rooms) Close(ctx context.Context) error {
	rs.Drain(true)
	var wg sync.WaitGroup
	for _, r := range rs.List() {
		wg.Go(func() { r.Close("shutdown") })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove forgets a room that has been closed and keeps its counters.
func (rs *Rooms) remove(r *Room, last Stats) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.rooms[r.id] == r {
		delete(rs.rooms, r.id)
		last.Participants, last.Subscribers = 0, 0
		rs.closed.add(last)
	}
}
