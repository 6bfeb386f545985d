package events

import (
	"context"
	"errors"
)

// Why a Reader ends by itself.
var (
	// ErrSlow: more happened than is kept since the reader last looked.
	ErrSlow = errors.New("events: the reader was too slow")
	// ErrFinished: the room has finished and all of its events were read.
	ErrFinished = errors.New("events: the room has finished")
)

// batch is the most entries that Next answers at once.
const batch = 64

// Reader reads the events of a room, or of all rooms, in order. It belongs to
// one goroutine.
type Reader struct {
	hub  *Hub
	log  *log
	room bool
	next uint64 // number of the last entry that was read
	wake chan struct{}
}

// Room answers a reader of a room's events after number after, or nil for a
// room that nothing is known of. Where some of those are kept no more it begins
// with the oldest that is; a number that the room has not reached yet is of an
// earlier life of the server, so it begins with the oldest then, too.
func (h *Hub) Room(room string, after uint64) *Reader {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	l := h.rooms[room]
	if l == nil {
		return nil
	}
	return h.reader(l, after, true)
}

// All answers a reader of the events of all rooms, whose numbers are Total.
func (h *Hub) All(after uint64) *Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reader(h.all, after, false)
}

func (h *Hub) reader(l *log, after uint64, room bool) *Reader {
	if after > l.last || after < l.oldest()-1 {
		after = l.oldest() - 1
	}
	r := &Reader{hub: h, log: l, room: room, next: after, wake: make(chan struct{}, 1)}
	l.join(r.wake)
	return r
}

// Last answers the number of the newest event of all rooms.
func (h *Hub) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.last
}

// Poll answers the entries that can be read now, at most 64: none, ErrSlow or
// ErrFinished when there are no more to come.
func (r *Reader) Poll() ([]*Entry, error) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	if r.next < r.log.oldest()-1 {
		return nil, ErrSlow
	}
	out := r.log.after(r.next, batch)
	r.next += uint64(len(out))
	if len(out) == 0 && r.room && r.log.finished {
		return nil, ErrFinished
	}
	return out, nil
}

// Wait returns nil when there may be something to read, or why ctx ended.
func (r *Reader) Wait(ctx context.Context) error {
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Woken is the channel that Wait waits on, for who waits for more besides.
func (r *Reader) Woken() <-chan struct{} { return r.wake }

// Close ends the reader. It may be called again.
func (r *Reader) Close() {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	delete(r.log.waiting, r.wake)
}
