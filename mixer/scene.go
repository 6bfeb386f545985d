package mixer

import (
	"image/color"
	"slices"
	"time"

	"tutti/mixer/layout"
)

// scene is what a room's loops see of it: made anew by every change of
// control, never written again. Building it is a pure function of the room's
// control state.
type scene struct {
	version    uint64
	seats      []seat     // who is to be heard or seen, in the order of joining
	audience   []listener // who take the sound
	videoSubs  []*Subscription
	layout     layout.Layout
	maxTalkers int
	title      string
	levelling  bool
	// What the inputs' jitter buffers may hold, and the floor's two timers.
	minDelay, maxDelay          time.Duration
	speakerTrigger, speakerHold time.Duration
	announcements               []*Announcement
}

// listener is who takes the sound; to one who is deaf nothing is to be heard.
type listener struct {
	sub  *Subscription
	deaf bool
}

// seat is a participant as the loops see it.
type seat struct {
	id, name string
	voice    *voice // nil without sound; the audio loop's own state
	camera   *camera
	muted    bool
	dark     bool    // the picture is muted
	gain     float32 // linear
}

// audioConfig and videoConfig are what a loop is started with; where the
// settings ask for another, the loop is replaced.
type audioConfig struct{ AudioEncoderConfig }

type videoConfig struct {
	VideoEncoderConfig
	background color.RGBA
}

// buildScene makes the scene from the control state. r.mu is held.
func (r *Room) buildScene() *scene {
	r.version++
	sc := &scene{
		version:    r.version,
		layout:     r.settings.Layout,
		maxTalkers: r.settings.Audio.MaxTalkers,
		title:      r.settings.Title,

		levelling:      r.settings.Audio.Levelling,
		minDelay:       milliseconds(r.settings.Audio.MinPlayoutDelayMS),
		maxDelay:       milliseconds(r.settings.Audio.MaxPlayoutDelayMS),
		speakerTrigger: milliseconds(r.settings.Audio.SpeakerTriggerMS),
		speakerHold:    milliseconds(r.settings.Audio.SpeakerHoldMS),
		announcements:  slices.Clone(r.announcements),
	}
	for _, p := range r.order {
		if p.state != Active || p.cfg.Role == Viewer {
			continue
		}
		sc.seats = append(sc.seats, seat{
			id: p.cfg.ID, name: p.name, voice: p.voice, camera: p.camera,
			muted: p.audioMuted, dark: p.videoMuted, gain: p.gain(),
		})
	}
	for _, s := range r.subs {
		if s.own != nil && s.own.state == Left {
			continue
		}
		if s.cfg.Audio {
			sc.audience = append(sc.audience, listener{s, s.own != nil && s.own.deafened})
		}
		if s.cfg.Video {
			sc.videoSubs = append(sc.videoSubs, s)
		}
	}
	return sc
}

// place answers the tiles of a scene on a canvas. Seats that were never given
// a picture have a tile too.
func (sc *scene) place(v videoConfig, speaker string, into []layout.Seat) ([]layout.Tile, []layout.Seat) {
	into = into[:0]
	for i := range sc.seats {
		into = append(into, layout.Seat{ID: sc.seats[i].id})
	}
	return layout.Place(sc.layout, v.size(), into, speaker), into
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
