package link

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"tutti/transport/transporttest/badlink"
)

// ErrUnavailable is wrapped by what New answers where this machine cannot have
// such a link; it says why.
var ErrUnavailable = errors.New("no link can be made here")

// Side is where a program or a socket is.
type Side int

// The sides of a link, and where the test itself is.
const (
	Outside Side = iota
	Client
	Server
)

func (s Side) String() string {
	if s < Outside || s > Server {
		return fmt.Sprintf("Side(%d)", int(s))
	}
	return [...]string{"outside", "client", "server"}[s]
}

// Direction is one of the two ways over a link.
type Direction int

// The directions of a link.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
)

func (d Direction) String() string {
	if d < Up || d > Down {
		return fmt.Sprintf("Direction(%d)", int(d))
	}
	return [...]string{"up", "down"}[d]
}

// Addresses of the sides; Outside has none.
var (
	ip4 = [...]netip.Addr{Client: netip.AddrFrom4([4]byte{10, 0, 0, 2}), Server: netip.AddrFrom4([4]byte{10, 0, 0, 1})}
	ip6 = [...]netip.Addr{Client: netip.MustParseAddr("fd00::2"), Server: netip.MustParseAddr("fd00::1")}
)

// IP4 answers the IPv4 address of the client's or the server's side.
func (s Side) IP4() netip.Addr { return ip4[s] }

// IP6 answers the IPv6 address of the client's or the server's side.
func (s Side) IP6() netip.Addr { return ip6[s] }

// Config is what a link begins with.
type Config struct {
	// Seed is what all luck of the link comes from.
	Seed uint64
	// Up and Down are the conditions of the directions.
	Up, Down badlink.Conditions
	// MTU of both devices in bytes, 1280 to 65535, of which programs know; 0:
	// 1500. Conditions.MTU in turn makes long packets vanish without a word.
	MTU int
}

// Stats are what a link has done.
type Stats struct{ Up, Down Counts }

// Counts are what one direction has done.
type Counts struct {
	badlink.Counts
	Stray   uint64 // packets that were not for the other side, not in In
	Missed  uint64 // that this process was too slow to take, not in In
	Refused uint64 // that the other side's kernel would not take, though in Out
}

// Link is a pair of namespaces and the link between them. Its methods are safe
// to use from several goroutines.
type Link struct {
	spaces [2]*namespace // by Side, from Client on
	ways   [2]*way       // by Direction

	closing  sync.Once
	closeErr error
	relays   relays
}

// New makes a link. Where this machine cannot have one its error wraps
// ErrUnavailable.
func New(cfg Config) (*Link, error) {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.MTU < 1280 || cfg.MTU > 65535 { // IPv6 wants 1280 (RFC 8200, 5)
		return nil, fmt.Errorf("link: mtu %d is not from 1280 to 65535", cfg.MTU)
	}
	if err := errors.Join(cfg.Up.Check(), cfg.Down.Check()); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if err := available(); err != nil {
		return nil, err
	}
	l := &Link{}
	for i := range l.spaces {
		var err error
		if l.spaces[i], err = newNamespace(Client+Side(i), cfg.MTU); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	client, server := l.spaces[0], l.spaces[1]
	conditions := [...]badlink.Conditions{Up: cfg.Up, Down: cfg.Down}
	for d, w := range [...]*way{
		Up:   {from: client, to: server, far: Server},
		Down: {from: server, to: client, far: Client},
	} {
		if err := w.start(cfg.Seed+uint64(d), conditions[d], cfg.MTU); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.ways[d] = w
	}
	return l, nil
}

// Set changes the conditions of a direction and ends its trace. On a link that is
// closed it does nothing, as Play.
func (l *Link) Set(d Direction, c badlink.Conditions) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("link: set %v: %w", d, err)
	}
	l.ways[d].change(func(p *pipe) { p.Set(time.Now(), c) })
	return nil
}

// Play begins a trace, and ends the one before.
func (l *Link) Play(t badlink.Trace) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("link: play: %w", err)
	}
	now := time.Now()
	l.ways[Up].change(func(p *pipe) { p.Play(now, t.Up, t.Repeat) })
	l.ways[Down].change(func(p *pipe) { p.Play(now, t.Down, t.Repeat) })
	return nil
}

// Stats answers what the link has done since it was made.
func (l *Link) Stats() Stats { return Stats{Up: l.ways[Up].stats(), Down: l.ways[Down].stats()} }

// Close ends the relays, kills what still runs in the namespaces, and takes the
// link away; sockets of Listen and DialContext are their owners' to close. It is
// safe to repeat.
func (l *Link) Close() error {
	l.closing.Do(func() {
		l.relays.close()
		var failed []error
		for _, n := range l.spaces {
			if n != nil {
				failed = append(failed, n.kill())
			}
		}
		for _, w := range l.ways {
			if w != nil {
				failed = append(failed, w.stop())
			}
		}
		for _, n := range l.spaces {
			if n != nil {
				failed = append(failed, n.close())
			}
		}
		l.closeErr = errors.Join(failed...)
	})
	return l.closeErr
}
