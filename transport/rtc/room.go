package rtc

import (
	"time"

	"tutti/mixer"
)

// room is what a peer needs of a mixer.Room; tests put a recorder in its place.
type room interface {
	ID() string
	CreatedAt() time.Time
	Settings() (mixer.Settings, uint64)
	Join(mixer.JoinConfig) (seat, error)
	Subscribe(mixer.SubscribeConfig) (subscription, error)
}

// seat is what a peer needs of a mixer.Participant.
type seat interface {
	Activate()
	Leave(reason string)
}

// subscription is what a peer needs of a mixer.Subscription.
type subscription interface {
	RequestKeyFrame()
	SetLoss(percent int)
	Rendition() string
	Close()
}

// mixerRoom fits a mixer.Room; a nil participant never becomes a seat.
type mixerRoom struct{ *mixer.Room }

func (r mixerRoom) Join(c mixer.JoinConfig) (seat, error) {
	p, err := r.Room.Join(c)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (r mixerRoom) Subscribe(c mixer.SubscribeConfig) (subscription, error) {
	s, err := r.Room.Subscribe(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}
