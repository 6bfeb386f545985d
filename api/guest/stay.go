package guest

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrRemoved says that somebody has put the guest out.
var ErrRemoved = errors.New("removed from the room")

// Session is one connection to the room.
type Session interface {
	// Place answers where it is on the server.
	Place() Place
	// Ended is closed when the connection has failed.
	Ended() <-chan struct{}
	// Heard answers when media came last; zero: never.
	Heard() time.Time
	// Leave takes leave of the server and frees everything. It is called once, from
	// any goroutine, and may take seconds.
	Leave()
}

// Config says how to stay in a room.
type Config struct {
	Door *Door
	// Open makes a session that resumes a participant, or nobody where that is empty,
	// and answers when media can flow. It is called from a goroutine of its own. A
	// refusal of the server must be wrapped by its error.
	Open func(ctx context.Context, resumes string) (Session, error)
	// Play is told which session is listened to from now on. Until then the one before
	// is, and both are sent to. It may be nil, must not block, and is called by one
	// goroutine at a time.
	Play func(Session)
	// Log is told what happens; nil for slog.Default().
	Log *slog.Logger
}

// Times of a guest's doubts.
const (
	glance = time.Second     // how often the present session is thought about
	silent = 4 * time.Second // without media, after which it is asked for
	// homeless is how long nothing may come where the router knows no node for the
	// session (503). While media flows, the node lives.
	homeless = time.Second
)

// Stay joins and stays in the room until ctx ends, and answers nil then: it goes
// along when the room moves, and comes back when its session is lost. It fails
// with what wraps ErrRefused where the server refuses for good, and with ErrRemoved.
// All sessions are left when it returns.
func Stay(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stay{
		Config: cfg, ctx: ctx, mail: make(chan func(time.Time) []Order), end: make(chan error, 1),
		course: NewCourse(rand.Float64, time.Now()), sessions: map[string]Session{},
	}
	defer s.work.Wait()
	defer s.leaveAll()
	defer cancel()
	return s.run()
}

// stay is the state of Stay, owned by its goroutine.
type stay struct {
	Config
	ctx      context.Context
	mail     chan func(time.Time) []Order // what is told to the course
	end      chan error                   // a reason to give up
	work     sync.WaitGroup
	course   *Course
	sessions map[string]Session // not left yet, by participant
	listens  bool
	asking   bool
	unsure   bool      // the answer said neither that the session lives nor that it is gone
	doubted  time.Time // when the present session was asked for last
}

func (s *stay) run() error {
	due, look := time.NewTimer(0), time.NewTicker(glance)
	defer due.Stop()
	defer look.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case err := <-s.end:
			return err
		case <-due.C:
			s.do(s.course.Tick(time.Now()))
		case tell := <-s.mail:
			s.do(tell(time.Now()))
		case now := <-look.C:
			s.doubt(now)
		}
		due.Stop()
		if at := s.course.Due(); !at.IsZero() {
			due.Reset(time.Until(at))
		}
	}
}

// tell brings something to the course; false when nobody listens any more.
func (s *stay) tell(f func(now time.Time) []Order) bool {
	select {
	case s.mail <- f:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// giveUp ends it for good.
func (s *stay) giveUp(why error) {
	select {
	case s.end <- why:
	default: // there is a reason already
	}
}

func (s *stay) do(orders []Order) {
	for _, o := range orders {
		switch session := s.sessions[o.Session]; o.Do {
		case Open:
			s.work.Go(func() { s.open(o.Session) })
		case Play:
			s.Log.Debug("in the room", "participant", o.Session)
			if s.Play != nil {
				s.Play(session)
			}
		case Leave:
			delete(s.sessions, o.Session)
			s.work.Go(session.Leave)
		}
	}
}

// open makes a session and says what came of it.
func (s *stay) open(resumes string) {
	session, err := s.Open(s.ctx, resumes)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			s.giveUp(err)
			return
		}
		var wait time.Duration
		if r, ok := errors.AsType[*Refusal](err); ok {
			wait = r.RetryAfter
		}
		s.tell(func(now time.Time) []Order {
			s.Log.Warn("no session in the room; trying again", "error", err)
			return s.course.Failed(now, wait)
		})
		return
	}
	id := session.Place().Participant
	told := s.tell(func(now time.Time) []Order {
		s.sessions[id] = session
		if !s.listens {
			s.listens = true
			s.work.Go(s.listen)
		}
		return s.course.Opened(now, id)
	})
	if !told {
		session.Leave()
		return
	}
	s.work.Go(func() {
		select {
		case <-session.Ended():
			s.tell(func(now time.Time) []Order { return s.course.Lost(now, id) })
		case <-s.ctx.Done():
		}
	})
}

// doubt asks for a session from which nothing has come for long, or of which
// nothing was to be learned.
func (s *stay) doubt(now time.Time) {
	session := s.sessions[s.course.Present()]
	if session == nil {
		return
	}
	if s.unsure || now.Sub(session.Heard()) >= silent && now.Sub(s.doubted) >= silent {
		s.ask(now)
	}
}

// ask asks whether the present session still lives.
func (s *stay) ask(now time.Time) {
	session := s.sessions[s.course.Present()]
	if session == nil || s.asking || s.course.Moving() {
		return
	}
	s.asking, s.doubted = true, now
	s.work.Go(func() {
		err := s.Door.Look(s.ctx, session.Place().Location)
		s.tell(func(now time.Time) []Order {
			lost := gone(err, now.Sub(session.Heard()))
			s.asking, s.unsure = false, err != nil && !lost
			if s.course.Moving() || !lost {
				return nil
			}
			return s.course.Lost(now, session.Place().Participant)
		})
	})
}

// gone reports whether a session is no more, by what the server said of it and
// by how long nothing has come.
func gone(err error, quiet time.Duration) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	switch {
	case err == nil:
		return false
	case ok && (refusal.Status == 404 || refusal.Status == 410):
		return true
	case ok && refusal.Status == 503:
		return quiet >= homeless
	}
	return quiet >= silent
}

// listen reads the room's events until ctx ends.
func (s *stay) listen() {
	var last string
	for failed := 0; ; {
		err := s.Door.Events(s.ctx, last, func(id string, e Event) {
			last, failed = id, 0
			s.tell(func(now time.Time) []Order { return s.take(now, e) })
		})
		if s.ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrRefused) {
			s.Log.Warn("the room's events may not be read; a move of it will be heard", "error", err)
			return
		}
		s.tell(func(now time.Time) []Order { s.ask(now); return nil })
		wait := fraction(min(baseRetry<<failed, longestRetry), 0.5+rand.Float64()/2)
		failed = min(failed+1, 5)
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
		}
	}
}

// take handles an event of the room.
func (s *stay) take(now time.Time, e Event) []Order {
	own := s.sessions[e.Participant.ID] != nil
	switch {
	case e.Type == "participant_joined" && own:
		s.course.Arrived()
	case e.Type == "participant_left" && own && (e.Reason == "removed" || e.Reason == "left"):
		s.giveUp(ErrRemoved)
	case e.Type == "participant_left" && own:
		return s.course.Lost(now, e.Participant.ID)
	case e.Type == "room_moved":
		return s.course.Moved(now, e.Move)
	}
	return nil
}

// leaveAll takes leave of what is left.
func (s *stay) leaveAll() {
	for _, session := range s.sessions {
		s.work.Go(session.Leave)
	}
}
