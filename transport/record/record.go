// Package record writes a room's mix to disk. A recording is a subscriber like
// any other: the room has no word for disk, and nothing that happens to the
// disk reaches it.
//
// # What it promises
//
// Start answers when the first mixed key frame has been taken, with its wall
// clock. A recording's timeline begins there with 0; sound and picture lie on
// it by the times that the room gave them. A room that closes ends its
// recordings complete. When the process is killed, files play up to their last
// cluster, which is less than two seconds back, and the next start repairs
// them in place (cues, duration) and lists the recording as complete with a
// gap "interrupted" at its end; one with nothing playable is failed.
//
// Pause cuts out: while a recording is paused nothing is written and its
// timeline stands still, so that the file plays through without a hole; the
// cut is listed as a gap "paused" with its offset and how long it was. Resume
// begins with a key frame.
//
// A disk that is too slow makes the bounded queue drop pictures up to the next
// key frame, which is asked for when there is room (gap "video_dropped"), and
// far later sound ("audio_dropped"); there the timeline goes on. A write that
// fails, as on a full disk, ends the recording as failed; what was written
// remains playable.
//
// Each change of the picture's size begins a new file, as does SegmentS, at a
// key frame; files begin at 0 each and join without a hole.
//
// # From node to node
//
// A room that goes on elsewhere takes its recordings along: the same identifier,
// in a file of the next number, with a gap "moved" or "node_lost" where the
// rooms' times do not meet. Continue begins there, HandOver ends here, and
// Abandon lets everything lie where it is, since another may have the folder by
// now. Where both nodes have one folder there is one index with all files; else
// each lists its own.
//
// # On disk
//
// Below Config.Dir: {room}/{recording}/recording.json, the index, replaced
// atomically and fsynced, beside the files. Files are fsynced each
// Config.SyncEvery and at their end. All names are generated here, files are
// opened within an os.Root, and symbolic links are not followed.
//
// A Manager may be used from any goroutine. One goroutine a recording writes;
// it owns the file. OnEvent is called by it, without a lock held, and may not
// call back into SetState or Close of the Manager.
package record

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"tutti/mixer"
)

// State is where a recording is in its life.
type State string

// The states of a recording.
const (
	Starting State = "starting"
	Active   State = "active"
	Paused   State = "paused"
	Ending   State = "ending"
	Complete State = "complete"
	Failed   State = "failed"
)

func (s State) over() bool { return s == Complete || s == Failed }

// Reasons of a gap.
const (
	GapPaused      = "paused"
	GapVideo       = "video_dropped"
	GapAudio       = "audio_dropped"
	GapInterrupted = "interrupted"
	GapMoved       = "moved"     // the room went to another node
	GapNodeLost    = "node_lost" // the node that it was on was lost
)

// Options is what a recording is asked to be.
type Options struct {
	Format    string // webm (also where empty) or mkv
	Rendition string // empty for the room's first
	AudioOnly bool
	SegmentS  int // seconds after which a new file begins, 5 to 86400; 0 for one file
}

// File is one file of a recording.
type File struct {
	Name      string  `json:"name"`
	Bytes     int64   `json:"bytes"`
	DurationS float64 `json:"duration_s"`
}

// Gap is a stretch that a recording lacks; Offset is its place on the
// recording's timeline.
type Gap struct {
	OffsetS   float64 `json:"offset_s"`
	DurationS float64 `json:"duration_s"`
	Reason    string  `json:"reason"`
}

// Info is a recording at one moment. The index holds it as JSON.
type Info struct {
	ID        string     `json:"id"`
	Room      string     `json:"room"`
	Tenant    string     `json:"tenant,omitempty"` // the room's when it was started
	State     State      `json:"state"`
	Format    string     `json:"format"`
	Rendition string     `json:"rendition"`
	AudioOnly bool       `json:"audio_only"`
	StartedAt time.Time  `json:"started_at"` // wall clock of the first mixed frame
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Bytes     int64      `json:"bytes"`
	DurationS float64    `json:"duration_s"` // of the whole, also of files that are on other nodes
	Files     []File     `json:"files"`      // those that are here
	Gaps      []Gap      `json:"gaps"`
	Error     string     `json:"error,omitempty"`
	// Node is who wrote the index; it alone repairs the files when it starts
	// again. EarlierS is how much of the recording was made elsewhere and is not
	// here.
	Node     string  `json:"node,omitempty"`
	EarlierS float64 `json:"earlier_s,omitempty"`
}

// Config is what a Manager works with.
type Config struct {
	// Dir is the folder of all recordings; made where it is missing.
	Dir string
	// Node names this node among those that may have the folder in common; empty
	// for a folder of its own.
	Node string
	// OnEvent is told recording_started, recording_updated and recording_ended,
	// in order for each recording. It must not block. May be nil.
	OnEvent func(mixer.Event)
	// QueueBytes bounds what waits for a slow disk, for each recording; 0 for
	// 8 MiB, which is some 40 s at 1.5 Mbit/s. More rides out longer stalls.
	QueueBytes int
	// SyncEvery is how often a file is fsynced while it grows, in time of the
	// recording; 0 for 5 s, negative for only at its end. It bounds what a
	// failure of power takes; a killed process loses nothing by it.
	SyncEvery time.Duration
	// StartTimeout is how long Start waits for the first frame; 0 for 5 s.
	StartTimeout time.Duration
	// MaxRunning bounds the recordings that run at once; 0 for 64.
	MaxRunning int
	// Logger is slog.Default() where nil.
	Logger *slog.Logger

	create func(root *os.Root, name string) (file, error) // for tests: another disk
}

func (c Config) withDefaults() Config {
	if c.QueueBytes <= 0 {
		c.QueueBytes = 8 << 20
	}
	if c.SyncEvery == 0 {
		c.SyncEvery = 5 * time.Second
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = 5 * time.Second
	}
	if c.MaxRunning <= 0 {
		c.MaxRunning = 64
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.create == nil {
		c.create = createFile
	}
	return c
}

// Error is a refusal with a stable code, which the API carries as is.
type Error struct {
	code, text string
	err        error
}

func (e *Error) Error() string {
	if e.err != nil {
		return "record: " + e.text + ": " + e.err.Error()
	}
	return "record: " + e.text
}

// Code answers the stable word, such as recording_not_found.
func (e *Error) Code() string { return e.code }

// Unwrap answers what caused the error, or nil.
func (e *Error) Unwrap() error { return e.err }

// Is makes two errors with one code the same to errors.Is.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.code == e.code
}

// What a Manager refuses.
var (
	ErrNotFound      = &Error{code: "recording_not_found", text: "no such recording or file"}
	ErrRunning       = &Error{code: "recording_running", text: "the recording still runs"}
	ErrFailed        = &Error{code: "recording_failed", text: "the recording failed"}
	ErrFormat        = &Error{code: "unsupported_format", text: "recordings are made in webm or mkv"}
	ErrRendition     = &Error{code: "unknown_rendition", text: "the room has no such rendition"}
	ErrInvalidState  = &Error{code: "invalid_state", text: "the recording cannot go into that state"}
	ErrTooMany       = &Error{code: "too_many_recordings", text: "all the recordings run that may"}
	errNothingPlayed = errors.New("nothing was recorded before the server ended")
)

func failed(text string, err error) error {
	return &Error{code: ErrFailed.code, text: text, err: plain(err)}
}

// plain takes the folders out of an error: they are nobody's business outside.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}
