package mixer

import (
	"context"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/mixer/layout"
)

// Role is what a participant does in a room.
type Role string

// The roles: a viewer receives, a publisher sends, a participant does both.
const (
	Viewer    Role = "viewer"
	Publisher Role = "publisher"
	Both      Role = "participant"
)

// State is where a participant is in its life.
type State string

// The states of a participant.
const (
	Joining State = "joining" // admitted, its media does not flow yet
	Active  State = "active"
	Left    State = "left"
)

// JoinConfig is who joins and by what it is heard and seen.
type JoinConfig struct {
	ID   string // ValidID, unique in the room
	Name string // shown on the tile, at most 64 runes
	Role Role
	// Audio and Video are nil where the participant has no such track.
	Audio AudioIn
	Video VideoIn
	// Link answers what the transport knows, for the API; may be nil.
	Link func() LinkStats
	// OnLeave is called once, without a lock held, when the participant has left
	// for whatever reason; the transport closes its connection then.
	OnLeave func(reason string)
}

// Participant is one session in a room. Its methods may be called from any
// goroutine.
type Participant struct{ room *Room }

// Audio is a participant's sound as the API shows it.
type Audio struct {
	Muted     bool
	Deafened  bool
	GainDB    float64 // -60 to 20
	LevelDBOV float64
	Speaking  bool
	// Blocks counts the 20 ms blocks by origin.
	Blocks [Origins]uint64
}

// Video is a participant's picture as the API shows it.
type Video struct {
	Muted bool
	VideoInfo
}

// ParticipantInfo is a participant at one moment.
type ParticipantInfo struct {
	ID, Name string
	Role     Role
	State    State
	JoinedAt time.Time
	Audio    *Audio // nil: no such track
	Video    *Video
	Link     LinkStats
	Version  uint64 // rises with every change by Update
}

// ParticipantPatch is what can be changed; nil leaves a thing as it is.
type ParticipantPatch struct {
	Name                 *string
	AudioMuted, Deafened *bool
	GainDB               *float64
	VideoMuted           *bool
}

// ID answers the participant's identifier.
func (p *Participant) ID() string { panic("todo") }

// Room answers the room it is in.
func (p *Participant) Room() *Room { return p.room }

// Info answers the participant as it is now.
func (p *Participant) Info() ParticipantInfo { panic("todo") }

// Activate lets the participant be seen and heard: its media flows.
func (p *Participant) Activate() { panic("todo") }

// Update changes what the patch names; a *FieldError changes nothing.
func (p *Participant) Update(ParticipantPatch) error { panic("todo") }

// Leave ends the participant. When it returns, no loop touches its inputs any
// more. It may be called again.
func (p *Participant) Leave(reason string) { panic("todo") }

// Room mixes.
type Room struct{}

// ID answers the room's identifier.
func (r *Room) ID() string { panic("todo") }

// CreatedAt is when the room was created; the PTS of its packets count from it.
func (r *Room) CreatedAt() time.Time { panic("todo") }

// Settings answers the settings and their version, which rises with each change.
func (r *Room) Settings() (Settings, uint64) { panic("todo") }

// Update replaces the settings by what fn makes of them, while the room runs.
// ifVersion, if not 0, must be the version that is changed: else ErrVersion.
func (r *Room) Update(ifVersion uint64, fn func(Settings) (Settings, error)) error { panic("todo") }

// Layout answers the layout and the tiles that it has now.
func (r *Room) Layout() (layout.Layout, []layout.Tile) { panic("todo") }

// Join admits a participant: ErrRoomFull, ErrRoomClosed, ErrParticipantExists
// or a *FieldError.
func (r *Room) Join(JoinConfig) (*Participant, error) { panic("todo") }

// Participant answers the one with that identifier or ErrParticipantNotFound.
func (r *Room) Participant(id string) (*Participant, error) { panic("todo") }

// Participants answers all, in the order in which they joined.
func (r *Room) Participants() []*Participant { panic("todo") }

// SubscribeConfig is who takes what of a room's output.
type SubscribeConfig struct {
	Sink         Sink
	Audio, Video bool
	// Without is the participant whose own voice is left out; empty for the full mix.
	Without string
	// Rendition is empty for the default one.
	Rendition string
	// Continuous keeps the output flowing while nobody publishes: for recordings.
	Continuous bool
}

// Subscription is a Sink that is attached to a room.
type Subscription struct{}

// Subscribe attaches a sink. The first picture that it gets is a key frame,
// asked for at once.
func (r *Room) Subscribe(SubscribeConfig) (*Subscription, error) { panic("todo") }

// RequestKeyFrame asks for a key frame; requests of many are coalesced.
func (s *Subscription) RequestKeyFrame() { panic("todo") }

// Close detaches the sink. When it returns, no Write is under way or to come.
func (s *Subscription) Close() { panic("todo") }

// Snapshot answers the canvas as it is now; the caller releases it.
func (r *Room) Snapshot(ctx context.Context) (*i420.Frame, error) { panic("todo") }

// Stats answers counters of the room since it began.
func (r *Room) Stats() Stats { panic("todo") }

// Stats counts what a room did.
type Stats struct {
	Participants, Subscribers       int
	AudioBlocks, AudioBlocksLate    uint64
	AudioTicksSkipped               uint64 // blocks jumped over because the loop was far behind
	AudioEncodes, VideoEncodes      uint64
	VideoFrames, VideoFramesSkipped uint64 // composed; not encoded because the encoder was busy
	KeyFrames                       uint64
	EncodeErrors                    uint64
	Blocks                          [Origins]uint64
	ActiveSpeaker                   string
	_                               codec.Kind
}

// Close ends the room: everybody leaves, subscriptions end, room_finished.
func (r *Room) Close(reason string) { panic("todo") }

// Done is closed when the room has been closed.
func (r *Room) Done() <-chan struct{} { panic("todo") }

// Config is what all rooms of a node share.
type Config struct {
	Codecs Codecs
	// Scale fits a picture into dst where it does not have its size already, as
	// for one frame after a change of layout; nil keeps the tile as it was.
	Scale func(dst, src *i420.Frame, fit i420.Fit)
	// Fonts are files tried in order for the glyphs of name labels (TTF, OTF,
	// TTC); where none has a glyph, an embedded Latin font has the last word.
	Fonts []string
	// OnEvent is told everything that happens, in order for each room; it must
	// not block and may not call back into the room. May be nil.
	OnEvent func(Event)
	// MaxRooms bounds the rooms; 0 for 10000.
	MaxRooms int
}

// Rooms is the registry of a node's rooms.
type Rooms struct{}

// NewRooms answers an empty registry.
func NewRooms(Config) *Rooms { panic("todo") }

// Create makes a room: ErrRoomExists, ErrDraining, ErrTooManyRooms or a *FieldError.
func (rs *Rooms) Create(id string, s Settings) (*Room, error) { panic("todo") }

// Get answers a room or ErrRoomNotFound.
func (rs *Rooms) Get(id string) (*Room, error) { panic("todo") }

// List answers all rooms, by identifier.
func (rs *Rooms) List() []*Room { panic("todo") }

// Drain refuses new rooms from now on, or takes them again.
func (rs *Rooms) Drain(bool) { panic("todo") }

// Draining reports whether new rooms are refused.
func (rs *Rooms) Draining() bool { panic("todo") }

// Close drains and closes every room.
func (rs *Rooms) Close(ctx context.Context) error { panic("todo") }
