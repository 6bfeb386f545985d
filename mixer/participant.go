package mixer

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tutti/codec/pcm"
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
	Name string // shown on the tile, at most 64 runes; empty: the ID's first 8
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
type Participant struct {
	room   *Room
	cfg    JoinConfig
	joined time.Time
	voice  *voice
	camera *camera
	gone   chan struct{} // closed when no loop touches the inputs any more

	// under room.mu
	name                             string
	state                            State
	audioMuted, deafened, videoMuted bool
	gainDB                           float64
	version                          uint64
}

// AudioInfo is a participant's sound as the API shows it.
type AudioInfo struct {
	Muted     bool
	Deafened  bool
	GainDB    float64 // -60 to 20
	LevelDBOV float64
	Speaking  bool
	// Blocks counts the 20 ms blocks by origin.
	Blocks [Origins]uint64
}

// ParticipantInfo is a participant at one moment.
type ParticipantInfo struct {
	ID, Name string
	Role     Role
	State    State
	JoinedAt time.Time
	// HasAudio and HasVideo tell whether there are such tracks inbound.
	HasAudio, HasVideo bool
	Audio              AudioInfo
	VideoMuted         bool
	Video              VideoInfo
	Link               LinkStats
	Version            uint64 // rises with every Update
}

// Attributes are what of a participant can be changed, at one moment.
type Attributes struct {
	ID, Name                         string
	AudioMuted, Deafened, VideoMuted bool
	GainDB                           float64
	Version                          uint64 // rises with every Update
}

// Attributes answers those of all participants, in the order in which they
// joined. Unlike Info it asks nobody else.
func (r *Room) Attributes() []Attributes {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Attributes, len(r.order))
	for i, p := range r.order {
		list[i] = Attributes{p.cfg.ID, p.name, p.audioMuted, p.deafened, p.videoMuted, p.gainDB, p.version}
	}
	return list
}

// ParticipantPatch is what can be changed; nil leaves a thing as it is.
type ParticipantPatch struct {
	Name                 *string
	AudioMuted, Deafened *bool
	GainDB               *float64
	VideoMuted           *bool
}

// The bounds of a participant's gain, in dB.
const (
	MinGainDB = -60.0
	MaxGainDB = 20.0
)

// ValidName answers a *FieldError where a name cannot be shown on a tile.
func ValidName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return &FieldError{"name", "must be UTF-8"}
	case utf8.RuneCountInString(name) > 64:
		return &FieldError{"name", "must be at most 64 characters"}
	case strings.ContainsFunc(name, unicode.IsControl):
		return &FieldError{"name", "must have no control characters"}
	}
	return nil
}

// Join admits a participant: ErrRoomFull, ErrRoomClosed, ErrParticipantExists
// or a *FieldError.
func (r *Room) Join(cfg JoinConfig) (*Participant, error) {
	if !ValidID(cfg.ID) {
		return nil, &FieldError{"id", "must match [A-Za-z0-9_-]{1,64}"}
	}
	if err := ValidName(cfg.Name); err != nil {
		return nil, err
	}
	if cfg.Name == "" {
		cfg.Name = cfg.ID[:min(8, len(cfg.ID))]
	}
	p := &Participant{
		room: r, cfg: cfg, joined: time.Now(), name: cfg.Name,
		state: Joining, version: 1, gone: make(chan struct{}),
	}
	if cfg.Audio != nil {
		cfg.Audio.Notify(r.wakeAudio)
		p.voice = &voice{in: cfg.Audio}
	}
	if cfg.Video != nil {
		p.camera = &camera{in: cfg.Video}
	}
	var err error
	r.change(func() { err = r.admit(p) })
	if err != nil {
		return nil, err
	}
	return p, nil
}

// admit takes p in if it may. r.mu is held.
func (r *Room) admit(p *Participant) error {
	switch {
	case r.closed:
		return ErrRoomClosed
	case len(r.order) >= r.settings.MaxParticipants:
		return ErrRoomFull
	case slices.ContainsFunc(r.order, func(o *Participant) bool { return o.cfg.ID == p.cfg.ID }):
		return ErrParticipantExists
	}
	r.order = append(r.order, p)
	return nil
}

// Participant answers the one with that identifier or ErrParticipantNotFound.
func (r *Room) Participant(id string) (*Participant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.order {
		if p.cfg.ID == id {
			return p, nil
		}
	}
	return nil, ErrParticipantNotFound
}

// Participants answers all, in the order in which they joined.
func (r *Room) Participants() []*Participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

// ID answers the participant's identifier.
func (p *Participant) ID() string { return p.cfg.ID }

