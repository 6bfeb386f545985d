package mixer

import (
	"slices"
	"sync"
	"sync/atomic"

	"tutti/codec"
)

// SubscribeConfig is who takes what of a room's output.
type SubscribeConfig struct {
	Sink         Sink
	Audio, Video bool
	// Without is the participant whose own voice is left out; empty for the full mix.
	Without string
	// Rendition is empty for the default one.
	Rendition string
	// Continuous keeps the sound flowing while nobody publishes: for recordings.
	Continuous bool
	// Finish, if not nil, is called when the room closes, after the last write.
	// The room's end is told when it has returned, or after five seconds: so a
	// recording is complete before room_finished.
	Finish func()
}

// Subscription is a Sink that is attached to a room.
type Subscription struct {
	room *Room
	cfg  SubscribeConfig
	own  *Participant // of Without

	// Owned by the audio loop: the encode that the sink was last served from, nil at
	// the beginning; whether it is deaf, for how many blocks, and the encode by which
	// it becomes so.
	source  *encode
	deaf    bool
	deafFor int
	fading  *encode

	// started is true once a key frame was written; owned by the rung.
	started bool

	loss    atomic.Int32 // what SetLoss told
	wantKey atomic.Bool  // a key frame is asked for and was not sent yet

	writing sync.Mutex // a write is under way; uncontended but at Close
	closed  bool
}

// Subscribe attaches a sink. The first picture that it gets is a key frame,
// asked for at once. It answers ErrRoomClosed, ErrParticipantNotFound for an
// unknown Without and a *FieldError for an unknown rendition.
func (r *Room) Subscribe(cfg SubscribeConfig) (*Subscription, error) {
	s := &Subscription{room: r, cfg: cfg}
	s.wantKey.Store(true)
	var err error
	r.change(func() {
		if r.closed {
			err = ErrRoomClosed
			return
		}
		if cfg.Rendition != "" && cfg.Rendition != r.settings.Renditions[0].Name {
			err = &FieldError{"rendition", "must be one of the room's renditions"}
			return
		}
		if cfg.Without != "" {
			i := slices.IndexFunc(r.order, func(p *Participant) bool { return p.cfg.ID == cfg.Without })
			if i < 0 {
				err = ErrParticipantNotFound
				return
			}
			s.own = r.order[i]
		}
		r.subs = append(r.subs, s)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// RequestKeyFrame asks for a key frame; requests of many are coalesced.
func (s *Subscription) RequestKeyFrame() { s.wantKey.Store(true) }

// SetLoss tells how much of the stream the receiver loses and cannot repair
// otherwise, in percent: from 1 on it is served by an encode that carries its own
// repair (in-band FEC), shared by all of its like. 0 is where it begins.
func (s *Subscription) SetLoss(percent int) { s.loss.Store(int32(max(0, min(100, percent)))) }

// Rendition answers the name of the rendition that the sink is given.
func (s *Subscription) Rendition() string {
	settings, _ := s.room.Settings()
	return settings.Renditions[0].Name // there is one
}

// Close detaches the sink. When it returns, no Write is under way or to come.
func (s *Subscription) Close() {
	r := s.room
	r.change(func() {
		r.subs = slices.DeleteFunc(r.subs, func(o *Subscription) bool { return o == s })
	})
	s.writing.Lock()
	defer s.writing.Unlock()
	s.closed = true
}

// writeAudio hands a packet over unless the subscription has been closed.
func (s *Subscription) writeAudio(p *codec.Packet) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.closed {
		s.cfg.Sink.WriteAudio(p)
	}
}

func (s *Subscription) writeVideo(p *codec.Packet) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.closed {
		s.cfg.Sink.WriteVideo(p)
	}
}
