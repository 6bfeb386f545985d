package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tutti/mixer"
)

// Prefix is where all of it lies in the store. It names the format, so that
// programs of another one do not read each other's entries.
const Prefix = "/tutti/1/"

// Where the kinds of records lie.
const (
	liveAt    = Prefix + "live/"
	loadsAt   = Prefix + "loads/"
	membersAt = Prefix + "members/"
	orderedAt = Prefix + "ordered/"
	deathsAt  = Prefix + "deaths/"
	roomsAt   = Prefix + "rooms/"
)

const (
	maxRecord  = 256 << 10 // bytes
	maxAddress = 256       // bytes
)

// LiveKey is where a member says that it is alive, under its lease.
func LiveKey(name string) string { return liveAt + name }

// LoadKey is where a node says what it has to do, under its lease.
func LoadKey(name string) string { return loadsAt + name }

// MemberKey is where a member's name is kept, whether it is there or not.
func MemberKey(name string) string { return membersAt + name }

// OrderKey is where the operator says what is wanted of a node.
func OrderKey(name string) string { return orderedAt + name }

// DeathKey is where the death of an incarnation is certified.
func DeathKey(name string, i Incarnation) string { return deathsAt + name + "/" + string(i) }

// RoomKey is a room's place in the directory.
func RoomKey(id string) string { return roomsAt + id }

// Role is what a member is there for.
type Role string

// The roles of members.
const (
	NodeRole   Role = "node"
	RouterRole Role = "router"
)

// NodeState is what a node takes.
type NodeState string

// The states of a node.
const (
	Active   NodeState = "active"
	Draining NodeState = "draining" // takes no new room, and its rooms move away
	Dead     NodeState = "dead"     // certified; or away, if nobody has certified it yet
)

// Incarnation is one run of a member's process: random, never used twice.
type Incarnation string

// Member says that a name belongs to the cluster, whether its bearer is there or
// not. Halves and majorities are counted over members.
type Member struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Address string    `json:"address"` // where its internal API is: an http or https URL without a path
	Since   time.Time `json:"since"`
	// Incarnation is the run that wrote this: who dies when the live entry is gone.
	Incarnation Incarnation `json:"incarnation"`
	// Quorum are the members, itself included, of whom half must confirm that the
	// store is away before it goes on without, and more than half must grant its
	// death. Only the member itself changes it.
	Quorum []string `json:"quorum"`
}

// Live is a member that is alive.
type Live struct {
	Name        string            `json:"name"`
	Role        Role              `json:"role"`
	Incarnation Incarnation       `json:"incarnation"`
	Address     string            `json:"address"`
	Labels      map[string]string `json:"labels"`
	Version     string            `json:"version"`
	State       NodeState         `json:"state"`
	// Capacity is the CPU that rooms may take, in milliseconds per second; MaxRooms
	// how many there may be. Weight is the node's share in the hash order, 1 by default.
	Capacity float64   `json:"capacity"`
	MaxRooms int       `json:"max_rooms"`
	Weight   float64   `json:"weight"`
	Since    time.Time `json:"since"`
}

// Load is what a node has to do, as it measured last.
type Load struct {
	Name         string    `json:"name"`
	At           time.Time `json:"at"` // by the node's own clock
	CPU          float64   `json:"cpu"`
	Rooms        int       `json:"rooms"`
	Participants int       `json:"participants"`
	// Costs are the rooms' shares of CPU, in milliseconds per second, by room.
	Costs map[string]float64 `json:"costs,omitempty"`
}

// Order is what the operator wants of a node, until it says otherwise.
type Order struct {
	Node  string    `json:"node"`
	State NodeState `json:"state"` // Active or Draining
	// DeadlineS bounds a drain, in seconds.
	DeadlineS int `json:"deadline_s,omitempty"`
}

// Evidence is why an incarnation counts as dead.
type Evidence string

// What certifies a death.
const (
	Refused  Evidence = "refused"  // its port refuses connections: the process is gone
	Granted  Evidence = "granted"  // more than half of the members grant it, and its lease has ended
	Replaced Evidence = "replaced" // the next incarnation has bound its address
	Departed Evidence = "departed" // it took leave itself
	Stated   Evidence = "stated"   // the operator says so
)

// Death certifies that an incarnation will never send again, so that its rooms
// may be taken.
type Death struct {
	Node        string      `json:"node"`
	Incarnation Incarnation `json:"incarnation"`
	Evidence    Evidence    `json:"evidence"`
	By          string      `json:"by"` // the member that certified it
	At          time.Time   `json:"at"`
}

// Epoch is one stretch of a room's life on one node. It rises with each owner. Those
// that the store has granted are even: the revision of the commit that made the
// owner so, shifted by epochBits. No commit knows its own revision, so it writes 0,
// and whoever reads puts the revision there. A room that was made while the store
// was away has an odd one until it is entered.
type Epoch uint64

// Owner is where a room is.
type Owner struct {
	Node        string      `json:"node"`
	Incarnation Incarnation `json:"incarnation"`
	Epoch       Epoch       `json:"epoch"`
}

