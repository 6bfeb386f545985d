package webm

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// ErrForeign is answered for a file that a Writer did not begin, or of which
// not even the beginning is there.
var ErrForeign = errors.New("webm: not a file that can be repaired")

// ErrEmpty is answered for a file without one whole cluster.
var ErrEmpty = errors.New("webm: the file holds nothing playable")

// maxHeader bounds what is looked at before the first cluster.
const maxHeader = 64 << 10

// maxCluster bounds a cluster that is believed: the data and what surrounds it.
const maxCluster = 2*maxClusterBytes + 64<<10

// Damaged is a file that Repair can read and write.
type Damaged interface {
	File
	io.ReaderAt
}

// Repaired says what a file holds.
type Repaired struct {
	Bytes    int64
	Duration time.Duration
	// Cut counts the bytes of a torn tail that were taken away.
	Cut int64
}

// Repair completes in place a file that NewFile began and nobody closed, of
// size bytes: what comes after the last whole cluster is cut off, then cues,
// duration and sizes are written. A file that is complete comes out the same.
func Repair(f Damaged, size int64) (Repaired, error) {
	w := &Writer{file: f, closed: true}
	if err := w.readHeader(f, size); err != nil {
		return Repaired{}, err
	}
	if err := w.readClusters(f, size); err != nil {
		return Repaired{}, err
	}
	if w.solid == 0 {
		return Repaired{}, ErrEmpty
	}
	cut, err := w.torn(f, size)
	if err != nil {
		return Repaired{}, err
	}
	if err := w.finish(); err != nil {
		return Repaired{}, err
	}
	return Repaired{Bytes: w.end, Duration: w.solid, Cut: cut}, nil
}

// torn answers how much lies behind the last whole cluster that is not the
// cues of a complete file.
func (w *Writer) torn(r io.ReaderAt, size int64) (int64, error) {
	tail := make([]byte, min(16, size-w.end))
	if _, err := r.ReadAt(tail, w.end); err != nil && err != io.EOF {
		return 0, fmt.Errorf("webm: read tail: %w", err)
	}
	if c, ok := parse(tail, 0); ok && c.id == idCues && !c.unknown && w.end+c.end() == size {
		return 0, nil
	}
	return size - w.end, nil
}

// readHeader finds the places that are patched and the first cluster.
func (w *Writer) readHeader(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, maxHeader))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return fmt.Errorf("webm: read header: %w", err)
	}
	e, ok := parse(head, 0)
	if !ok || e.id != idEBML || e.unknown {
		return ErrForeign
	}
	s, ok := parse(head, e.end())
	if !ok || s.id != idSegment || s.header != 12 {
		return ErrForeign
	}
	w.marks.segmentSize, w.marks.segment = s.content()-8, s.content()
	for at := s.content(); ; {
		c, ok := parse(head, at)
		if !ok || c.unknown {
			return ErrForeign
		}
		switch c.id {
		case idSeekHead:
			w.marks.reserve = at
		case idVoid:
			if w.marks.reserve == 0 {
				w.marks.reserve = at
			}
		case idInfo:
			w.marks.info = at
			w.marks.duration = findDuration(head, c)
		case idTracks:
			w.marks.tracks, w.end = at, c.end()
			return w.checkHeader(size)
		}
		at = c.end()
	}
}

func (w *Writer) checkHeader(size int64) error {
	m := w.marks
	if m.reserve == 0 || m.info < m.reserve+reserved || m.duration == 0 || w.end > size {
		return ErrForeign
	}
	return nil
}

// findDuration answers the place of the duration, or of the Void that is kept
// for it, within Info; 0 for neither.
func findDuration(head []byte, info element) int64 {
	for at := info.content(); at < info.end(); {
		c, ok := parse(head, at)
		if !ok || c.unknown || c.end() > info.end() {
			return 0
		}
		if (c.id == idDuration || c.id == idVoid) && c.end()-at == durationBytes {
			return at
		}
		at = c.end()
	}
	return 0
}

