package record

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"tutti/mixer"
	"tutti/transport/webm"
)

// room is what a recording needs of a room.
type room interface {
	ID() string
	CreatedAt() time.Time
	Settings() (mixer.Settings, uint64)
	Done() <-chan struct{}
	subscribe(mixer.SubscribeConfig) (subscription, error)
}

// subscription is what a recording needs of its place in a room.
type subscription interface {
	RequestKeyFrame()
	Close()
}

// mixed is a mixer's room.
type mixed struct{ *mixer.Room }

func (m mixed) subscribe(c mixer.SubscribeConfig) (subscription, error) {
	s, err := m.Subscribe(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Manager starts, ends and hands out recordings.
type Manager struct {
	cfg  Config
	root *os.Root

	mu     sync.Mutex
	all    map[key]*recording
	closed bool
}

// Bounds of Options.SegmentS: each file is an entry in the index, which is
// written anew with each.
const (
	minSegment = 5
	maxSegment = 86400
)

type key struct{ room, id string }

// New opens the folder, reads what it holds and repairs what was interrupted.
func New(cfg Config) (*Manager, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("record: make folder: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("record: open folder: %w", err)
	}
	m := &Manager{cfg: cfg, root: root, all: map[key]*recording{}}
	if err := m.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("record: read recordings: %w", err), root.Close())
	}
	return m, nil
}

// Start begins a recording and answers when the first mixed frame has been
// taken; where none comes in time it fails and nothing remains.
func (m *Manager) Start(ctx context.Context, r *mixer.Room, o Options) (Info, error) {
	return m.start(ctx, mixed{r}, o)
}

func (m *Manager) start(ctx context.Context, rm room, o Options) (Info, error) {
	r, err := m.admit(rm, o)
	if err != nil {
		return Info{}, err
	}
	if err := m.root.MkdirAll(r.dir, 0o755); err != nil {
		m.takeBack(r)
		return Info{}, failed("make folder", err)
	}
	if err := m.launch(r); err != nil {
		m.takeBack(r)
		return Info{}, err
	}
	return r.awaitFirst(ctx)
}

// launch subscribes to the room and lets the recording run.
func (m *Manager) launch(r *recording) (err error) {
	r.sub, err = r.room.subscribe(mixer.SubscribeConfig{
		Sink: r.queue, Audio: true, Video: !r.info.AudioOnly, Rendition: r.info.Rendition, Continuous: true,
		Finish: func() { // the room's end is told when the recording's was
			r.stopNow()
			<-r.done
		},
	})
	if err != nil {
		return fmt.Errorf("record: subscribe: %w", err)
	}
	go r.run()
	return nil
}

// admit checks what is asked for and takes a place.
func (m *Manager) admit(rm room, o Options) (*recording, error) {
	if o.Format == "" {
		o.Format = "webm"
	}
	if o.Format != "webm" && o.Format != "mkv" {
		return nil, ErrFormat
	}
	if o.SegmentS != 0 && (o.SegmentS < minSegment || o.SegmentS > maxSegment) {
		return nil, &mixer.FieldError{Field: "segment_s", Reason: fmt.Sprintf("must be 0 or %d to %d", minSegment, maxSegment)}
	}
	s, _ := rm.Settings()
	if o.Rendition == "" && len(s.Renditions) > 0 {
		o.Rendition = s.Renditions[0].Name
	}
	if !slices.ContainsFunc(s.Renditions, func(r mixer.Rendition) bool { return r.Name == o.Rendition }) {
		return nil, ErrRendition
	}
	r := newRecording(m, rm, o, s.Audio.Stereo)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, mixer.ErrDraining
	}
	running := 0
	for _, other := range m.all {
		if other.done != nil && !isClosed(other.done) {
			running++
		}
	}
	if running >= m.cfg.MaxRunning {
		return nil, ErrTooMany
	}
	m.all[key{r.info.Room, r.info.ID}] = r
	return r, nil
}

// takeBack forgets a recording before its goroutine runs.
func (m *Manager) takeBack(r *recording) {
	m.forget(r)
	close(r.done)
}

