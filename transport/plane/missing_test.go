package plane

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

// asker takes packets into a missing and answers what is asked for.
type asker struct {
	m   missing
	now time.Time
}

func (a *asker) take(seqs ...int64) (gap bool) {
	for _, n := range seqs {
		gap = a.m.take(a.now, n)
	}
	return gap
}

func (a *asker) due(after time.Duration, roundTrip time.Duration) []uint16 {
	a.now = a.now.Add(after)
	return a.m.due(a.now, roundTrip, nil)
}

func TestMissing(t *testing.T) {
	a := asker{now: epoch}
	if a.take(10) || a.take(11) {
		t.Error("a gap without one")
	}
	if !a.take(14) {
		t.Error("no gap between 11 and 14")
	}
	if got := a.due(0, 0); !slices.Equal(got, []uint16{12, 13}) {
		t.Errorf("at once: %v", got)
	}
	if got := a.due(askAgain-1, 0); got != nil {
		t.Errorf("too early: %v", got)
	}
	if a.take(13) {
		t.Error("a late packet makes a gap")
	}
	if got := a.due(1, 0); !slices.Equal(got, []uint16{12}) {
		t.Errorf("after the least time: %v", got)
	}
	if got := a.due(99*time.Millisecond, 100*time.Millisecond); got != nil {
		t.Errorf("within a round trip: %v", got)
	}
	if got := a.due(time.Millisecond, 100*time.Millisecond); !slices.Equal(got, []uint16{12}) {
		t.Errorf("after a round trip: %v", got)
	}
	a.take(12, 12, 14, 9) // all known or from before the first
	if got := a.due(time.Second, 0); got != nil || a.m.n != 0 {
		t.Errorf("nothing is missing, but %v is asked for", got)
	}
}

// A packet is asked for askTries times, or as long as askFor, and then given up.
func TestMissingIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		every, roundTrip time.Duration
		want             int
	}{
		{25 * time.Millisecond, 0, askTries},
		{25 * time.Millisecond, 60 * time.Millisecond, askTries},
		{25 * time.Millisecond, 300 * time.Millisecond, 4},
		{400 * time.Millisecond, 0, 3},
	} {
		a := asker{now: epoch}
		a.take(1, 3)
		tries := len(a.due(0, 0))
		for range 100 {
			tries += len(a.due(c.every, c.roundTrip))
		}
		if tries != c.want || a.m.n != 0 {
			t.Errorf("every %v, round trip %v: asked for %d times, want %d; %d left", c.every, c.roundTrip, tries, c.want, a.m.n)
		}
	}
}

// A cut that is longer than all that can be asked for is none: only a key frame
// helps. What was missing before is of no use any more either.
func TestMissingAfterACut(t *testing.T) {
	a := asker{now: epoch}
	a.take(1, 3)
	if a.take(3+maxMissing+1) || a.m.n != 0 {
		t.Errorf("%d are asked for after a cut", a.m.n)
	}
	if !a.take(3+maxMissing+1+maxMissing) || a.m.n != maxMissing-1 {
		t.Errorf("%d are asked for after a gap", a.m.n)
	}
	a.take(3 + 3*maxMissing + 1)
	got := a.due(0, 0)
	if len(got) != maxMissing || !slices.IsSorted(got) || got[len(got)-1] != 3+3*maxMissing {
		t.Errorf("%d are asked for: %v", len(got), got) // the newest
	}
}

// Whatever comes in whatever order: what is asked for has not come, is asked for
// in order and each no more than askTries times, no sooner again than after a
// round trip.
func TestPropertyMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := asker{now: epoch}
		roundTrip := time.Duration(rapid.IntRange(0, 200).Draw(t, "round trip")) * time.Millisecond
		came, tries, last := map[uint16]bool{}, map[uint16]int{}, map[uint16]time.Time{}
		next := int64(1000)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			seq := next - rapid.Int64Range(0, 30).Draw(t, "late")
			if rapid.Bool().Draw(t, "forward") {
				seq = next + rapid.SampledFrom([]int64{0, 0, 0, 1, 2, 10, 100, 300}).Draw(t, "gap")
				next = seq + 1
			}
			a.take(seq)
			came[uint16(seq)] = true
			due := a.due(time.Duration(rapid.IntRange(0, 60).Draw(t, "ms"))*time.Millisecond, roundTrip)
			if a.m.n > maxMissing || !slices.IsSorted(due) {
				t.Fatalf("%d missing, %v due", a.m.n, due)
			}
			for _, n := range due {
				tries[n]++
				if came[n] || tries[n] > askTries || tries[n] > 1 && a.now.Sub(last[n]) < max(askAgain, roundTrip) {
					t.Fatalf("%d is asked for: came %v, try %d, last %v ago", n, came[n], tries[n], a.now.Sub(last[n]))
				}
				last[n] = a.now
			}
		}
	})
}

// A session asks at once when it sees a gap, and again when a round trip has
// passed, which reception reports tell.
func TestSessionAsks(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(nil)}}})
	asked := func(at time.Time) (list []uint16) {
		for _, p := range r.control(at) {
			if n, ok := p.(*rtcp.TransportLayerNack); ok && n.MediaSSRC == cameraSSRC {
				for _, pair := range n.Nacks {
					list = append(list, pair.PacketList()...)
				}
			}
		}
		return list
	}
	r.send(epoch, packet(cameraSSRC, vp8PT, 65534, "x"))
	r.send(epoch, packet(cameraSSRC, vp8PT, 2, "x"))
	if got := asked(epoch); !slices.Equal(got, []uint16{65535, 0, 1}) {
		t.Fatalf("asked for %v", got)
	}
	r.send(epoch, repairOf(cameraRTX, 1, 0, "x"))
	r.session.roundTrip.Store(int64(80 * time.Millisecond))
	at := epoch.Add(79 * time.Millisecond)
	r.session.tick(at)
	if got := asked(at); got != nil {
		t.Errorf("asked for %v within a round trip", got)
	}
	at = epoch.Add(80 * time.Millisecond)
	r.session.tick(at)
	if got := asked(at); !slices.Equal(got, []uint16{65535, 1}) {
		t.Errorf("asked again for %v", got)
	}
	if s := r.counts(); s.Asked != 5 {
		t.Errorf("%d asked", s.Asked)
	}
	in := cameraIn(nil)
	in.NACK = false
	r = newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
	r.send(epoch, packet(cameraSSRC, vp8PT, 1, "x"))
	r.send(epoch, packet(cameraSSRC, vp8PT, 9, "x"))
	if got := asked(epoch); got != nil {
		t.Errorf("asked for %v although it was not agreed on", got)
	}
}
