package webm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/at-wat/ebml-go"
	matroska "github.com/at-wat/ebml-go/webm"

	"tutti/codec"
)

// The formats that a Writer knows, by their EBML DocType.
const (
	WebM     = "webm"
	Matroska = "matroska"
)

// Track numbers within a file.
const (
	videoTrack = 1
	audioTrack = 2
)

// DefaultMaxCluster is how long a cluster of a file may last: what is lost at
// most when the process dies is one cluster and what still waits in the Timeline.
const DefaultMaxCluster = time.Second

// maxClusterBytes ends a cluster early, so that memory and what Repair must
// read at once stay bounded.
const maxClusterBytes = 4 << 20

// lastBlock is how long the last block is taken to last where a packet says
// nothing: one block of sound.
const lastBlock = 20 * time.Millisecond

// ErrClosed is answered to what is written after Close.
var ErrClosed = errors.New("webm: writer is closed")

// Config describes the streams of a file.
type Config struct {
	// Width and Height are the picture's size in pixels; 0 for sound only.
	Width, Height int
	// Channels of the sound, 1 or 2.
	Channels int
	// DocType is WebM (also where empty) or Matroska.
	DocType string
	// MaxCluster is how long a cluster may last, up to 30 s; 0 for
	// DefaultMaxCluster. Shorter costs about 25 bytes each and lets a live
	// reader wait less.
	MaxCluster time.Duration
	// Date is the wall clock of the file's first block; may be zero.
	Date time.Time
}

// File is what a seekable file must be able to do.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Writer writes one WebM file or stream. Blocks are given in the order of
// their time. A cluster begins with each key frame and is handed over in one
// call when it is complete.
type Writer struct {
	cfg    Config
	stream io.Writer // nil for a file
	file   File      // nil for a stream
	marks  landmarks
	end    int64 // of what was written whole
	cues   []cue
	blocks []block
	bytes  int           // of blocks
	until  time.Duration // end of the last block written or waiting
	solid  time.Duration // end of the last block written
	err    error
	closed bool
}

// landmarks are the places in a file that are patched at its end.
type landmarks struct {
	segmentSize int64 // the 8 bytes that hold the segment's size
	segment     int64 // first byte of the segment's content; positions count from here
	reserve     int64 // the Void that becomes the SeekHead
	info        int64
	duration    int64 // the Void that becomes the Duration
	tracks      int64
}

type block struct {
	track int
	at    time.Duration
	key   bool
	data  []byte
}

type cue struct {
	at       time.Duration
	track    int
	position int64 // of the cluster, from the start of the segment's content
}

// NewStream writes the beginning of an endless stream to w: sizes stay
// unknown, and there are no cues and no duration.
func NewStream(w io.Writer, cfg Config) (*Writer, error) {
	return begin(&Writer{cfg: cfg, stream: w})
}

// NewFile writes the beginning of a file, which must be empty. The duration in
// it is brought up to date with every cluster, cues and sizes by Close.
func NewFile(f File, cfg Config) (*Writer, error) {
	return begin(&Writer{cfg: cfg, file: f})
}

func begin(w *Writer) (*Writer, error) {
	if w.cfg.MaxCluster <= 0 {
		w.cfg.MaxCluster = DefaultMaxCluster
	}
	// Times within a cluster are 16 bit milliseconds.
	w.cfg.MaxCluster = min(w.cfg.MaxCluster, 30*time.Second)
	head, marks, err := header(w.cfg, w.file != nil)
	if err != nil {
		return nil, err
	}
	w.marks = marks
	if w.append(head); w.err != nil {
		return nil, w.err
	}
	return w, nil
}

