package badlink

import (
	"math"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// arrival is a datagram that left the pipe.
type arrival struct {
	number int
	at     time.Duration
}

// run puts in n datagrams of that size, one every gap, from 0 on, and takes out
// each at the very time that Next says.
func run(p *Pipe[int], n, size int, gap time.Duration) (list []arrival, fates []Fate) {
	for i := range n {
		now := time.Duration(i) * gap
		list = drain(p, now, list)
		fates = append(fates, p.Push(at(now), size, i))
	}
	return drain(p, math.MaxInt64, list), fates
}

// drain takes out what leaves until then.
func drain(p *Pipe[int], until time.Duration, list []arrival) []arrival {
	for {
		next, ok := p.Next()
		if !ok || next.Sub(start) > until {
			return list
		}
		for {
			n, _, ok := p.Pop(next)
			if !ok {
				break
			}
			list = append(list, arrival{n, next.Sub(start)})
		}
	}
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s is %v, not %v within %v", what, got, want, within)
	}
}

func pipe(c Conditions) *Pipe[int] { return New[int](start, Config[int]{Seed: 1, Conditions: c}) }

func TestPerfectLinkPassesAllAtOnce(t *testing.T) {
	list, fates := run(pipe(Conditions{}), 100, 1200, time.Millisecond)
	for i, a := range list {
		if a != (arrival{i, time.Duration(i) * time.Millisecond}) || fates[i] != Carried {
			t.Fatalf("%d: %v, fate %d", i, a, fates[i])
		}
	}
	if len(list) != 100 {
		t.Errorf("%d of 100 arrived", len(list))
	}
}

func TestDelayIsExact(t *testing.T) {
	list, _ := run(pipe(Conditions{Delay: 30 * time.Millisecond}), 100, 1200, time.Millisecond)
	for i, a := range list {
		if want := time.Duration(30+i) * time.Millisecond; a.number != i || a.at != want {
			t.Fatalf("%d left at %v as %d, not at %v", i, a.at, a.number, want)
		}
	}
}

// bursts answers how long each run of losses was.
func TestRateIsHeld(t *testing.T) {
	for _, rate := range []int64{64_000, 300_000, 2_000_000, 50_000_000} {
		p := pipe(Conditions{RateBPS: rate})
		// Twice as much as it carries, for 20 s.
		gap := time.Duration(float64(1200*8)/float64(2*rate)*1e9) * time.Nanosecond
		list, _ := run(p, int(20*time.Second/gap), 1200, gap)
		got := float64((len(list)-1)*1200*8) / (list[len(list)-1].at - list[0].at).Seconds()
		near(t, "rate", got, float64(rate), 0.001*float64(rate))
		near(t, "carried in 20 s", float64(len(list)*1200*8)/20, float64(rate), 0.01*float64(rate)+DefaultQueueTime.Seconds()*float64(rate)/20)
		if c := p.Counts(); c.OutBytes != uint64(1200*len(list)) || c.InBytes != 1200*c.In {
			t.Errorf("counted %+v", c)
		}
	}
}

func TestRateDoesNotTouchWhatIsSlower(t *testing.T) {
	list, _ := run(pipe(Conditions{RateBPS: 1_000_000}), 1000, 1000, 8*time.Millisecond) // just the rate
	for i, a := range list {
		if want := time.Duration(i+1) * 8 * time.Millisecond; a.at != want {
			t.Fatalf("%d left at %v, not %v", i, a.at, want)
		}
	}
	if len(list) != 1000 {
		t.Errorf("%d of 1000 arrived", len(list))
	}
}

