package jitter

import (
	"testing"
	"time"
)

// A repair fills a hole whose turn is to come, and is nothing anywhere else.
func TestRepairFillsAHole(t *testing.T) {
	now := time.Unix(100, 0)
	b := NewBuffer(Config{Floor: 60 * ms})
	if b.PushRepair(now, 9, 0, 960, []byte("nine")) {
		t.Error("a repair began a stream")
	}
	b.Push(now, 10, 960, 960, []byte("ten"))
	now = now.Add(40 * ms)
	if b.PushRepair(now, 10, 960, 960, []byte("10")) {
		t.Error("a repair was taken of what was there")
	}
	if !b.PushRepair(now, 11, 2*960, 960, []byte("eleven")) {
		t.Error("a repair was refused")
	}
	b.Push(now, 12, 3*960, 960, []byte("twelve"))
	if b.PushRepair(now, 1000, 0, 960, nil) || b.PushRepair(now, 13, 0, 7, nil) {
		t.Error("nonsense was taken")
	}
	for _, want := range []string{"ten", "eleven", "twelve"} {
		p, st := b.Pop(now)
		if st != Ready || string(p.Payload) != want {
			t.Fatalf("%v %q, %q expected", st, p.Payload, want)
		}
		now = now.Add(20 * ms)
	}
	if b.PushRepair(now, 11, 2*960, 960, []byte("eleven")) {
		t.Error("a repair was taken of what was played")
	}
	want := Stats{Received: 3, Played: 3, Repaired: 1}
	st := b.Stats()
	if st.Jitter, st.Target, st.Wait, st.Buffered = 0, 0, 0, 0; st != want {
		t.Errorf("%+v", st)
	}
}

// redundant runs a link with loss, in percent, whose packets carry the one
// before, and answers the share of ticks that were made up, in percent, and the
// largest target.
func redundant(loss int) (odd float64, target time.Duration) {
	const end = 59 * time.Second
	r := random(9)
	sent := speech(3000, 20*ms, 0)
	epoch := time.Unix(1_700_000_000, 0)
	b := NewBuffer(Config{})
	var stretched time.Duration = -1
	n, rest, missed := 0, 0, 0
	for now := 7 * ms; now < end; now += 20 * ms {
		for ; n < len(sent) && sent[n].arrives <= now; n++ {
			p, at := sent[n], epoch.Add(sent[n].arrives)
			if r.IntN(100) < loss {
				continue
			}
			if n > 0 {
				b.PushRepair(at, sent[n-1].seq, sent[n-1].ts, 960, []byte("before"))
			}
			b.Push(at, p.seq, p.ts, 960, []byte("primary"))
		}
		for rest < 960 {
			p, st := b.Pop(epoch.Add(now))
			if st == Ready {
				rest += p.Samples - stretch(p.Excess(rest), p.Samples, now, &stretched)
				continue
			}
			missed++
			rest = 960
		}
		rest -= 960
		target = max(target, b.Stats().Target)
	}
	return 100 * float64(missed) / float64(end/(20*ms)), target
}

// Where much is lost and each packet carries the one before, sound is delayed by
// a packet more and nothing but the loss of two on end is heard. Where little is
// lost it is not worth that.
func TestRepairsAreWaitedForWhereTheyAreMany(t *testing.T) {
	odd, target := redundant(10)
	if target < 40*ms || target > 50*ms || odd > 2 {
		t.Errorf("10 %% lost: target of %v, %.2f %% made up", target, odd)
	}
	t.Logf("10 %% lost: target of %v, %.2f %% made up", target, odd)
	odd, target = redundant(1)
	if target > 25*ms || odd > 1.5 {
		t.Errorf("1 %% lost: target of %v, %.2f %% made up", target, odd)
	}
	t.Logf("1 %% lost: target of %v, %.2f %% made up", target, odd)
}

func TestBoundsChangeLive(t *testing.T) {
	sent := speech(1500, 20*ms, 0)
	b := NewBuffer(Config{})
	at := func(d time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(d) }
	var waits []time.Duration
	stretched, rest := time.Duration(-1), 0
	for i, p := range sent {
		switch p.sent {
		case 5 * time.Second:
			b.SetBounds(200*ms, 300*ms)
		case 15 * time.Second:
			b.SetBounds(0, 0)
		}
		b.Push(at(p.sent), p.seq, p.ts, 960, []byte("sound"))
		for rest < 960 {
			got, st := b.Pop(at(p.sent + 7*ms))
			if st != Ready {
				break
			}
			rest += 960 - stretch(got.Excess(rest), 960, p.sent, &stretched)
			waits = append(waits, got.Wait)
		}
		rest = max(0, rest-960)
		switch i * 20 {
		case 4980, 29980:
			if w := waits[len(waits)-1]; w > 30*ms {
				t.Errorf("waited %v at %v", w, p.sent)
			}
		case 14980:
			if w := waits[len(waits)-1]; w < 175*ms || w > 210*ms {
				t.Errorf("waited %v for a floor of 200 ms", w)
			}
		}
	}
	for i := range 30 {
		b.Push(at(31*time.Second), uint16(1500+65000+i), uint32(1<<32-48000)+uint32(1500+i)*960, 960, nil)
	}
	if st := b.Stats(); st.Buffered != 400*ms {
		t.Fatalf("%v buffered", st.Buffered)
	}
	if b.SetBounds(0, 240*ms); b.Stats().Buffered != 240*ms {
		t.Errorf("%v buffered, 240 ms allowed", b.Stats().Buffered)
	}
}

func TestExcess(t *testing.T) {
	tests := []struct {
		name    string
		over    time.Duration
		length  time.Duration
		drift   float64
		filled  time.Duration
		surplus time.Duration
	}{
		{"on time", 0, 20 * ms, 0, 0, 0},
		{"as late in the tick as can be", 19 * ms, 20 * ms, 0, 0, 0},
		{"a tick too much and not sure", 24 * ms, 20 * ms, 0, 0, 0},
		{"a tick too much", 25 * ms, 20 * ms, 0, 0, 20 * ms},
		{"what a cut left over", 5 * ms, 20 * ms, 0, 13 * ms, 13 * ms},
		{"what is left over is all there is", -2 * ms, 20 * ms, 0, 13 * ms, 0},
		{"a little late", -4 * ms, 20 * ms, 0, 0, 0},
		{"late", -6 * ms, 20 * ms, 0, 0, -20 * ms},
		{"late, and some put in already", -6 * ms, 20 * ms, 0, 8 * ms, -12 * ms},
		{"the second of a tick", -10 * ms, 10 * ms, 0, 10 * ms, 0},
		{"short packets", 16 * ms, 10 * ms, 0, 0, 10 * ms},
		{"long packets", 45 * ms, 60 * ms, 0, 0, 40 * ms},
		{"sliding", 10 * ms, 20 * ms, 50, 12 * ms, 0},
		{"sliding, too much", 20 * ms, 20 * ms, 50, 13 * ms, 11 * ms},
		{"sliding, too little", -2 * ms, 20 * ms, 50, 9 * ms, -15 * ms},
	}
	for _, tt := range tests {
		p := Packet{Samples: samplesOf(tt.length), Over: tt.over, DriftPPM: tt.drift, tick: 960}
		if got := p.Excess(samplesOf(tt.filled)); got != samplesOf(tt.surplus) {
			t.Errorf("%s: %v, not %v", tt.name, span(int64(got)), tt.surplus)
		}
	}
}
