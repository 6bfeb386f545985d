package api

import (
	"context"
	"io"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

// What the API needs from others, declared here and fitted in cmd/tutti. An
// error of any of them that has a method Code() string keeps its code; the
// table in errors.go knows the status that goes with it.

// SessionRequest asks for a WebRTC session in a room.
type SessionRequest struct {
	ID, Name string
	Role     mixer.Role
	Offer    string // SDP
}

// Gateway opens WebRTC sessions: admits the participant, answers the offer.
type Gateway interface {
	Open(ctx context.Context, room *mixer.Room, req SessionRequest) (Session, error)
	// Session answers the live session of a participant.
	Session(room, participant string) (Session, bool)
}

// Session is the WebRTC side of a participant; it ends when the participant
// leaves its room.
type Session interface {
	// Answer is the SDP answer with all of the server's candidates.
	Answer() string
	// ETag is the strong, quoted entity tag of the present ICE session
	// (RFC 9725, section 4.3.1). It changes with an ICE restart.
	ETag() string
	// Trickle takes the candidates of an SDP fragment (RFC 8840).
	Trickle(fragment string) error
	// Restart answers the fragment of a restarted ICE session.
	Restart(fragment string) (string, error)
}

// RecordingOptions is what a recording is asked to be.
type RecordingOptions struct {
	Format    string `json:"format"` // webm
	Rendition string `json:"rendition"`
	AudioOnly bool   `json:"audio_only"`
	SegmentS  int    `json:"segment_s"`
}

// RecordingFile is one file of a recording.
type RecordingFile struct {
	Name      string  `json:"name"`
	Bytes     int64   `json:"bytes"`
	DurationS float64 `json:"duration_s"`
}

// RecordingGap is a stretch of a recording that was lost.
type RecordingGap struct {
	OffsetS   float64 `json:"offset_s"`
	DurationS float64 `json:"duration_s"`
	Reason    string  `json:"reason"`
}

// Recording is the recording resource.
type Recording struct {
	ID        string          `json:"id"`
	Room      string          `json:"room"`
	Tenant    string          `json:"tenant,omitempty"` // of the room when it was started
	State     string          `json:"state"`            // starting active paused ending complete failed
	Format    string          `json:"format"`
	Rendition string          `json:"rendition"`
	AudioOnly bool            `json:"audio_only"`
	StartedAt time.Time       `json:"started_at"` // wall clock of the first mixed frame
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	Bytes     int64           `json:"bytes"`
	DurationS float64         `json:"duration_s"`
	Files     []RecordingFile `json:"files"`
	Gaps      []RecordingGap  `json:"gaps"`
	Error     string          `json:"error,omitempty"`
}

// Recordings starts, ends and hands out recordings. A finished recording
// outlives its room.
type Recordings interface {
	// Start answers when the first mixed frame has been taken.
	Start(ctx context.Context, room *mixer.Room, o RecordingOptions) (Recording, error)
	List(room string) []Recording
	Get(room, id string) (Recording, error)
	// SetState takes paused, active or ending; with ending it answers when the
	// file is complete.
	SetState(ctx context.Context, room, id, state string) (Recording, error)
	Delete(room, id string) error
	Open(room, id, file string) (io.ReadSeekCloser, error)
}

// RunningRecordings lets recordings go on where their room goes.
type RunningRecordings interface {
	// Running answers the recordings of a room that run.
	Running(room string) []cluster.Recording
	// Continue lets one go on in a room that has come from another node, planned
	// or because that one was lost. It answers at once.
	Continue(room *mixer.Room, r cluster.Recording, planned bool) error
	// HandOver ends a room's recordings, since they go on elsewhere; Abandon leaves
	// them where they are without another word to the disk. Neither waits.
	HandOver(room string)
	Abandon(room string)
}

// ForwarderOptions is what a forwarder is asked to be.
type ForwarderOptions struct {
	Host                 string
	AudioPort, VideoPort int // 0: not that kind
	Rendition            string
	RTCPMux              bool
	Profile, Key         string // of SRTP; empty for plain RTP
	// Starter names who starts it, to whom the key may be shown.
	Starter string
}

// Forwarder is a forwarder at one moment.
type Forwarder struct {
	ID, Host, Address    string
	AudioPort, VideoPort int
	Rendition            string
	RTCPMux              bool
	Profile              string // of SRTP
	State                string // starting active unreachable
	StartedAt            time.Time
	Packets, Bytes       uint64
	// Dropped and Refused were not sent: too much at once, nobody there.
	Dropped, Refused, KeyFrameRequests uint64
}

// Forwarders sends rooms' mixes to other programs. A forwarder ends with its room.
type Forwarders interface {
	Start(ctx context.Context, room *mixer.Room, o ForwarderOptions) (Forwarder, error)
	List(room string) []Forwarder
	Get(room, id string) (Forwarder, error)
	// SDP describes what is sent to its receiver; the key is in it where asker is
	// the starter.
	SDP(room, id, asker string) (string, error)
	// Stop ends one; nothing is sent after it has returned.
	Stop(room, id string) error
}

// RunningForwarders lets forwarders go on where their room goes.
type RunningForwarders interface {
	// Running answers the forwarders of a room.
	Running(room string) []cluster.Forwarder
	// Continue lets one go on in a room that has come from another node, after the
	// time for which that one still sends. It answers at once.
	Continue(room *mixer.Room, f cluster.Forwarder, after time.Duration) error
	// HandOver ends a room's forwarders, since they go on elsewhere or may not go on
	// here. It does not wait.
	HandOver(room string)
}

// Cluster is what a node shares with others; *cluster.Agent is one.
type Cluster interface {
	// Claim makes this node the owner of a new room.
	Claim(ctx context.Context, room string, s mixer.Settings, created time.Time) (cluster.Epoch, error)
	// Save writes down what Host.Describe says of a room now.
	Save(ctx context.Context, room string) error
	// Release says that a room has been closed. It does not wait.
	Release(room string)
	// Left says that the old half of a room that has moved has been closed. It does
	// not wait.
	Left(room string)
	// Epoch answers the epoch of a room that this node owns.
	Epoch(room string) (cluster.Epoch, bool)
	// Owner answers where the directory says that a room is.
	Owner(room string) (cluster.Owner, bool)
}

// Sounds opens what is to be played into rooms.
type Sounds interface {
	// File answers a player of a file of the configured folder, by its name.
	File(name string) (mixer.Player, error)
	// Sound answers a player of a file's content, which is the player's from now on.
	Sound(content []byte) (mixer.Player, error)
}

// Live streams a room's mix as one progressive WebM until ctx ends or the room
// closes; flush is called after every cluster.
type Live interface {
	Stream(ctx context.Context, room *mixer.Room, w io.Writer, flush func()) error
}