func TestQueueIsBounded(t *testing.T) {
	const rate, size = 800_000, 1000 // 10 ms each
	for _, c := range []struct {
		bytes    int
		length   time.Duration
		fit      int // behind the one that is sent
		wantTime time.Duration
	}{
		{5000, 0, 5, 50 * time.Millisecond},
		{5999, 0, 5, 50 * time.Millisecond},
		{0, 50 * time.Millisecond, 5, 50 * time.Millisecond},
		{0, 59 * time.Millisecond, 5, 50 * time.Millisecond},
		{3000, 50 * time.Millisecond, 3, 30 * time.Millisecond},
		{9000, 50 * time.Millisecond, 5, 50 * time.Millisecond},
		{0, 0, 10, DefaultQueueTime},
		{20_000, 0, 20, 200 * time.Millisecond},
		{1, 0, 0, 0}, // shorter than any datagram: only what is sent at once
	} {
		p := pipe(Conditions{RateBPS: rate, QueueBytes: c.bytes, QueueTime: c.length})
		for i := range 100 {
			want := Carried
			if i > c.fit {
				want = Dropped
			}
			if got := p.Push(start, size, i); got != want {
				t.Fatalf("queue of %d bytes and %v: datagram %d has fate %d", c.bytes, c.length, i, got)
			}
		}
		got := p.Counts()
		if got.Dropped != uint64(99-c.fit) || got.MaxQueueBytes != c.fit*size || got.MaxQueueTime != c.wantTime {
			t.Errorf("queue of %d bytes and %v: %+v", c.bytes, c.length, got)
		}
		list := drain(p, 0, nil)
		for i := range c.fit { // as each is sent there is room for one more
			at := at(time.Duration(i+1) * 10 * time.Millisecond)
			if a, b := p.Push(at, size, -1), p.Push(at, size, -2); a != Carried || b != Dropped {
				t.Errorf("queue of %d bytes and %v: fates %d and %d at %v", c.bytes, c.length, a, b, at)
			}
		}
		list = drain(p, math.MaxInt64, list)
		list = slices.DeleteFunc(list, func(a arrival) bool { return a.number < 0 })
		if last := list[len(list)-1]; last.number != c.fit || last.at != time.Duration(c.fit+1)*10*time.Millisecond {
			t.Errorf("queue of %d bytes and %v: the last is %v", c.bytes, c.length, last)
		}
	}
}

func TestLostDatagramsUseTheBottleneck(t *testing.T) {
	p := pipe(Conditions{RateBPS: 800_000, Loss: 0.5, QueueTime: time.Hour})
	list, fates := run(p, 1000, 1000, 0)
	for _, a := range list {
		if want := time.Duration(a.number+1) * 10 * time.Millisecond; a.at != want {
			t.Fatalf("%d left at %v, not %v", a.number, a.at, want)
		}
	}
	if lost := slices.Contains(fates, Lost); !lost || len(list) < 400 {
		t.Errorf("%d arrived", len(list))
	}
}

func TestNewRateHoldsForWhatWaits(t *testing.T) {
	p := pipe(Conditions{RateBPS: 800_000, QueueTime: time.Hour})
	for i := range 4 {
		p.Push(start, 1000, i) // 10 ms each
	}
	p.Set(at(15*time.Millisecond), Conditions{RateBPS: 400_000, QueueTime: time.Hour}) // half of the second is left
	list := drain(p, 50*time.Millisecond, nil)
	p.Set(at(50*time.Millisecond), Conditions{})
	list = drain(p, math.MaxInt64, list)
	want := []arrival{{0, 10 * time.Millisecond}, {1, 25 * time.Millisecond}, {2, 45 * time.Millisecond}, {3, 50 * time.Millisecond}}
	if !slices.Equal(list, want) {
		t.Errorf("%v, not %v", list, want)
	}
	if p.Push(at(60*time.Millisecond), 1000, 4); len(drain(p, 60*time.Millisecond, nil)) != 1 {
		t.Error("a link without a bottleneck holds back")
	}
	p.Set(at(70*time.Millisecond), Conditions{RateBPS: 800_000})
	for i := range 3 {
		p.Push(at(70*time.Millisecond), 1000, i)
	}
	p.Set(at(70*time.Millisecond), Conditions{})
	p.Set(at(70*time.Millisecond), Conditions{RateBPS: 800_000, QueueBytes: 1000})
	if p.Push(at(70*time.Millisecond), 1000, 5); p.Push(at(70*time.Millisecond), 1000, 6) != Carried {
		t.Error("what left still takes room in the queue")
	}
}

