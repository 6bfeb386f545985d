package record

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TUTTI_RECORD_UNTIL_KILLED"); dir != "" {
		recordUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// fakeRoom hands packets to one sink as a room would.
type fakeRoom struct {
	id      string
	created time.Time
	done    chan struct{}

	mu       sync.Mutex
	sink     mixer.Sink
	cfg      mixer.SubscribeConfig
	keys     int // key frames asked for
	closed   int // subscriptions closed
	onKey    func()
	refusing error
}

func newRoom() *fakeRoom {
	return &fakeRoom{id: "demo", created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), done: make(chan struct{})}
}

func (r *fakeRoom) ID() string            { return r.id }
func (r *fakeRoom) CreatedAt() time.Time  { return r.created }
func (r *fakeRoom) Done() <-chan struct{} { return r.done }
func (r *fakeRoom) Settings() (mixer.Settings, uint64) {
	return mixer.DefaultSettings(), 1
}

func (r *fakeRoom) subscribe(c mixer.SubscribeConfig) (subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusing != nil {
		return nil, r.refusing
	}
	r.sink, r.cfg = c.Sink, c
	return &fakeSubscription{r}, nil
}

type fakeSubscription struct{ r *fakeRoom }

func (s *fakeSubscription) RequestKeyFrame() {
	s.r.mu.Lock()
	s.r.keys++
	on := s.r.onKey
	s.r.mu.Unlock()
	if on != nil {
		on()
	}
}

func (s *fakeSubscription) Close() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.sink = nil
	s.r.closed++
}

// send gives packets to the subscriber, if there is one.
func (r *fakeRoom) send(packets ...*codec.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range packets {
		switch {
		case r.sink == nil:
		case p.Kind == codec.Audio && r.cfg.Audio:
			r.sink.WriteAudio(p)
		case p.Kind == codec.Video && r.cfg.Video:
			r.sink.WriteVideo(p)
		}
	}
}

func (r *fakeRoom) subscribed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sink != nil
}

func (r *fakeRoom) keysAsked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// events collects what a manager tells.
type events struct {
	mu  sync.Mutex
	all []mixer.Event
}

func (e *events) add(ev mixer.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// words answers the events as "recording_started active".
func (e *events) words() (out []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		word := string(ev.Type)
		if ev.Recording != nil {
			word += " " + ev.Recording.State
		}
		out = append(out, word)
	}
	return out
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t testing.TB, cfg Config) *Manager {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

// begin starts a recording with the first packets of a film.
func begin(t testing.TB, m *Manager, r *fakeRoom, o Options, first ...*codec.Packet) Info {
	t.Helper()
	type answer struct {
		i   Info
		err error
	}
	ch := make(chan answer, 1)
	go func() {
		i, err := m.start(context.Background(), r, o)
		ch <- answer{i, err}
	}()
	eventually(t, r.subscribed)
	r.send(first...)
	a := <-ch
	if a.err != nil {
		t.Fatalf("Start: %v", a.err)
	}
	return a.i
}

// eventually waits for another goroutine to come to something.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

func end(t testing.TB, m *Manager, i Info) Info {
	t.Helper()
	i, err := m.SetState(context.Background(), i.Room, i.ID, "ending")
	if err != nil {
		t.Fatalf("end: %v", err)
	}
	return i
}

func (m *Manager) path(i Info, n int) string {
	return filepath.Join(m.cfg.Dir, i.Room, i.ID, i.Files[n].Name)
}

var film = webmtest.Film{
	Width: 320, Height: 180, FPS: 15, Length: 6 * time.Second,
	From: 90 * time.Second, KeyEvery: 2 * time.Second, VideoLate: 40 * time.Millisecond,
}

// gate is a disk that stands still while it is closed.
type gate struct {
	file
	mu sync.Mutex
}

func (g *gate) WriteAt(b []byte, at int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.file.WriteAt(b, at)
}

// small is a disk that is full after so many bytes.
type small struct {
	file
	left int
}

func (s *small) WriteAt(b []byte, at int64) (int, error) {
	if len(b) > 200 { // what is only patched is there already
		if s.left -= len(b); s.left < 0 {
			n, _ := s.file.WriteAt(b[:len(b)/2], at)
			return n, &os.PathError{Op: "write", Path: "/secret/folder", Err: syscall.ENOSPC}
		}
	}
	return s.file.WriteAt(b, at)
}
