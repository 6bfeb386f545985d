package jitter

import (
	"bytes"
	"math"
	"sync"
	"testing"
	"time"
)

// On a clean network sound waits for the caller's tick and nothing else,
// whatever the phase and the packets' length.
func TestCleanArrivalAtEveryPhase(t *testing.T) {
	for _, length := range []time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms} {
		var medians []time.Duration
		for phase := 10 * time.Microsecond; phase < 20*ms; phase += 977 * time.Microsecond {
			sent := speech(int(10*time.Second/length), length, 0)
			b := NewBuffer(Config{})
			s := judge(t, listen(t, b, sent, phase, 9900*ms), sent)
			if n := s.afterStart; n[Lost]+n[Early]+n[Empty] > 0 {
				t.Errorf("%v at phase %v: %d lost, %d early, %d empty after the start", length, phase, n[Lost], n[Early], n[Empty])
			}
			if worst := quantileOf(s.delays, 1); worst >= 40*ms {
				t.Errorf("%v at phase %v: %v of delay", length, phase, worst)
			}
			if s.order[0] != 0 {
				t.Errorf("%v at phase %v: began with packet %d", length, phase, s.order[0])
			}
			if st := b.Stats(); st.Lost+st.Late+st.Overflowed+st.Concealed > 0 {
				t.Errorf("%v at phase %v: %+v", length, phase, st)
			}
			medians = append(medians, quantileOf(s.delays, .5))
		}
		// The caller takes 20 ms at a time: the first of two packets waits for the other.
		if m := quantileOf(medians, .5); m > 16*ms+max(0, 20*ms-length) {
			t.Errorf("%v: median delay %v", length, m)
		}
	}
}

func TestReorderingIsRestoredAndCopiesIgnored(t *testing.T) {
	r := random(1)
	sent := speech(3000, 20*ms, 0)
	copies := 0
	in := network(sent, delayed(func(*sound) time.Duration { return time.Duration(r.Int64N(int64(90 * ms))) }))
	var doubled []sound
	for _, p := range in {
		doubled = append(doubled, p)
		if r.IntN(10) == 0 {
			doubled = append(doubled, p)
			copies++
		}
	}
	b := NewBuffer(Config{Floor: 120 * ms})
	s := judge(t, listen(t, b, doubled, 7*ms, 59800*ms), sent)
	st := b.Stats()
	if s.afterStart[Lost]+s.afterStart[Early]+s.afterStart[Empty] > 0 {
		t.Errorf("heard %+v", s.afterStart)
	}
	if int(st.Duplicates) != copies || st.Reordered == 0 || st.Late != 0 {
		t.Errorf("%d copies, stats %+v", copies, st)
	}
}

func TestLossIsConcealedOnceAndRecoverable(t *testing.T) {
	r := random(2)
	sent := speech(3000, 20*ms, 0)
	lost := map[int]bool{}
	in := network(sent, func(p *sound) bool {
		if p.index > 10 && !lost[p.index-1] && r.IntN(20) == 0 {
			lost[p.index] = true
		}
		return !lost[p.index]
	})
	for _, floor := range []time.Duration{20 * ms, 60 * ms} {
		b := NewBuffer(Config{Floor: floor})
		hs := listen(t, b, in, 3*ms, 59900*ms)
		s := judge(t, hs, sent)
		if s.afterStart[Lost] != len(lost) || int(b.Stats().Lost) != len(lost) || s.afterStart[Early]+s.afterStart[Empty] > 0 {
			t.Errorf("floor %v: %d lost, heard %+v, stats %+v", floor, len(lost), s.afterStart, b.Stats())
		}
		if floor == 20*ms {
			continue
		}
		for i, h := range hs {
			if h.status == Lost && (h.index < 0 || !lost[h.index-1] || h.samples != 960) {
				t.Fatalf("answer %d: %+v lacks the packet after it", i, h)
			}
		}
	}
}

