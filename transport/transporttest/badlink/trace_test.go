package badlink

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse(`
		# a comment
		at 0s        delay=20ms loss=1%         # both
		at 10s up    rate=300kbit/s queue=200ms
		at 10s up    loss=0.5% # with the rate
		at 15s down  jitter=30ms scatter=yes burst=1%,25% reorder=5% late=40ms duplicate=0.01
		at 20s down  clear mtu=1280 queue=100ms,64kB rate=1.5Mbit/s burst=0.01,0.25,0.9,0.001
		at 30s up    loss=0% rate=0bit/s
		at 31s up    clear
		at 60s repeat
	`)
	if err != nil {
		t.Fatal(err)
	}
	base := Conditions{Delay: 20 * time.Millisecond, Loss: 0.01}
	slow := Conditions{Delay: 20 * time.Millisecond, Loss: 0.005, RateBPS: 300_000, QueueTime: 200 * time.Millisecond}
	free := Conditions{Delay: 20 * time.Millisecond, QueueTime: 200 * time.Millisecond}
	bad := base
	bad.Jitter, bad.Scatter, bad.Burst = 30*time.Millisecond, true, Burst{0.01, 0.25, 1, 0}
	bad.Reorder, bad.ReorderDelay, bad.Duplicate = 0.05, 40*time.Millisecond, 0.01
	want := Trace{
		Up: []Step{{0, base}, {10 * time.Second, slow}, {30 * time.Second, free}, {31 * time.Second, Conditions{}}},
		Down: []Step{{0, base}, {15 * time.Second, bad}, {20 * time.Second, Conditions{
			MTU: 1280, QueueTime: 100 * time.Millisecond, QueueBytes: 64_000, RateBPS: 1_500_000, Burst: Burst{0.01, 0.25, 0.9, 0.001},
		}}},
		Repeat: time.Minute,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	const line = "delay=20ms jitter=30ms scatter=yes loss=0.01 burst=0.01,0.25,1,0 reorder=0.05 late=40ms duplicate=0.01"
	if s := bad.String(); s != line {
		t.Errorf("%s, not %s", s, line)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"loss=1%":                                "a step is",
		"at 0s":                                  "a step is",
		"at soon loss=1%":                        "no time",
		"at 5s loss=1%\n\nat 4s loss=2%":         "before",
		"at -1s loss=1%":                         "before",
		"at 99999h loss=1%":                      "later than",
		"at 0s up":                               "without conditions",
		"at 0s sideways loss=1%":                 "not NAME=VALUE",
		"at 0s lost=1%":                          "no condition",
		"at 0s loss=1% clear":                    "not NAME=VALUE",
		"at 0s loss":                             "not NAME=VALUE",
		"at 0s loss=101%":                        "share",
		"at 0s loss=-1%":                         "share",
		"at 0s loss=NaN":                         "share",
		"at 0s loss=":                            "share",
		"at 0s delay=20":                         "a time",
		"at 0s delay=-20ms":                      "not from 0",
		"at 0s delay=2h":                         "not from 0",
		"at 0s jitter=lots":                      "a time",
		"at 0s scatter=perhaps":                  "yes or no",
		"at 0s burst=1%":                         "two to four",
		"at 0s burst=1%,1%,1%,1%,1%":             "two to four",
		"at 0s burst=1%,x":                       "share",
		"at 0s rate=300":                         "unit",
		"at 0s rate=fastbit/s":                   "unit",
		"at 0s rate=-1kbit/s":                    "unit",
		"at 0s rate=1e300Gbit/s":                 "unit",
		"at 0s rate=2000Gbit/s":                  "unit",
		"at 0s queue=20":                         "a time or",
		"at 0s queue=xB":                         "unit",
		"at 0s queue=2000MB":                     "not from 0",
		"at 0s mtu=big":                          "bytes",
		"at 0s mtu=-1":                           "not from 0",
		"at 0s repeat":                           "after the last",
		"at 1s loss=1%\nat 1s repeat":            "after the last",
		"at 0s loss=1%\nat 1us repeat":           "too short",
		"at 1s loss=1%\nat 2s repeat 3":          "after repeat",
		"at 1s loss=1%\nat 2s repeat\nat 3s up ": "after repeat",
	} {
		_, err := Parse(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(syntax.Reason, reason) || syntax.Line != strings.Count(text, "\n")+1 {
			t.Errorf("%q: %v, not %q", text, err, reason)
		}
	}
}

func TestCheck(t *testing.T) {
	sec := func(at int) Step { return Step{At: time.Duration(at) * time.Second} }
	for _, c := range []struct {
		trace Trace
		good  bool
	}{
		{Trace{}, true},
		{Trace{Up: []Step{sec(0), sec(1), sec(1)}, Repeat: 2 * time.Second}, true},
		{Trace{Up: []Step{sec(1), sec(0)}}, false},
		{Trace{Down: []Step{sec(-1)}}, false},
		{Trace{Down: []Step{sec(0), sec(1)}, Repeat: time.Second}, false},
		{Trace{Repeat: -1}, false},
		{Trace{Repeat: 999 * time.Microsecond}, false},
		{Trace{Up: []Step{{Conditions: Conditions{Loss: 2}}}}, false},
		{Trace{Up: []Step{{Conditions: Conditions{Loss: math.NaN()}}}}, false},
		{Trace{Up: []Step{{Conditions: Conditions{Burst: Burst{LossGood: -1}}}}}, false},
		{Trace{Up: []Step{{Conditions: Conditions{RateBPS: -1}}}}, false},
		{Trace{Up: []Step{{Conditions: Conditions{QueueTime: -1}}}}, false},
	} {
		if err := c.trace.Check(); (err == nil) != c.good || err != nil && !errors.Is(err, ErrConditions) {
			t.Errorf("%+v: %v", c.trace, err)
		}
	}
}

// FuzzParse checks that a trace that is read can be written and read again, and
// that a pipe plays it without taking long.
func FuzzParse(f *testing.F) {
	f.Add("at 0s delay=20ms loss=1%\nat 10s up rate=300kbit/s queue=200ms # slow\nat 30s repeat\n")
	f.Add("at 0s down clear jitter=30ms scatter=yes burst=1%,25%\nat 1ms repeat")
	f.Add("at 1h2m up mtu=1280 queue=1s,64kB duplicate=0.1 reorder=5% late=1us\n")
	f.Add("at 0s loss=-0 rate=0.1bit/s burst=0,0")
	f.Add("at 0s rate=1bit/s\nat 1s rate=1000Gbit/s\nat 2s rate=1bit/s queue=1h\nat 3s repeat")
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := Parse(text)
		if err != nil {
			return
		}
		if err := trace.Check(); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(trace.String())
		if d := cmp.Diff(trace, again); err != nil || d != "" {
			t.Fatalf("%v: %s\n%s", err, d, trace)
		}
		p := New[int](start, Config[int]{})
		p.Play(start, trace.Up, trace.Repeat)
		for i := range 20 {
			p.Push(at(time.Duration(i)*time.Millisecond), 1000, i)
		}
		p.Pop(at(time.Second))
		n := p.Counts()
		if n.In+n.Duplicated != n.Out+n.Lost+n.Dropped+n.TooLong+uint64(n.Waiting) {
			t.Fatalf("the books are wrong: %+v", n)
		}
	})
}

