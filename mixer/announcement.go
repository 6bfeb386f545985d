package mixer

import (
	"sync/atomic"
	"time"
)

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
	blocks  atomic.Int64 // played
	loop    atomic.Bool
}

// AnnouncementInfo is an announcement at one moment.
type AnnouncementInfo struct {
	ID, File  string
	GainDB    float64
	Loop      bool
	StartedAt time.Time
	Played    time.Duration // of all rounds
}
