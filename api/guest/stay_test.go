package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// house is a server of one room without a network, so that time can be virtual.
type house struct {
	mu       sync.Mutex
	said     []string // what happened
	sessions map[string]*visit
	n        int
	refusal  *Refusal
	homeless int // status of all sessions, 0: as they are
	feeds    []*io.PipeWriter
	seq      int
}

// visit is a session of it.
type visit struct {
	h     *house
	id    string
	ended chan struct{}
	quiet time.Time // when media came last; zero: just now
}

func (v *visit) Place() Place           { return Place{Participant: v.id, Location: "http://house/s/" + v.id} }
func (v *visit) Ended() <-chan struct{} { return v.ended }
func (v *visit) Leave()                 { v.h.note("leave " + v.id); v.h.end(v.id) }

func (v *visit) Heard() time.Time {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	if v.quiet.IsZero() {
		return time.Now()
	}
	return v.quiet
}

// set changes something.
func (h *house) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *house) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, text)
}

// end ends a session on the server.
func (h *house) end(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, id)
}

func (h *house) open(_ context.Context, resumes string) (Session, error) {
	h.note("open " + resumes)
	time.Sleep(50 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refusal != nil {
		return nil, fmt.Errorf("join: %w", h.refusal)
	}
	h.n++
	v := &visit{h: h, id: fmt.Sprint("s", h.n), ended: make(chan struct{})}
	h.sessions[v.id] = v
	return v, nil
}

// RoundTrip answers for the room's events and for sessions.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	res := &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{}, Body: http.NoBody}
	if id, ok := strings.CutPrefix(r.URL.Path, "/s/"); ok {
		h.said = append(h.said, "look "+id)
		switch {
		case h.homeless != 0:
			res.StatusCode = h.homeless
		case h.sessions[id] == nil:
			res.StatusCode = http.StatusNotFound
		}
		return res, nil
	}
	h.said = append(h.said, "events "+r.Header.Get("Last-Event-ID"))
	reader, writer := io.Pipe()
	context.AfterFunc(r.Context(), func() { writer.CloseWithError(context.Canceled) })
	h.feeds = append(h.feeds, writer)
	res.Body = reader
	return res, nil
}

// tell sends an event.
func (h *house) tell(text string) {
	h.mu.Lock()
	h.seq++
	line := fmt.Sprintf("id: %d\ndata: %s\n\n", h.seq, text)
	feeds := slices.Clone(h.feeds)
	h.mu.Unlock()
	for _, f := range feeds {
		fmt.Fprint(f, line)
	}
	synctest.Wait()
}

// cut ends the streams of events.
func (h *house) cut() {
	h.mu.Lock()
	feeds := h.feeds
	h.feeds = nil
	h.mu.Unlock()
	for _, f := range feeds {
		f.Close()
	}
	synctest.Wait()
}

// since answers what happened since it was asked last, but for events and looks
// where they are not wanted.
func (h *house) since(all bool) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.said
	h.said = nil
	if all {
		return list
	}
	return slices.DeleteFunc(list, func(s string) bool { return strings.HasPrefix(s, "events") || strings.HasPrefix(s, "look") })
}

// staying runs a guest who has arrived as s1.
func staying(t *testing.T, f func(h *house, result <-chan error, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{sessions: map[string]*visit{}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() {
			result <- Stay(ctx, Config{
				Door: &Door{Client: &http.Client{Transport: h}, Base: "http://house", Room: "r"},
				Open: h.open, Play: func(s Session) { h.note("play " + s.Place().Participant) }, Log: slog.New(slog.DiscardHandler),
			})
		}()
		time.Sleep(100 * time.Millisecond)
		h.tell(`{"type":"participant_joined","participant":{"id":"s1"}}`)
		h.since(true)
		f(h, result, cancel)
		cancel()
		synctest.Wait()
		if len(h.sessions) != 0 {
			t.Errorf("%d sessions are not left", len(h.sessions))
		}
	})
}

func said(t *testing.T, h *house, want ...string) {
	t.Helper()
	if got := h.since(false); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%q, want %q", got, want)
	}
}

const movedEvent = `{"type":"room_moved","move":{"join_within_ms":500,"leave_after_ms":1500}}`