// A storm of 200 ms of variation is borne with few losses, and ten seconds after
// its end the delay is what it was.
func TestDelayShrinksAfterStorm(t *testing.T) {
	for _, storm := range []time.Duration{100 * ms, 200 * ms, 390 * ms, 2 * time.Second} {
		r := random(3)
		sent := speech(3000, 20*ms, 0)
		in := network(sent, delayed(func(p *sound) time.Duration {
			if p.sent < 10*time.Second || p.sent > 30*time.Second {
				return 0
			}
			return time.Duration(r.Int64N(int64(storm)))
		}))
		b := NewBuffer(Config{})
		hs := listen(t, b, in, 11*ms, time.Minute)
		judge(t, hs, sent)
		var stormy, played int
		for _, h := range hs {
			if h.at > 15*time.Second && h.at < 30*time.Second {
				played++
				if h.status != Ready {
					stormy++
				}
			}
			if h.status != Ready {
				continue
			}
			delay := h.at - sent[h.index].sent
			if h.at > 41*time.Second && delay > 35*ms {
				t.Fatalf("storm of %v: delay still %v at %v", storm, delay, h.at)
			}
			if delay > storm+50*ms || storm < 400*ms && delay > 420*ms {
				t.Fatalf("storm of %v: delay %v at %v", storm, delay, h.at)
			}
		}
		if storm < 300*ms && stormy*20 > played {
			t.Errorf("storm of %v: %d of %d ticks without a packet", storm, stormy, played)
		}
		t.Logf("storm of %v: %d of %d missed, %+v", storm, stormy, played, b.Stats())
	}
}

// A stall of the network delivers all at once; nothing of it is lost and the
// delay goes away again.
func TestStallThenBurst(t *testing.T) {
	sent := speech(1500, 20*ms, 0)
	in := network(sent, func(p *sound) bool {
		if p.sent >= 5*time.Second && p.sent < 5300*ms {
			p.arrives = 5300 * ms
		}
		return true
	})
	b := NewBuffer(Config{})
	hs := listen(t, b, in, 4*ms, 29*time.Second)
	judge(t, hs, sent)
	if st := b.Stats(); st.Lost+st.Late+st.Overflowed > 0 {
		t.Errorf("stats %+v", st)
	}
	var last time.Duration
	for _, h := range hs {
		if h.status == Ready && h.at-sent[h.index].sent > 35*ms {
			last = h.at
		}
	}
	if last > 15*time.Second {
		t.Errorf("delay was back at %v", last)
	}
	t.Logf("delay was back at %v", last)
}

// A sender that pauses for DTX leaves silence, not loss, and starts anew at once.
func TestPauseIsSilence(t *testing.T) {
	for _, announced := range []bool{true, false} {
		var sent []sound
		for i, p := range speech(3000, 20*ms, 0) {
			if i%200 < 100 || announced && i%200 == 100 {
				p.index, p.seq = len(sent), uint16(len(sent))
				p.size = 40
				if i%200 == 100 {
					p.size = 9 // enough for the index; the announcement is marked below
				}
				sent = append(sent, p)
			}
		}
		b := NewBuffer(Config{})
		var lost, early int
		for _, h := range listenDTX(t, b, sent, 6*ms, time.Minute) {
			switch h.status {
			case Lost:
				lost++
			case Early:
				early++
			}
		}
		st := b.Stats()
		if st.Lost+st.Late+st.Resyncs+st.Overflowed > 0 || int(st.Played) != len(sent) {
			t.Errorf("announced %v: %d sent, stats %+v", announced, len(sent), st)
		}
		if announced && lost > 0 || !announced && lost > 15*5 || early > 15+1 {
			t.Errorf("announced %v: %d concealed, %d early", announced, lost, early)
		}
	}
}

