package mixer

import (
	"fmt"
	"image/color"
	"regexp"
	"strconv"

	"tutti/mixer/layout"
)

// Settings is what can be told to a room, as the API carries it.
type Settings struct {
	Tenant          string            `json:"tenant"`
	Kind            string            `json:"kind"`
	Purpose         string            `json:"purpose"`
	Title           string            `json:"title"`
	Canvas          Canvas            `json:"canvas"`
	Layout          layout.Layout     `json:"layout"`
	Audio           AudioSettings     `json:"audio"`
	Renditions      []Rendition       `json:"renditions"`
	MaxParticipants int               `json:"max_participants"`
	EmptyTimeoutS   int               `json:"empty_timeout_s"` // 0: never closed for being empty
	Metadata        map[string]string `json:"metadata"`
}

// Canvas is the picture that all see.
type Canvas struct {
	Width      int    `json:"width"`      // pixels, even, 160 to 1920
	Height     int    `json:"height"`     // pixels, even, 90 to 1920
	FPS        int    `json:"fps"`        // 5 to 60
	Background string `json:"background"` // "#rrggbb"
}

// AudioSettings is how the room sounds.
type AudioSettings struct {
	MaxTalkers int  `json:"max_talkers"` // who are mixed at once; 0: everybody
	Stereo     bool `json:"stereo"`
	BitrateBPS int  `json:"bitrate_bps"` // of each encoded mix, 12000 to 128000
	// Levelling brings all voices to one loudness.
	Levelling bool `json:"levelling"`
	// What the jitter buffers of the participants hold at least and at most.
	MinPlayoutDelayMS int `json:"min_playout_delay_ms"` // 0 to 500; 0: as little as the link allows
	MaxPlayoutDelayMS int `json:"max_playout_delay_ms"` // 240 to 1000
	// How long a voice must lead to get the floor, and how long it keeps it at least.
	SpeakerTriggerMS int `json:"speaker_trigger_ms"` // 40 to 5000
	SpeakerHoldMS    int `json:"speaker_hold_ms"`    // 0 to 10000
}

// Rendition is one size and rate in which the canvas is encoded.
type Rendition struct {
	Name       string `json:"name"`
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	FPS        int    `json:"fps"`
	BitrateBPS int    `json:"bitrate_bps"` // 30000 to 10000000
}

// DefaultSettings is the room that `{}` makes.
func DefaultSettings() Settings {
	return Settings{
		Canvas: Canvas{Width: 1280, Height: 720, FPS: 30, Background: "#101418"},
		Layout: layout.Layout{Name: layout.Auto},
		Audio: AudioSettings{
			MaxTalkers: 8, BitrateBPS: 32000, Levelling: true, MaxPlayoutDelayMS: 400, SpeakerTriggerMS: 200, SpeakerHoldMS: 1000,
		},
		Renditions:      []Rendition{{Name: "hd", Width: 1280, Height: 720, FPS: 30, BitrateBPS: 1_500_000}},
		MaxParticipants: 100,
		EmptyTimeoutS:   300,
		Metadata:        map[string]string{},
	}
}

var identifier = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidID reports whether s may name a room, a participant or a recording.
func ValidID(s string) bool { return identifier.MatchString(s) }

