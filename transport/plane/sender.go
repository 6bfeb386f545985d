package plane

import (
	"sync"
	"time"
)

// sender is the one goroutine that writes to a socket, for all sessions that
// have something to send there.
type sender struct {
	io     batchIO
	counts *counters
	wake   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	ready []*Session

	// owned by the goroutine
	batch Writer
	turn  []*Session             // those of this turn
	later map[*Session]time.Time // whose feeders want to be asked again, and when
}

func newSender(io batchIO, c *counters) *sender {
	s := &sender{io: io, counts: c, wake: make(chan struct{}, 1), done: make(chan struct{}), later: map[*Session]time.Time{}}
	s.batch.sender = s
	return s
}

// add puts a session on the list; it never blocks.
func (s *sender) add(x *Session) {
	s.mu.Lock()
	s.ready = append(s.ready, x)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run serves the list until stop.
func (s *sender) run() {
	s.batch.data = make([][maxDatagram]byte, writeBatch)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.done:
			return
		}
		s.serve()
		if len(s.later) > 0 {
			timer.Reset(time.Until(s.next()))
		}
	}
}

// stop ends run.
func (s *sender) stop() { close(s.done) }

// serve lets everybody send whose turn it is.
func (s *sender) serve() {
	s.mu.Lock()
	s.turn, s.ready = s.ready, s.turn[:0]
	s.mu.Unlock()
	s.batch.now = time.Now()
	for _, x := range s.turn {
		s.serveOne(x)
	}
	clear(s.turn)
	if len(s.later) > 0 {
		s.serveLater()
	}
	s.batch.flush()
}

func (s *sender) serveOne(x *Session) {
	if again := x.flush(&s.batch); again > 0 {
		s.later[x] = s.batch.now.Add(again)
	} else {
		delete(s.later, x)
	}
}

func (s *sender) serveLater() {
	for x, at := range s.later {
		if !at.After(s.batch.now) {
			s.serveOne(x)
		}
	}
}

// next answers when the first of them is due.
func (s *sender) next() (first time.Time) {
	for _, at := range s.later {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// Writer takes what one session sends in one turn.
type Writer struct {
	sender  *sender
	session *Session // whose turn it is
	to      *destination
	now     time.Time

	list [writeBatch]outDatagram
	data [][maxDatagram]byte
	n    int
}

// Now answers the time of the turn.
func (w *Writer) Now() time.Time { return w.now }

// slot answers the memory of the next datagram.
func (w *Writer) slot() []byte {
	if w.n == writeBatch {
		w.flush()
	}
	return w.data[w.n][:]
}

// commit sends the datagram in the slot with the next batch.
func (w *Writer) commit(data []byte) {
	w.list[w.n] = outDatagram{data, w.to}
	w.n++
	w.sender.counts.sentPackets.Add(1)
	w.sender.counts.sentBytes.Add(uint64(len(data)))
}

// flush gives the batch to the kernel.
func (w *Writer) flush() {
	if w.n == 0 {
		return
	}
	refused, _ := w.sender.io.write(w.list[:w.n]) // the socket's end is told otherwise
	w.sender.counts.refused.Add(uint64(refused))
	w.sender.counts.writes.Add(1)
	w.n = 0
}