// A microphone whose clock is off is followed: for an hour nothing is lost,
// stretched or made up, and the delay stays where it is.
func TestDriftForAnHour(t *testing.T) {
	const settled = 2 * time.Minute // until 10 ppm are recognised and steered to
	phase := 1 * ms
	for _, ppm := range []float64{-500, -100, 10.4, 500} {
		sent := speech(180000, 20*ms, ppm)
		b := NewBuffer(Config{})
		r := random(5)
		in := network(sent, delayed(func(*sound) time.Duration { return time.Duration(r.Int64N(int64(3 * ms))) }))
		hs := listen(t, b, in, phase, 3590*time.Second)
		judge(t, hs, sent)
		lo, hi, odd := time.Hour, time.Duration(0), 0
		for _, h := range hs {
			switch {
			case h.status != Ready || h.stretched != 0:
				odd++
				if h.at > settled {
					t.Fatalf("%v ppm from %v: %+v", ppm, phase, h)
				}
			case h.at > settled:
				d := h.at - sent[h.index].sent
				lo, hi = min(lo, d), max(hi, d)
			}
		}
		st := b.Stats()
		if hi-lo > 10*ms || hi > 45*ms || st.Lost+st.Late+st.Overflowed > 0 || math.Abs(st.DriftPPM-ppm) > 2 {
			t.Errorf("%v ppm from %v: delay of %v to %v, %+v", ppm, phase, lo, hi, st)
		}
		t.Logf("%v ppm from %v: delay of %v to %v, odd %d, believed %.1f", ppm, phase, lo, hi, odd, st.DriftPPM)
		phase += 6 * ms
	}
}

// listenDTX is listen for streams whose packets of nine bytes are announcements
// of a pause: they reach the buffer with one byte.
func listenDTX(t testing.TB, b *Buffer, in []sound, phase, end time.Duration) []heard {
	t.Helper()
	epoch := time.Unix(1_700_000_000, 0)
	var out []heard
	i := 0
	for now := phase; now < end; now += 20 * ms {
		for ; i < len(in) && in[i].arrives <= now; i++ {
			size := in[i].size
			if size == 9 {
				size = 1
			}
			b.Push(epoch.Add(in[i].arrives), in[i].seq, in[i].ts, in[i].samples, make([]byte, size))
		}
		p, st := b.Pop(epoch.Add(now))
		out = append(out, heard{at: now, status: st, index: -1, samples: p.Samples})
	}
	return out
}

// Whatever jump the sender makes, sound goes on within a few packets.
func TestJumpsResynchronise(t *testing.T) {
	jumps := []struct {
		name string
		seq  int
		ts   int
		wait time.Duration
	}{
		{"sequence far ahead", 20000, 0, 0},
		{"sequence far back", -20000, 0, 0},
		{"sequence a little back", -300, 0, 0},
		{"sequence a little ahead", 300, 0, 0},
		{"timestamp ahead", 0, 1 << 30, 0},
		{"timestamp half a second ahead", 0, 24000, 0},
		{"timestamp back", 0, -(1 << 30), 0},
		{"timestamp half a second back", 0, -24000, 0},
		{"timestamp half round", 0, 1 << 31, 0},
		{"both", 30000, 1 << 29, 0},
		{"both after a pause", -12345, -54321, 3 * time.Second},
		{"timestamp stood still in a pause", 0, -96000, 2 * time.Second},
		{"outage", 250, 0, 5 * time.Second},
		{"long outage", 1500, 0, 30 * time.Second},
	}
	for _, j := range jumps {
		sent := speech(2000, 20*ms, 0)
		in := network(sent, func(p *sound) bool {
			if p.index >= 1000 {
				p.arrives += j.wait
				p.sent += j.wait
				p.seq += uint16(j.seq)
				p.ts += uint32(j.ts) + uint32(j.wait/time.Second*Rate)
			}
			return true
		})
		for i := range sent[1000:] {
			sent[1000+i].sent += j.wait
		}
		b := NewBuffer(Config{})
		listen(t, b, in, 13*ms, 21*time.Second+j.wait)
		if target := b.Stats().Target; target > 30*ms {
			t.Errorf("%s: target of %v after it", j.name, target)
		}
		b = NewBuffer(Config{})
		hs := listen(t, b, in, 13*ms, 39*time.Second+j.wait)
		s := judge(t, hs, sent)
		begin := 20*time.Second + j.wait
		for _, h := range hs {
			if h.at > begin+300*ms && h.status != Ready {
				t.Errorf("%s: %v at %v after the jump", j.name, h.status, h.at-begin)
				break
			}
		}
		if last := s.delays[len(s.delays)-1]; last > 45*ms {
			t.Errorf("%s: %v of delay at the end", j.name, last)
		}
		if n := s.count[Lost]; n > 15 {
			t.Errorf("%s: %d concealed", j.name, n)
		}
	}
}

