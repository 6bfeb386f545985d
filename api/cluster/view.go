package cluster

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxLogged bounds how many foreign keys are remembered as logged.
const maxLogged = 1000

// RoomEntry is a room's entry in the directory and the revision that wrote it.
// It is never changed; the next one takes its place.
type RoomEntry struct {
	Room
	Modified int64
}

// Node is what is known of a member, node or router. It is never changed; the
// next one takes its place. The revisions are those that wrote the entries, 0
// where there is none.
type Node struct {
	// Member is made from Live where the name has no entry as a member.
	Member         Member
	MemberModified int64
	Live           *Live // nil: away
	LiveModified   int64
	Load           *Load  // nil: not known
	Order          *Order // nil: none
	OrderModified  int64
	// Dead: the incarnation that lives, or else the one that is a member, was
	// certified dead.
	Dead bool
}

// View is the watched copy of the store. It is as old as Contact says, and goes on
// to answer when the store is away. All methods may be called from any
// goroutine; only Ready waits.
type View struct {
	store Store
	log   *slog.Logger
	now   func() time.Duration

	ready   chan struct{}
	contact atomic.Int64 // nanoseconds
	foreign atomic.Uint64

	mu       sync.RWMutex
	revision int64
	rooms    map[string]*RoomEntry
	deaths   map[deathOf]deathEntry
	parts    map[string]*parts
	// known has the revision of each key that was seen last, with the keys in
	// buried: they are gone, as was learned before the watch said so.
	known  map[string]int64
	buried map[string]int64
	logged map[string]bool

	byID        atomic.Pointer[[]*RoomEntry] // nil: to be sorted anew
	nodes, all  atomic.Pointer[[]*Node]
	subscribers []func(Change)
}

// parts are the entries that a Node is made of.
type parts struct {
	member                                      *Member
	live                                        *Live
	load                                        *Load
	order                                       *Order
	memberModified, liveModified, orderModified int64
}

type deathOf struct {
	node        string
	incarnation Incarnation
}

type deathEntry struct {
	death    *Death
	modified int64
}

// NewView answers an empty view of a store, by the clock Boottime.
func NewView(s Store, log *slog.Logger) *View { return NewViewAt(s, log, Boottime) }

// NewViewAt answers an empty view of a store, by the clock that now reads.
func NewViewAt(s Store, log *slog.Logger, now func() time.Duration) *View {
	v := &View{
		store: s, log: log, now: now,
		ready:  make(chan struct{}),
		rooms:  map[string]*RoomEntry{},
		deaths: map[deathOf]deathEntry{},
		parts:  map[string]*parts{},
		known:  map[string]int64{},
		buried: map[string]int64{},
		logged: map[string]bool{},
	}
	v.nodes.Store(new([]*Node))
	v.all.Store(new([]*Node))
	return v
}

// Ready is closed when the view has read the whole store for the first time.
func (v *View) Ready() <-chan struct{} { return v.ready }

// Contact answers when the store gave its last sign of life, by the view's
// clock; 0 is never.
func (v *View) Contact() time.Duration { return time.Duration(v.contact.Load()) }

// Revision answers up to which revision the view has everything.
func (v *View) Revision() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.revision
}

// Foreign answers how many entries were skipped, because this program does not
// write such. What they took the place of is kept.
func (v *View) Foreign() uint64 { return v.foreign.Load() }

// Room answers a room's entry. It allocates nothing.
func (v *View) Room(id string) (*RoomEntry, bool) {
	v.mu.RLock()
	r, ok := v.rooms[id]
	v.mu.RUnlock()
	return r, ok
}

// Rooms answers all rooms by identifier. The slice is not to be written.
func (v *View) Rooms() []*RoomEntry {
	if sorted := v.byID.Load(); sorted != nil {
		return *sorted
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	sorted := slices.SortedFunc(maps.Values(v.rooms), func(a, b *RoomEntry) int { return strings.Compare(a.ID, b.ID) })
	v.byID.Store(&sorted) // whoever changes the rooms needs the lock for it
	return sorted
}

// Nodes answers the members that are nodes, by name: all names that have an entry
// as a member or are alive. The slice is not to be written.
func (v *View) Nodes() []*Node { return *v.nodes.Load() }

// Members answers all members, nodes and routers, by name. The slice is not to be
// written.
func (v *View) Members() []*Node { return *v.all.Load() }

// Member answers what is known of one member. It allocates nothing.
func (v *View) Member(name string) (*Node, bool) {
	all := v.Members()
	i, ok := slices.BinarySearchFunc(all, name, func(n *Node, name string) int { return strings.Compare(n.Member.Name, name) })
	if !ok {
		return nil, false
	}
	return all[i], true
}

// Death answers the certificate of an incarnation's death, and the revision that
// wrote it; nil and 0 where there is none.
func (v *View) Death(node string, i Incarnation) (death *Death, modified int64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	d := v.deaths[deathOf{node, i}]
	return d.death, d.modified
}

// Subscribe lets f be told after each change of the view, from several goroutines
// and not always in order: what holds is what the view answers then. f must not
// block. Subscribe is to be called before Run.
func (v *View) Subscribe(f func(Change)) { v.subscribers = append(v.subscribers, f) }

// Learn takes over an entry that was read or written otherwise than by the watch,
// if it is newer than what the view has. A nil Value says that the revision
// Modified removed it.
func (v *View) Learn(e Entry) {
	v.mu.Lock()
	var b batch
	if e.Modified > v.revision {
		v.change(&b, Change{e})
		if e.Value == nil && v.known[e.Key] < e.Modified {
			v.known[e.Key], v.buried[e.Key] = e.Modified, e.Modified
		}
	}
	v.finish(&b)
}

// batch collects what changes while the lock is held.
type batch struct {
	told    []Change
	skipped []error // to be logged
	rooms   bool
	names   map[string]bool // whose Node is to be made anew
}

func (b *batch) touch(name string) {
	if b.names == nil {
		b.names = map[string]bool{}
	}
	b.names[name] = true
}

// update takes over what the watch told.
func (v *View) update(u Update) {
	v.mu.Lock()
	var b batch
	for _, c := range u.Changes {
		v.change(&b, c)
	}
	v.reach(max(v.revision, u.Revision))
	v.finish(&b)
}

// replace takes over the whole store as of a revision. What was learned of
// revisions after it stays, unless it is another store, whose revisions count
// anew.
func (v *View) replace(entries []Entry, revision int64) {
	v.mu.Lock()
	var b batch
	if revision < v.revision {
		for key := range v.known {
			v.known[key] = -1
		}
		clear(v.buried)
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Key] = true
		v.change(&b, Change{e})
	}
	for key, modified := range v.known {
		if !there[key] && modified <= revision {
			v.change(&b, Change{Entry{Key: key, Modified: revision}})
			delete(v.known, key)
		}
	}
	v.reach(revision)
	v.finish(&b)
}