// Room answers the room it is in.
func (p *Participant) Room() *Room { return p.room }

// Info answers the participant as it is now.
func (p *Participant) Info() ParticipantInfo {
	p.room.mu.Lock()
	info := ParticipantInfo{
		ID: p.cfg.ID, Name: p.name, Role: p.cfg.Role, State: p.state, JoinedAt: p.joined,
		HasAudio: p.voice != nil, HasVideo: p.camera != nil, VideoMuted: p.videoMuted, Version: p.version,
		Audio: AudioInfo{Muted: p.audioMuted, Deafened: p.deafened, GainDB: p.gainDB, LevelDBOV: pcm.SilenceDBOV},
	}
	p.room.mu.Unlock()
	if p.voice != nil {
		info.Audio.LevelDBOV, info.Audio.Speaking = p.voice.shown()
		for i := range info.Audio.Blocks {
			info.Audio.Blocks[i] = p.voice.blocks[i].Load()
		}
	}
	if p.camera != nil {
		info.Video = p.cfg.Video.Info()
	}
	if p.cfg.Link != nil {
		info.Link = p.cfg.Link()
	}
	return info
}

// Activate lets the participant be seen and heard: its media flows.
func (p *Participant) Activate() {
	p.room.change(func() {
		if p.state != Joining {
			return
		}
		p.state = Active
		p.room.post(Event{Type: ParticipantJoined, Participant: p.ref()})
		for _, track := range p.tracks() {
			p.room.post(Event{Type: TrackPublished, Participant: p.ref(), Track: track})
		}
	})
}

// tracks names what the participant publishes.
func (p *Participant) tracks() (t []string) {
	if p.voice != nil {
		t = append(t, "audio")
	}
	if p.camera != nil {
		t = append(t, "video")
	}
	return t
}

// ref names the participant in an event. room.mu is held.
func (p *Participant) ref() *ParticipantRef {
	return &ParticipantRef{ID: p.cfg.ID, Name: p.name, Role: p.cfg.Role}
}

// gain answers the gain as a factor. room.mu is held.
func (p *Participant) gain() float32 {
	if p.gainDB == 0 {
		return 1
	}
	return pcm.Gain(p.gainDB)
}

// Update changes what the patch names; a *FieldError changes nothing. ifVersion,
// if not 0, must be the version that is changed: else ErrVersion.
func (p *Participant) Update(ifVersion uint64, patch ParticipantPatch) error {
	if patch.Name != nil {
		if err := ValidName(*patch.Name); err != nil {
			return err
		}
	}
	if g := patch.GainDB; g != nil {
		if err := CheckGain("audio.gain_db", *g); err != nil {
			return err
		}
	}
	var err error
	p.room.change(func() {
		switch {
		case p.state == Left:
			err = ErrParticipantNotFound
		case ifVersion != 0 && ifVersion != p.version:
			err = ErrVersion
		case p.set(patch):
			p.version++
			p.room.post(Event{Type: ParticipantUpdated, Participant: p.ref()})
		}
	})
	return err
}

// set applies a patch and reports whether it changed anything. room.mu is held.
func (p *Participant) set(patch ParticipantPatch) (changed bool) {
	apply := func(dst, src *bool) {
		if src != nil && *dst != *src {
			*dst, changed = *src, true
		}
	}
	apply(&p.audioMuted, patch.AudioMuted)
	apply(&p.deafened, patch.Deafened)
	apply(&p.videoMuted, patch.VideoMuted)
	if patch.GainDB != nil && *patch.GainDB != p.gainDB {
		p.gainDB, changed = *patch.GainDB, true
	}
	if patch.Name != nil && *patch.Name != p.name {
		p.name, changed = *patch.Name, true
	}
	return changed
}

// Leave ends the participant. When it returns, no loop touches its inputs any
// more. It may be called again.
func (p *Participant) Leave(reason string) {
	r, first := p.room, false
	fence := r.change(func() {
		if p.state == Left {
			return
		}
		first = true
		wasActive := p.state == Active
		p.state = Left
		r.order = slices.DeleteFunc(r.order, func(o *Participant) bool { return o == p })
		if !wasActive {
			return
		}
		for _, track := range p.tracks() {
			r.post(Event{Type: TrackUnpublished, Participant: p.ref(), Track: track})
		}
		r.post(Event{Type: ParticipantLeft, Participant: p.ref(), Reason: reason})
	})
	if !first {
		<-p.gone
		return
	}
	fence()
	close(p.gone)
	if p.cfg.OnLeave != nil {
		p.cfg.OnLeave(reason)
	}
}