// readClusters walks over the whole clusters and collects their cues.
func (w *Writer) readClusters(r io.ReaderAt, size int64) error {
	buf := make([]byte, 16)
	for w.end < size {
		n, err := r.ReadAt(buf[:16], w.end)
		if err != nil && err != io.EOF {
			return fmt.Errorf("webm: read cluster: %w", err)
		}
		c, ok := parse(buf[:n], 0)
		if !ok || c.id != idCluster || c.unknown || c.end() > maxCluster || w.end+c.end() > size {
			return nil
		}
		if int64(len(buf)) < c.end() {
			buf = make([]byte, c.end())
		}
		if _, err := r.ReadAt(buf[:c.end()], w.end); err != nil {
			return fmt.Errorf("webm: read cluster: %w", err)
		}
		first, until, ok := readCluster(buf[c.content():c.end()])
		if !ok {
			return nil
		}
		if len(w.cues) == 0 && first.track == audioTrack {
			w.cfg.Width = 0 // a file of sound begins with sound
		} else if len(w.cues) == 0 {
			w.cfg.Width = 1
		}
		if w.cfg.Width == 0 || first.track == videoTrack && first.key {
			w.cues = append(w.cues, cue{first.at, first.track, w.end - w.marks.segment})
		}
		w.end += c.end()
		w.solid = max(w.solid, until)
	}
	return nil
}

// readCluster answers a cluster's first block and when its last one ends.
func readCluster(b []byte) (first block, until time.Duration, ok bool) {
	var base uint64
	for at := int64(0); at < int64(len(b)); {
		e, ok := parse(b, at)
		if !ok || e.unknown || e.end() > int64(len(b)) {
			return first, 0, false
		}
		content := b[e.content():e.end()]
		switch e.id {
		case idTimestamp:
			if base, ok = number(content); !ok || base > 1<<40 {
				return first, 0, false
			}
		case idSimpleBlock:
			// One byte of track number, two of relative time, one of flags
			// (RFC 9559, section 10.2).
			if len(content) < 4 || content[0]&0x80 == 0 {
				return first, 0, false
			}
			ms := int64(base) + int64(int16(uint16(content[1])<<8|uint16(content[2])))
			if ms < 0 {
				return first, 0, false
			}
			bl := block{
				track: int(content[0] & 0x7F),
				at:    time.Duration(ms) * time.Millisecond,
				key:   content[3]&0x80 != 0,
			}
			if first.track == 0 {
				first = bl
			}
			until = max(until, bl.at+lastBlock)
		}
		at = e.end()
	}
	return first, until, first.track == videoTrack || first.track == audioTrack
}

func number(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, len(b) <= 8
}

// element is where an element lies within a buffer.
type element struct {
	id      uint32
	at      int64
	header  int64 // bytes of identifier and size
	size    int64 // of the content
	unknown bool
}

func (e element) content() int64 { return e.at + e.header }
func (e element) end() int64     { return e.at + e.header + e.size }

// parse reads the identifier and the size at that place (RFC 8794, sections 4
// to 6). The content need not be within b. It refuses what the file cannot
// hold: identifiers over four bytes, sizes over 48 bit.
func parse(b []byte, at int64) (element, bool) {
	e := element{at: at}
	if at < 0 || at >= int64(len(b)) {
		return e, false
	}
	rest := b[at:]
	n := bits.LeadingZeros8(rest[0]) + 1
	if n > 4 || len(rest) < n+1 {
		return e, false
	}
	for _, c := range rest[:n] {
		e.id = e.id<<8 | uint32(c)
	}
	rest = rest[n:]
	m := bits.LeadingZeros8(rest[0]) + 1
	if m > 8 || len(rest) < m {
		return e, false
	}
	size := uint64(rest[0]) & (1<<(8-m) - 1)
	for _, c := range rest[1:m] {
		size = size<<8 | uint64(c)
	}
	e.header = int64(n + m)
	e.unknown = size == 1<<(7*m)-1
	if e.unknown {
		return e, true
	}
	e.size = int64(size)
	return e, size < 1<<48
}