func TestStayFollowsAMove(t *testing.T) {
	staying(t, func(h *house, result <-chan error, stop func()) {
		h.tell(movedEvent)
		time.Sleep(600 * time.Millisecond)
		said(t, h, "open s1")
		h.cut() // the events go to the new node, where nobody asks for the old half
		time.Sleep(500 * time.Millisecond)
		if got := h.since(true); !slices.Equal(got, []string{"events 2"}) {
			t.Errorf("%q", got)
		}
		time.Sleep(450 * time.Millisecond)
		synctest.Wait()
		said(t, h, "play s2", "leave s1")
		stop()
		if err := <-result; err != nil {
			t.Error(err)
		}
		said(t, h, "leave s2")
	})
}

func TestStayComesBack(t *testing.T) {
	for name, lose := range map[string]func(h *house){
		"connection":    func(h *house) { close(h.sessions["s1"].ended) },
		"event":         func(h *house) { h.tell(`{"type":"participant_left","participant":{"id":"s1"},"reason":"shutdown"}`) },
		"stream broken": func(h *house) { h.end("s1"); h.cut() },
		"silent": func(h *house) {
			h.set(func() { h.sessions["s1"].quiet = time.Now() })
			h.end("s1")
			time.Sleep(5 * time.Second)
		},
		"nobody knows, and then it is gone": func(h *house) {
			h.set(func() { h.sessions["s1"].quiet, h.homeless = time.Now(), 502 })
			h.cut()
			h.end("s1")
			h.set(func() { h.homeless = 0 })
			time.Sleep(time.Second)
		},
		"no node and nothing comes": func(h *house) {
			h.set(func() { h.sessions["s1"].quiet = time.Now() })
			time.Sleep(1500 * time.Millisecond)
			h.set(func() { h.homeless = 503 })
			h.cut()
		},
	} {
		t.Run(name, func(t *testing.T) {
			staying(t, func(h *house, _ <-chan error, _ func()) {
				lose(h)
				time.Sleep(400 * time.Millisecond)
				got := h.since(false)
				slices.Sort(got) // one leaves while the other is opened
				if !slices.Equal(got, []string{"leave s1", "open s1", "play s2"}) {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

func TestStayTrustsWhatFlows(t *testing.T) {
	staying(t, func(h *house, _ <-chan error, _ func()) {
		h.set(func() { h.homeless = 503 })
		h.cut()
		time.Sleep(10 * time.Second)
		got := h.since(true)
		if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "open") }) || !slices.Contains(got, "look s1") {
			t.Errorf("%q", got)
		}
	})
}

func TestStayEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(h *house)
		want error
	}{
		"removed": {func(h *house) { h.tell(`{"type":"participant_left","participant":{"id":"s1"},"reason":"removed"}`) }, ErrRemoved},
		"refused": {func(h *house) { h.set(func() { h.refusal = &Refusal{Status: 401} }); close(h.sessions["s1"].ended) }, ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			staying(t, func(h *house, result <-chan error, _ func()) {
				c.end(h)
				time.Sleep(time.Second)
				select {
				case err := <-result:
					if !errors.Is(err, c.want) {
						t.Error(err)
					}
				default:
					t.Error("it stays")
				}
			})
		})
	}
}

func TestStayWaitsAsAsked(t *testing.T) {
	staying(t, func(h *house, _ <-chan error, _ func()) {
		h.set(func() { h.refusal = &Refusal{Status: 503, RetryAfter: 5 * time.Second} })
		close(h.sessions["s1"].ended)
		time.Sleep(400 * time.Millisecond)
		h.since(false)
		time.Sleep(4700 * time.Millisecond)
		said(t, h)
		h.set(func() { h.refusal = nil })
		time.Sleep(time.Second)
		said(t, h, "open s1", "play s2")
	})
}

func TestStayLeavesWhatComesTooLate(t *testing.T) {
	staying(t, func(h *house, result <-chan error, stop func()) {
		close(h.sessions["s1"].ended)
		for !slices.Contains(h.since(false), "open s1") {
			time.Sleep(time.Millisecond)
		}
		stop() // the session is there in 50 ms
		if err := <-result; err != nil {
			t.Error(err)
		}
		said(t, h, "leave s2")
	})
}
