package plane

import (
	"math"
	"sync/atomic"
	"time"
)

// noLimit is the moment of a gate that was never set.
const noLimit = math.MaxInt64

// gate says until when media may be sent, by the clock that goes on while the
// machine sleeps. It is looked at right before each batch goes to the kernel: one
// atomic load and, where a limit is set, one reading of the clock.
type gate struct {
	until   atomic.Int64               // in ns since boot; noLimit for none, 0 or less: shut
	clock   func() (sinceBoot int64)   // bootNow
	stopped [gateReasons]atomic.Uint64 // datagrams, by reason
}

// verdict is what a gate says of a batch.
type verdict uint8

const (
	gateOpen    verdict = iota
	gateShut            // somebody has shut it
	gateExpired         // the time is over, and nobody has prolonged it
	gateReasons = iota
)

func (g *gate) init() {
	g.until.Store(noLimit)
	g.clock = bootNow
}

// look answers whether media may be sent now.
func (g *gate) look() verdict {
	switch until := g.until.Load(); {
	case until == noLimit:
		return gateOpen
	case until <= 0:
		return gateShut
	case g.clock() >= until:
		return gateExpired
	}
	return gateOpen
}

// stops reports whether n datagrams may not be sent, and counts them.
func (g *gate) stops(n int) bool {
	v := g.look()
	if v == gateOpen {
		return false
	}
	g.stopped[v].Add(uint64(n))
	return true
}

// MaySend reports whether SendUntil lets media go now, for who sends by other
// sockets.
func (p *Plane) MaySend() bool { return p.gate.look() == gateOpen }

// SendUntil bounds the time in which media are sent: until boot, by
// CLOCK_BOOTTIME. 0 stops them at once, also what a client on TCP has not taken
// yet. Before the first call there is no bound. RTP and RTCP are stopped and
// counted in Stats; checks and handshakes, which carry no media, are not. It may
// be called from any goroutine and does not wait.
func (p *Plane) SendUntil(boot time.Duration) {
	p.gate.until.Store(int64(boot))
	if boot > 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tcp {
		t.interrupt()
	}
}
