package cluster

import "time"

// Sight is what a member that is asked for a promise knows of itself.
type Sight struct {
	// Standing is Joining where this run of the process was never registered.
	Standing Standing
	// Contact is when the store gave its last sign of life.
	Contact time.Duration
	// Live is the revision of the member's own live entry, 0 if not known.
	Live int64
}

// Grantor keeps the promises that a member gives to the others: that the store is
// away (so that they go on), and that it will never again say so to an
// incarnation (so that it may be certified dead). It is a pure core: all times
// are arguments, by the clock Boottime. It is not safe for concurrent use.
//
// No member makes both promises to one incarnation at once, which is what the
// safety of the cluster rests on.
type Grantor struct {
	self      string
	ttl       time.Duration
	started   time.Duration
	confirmed map[deathOf]time.Duration // when the store was said to be away last
	granted   map[deathOf]bool
	holds     map[string]deathOf // new rooms in this outage, by identifier
}

// NewGrantor answers what keeps the promises of a member whose process started
// then. What an earlier process has confirmed is unknown, so that nothing is granted
// before such a confirmation has ended.
func NewGrantor(self string, ttl, started time.Duration) *Grantor {
	return &Grantor{
		self: self, ttl: ttl, started: started,
		confirmed: map[deathOf]time.Duration{}, granted: map[deathOf]bool{}, holds: map[string]deathOf{},
	}
}

// away reports whether the member is fit to say that the store is away. It must
// have been registered in this run: else a grant that an earlier one gave could
// still be in force.
func (g *Grantor) away(now time.Duration, s Sight) bool {
	return (s.Standing == Held || s.Standing == Stasis) && now-s.Contact > g.ttl*2/5
}

// Away answers whether the store is away, to an incarnation of another member.
// Yes is a promise not to grant against it for the lease's time.
func (g *Grantor) Away(now time.Duration, s Sight, node string, i Incarnation) bool {
	who := deathOf{node, i}
	if node == g.self || g.granted[who] || !g.away(now, s) {
		return false
	}
	for other, at := range g.confirmed {
		if now-at > g.ttl {
			delete(g.confirmed, other)
		}
	}
	g.confirmed[who] = now
	return true
}

// Grant answers whether an incarnation may be certified dead, as far as this
// member goes. Yes is a promise, for ever, never to tell it that the store is
// away; it holds for as long as the live entry that s names is in the store.
func (g *Grantor) Grant(now time.Duration, s Sight, node string, i Incarnation) bool {
	who := deathOf{node, i}
	at, confirmed := g.confirmed[who]
	switch {
	case node == g.self, s.Standing != Held, s.Live == 0, g.away(now, s):
		return false
	case now-g.started <= g.ttl, confirmed && now-at <= g.ttl:
		return false
	}
	g.granted[who] = true
	return true
}

// Hold answers whether an incarnation may make a new room while the store is
// away: whoever asks first may, for this outage.
func (g *Grantor) Hold(now time.Duration, s Sight, room, node string, i Incarnation) bool {
	if !g.away(now, s) {
		clear(g.holds)
		return false
	}
	who := deathOf{node, i}
	if holder, held := g.holds[room]; held {
		return holder == who
	}
	g.holds[room] = who
	return true
}

// Back says that the store is there: what was held is no more.
func (g *Grantor) Back() { clear(g.holds) }
