// Package events keeps what happened in the rooms and hands it out in order.
//
// Every room's events are numbered from 1 without gaps, and so are all events
// of the node together. The newest of each are kept (a bounded ring), so that a
// reader who was away resumes where it stopped; a room's are kept for a while
// after it has finished. Publish never blocks and takes a few microseconds
// whoever reads: a reader has no queue of its own but a place in the ring, and
// one that falls out of it is cut. All methods may be called from any goroutine;
// no goroutine runs here.
package events

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"tutti/mixer"
)

// Config bounds what a Hub keeps.
type Config struct {
	// PerRoom is how many events of each room are kept; 0 for 256. More lets
	// readers be away longer, at some 300 bytes an event.
	PerRoom int
	// All is how many events of all rooms together are kept; 0 for 4096.
	All int
	// Keep is how long a finished room's events can still be read; 0 for 5 minutes.
	Keep time.Duration
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Entry is an event with its numbers. It is never changed.
type Entry struct {
	Event mixer.Event
	Seq   uint64 // within the room, from 1
	Total uint64 // within the node, from 1
	JSON  []byte // the event with "seq", as the API carries it
}

// Hub takes events from the rooms and keeps them for readers.
type Hub struct {
	cfg Config

	mu    sync.Mutex // never held while calling out
	rooms map[string]*log
	all   *log
	ended []ending // finished rooms, the oldest first
}

// ending is a room whose log is to be dropped.
type ending struct {
	room string
	at   time.Time
}

// New answers an empty hub.
func New(cfg Config) *Hub {
	if cfg.PerRoom <= 0 {
		cfg.PerRoom = 256
	}
	if cfg.All <= 0 {
		cfg.All = 4096
	}
	if cfg.Keep <= 0 {
		cfg.Keep = 5 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Hub{cfg: cfg, rooms: map[string]*log{}, all: newLog(cfg.All, 0)}
}

// Publish numbers an event and keeps it. It is meant to be mixer.Config's
// OnEvent. The events of one room must be published one after the other.
func (h *Hub) Publish(e mixer.Event) {
	body, err := json.Marshal(e)
	if err != nil { // only a time outside of years 0 to 9999 can do that
		return
	}
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	entry := &Entry{Event: e, Total: h.all.last + 1}
	if e.Room != "" {
		l := h.rooms[e.Room]
		if l == nil {
			l = newLog(h.cfg.PerRoom, 0)
			h.rooms[e.Room] = l
		}
		entry.Seq = l.last + 1
		entry.JSON = numbered(body, entry.Seq)
		l.finished = e.Type == mixer.RoomFinished
		l.append(entry)
		if l.finished {
			l.endedAt = now
			h.ended = append(h.ended, ending{e.Room, now})
		}
	} else {
		entry.JSON = numbered(body, entry.Total)
	}
	h.all.append(entry)
}

// Continue lets a room that comes from another node go on with number seq, or
// later where it has come so far already. Who reads of its earlier life here gets
// to the end of that.
func (h *Hub) Continue(room string, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.rooms[room]
	if seq == 0 || l != nil && l.last+1 >= seq {
		return
	}
	if l != nil {
		l.finished = true
		l.wake()
	}
	h.rooms[room] = newLog(h.cfg.PerRoom, seq-1)
}

// LastOf answers the number of a room's newest event, 0 for none.
func (h *Hub) LastOf(room string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.rooms[room]; l != nil {
		return l.last
	}
	return 0
}

// numbered puts "seq" before the fields of a JSON object.
func numbered(object []byte, seq uint64) []byte {
	b := make([]byte, 0, len(object)+28)
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, ',')
	return append(b, object[1:]...)
}

// prune drops the logs of rooms that finished long ago and did not come back.
func (h *Hub) prune(now time.Time) {
	for len(h.ended) > 0 && now.Sub(h.ended[0].at) >= h.cfg.Keep {
		e := h.ended[0]
		h.ended = h.ended[1:]
		if l := h.rooms[e.room]; l != nil && l.finished && l.endedAt.Equal(e.at) {
			delete(h.rooms, e.room)
			l.wake()
		}
	}
}

// Known reports whether a room has events that can be read, and whether it has
// finished.
func (h *Hub) Known(room string) (known, finished bool) {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	l := h.rooms[room]
	return l != nil, l != nil && l.finished
}