func TestOrderIsKept(t *testing.T) {
	steps := []Step{
		{0, Conditions{Delay: 300 * time.Millisecond, Jitter: 100 * time.Millisecond}},
		{time.Second, Conditions{Delay: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.1, Duplicate: 0.1}},
		{2 * time.Second, Conditions{Jitter: 200 * time.Millisecond, RateBPS: 5_000_000}},
	}
	for _, gap := range []time.Duration{100 * time.Microsecond, 20 * time.Millisecond} {
		p := pipe(Conditions{})
		p.Play(start, steps, 3*time.Second)
		list, _ := run(p, int(9*time.Second/gap), 200, gap)
		if !slices.IsSortedFunc(list, func(a, b arrival) int { return a.number - b.number }) {
			t.Error("they overtake each other")
		}
		if c := p.Counts(); c.Reordered != 0 || c.Waiting != 0 || c.Out != uint64(len(list)) {
			t.Errorf("%+v", c)
		}
	}
}

func TestJitterWandersOverItsWholeRange(t *testing.T) {
	const delay, jitter = 20 * time.Millisecond, 50 * time.Millisecond
	for _, gap := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		list, _ := run(pipe(Conditions{Delay: delay, Jitter: jitter}), int(200*time.Second/gap), 200, gap)
		checkJitter(t, list, gap, delay, jitter, 0.2) // the middle is likelier than the ends
		for i, a := range list[1:] {
			if apart := a.at - list[i].at; apart < 0 || apart > 2*gap {
				t.Fatalf("%v apart, and %v before", apart, gap)
			}
		}
	}
}

func TestScatteredJitterIsEvenAndOvertakes(t *testing.T) {
	const delay, jitter = 20 * time.Millisecond, 50 * time.Millisecond
	p := pipe(Conditions{Delay: delay, Jitter: jitter, Scatter: true})
	list, _ := run(p, 100_000, 200, 10*time.Millisecond)
	slices.SortFunc(list, func(a, b arrival) int { return a.number - b.number })
	checkJitter(t, list, 10*time.Millisecond, delay, jitter, 1./3)
	// One with the share u of the jitter is overtaken by the kth behind it, which
	// comes k/5 of the jitter later, with the chance u - k/5.
	kept := 0.0
	for i := range 1000 {
		all := 1.0
		for k := range 5 {
			all *= 1 - max(0, (float64(i)+0.5)/1000-float64(k+1)/5)
		}
		kept += all / 1000
	}
	near(t, "reordered", float64(p.Counts().Reordered)/100_000, 1-kept, 0.01)
	p = pipe(Conditions{Delay: delay, Jitter: jitter, Scatter: true})
	if run(p, 1000, 200, jitter); p.Counts().Reordered != 0 {
		t.Error("they overtake those that are further away than the jitter")
	}
}

// checkJitter checks the range of the delays, their mean, and that the share
// outer of them lies in the lowest third of the range, and in the highest.
func checkJitter(t *testing.T, list []arrival, gap, delay, jitter time.Duration, outer float64) {
	t.Helper()
	sum, low, high := 0.0, 0, 0
	for _, a := range list {
		extra := a.at - time.Duration(a.number)*gap - delay
		if extra < 0 || extra > jitter {
			t.Fatalf("%d took %v", a.number, extra+delay)
		}
		sum += extra.Seconds()
		if extra < jitter/3 {
			low++
		} else if extra > jitter*2/3 {
			high++
		}
	}
	n := float64(len(list))
	near(t, "mean", sum/n, jitter.Seconds()/2, 0.02*jitter.Seconds())
	if l, h := float64(low)/n, float64(high)/n; l < 0.95*outer || h < 0.95*outer {
		t.Errorf("%.2f in the lowest third, %.2f in the highest, not %.2f", l, h, outer)
	}
}