// TestStepsAreExact: each datagram meets the conditions of its time, however
// late the pipe is asked.
func TestStepsAreExact(t *testing.T) {
	trace, err := Parse("at 0s delay=10ms\nat 1s delay=50ms\nat 2s rate=800kbit/s queue=1h\nat 3s loss=100%\nat 4s repeat")
	if err != nil {
		t.Fatal(err)
	}
	for _, begin := range []time.Duration{0, 4 * time.Second, 40 * time.Second, 400_000 * time.Hour} {
		p := New[int](start, Config[int]{})
		p.Play(start, trace.Up, trace.Repeat)
		var got, want []arrival
		for i, c := range []struct{ in, out time.Duration }{
			{0, 10 * time.Millisecond},
			{time.Second - 1, 1010*time.Millisecond - 1},
			{time.Second, 1050 * time.Millisecond},
			{2 * time.Second, 2060 * time.Millisecond},
			{2 * time.Second, 2070 * time.Millisecond}, // behind the other
			{3*time.Second - 1, 3060*time.Millisecond - 1},
			{3 * time.Second, never},
			{4*time.Second - 1, never},
			{4 * time.Second, 4010 * time.Millisecond},
		} {
			got = drain(p, begin+c.in, got)
			p.Push(at(begin+c.in), 1000, i)
			if c.out != never {
				want = append(want, arrival{i, begin + c.out})
			}
		}
		if got = drain(p, never, got); !slices.Equal(got, want) {
			t.Errorf("from %v on: %v, not %v", begin, got, want)
		}
	}
}