// Where much is buffered, a pause or a long loss in the midst of it lasts as long
// as the sender's did: the delay after it is the delay before it.
func TestHolesKeepTheirLength(t *testing.T) {
	const floor = 300 * ms
	holes := []struct {
		name        string
		from, to    int // packets that are not sent, or lost
		renumbered  bool
		lost, early int
	}{
		{"pause", 100, 107, true, 0, 7},
		{"short loss", 100, 105, false, 5, 0},
		{"long loss", 100, 110, false, 5, 5},
	}
	for _, h := range holes {
		sent := speech(300, 20*ms, 0)
		in := network(sent, func(p *sound) bool {
			if h.renumbered && p.index >= h.to {
				p.seq -= uint16(h.to - h.from)
			}
			return p.index < h.from || p.index >= h.to
		})
		b := NewBuffer(Config{Floor: floor})
		s := judge(t, listen(t, b, in, 5*ms, 5900*ms), sent)
		if n := s.afterStart; n[Lost] != h.lost || n[Early] != h.early || n[Empty] != 0 {
			t.Errorf("%s: heard %v", h.name, n)
		}
		if lo, hi := quantileOf(s.delays, 0), quantileOf(s.delays, 1); hi != lo {
			t.Errorf("%s: delay from %v to %v", h.name, lo, hi)
		}
		if st := b.Stats(); st.Late+st.Overflowed > 0 || !h.renumbered && int(st.Lost) != h.to-h.from {
			t.Errorf("%s: %+v", h.name, st)
		}
	}
}

// Stragglers in no order are no new stream.
func TestStragglersAreNoRestart(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	b.Push(now, 100, 0, 960, []byte("abc"))
	for range 10 {
		now = now.Add(20 * ms)
		b.Pop(now)
	}
	for i := range 40 {
		b.Push(now, uint16(60+i*7%40), 0, 960, nil)
	}
	if st := b.Stats(); st.Late != 40 || st.Resyncs != 0 {
		t.Errorf("%+v", st)
	}
}

// A reordered packet from before a jump of the timestamps keeps its place.
func TestReorderedPacketWithAForeignTimestamp(t *testing.T) {
	for _, foreign := range []uint32{1 << 30, 1 << 31, 3 << 30, 5 * 960} {
		now := time.Unix(100, 0)
		b := NewBuffer(Config{})
		b.Push(now, 10, 0, 960, []byte{10, 0, 0})
		b.Push(now.Add(40*ms), 12, 2*960, 960, []byte{12, 0, 0})
		b.Push(now.Add(41*ms), 11, foreign, 960, []byte{11, 0, 0})
		now = now.Add(45 * ms)
		for want := range byte(3) {
			p, st := b.Pop(now)
			if st != Ready || p.Payload[0] != 10+want {
				t.Errorf("timestamp %d: %v %v, packet %d expected", foreign, st, p.Payload, 10+want)
				break
			}
			now = now.Add(20 * ms)
		}
	}
}