// forget takes back a recording that never began.
func (m *Manager) forget(r *recording) {
	m.mu.Lock()
	delete(m.all, key{r.info.Room, r.info.ID})
	m.mu.Unlock()
	if err := m.root.RemoveAll(r.dir); err != nil {
		m.cfg.Logger.Warn("recording folder not removed", "room", r.info.Room, "recording", r.info.ID, "error", plain(err))
	}
	_ = m.root.Remove(path.Dir(r.dir)) // only where it is empty
}

// newID answers an identifier that sorts by time and cannot be guessed.
func newID(now time.Time) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return now.UTC().Format("20060102T150405") + "-" + hex.EncodeToString(b[:])
}

// List answers a room's recordings, the oldest first; empty for none.
func (m *Manager) List(roomID string) []Info {
	m.mu.Lock()
	var found []*recording
	for k, r := range m.all {
		if k.room == roomID {
			found = append(found, r)
		}
	}
	m.mu.Unlock()
	infos := make([]Info, 0, len(found))
	for _, r := range found {
		infos = append(infos, r.Info())
	}
	slices.SortFunc(infos, func(a, b Info) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return infos
}

// Get answers a recording or ErrNotFound.
func (m *Manager) Get(roomID, id string) (Info, error) {
	r, err := m.get(roomID, id)
	if err != nil {
		return Info{}, err
	}
	return r.Info(), nil
}

func (m *Manager) get(roomID, id string) (*recording, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.all[key{roomID, id}]; ok {
		return r, nil
	}
	return nil, ErrNotFound
}

// SetState pauses a recording, lets it go on ("active") or ends it ("ending");
// the latter answers when the file is complete. Where it is so already nothing
// happens; anything else is ErrInvalidState.
func (m *Manager) SetState(ctx context.Context, roomID, id, state string) (Info, error) {
	r, err := m.get(roomID, id)
	if err != nil {
		return Info{}, err
	}
	switch State(state) {
	case Paused, Active:
		return r.setPaused(State(state))
	case Ending:
		return r.end(ctx)
	}
	return Info{}, ErrInvalidState
}

// Delete removes a recording that is over and its files.
func (m *Manager) Delete(roomID, id string) error {
	m.mu.Lock()
	k := key{roomID, id}
	r, ok := m.all[k]
	if !ok {
		m.mu.Unlock()
		return ErrNotFound
	}
	if r.done != nil && !isClosed(r.done) {
		m.mu.Unlock()
		return ErrRunning
	}
	delete(m.all, k)
	m.mu.Unlock()
	if err := m.root.RemoveAll(r.dir); err != nil {
		m.mu.Lock()
		m.all[k] = r
		m.mu.Unlock()
		return failed("remove files", err)
	}
	_ = m.root.Remove(path.Dir(r.dir)) // only where it is empty
	return nil
}

// Open opens a file of a recording, also while it grows. The name must be one
// that the recording lists.
func (m *Manager) Open(roomID, id, name string) (io.ReadSeekCloser, error) {
	r, err := m.get(roomID, id)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(r.Info().Files, func(f File) bool { return f.Name == name }) {
		return nil, ErrNotFound
	}
	f, err := openRegular(m.root, path.Join(r.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, failed("open file", err)
	}
	return f, nil
}

// Close ends all recordings, waits until they are complete and takes no more.
// It may be called again.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	again := m.closed
	m.closed = true
	var running []*recording
	for _, r := range m.all {
		if r.done != nil {
			running = append(running, r)
		}
	}
	m.mu.Unlock()
	for _, r := range running {
		r.stopNow()
	}
	for _, r := range running {
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("record: close: %w", ctx.Err())
		}
	}
	if again {
		return nil
	}
	return m.root.Close()
}

func (m *Manager) tell(t mixer.EventType, i Info) {
	if m.cfg.OnEvent == nil {
		return
	}
	m.cfg.OnEvent(mixer.Event{
		Type: t, Room: i.Room, Tenant: i.Tenant, Time: time.Now(), Reason: i.Error,
		Recording: &mixer.RecordingRef{ID: i.ID, State: string(i.State)},
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// docType is the EBML DocType of a format.
func docType(format string) string {
	if format == "mkv" {
		return webm.Matroska
	}
	return webm.WebM
}
