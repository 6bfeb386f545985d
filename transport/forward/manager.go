package forward

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"tutti/mixer"
)

// room is what a forwarder needs of a room.
type room interface {
	ID() string
	CreatedAt() time.Time
	Settings() (mixer.Settings, uint64)
	Done() <-chan struct{}
	subscribe(mixer.SubscribeConfig) (subscription, error)
}

// subscription is what a forwarder needs of its place in a room.
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

type key struct{ room, id string }

// Manager starts, ends and shows forwarders. A forwarder ends with its room.
type Manager struct {
	cfg    Config
	policy policy

	mu     sync.Mutex
	all    map[key]*forwarder
	past   Counts // of those that have ended
	closed bool
}

// New answers a manager.
func New(cfg Config) *Manager {
	if cfg.Gate == nil {
		cfg.Gate = func() bool { return true }
	}
	if cfg.MaxPerRoom <= 0 {
		cfg.MaxPerRoom = 8
	}
	if cfg.MaxRunning <= 0 {
		cfg.MaxRunning = 256
	}
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Manager{cfg: cfg, policy: policy{cfg.Allow, cfg.Resolver, net.InterfaceAddrs}, all: map[key]*forwarder{}}
}

// Start begins a forwarder. What cannot be is a *mixer.FieldError; ctx bounds the
// look-up of a name.
func (m *Manager) Start(ctx context.Context, r *mixer.Room, o Options) (Info, error) {
	return m.start(ctx, mixed{r}, o)
}

func (m *Manager) start(ctx context.Context, rm room, o Options) (Info, error) {
	if err := o.check(); err != nil {
		return Info{}, err
	}
	address, err := m.policy.resolve(ctx, o.Host)
	if err != nil {
		return Info{}, err
	}
	if o.Rendition == "" {
		s, _ := rm.Settings()
		o.Rendition = s.Renditions[0].Name // there is one
	}
	f := newForwarder(m, rm, Running{ID: newID(), Options: o, Address: address, StartedAt: time.Now()})
	if err := f.open(); err != nil {
		return Info{}, err
	}
	if err := m.admit(f); err != nil { // from here on others see it
		f.closeSockets()
		return Info{}, err
	}
	if err := f.subscribe(); err != nil {
		f.closeSockets()
		m.forget(f)
		close(f.done)
		return Info{}, fmt.Errorf("forward: subscribe: %w", err)
	}
	go f.run()
	m.cfg.Logger.Info("forwarder started", "room", rm.ID(), "forwarder", f.is.ID, "host", o.Host, "address", address)
	return f.info(), nil
}

// admit takes a place for a forwarder.
func (m *Manager) admit(f *forwarder) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return mixer.ErrDraining
	}
	here := 0
	for k := range m.all {
		if k.room == f.room.ID() {
			here++
		}
	}
	if here >= m.cfg.MaxPerRoom || len(m.all) >= m.cfg.MaxRunning {
		return ErrTooMany
	}
	m.all[key{f.room.ID(), f.is.ID}] = f
	return nil
}

// forget gives the place of a forwarder up.
func (m *Manager) forget(f *forwarder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past.add(f.counts())
	k := key{f.room.ID(), f.is.ID}
	if m.all[k] == f { // and no other has taken its place
		delete(m.all, k)
	}
}

// newID answers an identifier that cannot be guessed.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// of answers the forwarders of a room that nobody has stopped, the oldest first.
func (m *Manager) of(roomID string) (list []*forwarder) {
	m.mu.Lock()
	for k, f := range m.all {
		if k.room == roomID && !f.stopping() {
			list = append(list, f)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b *forwarder) int {
		return cmp.Or(a.is.StartedAt.Compare(b.is.StartedAt), cmp.Compare(a.is.ID, b.is.ID))
	})
	return list
}

// List answers a room's forwarders, the oldest first.
func (m *Manager) List(roomID string) []Info {
	list := []Info{}
	for _, f := range m.of(roomID) {
		list = append(list, f.info())
	}
	return list
}

func (m *Manager) get(roomID, id string) (*forwarder, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.all[key{roomID, id}]; ok {
		return f, nil
	}
	return nil, ErrNotFound
}

// Get answers a forwarder or ErrNotFound.
func (m *Manager) Get(roomID, id string) (Info, error) {
	f, err := m.get(roomID, id)
	if err != nil {
		return Info{}, err
	}
	return f.info(), nil
}

// SDP answers the description by which a receiver takes what a forwarder sends. It
// has the key only for asker being Options.Starter, who gave it.
func (m *Manager) SDP(roomID, id, asker string) (string, error) {
	f, err := m.get(roomID, id)
	if err != nil {
		return "", err
	}
	return f.describe(asker)
}

// Stop ends a forwarder: when it returns nothing more is sent.
func (m *Manager) Stop(roomID, id string) error {
	f, err := m.get(roomID, id)
	if err != nil {
		return err
	}
	f.stopNow()
	<-f.done
	return nil
}

// Totals answers how many forwarders run, and what all have done since the
// beginning.
func (m *Manager) Totals() (running int, c Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c = m.past
	for _, f := range m.all {
		c.add(f.counts())
	}
	return len(m.all), c
}

// Running answers what it takes to let a room's forwarders go on elsewhere, the
// oldest first.
func (m *Manager) Running(roomID string) []Running {
	list := []Running{}
	for _, f := range m.of(roomID) {
		list = append(list, f.is)
	}
	return list
}

// Continue lets a forwarder go on in a room that has come from another node, after
// a time in which that one still sends. It answers at once. The address must be
// allowed here too. One that runs here already is left as it is.
func (m *Manager) Continue(r *mixer.Room, was Running, after time.Duration) error {
	return m.goOn(mixed{r}, was, after)
}

func (m *Manager) goOn(rm room, was Running, after time.Duration) (err error) {
	if !mixer.ValidID(was.ID) {
		return &mixer.FieldError{Field: "id", Reason: "must match [A-Za-z0-9_-]{1,64}"}
	}
	if err := was.check(); err != nil {
		return err
	}
	if was.Address, err = m.policy.permit(was.Address); err != nil {
		return err
	}
	settings, _ := rm.Settings()
	if !slices.ContainsFunc(settings.Renditions, func(r mixer.Rendition) bool { return r.Name == was.Rendition }) {
		was.Rendition = settings.Renditions[0].Name
	}
	f := newForwarder(m, rm, was)
	f.after = after
	if err := f.open(); err != nil {
		return err
	}
	m.mu.Lock()
	old, closed := m.all[key{rm.ID(), was.ID}], m.closed
	runs := old != nil && !old.stopping()
	if !runs && !closed {
		m.all[key{rm.ID(), was.ID}] = f
	}
	m.mu.Unlock()
	if closed || runs {
		f.closeSockets()
		if closed {
			return mixer.ErrDraining
		}
		return nil
	}
	go f.run()
	return nil
}

// HandOver ends a room's forwarders here without a word, since they go on
// elsewhere or are this node's no more. It does not wait.
func (m *Manager) HandOver(roomID string) {
	for _, f := range m.of(roomID) {
		f.leave()
	}
}

// Close ends all forwarders and takes no more. It may be called again.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	var list []*forwarder
	for _, f := range m.all {
		list = append(list, f)
	}
	m.mu.Unlock()
	for _, f := range list {
		f.stopNow()
	}
	for _, f := range list {
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("forward: close: %w", ctx.Err())
		}
	}
	return nil
}