// Room is a room's entry in the directory: where it is, and what it takes to
// have it again elsewhere.
type Room struct {
	ID string `json:"id"`
	Owner
	// Previous is where the room was before a planned move, for as long as sessions
	// may still be there.
	Previous *Owner         `json:"previous,omitempty"`
	Settings mixer.Settings `json:"settings"`
	// Rule is the router's that the room was placed by, so that it stays within its
	// pool also when the request that made it is forgotten.
	Rule      string    `json:"rule,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// Seq is a number that no event of the room has had yet.
	Seq uint64 `json:"seq"`
	// Participants are what a person keeps in a move, by the identifier of their
	// session.
	Participants map[string]Attributes `json:"participants,omitempty"`
	Recordings   []Recording           `json:"recordings,omitempty"` // that run
	Forwarders   []Forwarder           `json:"forwarders,omitempty"`
}

// Attributes are what of a participant survives a move.
type Attributes struct {
	Name       string  `json:"name"`
	AudioMuted bool    `json:"audio_muted,omitempty"`
	Deafened   bool    `json:"deafened,omitempty"`
	VideoMuted bool    `json:"video_muted,omitempty"`
	GainDB     float64 `json:"gain_db,omitempty"`
	// Bearer is the SHA-256 of the token that made the session, in hex; empty
	// without one. Only it gets them back.
	Bearer string `json:"bearer,omitempty"`
}

// Recording is a recording that runs and is to go on wherever the room goes.
type Recording struct {
	ID        string    `json:"id"`
	Format    string    `json:"format"`
	Rendition string    `json:"rendition"`
	AudioOnly bool      `json:"audio_only,omitempty"`
	SegmentS  int       `json:"segment_s,omitempty"`
	Paused    bool      `json:"paused,omitempty"`
	StartedAt time.Time `json:"started_at"`
	// NextFile is a number that no file of it has had yet, from 1.
	NextFile int `json:"next_file"`
	// DurationS is how much there was of it when this was written, CutS how much of
	// the time since StartedAt had been cut out by pauses and moves: what is lost
	// is counted from where both end.
	DurationS float64 `json:"duration_s"`
	CutS      float64 `json:"cut_s,omitempty"`
}

// Forwarder is a forwarder that is to go on wherever the room goes.
type Forwarder struct {
	ID        string `json:"id"`
	Host      string `json:"host"`
	Address   string `json:"address"` // what Host was resolved to
	AudioPort int    `json:"audio_port,omitempty"`
	VideoPort int    `json:"video_port,omitempty"`
	Rendition string `json:"rendition"`
	RTCPMux   bool   `json:"rtcp_mux,omitempty"`
	// Profile and Key are those of SRTP; the store holds the key as it is.
	Profile string `json:"profile,omitempty"`
	Key     Secret `json:"key,omitempty"`
	// Starter is who started it, as Attributes.Bearer names them.
	Starter   string    `json:"starter,omitempty"`
	StartedAt time.Time `json:"started_at"`
}

// Secret is a text that no format shows; JSON has it as it is, for the store.
type Secret string

// String answers what may be shown.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString is String: what %#v shows.
func (s Secret) GoString() string { return s.String() }

// ErrForeign: an entry of the store is none that this program writes.
var ErrForeign = errors.New("the entry is not of this program")

// encode answers a record as the store keeps it.
func encode(record any) []byte {
	b, err := json.Marshal(record)
	if err != nil {
		panic("cluster: " + err.Error()) // only a type that JSON does not know, or a time after the year 9999
	}
	return b
}

// decode reads an entry of the store. about answers what the record says that it
// is about, one identifier or two, which must be what the key says; and whether
// the rest of it can be.
func decode[T any](e Entry, at string, about func(*T) ([]string, bool)) (*T, error) {
	record := new(T)
	if len(e.Value) > maxRecord {
		return nil, fmt.Errorf("%w: %q has %d bytes", ErrForeign, e.Key, len(e.Value))
	}
	if err := json.Unmarshal(e.Value, record); err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrForeign, e.Key, err)
	}
	ids, ok := about(record)
	if !ok || !validIDs(ids...) || e.Key != at+strings.Join(ids, "/") {
		return nil, fmt.Errorf("%w: %q is about %q, or lacks a name or an address", ErrForeign, e.Key, ids)
	}
	return record, nil
}

func validIDs(ids ...string) bool {
	for _, id := range ids {
		if !mixer.ValidID(id) {
			return false
		}
	}
	return true
}

func decodeLive(e Entry) (*Live, error) {
	return decode(e, liveAt, func(l *Live) ([]string, bool) {
		return []string{l.Name}, validIDs(string(l.Incarnation)) && ValidAddress(l.Address) == nil
	})
}

func decodeLoad(e Entry) (*Load, error) {
	return decode(e, loadsAt, func(l *Load) ([]string, bool) { return []string{l.Name}, true })
}

func decodeMember(e Entry) (*Member, error) {
	return decode(e, membersAt, func(m *Member) ([]string, bool) {
		return []string{m.Name}, ValidAddress(m.Address) == nil
	})
}

func decodeOrder(e Entry) (*Order, error) {
	return decode(e, orderedAt, func(o *Order) ([]string, bool) {
		return []string{o.Node}, o.State == Active || o.State == Draining
	})
}

func decodeDeath(e Entry) (*Death, error) {
	return decode(e, deathsAt, func(d *Death) ([]string, bool) {
		return []string{d.Node, string(d.Incarnation)}, true
	})
}

// decodeRoom reads a room's entry. Where the record has no epoch, the commit that
// wrote it has changed the owner, and the epoch is that commit's.
func decodeRoom(e Entry) (*Room, error) {
	r, err := decode(e, roomsAt, func(r *Room) ([]string, bool) {
		return []string{r.ID}, validIDs(r.Node, string(r.Incarnation))
	})
	if err == nil && r.Epoch == 0 {
		r.Epoch = granted(e.Modified)
	}
	return r, err
}

// ValidAddress answers why a text is no address of a member, or nil.
func ValidAddress(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("no URL: %w", err)
	case len(text) > maxAddress, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Path != "", u.RawQuery != "", u.User != nil, u.Fragment != "":
		return errors.New("must be an address such as http://192.0.2.1:8080, with nothing after it")
	}
	return nil
}
