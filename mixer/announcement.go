package mixer

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/audio"
)

// maxAnnouncements is how many a room plays at once.
const maxAnnouncements = 4

// AnnounceConfig is what is to be played into a room.
type AnnounceConfig struct {
	ID     string // ValidID, unique in the room
	File   string // shown, such as "welcome.ogg"
	Source Player
	GainDB float64 // MinGainDB to MaxGainDB
	Loop   bool    // begins again at its end
	// OnEnd, if not nil, is called once, without a lock held, when it has ended or
	// was stopped and Source is closed.
	OnEnd func()
}

// Announcement is a sound that plays into a room, heard by all who hear the room.
type Announcement struct {
	room    *Room
	cfg     AnnounceConfig
	started time.Time
	ended   sync.Once

	gainDB  atomic.Uint64 // math.Float64bits
	loop    atomic.Bool
	stopped atomic.Bool
	blocks  atomic.Int64 // played

	// owned by the audio loop
	gain  float32 // at the end of the last block
	begun bool
	done  bool
}

// AnnouncementInfo is an announcement at one moment.
type AnnouncementInfo struct {
	ID, File  string
	GainDB    float64
	Loop      bool
	StartedAt time.Time
	Played    time.Duration // of all rounds
}

// Announce plays a sound into the room. It answers ErrRoomClosed,
// ErrAnnouncementExists, ErrTooManyAnnouncements or a *FieldError; the source is
// then the caller's still.
func (r *Room) Announce(cfg AnnounceConfig) (*Announcement, error) {
	if !ValidID(cfg.ID) {
		return nil, &FieldError{"id", "must match [A-Za-z0-9_-]{1,64}"}
	}
	if err := CheckGain("gain_db", cfg.GainDB); err != nil {
		return nil, err
	}
	a := &Announcement{room: r, cfg: cfg, started: time.Now()}
	a.gainDB.Store(math.Float64bits(cfg.GainDB))
	a.loop.Store(cfg.Loop)
	var err error
	r.change(func() {
		switch {
		case r.closed:
			err = ErrRoomClosed
		case slices.ContainsFunc(r.announcements, func(o *Announcement) bool { return o.cfg.ID == cfg.ID }):
			err = ErrAnnouncementExists
		case len(r.announcements) >= maxAnnouncements:
			err = ErrTooManyAnnouncements
		default:
			r.announcements = append(r.announcements, a)
			r.post(Event{Type: AnnouncementStarted, Announcement: a.ref()})
		}
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Announcements answers those that play, in the order in which they began.
func (r *Room) Announcements() []*Announcement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.announcements)
}

// Announcement answers the one with that identifier or ErrAnnouncementNotFound.
func (r *Room) Announcement(id string) (*Announcement, error) {
	for _, a := range r.Announcements() {
		if a.cfg.ID == id {
			return a, nil
		}
	}
	return nil, ErrAnnouncementNotFound
}

// Info answers the announcement as it is now.
func (a *Announcement) Info() AnnouncementInfo {
	return AnnouncementInfo{
		ID: a.cfg.ID, File: a.cfg.File, GainDB: math.Float64frombits(a.gainDB.Load()), Loop: a.loop.Load(),
		StartedAt: a.started, Played: time.Duration(a.blocks.Load()) * pcm.Duration,
	}
}

// SetGain changes the gain in dB, or answers a *FieldError.
func (a *Announcement) SetGain(db float64) error {
	if err := CheckGain("gain_db", db); err != nil {
		return err
	}
	a.gainDB.Store(math.Float64bits(db))
	return nil
}

// SetLoop says whether it begins again at its end.
func (a *Announcement) SetLoop(on bool) { a.loop.Store(on) }

// Stop lets it fade out within a block and end.
func (a *Announcement) Stop() { a.stopped.Store(true) }

// CheckGain answers a *FieldError for a gain in dB that cannot be; field is its
// name in the API.
func CheckGain(field string, db float64) error {
	if math.IsNaN(db) || db < MinGainDB || db > MaxGainDB {
		return &FieldError{field, "must be -60 to 20"}
	}
	return nil
}

func (a *Announcement) ref() *AnnouncementRef { return &AnnouncementRef{a.cfg.ID, a.cfg.File} }

// read fills dst with the next block; false where there is none. It is the audio
// loop's.
func (a *Announcement) read(dst *pcm.Block) bool {
	if a.done {
		return false
	}
	ok := a.cfg.Source.ReadAudio(dst)
	if !ok && a.loop.Load() && a.begun {
		a.cfg.Source.Rewind()
		ok = a.cfg.Source.ReadAudio(dst)
	}
	target := pcm.Gain(math.Float64frombits(a.gainDB.Load()))
	if !a.begun {
		a.begun, a.gain = true, target
	}
	stopped := a.stopped.Load()
	if stopped {
		target = 0
	}
	if a.done = stopped || !ok; a.done {
		go a.end() // the loop waits for nobody
	}
	if !ok {
		return false
	}
	audio.Ramp(dst, a.gain, target)
	a.gain = target
	a.blocks.Add(1)
	return true
}

// end takes the announcement out of the room.
func (a *Announcement) end() {
	r := a.room
	fence := r.change(func() {
		r.announcements = slices.DeleteFunc(r.announcements, func(o *Announcement) bool { return o == a })
	})
	fence()
	a.ended.Do(func() {
		r.emit(Event{Type: AnnouncementEnded, Announcement: a.ref()})
		a.cfg.Source.Close()
		if a.cfg.OnEnd != nil {
			a.cfg.OnEnd()
		}
	})
}

// endAnnouncements ends those that are left when the room closes.
func (r *Room) endAnnouncements() {
	for _, a := range r.Announcements() {
		a.end()
	}
}
