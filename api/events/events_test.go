package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tutti/mixer"
)

func event(room string, kind mixer.EventType) mixer.Event {
	return mixer.Event{Type: kind, Room: room, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// drain answers all that can be read now.
func drain(t testing.TB, r *Reader) (seqs []uint64, err error) {
	t.Helper()
	for {
		batch, err := r.Poll()
		if err != nil || len(batch) == 0 {
			return seqs, err
		}
		for _, e := range batch {
			seqs = append(seqs, e.Seq)
		}
	}
}

func TestNumbersHaveNoGaps(t *testing.T) {
	h := New(Config{})
	for i := range 100 {
		h.Publish(event(fmt.Sprintf("r%d", i%3), mixer.LayoutChanged))
	}
	for i := range 3 {
		got, err := drain(t, h.Room(fmt.Sprintf("r%d", i), 0))
		if err != nil || len(got) < 33 {
			t.Fatalf("%v %v", got, err)
		}
		for n, seq := range got {
			if seq != uint64(n+1) {
				t.Fatalf("r%d: %v", i, got)
			}
		}
	}
	all := h.All(0)
	for want := uint64(1); want <= 100; {
		batch, err := all.Poll()
		if err != nil || len(batch) == 0 {
			t.Fatalf("ended at %d: %v", want, err)
		}
		for _, e := range batch {
			if e.Total != want {
				t.Fatalf("%d, want %d", e.Total, want)
			}
			want++
		}
	}
	if h.Last() != 100 {
		t.Errorf("last %d", h.Last())
	}
}

func TestEventsAreJSON(t *testing.T) {
	h := New(Config{})
	e := event("r1", mixer.ParticipantJoined)
	e.Participant = &mixer.ParticipantRef{ID: "p1", Name: "\"\n\u2028é", Role: mixer.Both}
	h.Publish(e)
	h.Publish(mixer.Event{Type: mixer.NodeDraining})
	batch, err := h.All(0).Poll()
	if err != nil || len(batch) != 2 {
		t.Fatal(batch, err)
	}
	for i, entry := range batch {
		var got struct {
			Seq uint64 `json:"seq"`
			mixer.Event
		}
		if err := json.Unmarshal(entry.JSON, &got); err != nil {
			t.Fatal(err)
		}
		if got.Type != entry.Event.Type || slices.Contains(entry.JSON, '\n') || got.Seq != uint64(i+1) {
			t.Errorf("%s", entry.JSON)
		}
	}
}

// TestReaders drives hub and readers at random against a plain list.
func TestReaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		h := New(Config{PerRoom: limit})
		var total uint64
		var r *Reader
		var place uint64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				h.Publish(event("r", mixer.LayoutChanged))
				total++
			case 1:
				after := rapid.Uint64Range(0, total+3).Draw(t, "after")
				r = h.Room("r", after)
				oldest := uint64(max(0, int(total)-limit)) // the number before the oldest kept
				if (r == nil) != (total == 0) {
					t.Fatalf("reader %v with %d events", r, total)
				}
				place = max(after, oldest)
				if after > total {
					place = oldest
				}
			case 2:
				if r == nil {
					continue
				}
				batch, err := r.Poll()
				if total-place > uint64(limit) {
					if !errors.Is(err, ErrSlow) {
						t.Fatalf("missed %d of %d kept: %v", total-place, limit, err)
					}
					r = nil
					continue
				}
				if err != nil || len(batch) != int(total-place) {
					t.Fatalf("%d events, want %d: %v", len(batch), total-place, err)
				}
				for _, e := range batch {
					place++
					if e.Seq != place {
						t.Fatalf("%d, want %d", e.Seq, place)
					}
				}
			}
		}
	})
}

