package load

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"tutti/api/guest"
)

// Visitor is a client that follows its room.
type Visitor struct {
	Door *guest.Door
	Name string // as the room shows it
	// OnSound is told every packet of sound that is listened to, as Config.OnSound is:
	// while the room moves that is what still comes from the old node. May be nil.
	OnSound func(at time.Time, payload []byte)
	// OnPlay is told which session is listened to from now on, before its sound is. It must
	// not block. May be nil.
	OnPlay func(at time.Time, participant string)
	// Log is told what happens; nil for slog.Default().
	Log *slog.Logger
}

// Follow adds a client that joins by itself and stays in the room until ctx or the load
// ends: nil then, and otherwise why it may not stay (guest.Stay). It counts as one client,
// with the index that follows; its sessions say the same at the same time.
func (l *Load) Follow(ctx context.Context, v Visitor) error {
	l.mu.Lock()
	if l.life.Err() != nil {
		l.mu.Unlock()
		return l.life.Err()
	}
	l.guests.Add(1)
	i := len(l.clients)
	l.clients = append(l.clients, nil)
	l.mu.Unlock()
	defer l.guests.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	return guest.Stay(ctx, guest.Config{
		Door: v.Door, Log: v.Log,
		Open: func(ctx context.Context, resumes string) (guest.Session, error) { return l.visit(ctx, i, v, resumes) },
		Play: func(s guest.Session) { s.(*visit).play() },
	})
}

// leaving bounds taking leave, where the node may be no more.
const leaving = 2 * time.Second

// visit is one session of a client that follows its room.
type visit struct {
	*Client
	load    *Load
	visitor *Visitor
	place   guest.Place
}

// visit joins once more.
func (l *Load) visit(ctx context.Context, i int, v Visitor, resumes string) (guest.Session, error) {
	c, err := l.newClient(i)
	if err != nil {
		return nil, err
	}
	c.onSound = v.OnSound
	c.mute.Store(true)
	c.next = int(time.Since(l.began) / Interval)
	s := &visit{Client: c, load: l, visitor: &v}
	_, err = c.joined(ctx, func(ctx context.Context, _ int, offer string) (string, func(context.Context), error) {
		if s.place, err = v.Door.Join(ctx, guest.Offer{SDP: offer, Name: v.Name, Resumes: resumes}); err != nil {
			return "", nil, err
		}
		return s.place.Answer, s.takeLeave, nil
	})
	if err != nil {
		return nil, fmt.Errorf("client %d: %w", i, err)
	}
	c.last.CompareAndSwap(0, time.Now().UnixNano())
	return s, nil
}

// takeLeave tells the server; a node that is no more does not hear it.
func (s *visit) takeLeave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	_ = s.visitor.Door.Leave(ctx, s.place.Location)
}

// play lets the client listen here instead of where it listened before.
func (s *visit) play() {
	s.load.mu.Lock()
	before := s.load.clients[s.index]
	s.load.clients[s.index] = s.Client
	s.load.mu.Unlock()
	if before != nil {
		before.mute.Store(true)
	}
	if s.visitor.OnPlay != nil {
		s.visitor.OnPlay(time.Now(), s.place.Participant)
	}
	s.mute.Store(false)
}

// Place implements guest.Session.
func (s *visit) Place() guest.Place { return s.place }

// Ended implements guest.Session.
func (s *visit) Ended() <-chan struct{} { return s.down }

// Heard implements guest.Session.
func (s *visit) Heard() time.Time { return time.Unix(0, s.last.Load()) }

// Leave implements guest.Session.
func (s *visit) Leave() {
	s.load.mu.Lock()
	if s.load.clients[s.index] == s.Client {
		s.load.clients[s.index] = nil
	}
	s.load.mu.Unlock()
	if err := s.close(); err != nil {
		s.visitor.log().Debug("the connection did not close", "error", err)
	}
}

func (v *Visitor) log() *slog.Logger {
	if v.Log == nil {
		return slog.Default()
	}
	return v.Log
}