func TestStepsReachWhatWaits(t *testing.T) {
	trace, err := Parse("at 0s rate=800kbit/s queue=1h\nat 15ms rate=400kbit/s\nat 50ms rate=0bit/s")
	if err != nil {
		t.Fatal(err)
	}
	p := New[int](start, Config[int]{})
	p.Play(start, trace.Up, trace.Repeat)
	for i := range 4 {
		p.Push(start, 1000, i)
	}
	var got []time.Duration
	for next, ok := p.Next(); ok; next, ok = p.Next() {
		for _, _, ok := p.Pop(next); ok; _, _, ok = p.Pop(next) {
			got = append(got, next.Sub(start))
		}
	}
	want := []time.Duration{10 * time.Millisecond, 25 * time.Millisecond, 45 * time.Millisecond, 50 * time.Millisecond}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	// So it is too where nobody asks in between.
	p = New[int](start, Config[int]{})
	p.Play(start, trace.Up, trace.Repeat)
	for i := range 4 {
		p.Push(start, 1000, i)
	}
	for i, d := range want[2:] {
		if got := pops(p, d-1); got != 2-2*i {
			t.Errorf("%d have left before %v", got, d)
		}
		if got := pops(p, d); got != 1 {
			t.Errorf("%d leave at %v", got, d)
		}
	}
}

// pops answers how many have left by then.
func pops(p *Pipe[int], now time.Duration) (n int) {
	for _, _, ok := p.Pop(at(now)); ok; _, _, ok = p.Pop(at(now)) {
		n++
	}
	return n
}

func TestRoundsThatNobodySawAreSkipped(t *testing.T) {
	trace, err := Parse("at 0s delay=10ms\nat 0.6ms delay=20ms\nat 1ms repeat")
	if err != nil {
		t.Fatal(err)
	}
	p := New[int](start, Config[int]{})
	p.Play(start, trace.Up, trace.Repeat)
	const later = 200 * 365 * 24 * time.Hour // more rounds than can be played
	for _, c := range []struct{ at, want time.Duration }{{599_999, 10}, {600_000, 20}, {1_000_000, 10}} {
		if got := p.Conditions(at(later + c.at)).Delay; got != c.want*time.Millisecond {
			t.Errorf("%v at %v", got, c.at)
		}
	}
}

func TestSetEndsATrace(t *testing.T) {
	trace, err := Parse("at 0s delay=10ms\nat 1s loss=100%")
	if err != nil {
		t.Fatal(err)
	}
	p := New[int](start, Config[int]{})
	p.Play(start, trace.Up, trace.Repeat)
	p.Set(at(time.Millisecond), Conditions{Delay: time.Second})
	if c := p.Conditions(at(time.Minute)); c != (Conditions{Delay: time.Second}) {
		t.Errorf("%v", c)
	}
}