func TestHeldBackAreOvertaken(t *testing.T) {
	const n = 100_000
	p := pipe(Conditions{Delay: 50 * time.Millisecond, Reorder: 0.05, ReorderDelay: 30 * time.Millisecond})
	list, _ := run(p, n, 200, 10*time.Millisecond)
	late := 0
	for _, a := range list {
		switch a.at - time.Duration(a.number)*10*time.Millisecond {
		case 50 * time.Millisecond:
		case 80 * time.Millisecond:
			late++
		default:
			t.Fatalf("%d left at %v", a.number, a.at)
		}
	}
	near(t, "share", float64(late)/n, 0.05, 0.004)
	// A late one is not overtaken if the next three are late too, or rather if
	// none of those before its time leaves before it; that is rare.
	near(t, "reordered", float64(p.Counts().Reordered)/n, 0.05, 0.004)

	p = pipe(Conditions{Reorder: 1})
	if list, _ = run(p, 1, 200, 0); list[0].at != DefaultReorderDelay {
		t.Errorf("held back by %v", list[0].at)
	}
}

func TestDuplicatesFollow(t *testing.T) {
	const n = 100_000
	clones := 0
	p := New(start, Config[int]{Seed: 3, Conditions: Conditions{Duplicate: 0.03}, Clone: func(i int) int { clones++; return -i }})
	list, _ := run(p, n, 200, 10*time.Millisecond)
	near(t, "share", float64(clones)/n, 0.03, 0.003)
	if c := p.Counts(); c.Duplicated != uint64(clones) || c.Out != n+c.Duplicated || len(list) != n+clones || c.Reordered != 0 {
		t.Errorf("%d clones, %+v", clones, c)
	}
	for i, a := range list {
		if a.number < 0 && list[i-1] != (arrival{-a.number, a.at}) {
			t.Fatalf("a copy of %d comes behind %v", -a.number, list[i-1])
		}
	}
}

func TestCopiesAreNotReordered(t *testing.T) {
	p := pipe(Conditions{Reorder: 0.05, Duplicate: 1})
	run(p, 10_000, 200, 10*time.Millisecond)
	if c := p.Counts(); c.Reordered == 0 || c.Reordered > 600 {
		t.Errorf("%+v", c)
	}
}

func TestLongOnesVanish(t *testing.T) {
	p := pipe(Conditions{MTU: 1280})
	if a, b := p.Push(start, 1280, 0), p.Push(start, 1281, 1); a != Carried || b != TooLong || p.Counts().TooLong != 1 {
		t.Errorf("%d, %d, %+v", a, b, p.Counts())
	}
}

// TestLuckIsRepeatable: which are lost, late and doubled depends on the seed and
// their number alone.
func TestTimeDoesNotGoBack(t *testing.T) {
	p := pipe(Conditions{Delay: time.Second, Scatter: true}) // so that order does not keep them
	p.Push(at(time.Minute), 100, 1)
	p.Push(at(0), 100, 2) // as at one minute
	p.Push(at(-time.Hour), 100, 3)
	if list := drain(p, math.MaxInt64, nil); len(list) != 3 || list[2] != (arrival{3, 61 * time.Second}) {
		t.Errorf("%v", list)
	}
}

func TestSteadyPipeDoesNotAllocate(t *testing.T) {
	p := pipe(Conditions{
		Delay: 50 * time.Millisecond, Jitter: 50 * time.Millisecond, Scatter: true, Loss: 0.1, Burst: Bursts(0.1, 4),
		Reorder: 0.1, Duplicate: 0.1, RateBPS: 1_000_000,
	})
	now := start
	step := func() {
		now = now.Add(time.Millisecond)
		p.Push(now, 200, 1)
		for {
			if _, _, ok := p.Pop(now); !ok {
				break
			}
		}
		p.Next()
	}
	for range 10_000 {
		step()
	}
	if n := testing.AllocsPerRun(10_000, step); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}