// Validate answers a *FieldError for the first setting that cannot be.
func (s *Settings) Validate() error {
	type check struct {
		field  string
		ok     bool
		reason string
	}
	checks := []check{
		{"tenant", s.Tenant == "" || ValidID(s.Tenant), "must match [A-Za-z0-9_-]{1,64}"},
		{"kind", s.Kind == "" || ValidID(s.Kind), "must match [A-Za-z0-9_-]{1,64}"},
		{"purpose", s.Purpose == "" || ValidID(s.Purpose), "must match [A-Za-z0-9_-]{1,64}"},
		{"title", len(s.Title) <= 256, "must be at most 256 bytes"},
		{"canvas.width", s.Canvas.Width >= 160 && s.Canvas.Width <= 1920 && s.Canvas.Width%2 == 0, "must be even, 160 to 1920"},
		{"canvas.height", s.Canvas.Height >= 90 && s.Canvas.Height <= 1920 && s.Canvas.Height%2 == 0, "must be even, 90 to 1920"},
		{"canvas.fps", s.Canvas.FPS >= 5 && s.Canvas.FPS <= 60, "must be 5 to 60"},
		{"canvas.background", parses(s.Canvas.Background), "must be a colour like #101418"},
		{"audio.max_talkers", s.Audio.MaxTalkers >= 0 && s.Audio.MaxTalkers <= 50, "must be 0 to 50"},
		{"audio.min_playout_delay_ms", s.Audio.MinPlayoutDelayMS >= 0 && s.Audio.MinPlayoutDelayMS <= 500, "must be 0 to 500"},
		{"audio.max_playout_delay_ms", s.Audio.MaxPlayoutDelayMS >= 240 && s.Audio.MaxPlayoutDelayMS <= 1000, "must be 240 to 1000"},
		{
			"audio.max_playout_delay_ms", s.Audio.MaxPlayoutDelayMS >= s.Audio.MinPlayoutDelayMS+100,
			"must be 100 more than min_playout_delay_ms",
		},
		{"audio.speaker_trigger_ms", s.Audio.SpeakerTriggerMS >= 40 && s.Audio.SpeakerTriggerMS <= 5000, "must be 40 to 5000"},
		{"audio.speaker_hold_ms", s.Audio.SpeakerHoldMS >= 0 && s.Audio.SpeakerHoldMS <= 10000, "must be 0 to 10000"},
		{"audio.bitrate_bps", s.Audio.BitrateBPS >= 12000 && s.Audio.BitrateBPS <= 128000, "must be 12000 to 128000"},
		{"max_participants", s.MaxParticipants >= 1 && s.MaxParticipants <= 10000, "must be 1 to 10000"},
		{"empty_timeout_s", s.EmptyTimeoutS >= 0 && s.EmptyTimeoutS <= 86400, "must be 0 to 86400"},
		{"metadata", len(s.Metadata) <= 64, "must have at most 64 entries"},
		{"renditions", len(s.Renditions) == 1, "must be exactly one in this version"},
	}
	for i, r := range s.Renditions {
		at := fmt.Sprintf("renditions[%d].", i)
		checks = append(checks,
			check{at + "name", ValidID(r.Name), "must match [A-Za-z0-9_-]{1,64}"},
			check{at + "width", r.Width == s.Canvas.Width, "must be the canvas' width in this version"},
			check{at + "height", r.Height == s.Canvas.Height, "must be the canvas' height in this version"},
			check{at + "fps", r.FPS == s.Canvas.FPS, "must be the canvas' fps in this version"},
			check{at + "bitrate_bps", r.BitrateBPS >= 30000 && r.BitrateBPS <= 10_000_000, "must be 30000 to 10000000"})
	}
	for _, c := range checks {
		if !c.ok {
			return &FieldError{c.field, c.reason}
		}
	}
	for k, v := range s.Metadata {
		if len(k) > 64 || len(v) > 1024 {
			return &FieldError{"metadata", "must have keys of at most 64 and values of at most 1024 bytes"}
		}
	}
	if err := s.Layout.Validate(); err != nil {
		return &FieldError{"layout." + err.(*layout.FieldError).Field, err.(*layout.FieldError).Reason}
	}
	return nil
}

func parses(s string) bool { _, ok := parseColour(s); return ok }

// parseColour reads "#rrggbb".
func parseColour(s string) (color.RGBA, bool) {
	if len(s) != 7 || s[0] != '#' {
		return color.RGBA{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	return color.RGBA{byte(n >> 16), byte(n >> 8), byte(n), 255}, err == nil
}
