package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	staying "tutti/api/guest"
)

// resident is somebody who stays in a room wherever it goes: along when it moves,
// and back when its node is lost.
type resident struct {
	identity
	t    *testing.T
	s    *server // any router
	door *staying.Door

	mu      sync.Mutex
	session *stayed // the one that is listened to
	faults  []string
	moves   int // planned ones
	returns int // after a session was gone
}

// stayed is one session of a resident.
type stayed struct {
	*person
	place staying.Place
	of    *resident
	going atomic.Bool // it is being left
}

// streams is the client for what never ends.
var streams = &http.Client{Transport: client.Transport}

// invite lets somebody come into a room and stay there until the test ends.
func (s *server) invite(t *testing.T, room string, who identity) *resident {
	t.Helper()
	r := &resident{identity: who, t: t, s: s, door: &staying.Door{Client: streams, Base: s.url(""), Room: room}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	arrived := make(chan struct{})
	var once sync.Once
	go func() {
		defer close(ended)
		err := staying.Stay(ctx, staying.Config{
			Door: r.door, Open: r.open, Log: slog.New(slog.DiscardHandler),
			Play: func(s staying.Session) {
				r.play(s.(*stayed))
				once.Do(func() { close(arrived) })
			},
		})
		if err != nil {
			r.fault("%v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-arrived:
	case <-ended:
		t.Fatal(r.wrong())
	case <-time.After(patience):
		t.Fatalf("%s is not in the room after %v", who.name, patience)
	}
	return r
}

// open begins a session and sends in it.
func (r *resident) open(ctx context.Context, resumes string) (staying.Session, error) {
	p, err := newPerson(r.t, r.s, "participants")
	if err != nil {
		return nil, err
	}
	offer, err := p.Offer(ctx)
	if err != nil {
		return nil, err
	}
	s := &stayed{person: p, of: r}
	if s.place, err = r.door.Join(ctx, staying.Offer{SDP: offer, Name: r.name, Resumes: resumes}); err != nil {
		return nil, err
	}
	at, err := url.Parse(s.place.Location)
	if err != nil {
		return nil, err
	}
	p.location = at.Path
	if err := p.Answer(s.place.Answer); err != nil {
		return nil, err
	}
	select {
	case <-p.Connected():
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.Ended():
		return nil, errors.New("not connected")
	}
	p.send(r.t, r.identity)
	return s, nil
}

// play is told which session is listened to from now on. A session that is gone
// has been left before its successor is played; in a planned move it lives on.
func (r *resident) play(s *stayed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch before := r.session; {
	case before == nil:
	case !before.going.Load():
		r.moves++
	default:
		r.returns++
	}
	r.session = s
}

// Place implements staying.Session.
func (s *stayed) Place() staying.Place { return s.place }

// Heard implements staying.Session.
func (s *stayed) Heard() time.Time {
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	if n := len(s.arrivals); n > 0 {
		return s.arrivals[n-1]
	}
	return time.Time{}
}

// Leave implements staying.Session.
func (s *stayed) Leave() {
	s.going.Store(true)
	s.once.Do(func() {
		s.hangUp()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.left = s.of.door.Leave(ctx, s.place.Location)
		_ = s.Close() // the far end may be gone
		s.receiver.close()
	})
}

func (r *resident) here() *stayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// levels answers the levels of frequencies in what is heard.
func (r *resident) levels(frequencies []float64) []float64 { return r.here().levels(frequencies) }

func (r *resident) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, r.name+": "+fmt.Sprintf(format, args...))
}

// has waits until the resident has moved and come back so often, and no oftener.
func (r *resident) has(t *testing.T, moves, returns int) {
	t.Helper()
	until(t, patience, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.moves > moves || r.returns > returns || len(r.faults) > 0 {
			t.Fatalf("%s moved %d times, not %d, came back %d times, not %d: %v", r.name, r.moves, moves, r.returns, returns, r.faults)
		}
		return wrongIf(r.moves < moves || r.returns < returns, "%s moved %d times, not %d, came back %d times, not %d", r.name, r.moves, moves, r.returns, returns)
	})
}

// wrong answers what should not have been.
func (r *resident) wrong() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.faults, "\n")
}

// hearEachOther waits until each of the residents hears all the others and nobody
// else.
func hearEachOther(t *testing.T, all ...*resident) {
	t.Helper()
	for i, r := range all {
		var others []identity
		for j, o := range all {
			if i != j {
				others = append(others, o.identity)
			}
		}
		until(t, patience, func() string {
			missing, surplus := ofTones(others, r.levels)
			return cmp.Or(missing+surplus, r.wrong())
		})
	}
}