// reach says that the view has everything up to a revision: what is gone since
// before need not be remembered.
func (v *View) reach(revision int64) {
	v.revision = revision
	for key, gone := range v.buried {
		if gone <= revision {
			if v.known[key] == gone {
				delete(v.known, key)
			}
			delete(v.buried, key)
		}
	}
}

// change takes over one change, unless the view has it or a newer one.
func (v *View) change(b *batch, c Change) {
	known, had := v.known[c.Key]
	if had && c.Modified <= known {
		return
	}
	if c.Value == nil {
		if had {
			delete(v.known, c.Key)
			v.remove(b, c.Key)
			b.told = append(b.told, c)
		}
		return
	}
	v.known[c.Key] = c.Modified
	delete(v.buried, c.Key)
	if err := v.put(b, c.Entry); err != nil {
		v.foreign.Add(1)
		if !v.logged[c.Key] && len(v.logged) < maxLogged {
			v.logged[c.Key] = true
			b.skipped = append(b.skipped, err)
		}
		return
	}
	b.told = append(b.told, c)
}

// put decodes an entry and puts it in its place.
func (v *View) put(b *batch, e Entry) (err error) {
	name, p := v.part(e.Key)
	switch kind(e.Key) {
	case roomsAt:
		var r *Room
		if r, err = decodeRoom(e); err == nil {
			v.rooms[r.ID], b.rooms = &RoomEntry{*r, e.Modified}, true
		}
		return err
	case deathsAt:
		var d *Death
		if d, err = decodeDeath(e); err == nil {
			v.deaths[deathOf{d.Node, d.Incarnation}] = deathEntry{d, e.Modified}
			b.touch(d.Node)
		}
		return err
	case liveAt:
		err = set(e, decodeLive, &p.live, &p.liveModified)
	case loadsAt:
		err = set(e, decodeLoad, &p.load, new(int64))
	case membersAt:
		err = set(e, decodeMember, &p.member, &p.memberModified)
	case orderedAt:
		err = set(e, decodeOrder, &p.order, &p.orderModified)
	default:
		return fmt.Errorf("%w: %q is of no known kind", ErrForeign, e.Key)
	}
	if err == nil {
		v.parts[name] = p
		b.touch(name)
	}
	return err
}

// set puts the record of an entry in its place, if it is one.
func set[T any](e Entry, decode func(Entry) (*T, error), place **T, modified *int64) error {
	record, err := decode(e)
	if err == nil {
		*place, *modified = record, e.Modified
	}
	return err
}

// remove takes away what lay under a key.
func (v *View) remove(b *batch, key string) {
	name, p := v.part(key)
	switch kind(key) {
	case roomsAt:
		delete(v.rooms, name)
		b.rooms = true
		return
	case deathsAt:
		node, i, _ := strings.Cut(name, "/")
		delete(v.deaths, deathOf{node, Incarnation(i)})
		name = node
	case liveAt:
		p.live, p.liveModified = nil, 0
	case loadsAt:
		p.load = nil
	case membersAt:
		p.member, p.memberModified = nil, 0
	case orderedAt:
		p.order, p.orderModified = nil, 0
	default:
		return
	}
	if *p == (parts{}) {
		delete(v.parts, name)
	}
	b.touch(name)
}

// kind answers the part of a key that says what kind of record lies there.
func kind(key string) string {
	rest, _ := strings.CutPrefix(key, Prefix)
	return key[:len(key)-len(rest)+strings.Index(rest, "/")+1]
}

// part answers whom a key is about, and what is known of them so far.
func (v *View) part(key string) (string, *parts) {
	name := strings.TrimPrefix(key, kind(key))
	if p := v.parts[name]; p != nil {
		return name, p
	}
	return name, new(parts)
}