// TestPublishNeverWaits holds that a reader who never reads holds nobody up.
func TestPublishNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{PerRoom: 4})
		h.Publish(event("r", mixer.RoomStarted))
		idle := h.Room("r", 0)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 1000 {
					h.Publish(event("r", mixer.LayoutChanged))
				}
			})
		}
		wg.Wait()
		if _, err := idle.Poll(); !errors.Is(err, ErrSlow) {
			t.Errorf("%v", err)
		}
		idle.Close()
		idle.Close()
	})
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		h.Publish(event("r", mixer.RoomStarted))
		r := h.Room("r", 1)
		got := make(chan uint64)
		go func() {
			defer close(got)
			for {
				if err := r.Wait(t.Context()); err != nil {
					return
				}
				seqs, err := drain(t, r)
				for _, s := range seqs {
					got <- s
				}
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		h.Publish(event("r", mixer.LayoutChanged))
		if n := <-got; n != 2 {
			t.Errorf("read %d", n)
		}
		h.Publish(event("other", mixer.RoomStarted))
		h.Publish(event("r", mixer.RoomFinished))
		if n := <-got; n != 3 {
			t.Errorf("read %d", n)
		}
		if _, more := <-got; more {
			t.Error("the room went on after its end")
		}
		r.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Room("r", 3).Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestFinishedRoomsAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Keep: time.Minute})
		h.Publish(event("r", mixer.RoomStarted))
		h.Publish(event("r", mixer.RoomFinished))
		if known, finished := h.Known("r"); !known || !finished {
			t.Errorf("known %v, finished %v", known, finished)
		}
		r := h.Room("r", 0)
		if got, err := drain(t, r); len(got) != 2 || !errors.Is(err, ErrFinished) {
			t.Errorf("%v %v", got, err)
		}
		time.Sleep(30 * time.Second)
		h.Publish(event("r", mixer.RoomStarted)) // the room is made anew: its numbers go on
		if got, err := drain(t, r); !slices.Equal(got, []uint64{3}) || err != nil {
			t.Errorf("%v %v", got, err)
		}
		time.Sleep(time.Hour)
		if known, finished := h.Known("r"); !known || finished {
			t.Errorf("an open room: known %v, finished %v", known, finished)
		}
		h.Publish(event("r", mixer.RoomFinished))
		time.Sleep(time.Minute)
		if known, _ := h.Known("r"); known || h.Room("r", 0) != nil {
			t.Error("the room is known for ever")
		}
		h.Publish(event("r", mixer.RoomStarted))
		if got, _ := drain(t, h.Room("r", 0)); !slices.Equal(got, []uint64{1}) {
			t.Errorf("%v", got)
		}
	})
}

// TestMemoryIsBounded holds that rooms that have ended leave nothing behind.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{PerRoom: 4, All: 8, Keep: time.Second})
		for i := range 10000 {
			room := fmt.Sprint(i)
			h.Publish(event(room, mixer.RoomStarted))
			h.Publish(event(room, mixer.RoomFinished))
			time.Sleep(100 * time.Millisecond)
		}
		if len(h.rooms) > 11 || len(h.ended) > 11 || len(h.all.ring) != 8 {
			t.Errorf("%d rooms, %d ended, %d events are kept", len(h.rooms), len(h.ended), len(h.all.ring))
		}
	})
}

// A room that comes from another node goes on with the number that it is told,
// and is read as if it had begun there.
func TestContinue(t *testing.T) {
	h := New(Config{PerRoom: 4})
	publish := func(n int) {
		for range n {
			h.Publish(mixer.Event{Type: mixer.LayoutChanged, Room: "r1"})
		}
	}
	read := func(r *Reader) (seqs []uint64) {
		t.Helper()
		list, err := r.Poll()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			seqs = append(seqs, e.Seq)
		}
		return seqs
	}
	h.Continue("r1", 1003)
	if got := h.LastOf("r1"); got != 1002 || h.LastOf("none") != 0 {
		t.Errorf("last %d", got)
	}
	r := h.Room("r1", 37) // as read on the other node
	defer r.Close()
	publish(3)
	if got := read(r); !slices.Equal(got, []uint64{1003, 1004, 1005}) {
		t.Errorf("read %v", got)
	}
	publish(6)
	later := h.Room("r1", 1005)
	defer later.Close()
	if got := read(later); !slices.Equal(got, []uint64{1008, 1009, 1010, 1011}) {
		t.Errorf("read %v of a full ring", got)
	}
	h.Continue("r1", 900) // it is beyond that already
	publish(1)
	if got := read(later); !slices.Equal(got, []uint64{1012}) {
		t.Errorf("read %v", got)
	}
	h.Continue("r1", 5000)
	publish(1)
	if _, err := later.Poll(); !errors.Is(err, ErrFinished) {
		t.Errorf("a reader of its earlier life here: %v", err)
	}
	fresh := h.Room("r1", 1012)
	defer fresh.Close()
	if got := read(fresh); !slices.Equal(got, []uint64{5000}) {
		t.Errorf("read %v", got)
	}
}
