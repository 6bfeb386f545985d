package main

import (
	"time"

	"tutti/mixer"
	"tutti/transport/announce"
)

// AnnouncementsConfig is what can be played into rooms.
type AnnouncementsConfig struct {
	Folder       string `yaml:"folder"`
	MaxBytes     int    `yaml:"max_bytes"`
	MaxDurationS int    `yaml:"max_duration_s"`
}

func (c AnnouncementsConfig) checks() []check {
	return []check{
		{"announcements.max_bytes", c.MaxBytes >= 1<<10 && c.MaxBytes <= 1<<30, "must be 1024 to 1073741824"},
		{"announcements.max_duration_s", c.MaxDurationS >= 1 && c.MaxDurationS <= 86400, "must be 1 to 86400"},
	}
}

// sounds are the announcements as the API needs them.
type sounds struct{ folder *announce.Folder }

// openSounds opens the folder, where there is one.
func openSounds(c AnnouncementsConfig) (sounds, error) {
	f, err := announce.OpenFolder(c.Folder, announce.Limits{
		Bytes: int64(c.MaxBytes), Duration: time.Duration(c.MaxDurationS) * time.Second,
	})
	if err != nil {
		return sounds{}, &KeyError{Key: "announcements.folder", Reason: "cannot be used: " + oneLine(err)}
	}
	return sounds{f}, nil
}

// File opens a file of the folder.
func (s sounds) File(name string) (mixer.Player, error) { return player(s.folder.File(name)) }

// Sound opens a file that was sent.
func (s sounds) Sound(content []byte) (mixer.Player, error) { return player(s.folder.Sound(content)) }

func player(p *announce.Player, err error) (mixer.Player, error) {
	if err != nil {
		return nil, err // a nil *announce.Player is no nil mixer.Player
	}
	return p, nil
}
