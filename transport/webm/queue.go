package webm

import (
	"sync"
	"time"

	"tutti/codec"
)

// entryBytes is what a queued packet costs besides its data.
const entryBytes = 96

// maxMarks bounds the pauses that may wait in a queue.
const maxMarks = 256

// Mark is what else than a packet may stand in a queue.
type Mark uint8

// The marks.
const (
	None    Mark = iota
	Paused       // packets up to the next Resumed were left out on demand
	Resumed      //
	Cleared      // what was queued has been thrown away; the next picture is a key frame
)

// Entry is what comes out of a queue: a packet or a mark.
type Entry struct {
	Packet *codec.Packet
	Mark   Mark
	// Lost is how long packets of this kind had to be dropped before this one,
	// from LostFrom (PTS) on; 0 for nothing lost. With a mark it is of pictures,
	// or of sound where there are none.
	Lost, LostFrom time.Duration
}

// Overflow is what a full queue gives up.
type Overflow uint8

const (
	// DropVideo drops new pictures up to a key frame that comes when the queue
	// is half empty; sound only when a quarter more than the bound is taken.
	DropVideo Overflow = iota
	// DropAll throws away all that is queued and goes on with sound at once and
	// with the next key frame: for who would rather miss something than lag.
	DropAll
)

// Queue is a mixer.Sink between a room and one reader: bounded in bytes, never
// blocking.
type Queue struct {
	limit int
	mode  Overflow
	video bool
	ready chan struct{}

	mu      sync.Mutex
	entries []Entry // entries[head:] wait
	head    int
	bytes   int
	marks   int
	paused  bool
	skip    [2]*loss // by kind: what is being dropped now, nil for nothing
	ended   [2]loss  // storage for skip
	dropped uint64
}

// loss is a stretch that is being dropped.
type loss struct{ from, until time.Duration }

// NewQueue answers an empty queue of at most limit bytes. video tells whether
// pictures are expected; where not, every packet can be begun with.
func NewQueue(limit int, video bool, mode Overflow) *Queue {
	return &Queue{limit: limit, mode: mode, video: video, ready: make(chan struct{}, 1)}
}

// WriteAudio queues a packet of sound or drops it.
func (q *Queue) WriteAudio(p *codec.Packet) { q.write(p) }

// WriteVideo queues a picture or drops it.
func (q *Queue) WriteVideo(p *codec.Packet) { q.write(p) }

func (q *Queue) write(p *codec.Packet) {
	q.mu.Lock()
	if !q.paused && q.admit(p) {
		q.push(Entry{Packet: p})
	}
	q.mu.Unlock()
	q.wake()
}

// admit decides whether p is queued and keeps account of what is not.
func (q *Queue) admit(p *codec.Packet) bool {
	k, fits := kind(p), q.fits(p)
	if !fits && q.mode == DropAll {
		q.clear(p.PTS)
	}
	if q.skip[k] == nil && fits {
		return true
	}
	if q.skip[k] == nil {
		q.ended[k] = loss{p.PTS, p.PTS}
		q.skip[k] = &q.ended[k]
	}
	if q.resumes(p) {
		return true
	}
	q.skip[k].until = p.PTS + p.Duration
	q.dropped++
	return false
}

// fits reports whether there is room, with some more for sound.
func (q *Queue) fits(p *codec.Packet) bool {
	limit := q.limit
	if p.Kind == codec.Audio && q.mode == DropVideo {
		limit += limit / 4
	}
	return q.bytes+len(p.Data)+entryBytes <= limit
}

// resumes reports whether a kind that is being dropped can go on with p.
func (q *Queue) resumes(p *codec.Packet) bool {
	switch {
	case !p.KeyFrame || !q.fits(p):
		return false
	case q.mode == DropVideo && p.Kind == codec.Video:
		return q.bytes <= q.limit/2
	}
	return true
}

// clear throws away what is queued, but for the marks of pauses.
func (q *Queue) clear(now time.Duration) {
	kept := q.entries[:0]
	for _, e := range q.entries[q.head:] {
		switch {
		case e.Packet == nil && e.Mark != Cleared:
			kept = append(kept, e)
		case e.Packet != nil:
			q.dropped++
			q.lose(kind(e.Packet), e.Packet.PTS)
		default:
			q.marks--
		}
	}
	clear(q.entries[len(kept):])
	q.entries, q.head, q.bytes = kept, 0, 0
	q.lose(0, now)
	if q.video {
		q.lose(1, now)
	}
	q.entries = append(q.entries, Entry{Mark: Cleared})
	q.marks++
}

func (q *Queue) lose(k int, pts time.Duration) {
	if q.skip[k] == nil {
		q.ended[k] = loss{pts, pts}
		q.skip[k] = &q.ended[k]
	}
}

func (q *Queue) push(e Entry) {
	if e.Packet != nil {
		k := kind(e.Packet)
		if s := q.skip[k]; s != nil {
			e.LostFrom, e.Lost = s.from, e.Packet.PTS-s.from
			q.skip[k] = nil
		}
		q.bytes += len(e.Packet.Data) + entryBytes
	} else {
		q.marks++
	}
	if q.head > 0 && len(q.entries) == cap(q.entries) {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
}

func (q *Queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Pause leaves out what is written from now on, Resume takes it again. They
// report whether the queue changed: false where it was so already, or where
// too many pauses wait for a reader that stands still.
func (q *Queue) Pause() bool { return q.mark(true, Paused) }

// Resume is the other half of Pause.
func (q *Queue) Resume() bool { return q.mark(false, Resumed) }

func (q *Queue) mark(paused bool, m Mark) bool {
	q.mu.Lock()
	if q.paused == paused || q.marks >= maxMarks {
		q.mu.Unlock()
		return false
	}
	q.paused = paused
	e := Entry{Mark: m}
	k := 0
	if q.video {
		k = 1
	}
	if s := q.skip[k]; s != nil { // the loss ends where the pause begins
		e.LostFrom, e.Lost = s.from, s.until-s.from
	}
	q.skip = [2]*loss{}
	q.push(e)
	q.mu.Unlock()
	q.wake()
	return true
}

// Pop takes the next entry; ok is false where none waits.
func (q *Queue) Pop() (e Entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.entries) {
		return Entry{}, false
	}
	e = q.entries[q.head]
	q.entries[q.head] = Entry{}
	q.head++
	if q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
	}
	if e.Packet != nil {
		q.bytes -= len(e.Packet.Data) + entryBytes
	} else {
		q.marks--
	}
	return e, true
}

// Ready gets a value when something may have been queued.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// WantsKeyFrame reports whether pictures are being dropped and one that can be
// begun with would be taken now.
func (q *Queue) WantsKeyFrame() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.skip[1] != nil && q.bytes <= q.limit/2
}

// Dropped counts the packets that were given up.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Bytes answers what waits, in bytes.
func (q *Queue) Bytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