// Write adds a packet, to be presented at the time at since the file's
// beginning. The packet's data must not change any more. An error is final: of
// what follows nothing is written, and Close completes what there is.
func (w *Writer) Write(p *codec.Packet, at time.Duration) error {
	if w.closed {
		return ErrClosed
	}
	at = max(at, 0)
	track := audioTrack
	if p.Kind == codec.Video {
		track = videoTrack
	}
	if w.mustCut(track, p.KeyFrame, at, len(p.Data)) {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	w.blocks = append(w.blocks, block{track, at, p.KeyFrame, p.Data})
	w.bytes += len(p.Data)
	w.until = max(w.until, at+p.Duration)
	return nil
}

// mustCut reports whether the block belongs into a new cluster.
func (w *Writer) mustCut(track int, key bool, at time.Duration, size int) bool {
	if len(w.blocks) == 0 {
		return false
	}
	return track == videoTrack && key ||
		at-w.blocks[0].at >= w.cfg.MaxCluster ||
		w.bytes+size > maxClusterBytes
}

// Flush writes the cluster that is being built, if there is one.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.blocks) == 0 {
		return w.err
	}
	// A block that came late stands before its elders, so that times rise.
	slices.SortStableFunc(w.blocks, func(a, b block) int { return int(a.at - b.at) })
	first := w.blocks[0]
	data, err := cluster(w.blocks)
	if err != nil {
		w.err = err
		return err
	}
	at := w.end - w.marks.segment
	if w.append(data); w.err != nil {
		return w.err
	}
	if w.cfg.Width == 0 || first.track == videoTrack && first.key {
		w.cues = append(w.cues, cue{first.at, first.track, at})
	}
	clear(w.blocks)
	w.blocks, w.bytes, w.solid = w.blocks[:0], 0, w.until
	if w.file != nil {
		w.err = w.patchDuration()
	}
	return w.err
}

// Bytes answers how much was written.
func (w *Writer) Bytes() int64 { return w.end }

// Duration answers how long what was written lasts.
func (w *Writer) Duration() time.Duration { return w.solid }

// Close writes what waits and completes the file: a torn tail is cut off,
// cues, duration and sizes are filled in. It answers the first error since the
// beginning; also then the file is playable as far as it was written. It does
// not close what is underneath.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	_ = w.Flush() // kept in w.err
	w.closed = true
	w.blocks = nil
	if w.file == nil {
		return w.err
	}
	if err := w.finish(); w.err == nil {
		w.err = err
	}
	return w.err
}

// finish completes the file behind its last whole cluster.
func (w *Writer) finish() error {
	first := w.file.Truncate(w.end)
	clusters := w.end
	var position int64
	if data, err := marshalCues(w.cues); err == nil && data != nil {
		position = w.end - w.marks.segment
		if _, err := w.file.WriteAt(data, w.end); err == nil {
			w.end += int64(len(data))
		} else {
			// A full disk: without cues the file plays as well.
			first = errors.Join(first, fmt.Errorf("webm: write cues: %w", err), w.file.Truncate(clusters))
			position = 0
		}
	}
	return errors.Join(first, w.patchDuration(), w.patchSeekHead(position), w.patchSize())
}

func (w *Writer) patchDuration() error {
	data, err := durationElement(w.solid)
	if err != nil {
		return err
	}
	if _, err = w.file.WriteAt(data, w.marks.duration); err != nil {
		return fmt.Errorf("webm: write duration: %w", err)
	}
	return nil
}

func (w *Writer) patchSeekHead(cues int64) error {
	data, err := seekHead(w.marks, cues)
	if err != nil {
		return err
	}
	if _, err = w.file.WriteAt(data, w.marks.reserve); err != nil {
		return fmt.Errorf("webm: write seek head: %w", err)
	}
	return nil
}

func (w *Writer) patchSize() error {
	if _, err := w.file.WriteAt(size8(uint64(w.end-w.marks.segment)), w.marks.segmentSize); err != nil {
		return fmt.Errorf("webm: write segment size: %w", err)
	}
	return nil
}

// append writes data behind all the rest, whole or not at all.
func (w *Writer) append(data []byte) {
	var err error
	if w.file != nil {
		_, err = w.file.WriteAt(data, w.end)
	} else {
		_, err = w.stream.Write(data)
	}
	if err != nil {
		w.err = fmt.Errorf("webm: write: %w", err)
		return
	}
	w.end += int64(len(data))
}

// cluster builds a cluster of known size.
func cluster(blocks []block) ([]byte, error) {
	base := blocks[0].at.Milliseconds()
	c := struct {
		Cluster matroska.Cluster `ebml:"Cluster"`
	}{matroska.Cluster{Timecode: uint64(base), SimpleBlock: make([]ebml.Block, len(blocks))}}
	size := 64
	for i, b := range blocks {
		c.Cluster.SimpleBlock[i] = ebml.Block{
			TrackNumber: uint64(b.track),
			Timecode:    int16(b.at.Milliseconds() - base),
			Keyframe:    b.key,
			Data:        [][]byte{b.data},
		}
		size += len(b.data) + 16
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	if err := ebml.Marshal(&c, out); err != nil {
		return nil, fmt.Errorf("webm: build cluster: %w", err)
	}
	return out.Bytes(), nil
}