func TestStartNeedsNoMoreThanTheTarget(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	if _, st := b.Pop(now); st != Empty {
		t.Errorf("%v before the first packet", st)
	}
	b.Push(now, 1, 0, 960, []byte("first"))
	if _, st := b.Pop(now.Add(4 * ms)); st != Early {
		t.Errorf("%v before the margin", st)
	}
	p, st := b.Pop(now.Add(5 * ms))
	if st != Ready || string(p.Payload) != "first" || p.Wait != 5*ms || p.Samples != 960 {
		t.Errorf("%v %+v", st, p)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	for _, samples := range []int{-1, 0, MinSamples - 1, MaxSamples + 1, math.MaxInt} {
		if b.Push(now, 1, 1, samples, nil) {
			t.Errorf("%d samples taken", samples)
		}
	}
	if b.Push(now, 1, 1, 960, make([]byte, MaxPayload+1)) {
		t.Error("large payload taken")
	}
	if st := b.Stats(); st.Invalid != 6 || st.Received != 0 || st.Buffered != 0 {
		t.Errorf("%+v", st)
	}
}

func TestBoundDropsTheOldest(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	for i := range 100 {
		b.Push(now, uint16(i), uint32(i*960), 960, []byte{byte(i), 0, 0})
	}
	if st := b.Stats(); st.Buffered != 400*ms || st.Overflowed != 80 {
		t.Errorf("%+v", st)
	}
	p, st := b.Pop(now.Add(time.Second))
	for st == Ready && p.Payload[0] < 80 {
		t.Fatalf("%v, packet %d", st, p.Payload[0])
	}
}

// Packets that claim to last longer than their timestamps advance are bounded by
// what they claim.
func TestBoundHoldsForOverlappingSound(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	for i := range 100 {
		b.Push(now, uint16(i), uint32(i*MinSamples), MaxSamples, nil)
		if st := b.Stats(); st.Buffered > 400*ms {
			t.Fatalf("%v buffered", st.Buffered)
		}
	}
}

func TestFollowingPayloadIsACopy(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	b.Push(now, 0, 0, 960, []byte("zero"))
	b.Push(now.Add(40*ms), 2, 1920, 960, []byte("two!"))
	b.Pop(now.Add(40 * ms))
	p, st := b.Pop(now.Add(60 * ms))
	if st != Lost || string(p.Next) != "two!" {
		t.Fatalf("%v %q", st, p.Next)
	}
	for i := range 60 {
		b.Push(now.Add(60*ms), uint16(3+i), uint32(3+i)*960, 960, []byte("????"))
	}
	if string(p.Next) != "two!" {
		t.Errorf("it became %q", p.Next)
	}
}

// One goroutine pushes, another pops and looks at what it got while the first
// goes on; a third asks for figures and resets.
func TestPushAndPopAtOnce(t *testing.T) {
	start := time.Unix(100, 0)
	b := NewBuffer(Config{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20000 {
			b.Push(start.Add(time.Duration(i)*ms), uint16(i), uint32(i*960), 960, bytes.Repeat([]byte{byte(i)}, 60))
		}
	})
	wg.Go(func() {
		for i := range 100 {
			if b.Stats(); i%50 == 49 {
				b.Reset()
			}
		}
	})
	for i := range 20000 {
		p, _ := b.Pop(start.Add(time.Duration(i) * ms))
		for _, data := range [][]byte{p.Payload, p.Next} {
			for _, v := range data {
				if v != data[0] {
					t.Fatalf("payload %v was changed", data)
				}
			}
		}
	}
	wg.Wait()
}

func TestResetKeepsThePayloadHandedOut(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	b.Push(now, 1, 0, 960, []byte("old"))
	p, _ := b.Pop(now.Add(20 * ms))
	b.Reset()
	b.Push(now, 9000, 5, 960, []byte("new"))
	if string(p.Payload) != "old" {
		t.Errorf("payload became %q", p.Payload)
	}
	if p, st := b.Pop(now.Add(20 * ms)); st != Ready || string(p.Payload) != "new" {
		t.Errorf("%v %q after the reset", st, p.Payload)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	r := random(6)
	now := time.Unix(100, 0)
	b := NewBuffer(Config{})
	payload := make([]byte, 120)
	var seq uint16
	round := func() {
		now = now.Add(20 * ms)
		if r.IntN(30) > 0 {
			b.Push(now.Add(-time.Duration(r.IntN(15))*ms), seq, uint32(seq)*960, 960, payload)
		}
		seq++
		b.Pop(now)
		b.Stats()
	}
	for range 2000 {
		round()
	}
	if n := testing.AllocsPerRun(5000, round); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
