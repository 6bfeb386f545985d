package load

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/api/guest"
	"tutti/assets/speech"
)

// venue is a server of one room: each session is a peer of pion that says its
// own name every few milliseconds.
type venue struct {
	t     *testing.T
	leave chan struct{} // closed when sessions may be left

	mu      sync.Mutex
	ends    []*farEnd
	alive   map[string]bool
	resumed []string
	left    []string
	feeds   []chan string // of events; nothing ends a stream
}

func (v *venue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	check(v.t, err)
	if r.Method == http.MethodDelete {
		<-v.leave
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	id := path.Base(r.URL.Path)
	switch {
	case r.Method == http.MethodDelete:
		v.left = append(v.left, id)
		delete(v.alive, id)
	case r.Method == http.MethodPost:
		v.resumed = append(v.resumed, r.URL.Query().Get("resumes"))
		id := fmt.Sprint("p", len(v.resumed))
		v.alive[id] = true
		f := v.ends[len(v.resumed)-1]
		answer, _, err := f.answer(r.Context(), 0, string(body))
		check(v.t, err)
		go f.speak(v.t.Context(), id)
		w.Header().Set("Location", "/v1/rooms/r/participants/"+id)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, answer)
	case id == "events":
		v.events(w, r)
	case !v.alive[id]:
		w.WriteHeader(http.StatusNotFound)
	}
}

// speak says a name until ctx ends.
func (f *farEnd) speak(ctx context.Context, name string) {
	for n := uint16(0); ctx.Err() == nil; n++ {
		h := rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 960}
		if f.sound.WriteRTP(&rtp.Packet{Header: h, Payload: []byte(name)}) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// events is called with the lock held, and gives it back in between.
func (v *venue) events(w http.ResponseWriter, r *http.Request) {
	feed := make(chan string, 10)
	v.feeds = append(v.feeds, feed)
	feed <- `{"type":"participant_joined","participant":{"id":"p1"}}`
	v.mu.Unlock()
	defer v.mu.Lock()
	for {
		select {
		case text := <-feed:
			if text == "" {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", text)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (v *venue) tell(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.feeds {
		f <- text
	}
}

// ear writes down whom it hears, each change once.
type ear struct {
	mu    sync.Mutex
	heard []string
	since int // packets since the last change
}

func (e *ear) hear(_ time.Time, payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.heard); n == 0 || e.heard[n-1] != string(payload) {
		e.heard, e.since = append(e.heard, string(payload)), 0
	}
	e.since++
}

// hears reports whether these were heard one after the other, the last one for a
// while.
func (e *ear) hears(names ...string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Equal(e.heard, names) && e.since > 20
}

// TestFollow lets a client move with its room, lose it and come back: it hears
// one session at a time, and speaks to both while it moves.
func TestFollow(t *testing.T) {
	v := &venue{t: t, leave: make(chan struct{}), alive: map[string]bool{}}
	for range 3 {
		v.ends = append(v.ends, answerer(t, webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_128_GCM))
	}
	server := httptest.NewServer(v)
	defer server.Close()
	mayLeave := sync.OnceFunc(func() { close(v.leave) })
	defer mayLeave()
	says := []speech.Packet{{Opus: []byte("word"), LevelDBOV: -20}}
	l, err := New(Config{Listen: true, Voice: func(int) []speech.Packet { return says }})
	check(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	e, result := &ear{}, make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		result <- l.Follow(ctx, Visitor{
			Door: &guest.Door{Client: client, Base: server.URL, Room: "r"}, OnSound: e.hear, Log: slog.New(slog.DiscardHandler),
		})
	}()
	eventually(t, "the first session is heard and reads events", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.feeds) == 1 && e.hears("p1")
	})
	v.tell(`{"type":"room_moved","move":{"join_within_ms":10,"leave_after_ms":1500}}`)
	eventually(t, "it speaks on the new node", func() bool {
		v.ends[1].mu.Lock()
		defer v.ends[1].mu.Unlock()
		return len(v.ends[1].heard) > 10
	})
	if !e.hears("p1") {
		t.Fatalf("heard %v before everybody is there", e.heard)
	}
	eventually(t, "the new one alone is heard, while leave is taken of the old one", func() bool { return e.hears("p1", "p2") })
	mayLeave()
	eventually(t, "leave is taken of the old one", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return slices.Equal(v.left, []string{"p1"})
	})
	if s := l.Stats(); s.Clients != 1 {
		t.Errorf("%d clients", s.Clients)
	}
	v.mu.Lock()
	delete(v.alive, "p2")
	v.mu.Unlock()
	v.tell("")
	eventually(t, "it has come back", func() bool { return e.hears("p1", "p2", "p3") })
	check(t, l.Close())
	v.mu.Lock()
	if len(v.alive) != 0 {
		t.Errorf("%v are not left", v.alive)
	}
	v.mu.Unlock()
	check(t, <-result)
	if err := l.Follow(t.Context(), Visitor{}); err == nil {
		t.Error("followed after the end")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.resumed, []string{"", "p1", "p2"}) {
		t.Errorf("resumed %v", v.resumed)
	}
}
