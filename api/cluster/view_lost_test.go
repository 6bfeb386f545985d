package cluster

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// cut is a store that can be put out of reach, and exchanged.
type cut struct {
	Store
	away   atomic.Bool
	reads  atomic.Int64
	wholes atomic.Int64 // of everything
}

var errCut = errors.New("out of reach")

func (c *cut) Read(ctx context.Context, prefix string) ([]Entry, int64, error) {
	c.reads.Add(1)
	if prefix == Prefix {
		c.wholes.Add(1)
	}
	if c.away.Load() {
		return nil, 0, errCut
	}
	return c.Store.Read(ctx, prefix)
}

func (c *cut) Watch(ctx context.Context, prefix string, after int64, tell func(Update) bool) error {
	if c.away.Load() {
		return errCut
	}
	return c.Store.Watch(ctx, prefix, after, func(u Update) bool { return !c.away.Load() && tell(u) })
}

func TestViewOutlastsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &cut{Store: NewMemory()}
		put(t, s, RoomKey("x"), room("x", "a", 2))
		v, log := watched(t, s)
		s.away.Store(true)
		contact := v.Contact()
		time.Sleep(10 * time.Minute)
		put(t, s, RoomKey("y"), room("y", "a", 4))
		if _, ok := v.Room("x"); !ok || v.Contact() > contact+time.Second {
			t.Errorf("x is there: %v; contact %v after %v", ok, v.Contact(), contact)
		}
		if reads := s.reads.Load(); reads < 600 || reads > 1500 {
			t.Errorf("asked %d times in ten minutes", reads)
		}
		s.away.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok := v.Room("y"); !ok || v.Contact() < contact+10*time.Minute {
			t.Errorf("y is there: %v; contact %v", ok, v.Contact())
		}
		if s.wholes.Load() != 1 {
			t.Errorf("read everything %d times", s.wholes.Load())
		}
		if text := log.String(); strings.Count(text, "is lost") != 1 || strings.Count(text, "is back") != 1 {
			t.Errorf("log:\n%s", text)
		}
	})
}

func TestViewReadsAnew(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *cut){
		"history is gone": func(t *testing.T, s *cut) {
			commit(t, s, Write{Key: RoomKey("x")})
			e := put(t, s, RoomKey("y"), room("y", "a", 4))
			s.Store.(*Memory).Compact(e.Modified)
		},
		"another store": func(t *testing.T, s *cut) {
			s.Store = NewMemory()
			put(t, s, RoomKey("y"), room("y", "a", 4))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &cut{Store: NewMemory()}
				put(t, s, RoomKey("w"), room("w", "a", 2))
				commit(t, s, Write{Key: RoomKey("w")})
				put(t, s, RoomKey("x"), room("x", "a", 2))
				v, _ := watched(t, s)
				s.away.Store(true)
				time.Sleep(time.Second)
				change(t, s)
				s.away.Store(false)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				_, x := v.Room("x")
				_, y := v.Room("y")
				if x || !y || len(v.Rooms()) != 1 {
					t.Errorf("x is there: %v; y: %v", x, y)
				}
			})
		})
	}
}
