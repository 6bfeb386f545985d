package router

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestLimiter(t *testing.T) {
	l := newLimiter(Limits{Sessions: 40, Tenant: 10}, func() float64 { return 0.5 })
	take := func(tenant string, at time.Duration, n int) (admitted int) {
		for range n {
			if _, ok := l.take(tenant, noon.Add(at)); ok {
				admitted++
			}
		}
		return admitted
	}
	for _, c := range []struct {
		tenant   string
		at       time.Duration
		n, wants int
	}{
		{"a", 0, 100, 1},                    // its own share: a tenth
		{"b", 0, 100, 1},                    // another's is not touched
		{"c", 0, 100, 1},                    //
		{"d", 0, 100, 1},                    //
		{"e", 0, 100, 0},                    // the whole is used up
		{"a", 112 * time.Millisecond, 1, 1}, // nine more a second
		{"a", 112 * time.Millisecond, 1, 0},
		{"b", time.Second, 100, 1},
		{"z", time.Minute, 100, 1},
		{"z", 0, 100, 0},           // a clock that goes back gives nothing
		{"z", time.Minute, 100, 0}, // nor does it give twice
	} {
		if got := take(c.tenant, c.at, c.n); got != c.wants {
			t.Errorf("%+v: %d admitted", c, got)
		}
	}
}

// TestCrowdComesBack holds that who waits as they were told is served at the
// limit's rate, without a gap or a second crowd.
func TestCrowdComesBack(t *testing.T) {
	step := uint64(1)
	random := func() float64 {
		step = step*6364136223846793005 + 1442695040888963407
		return float64(step>>11) / (1 << 53)
	}
	l := newLimiter(Limits{Sessions: 100}, random)
	due := map[int][]int{} // milliseconds: who
	for i := range 650 {
		due[i%300] = append(due[i%300], i)
	}
	served, last, tries := 0, 0, 0
	for ms := 0; ms < 60_000; ms++ {
		for _, who := range due[ms] {
			tries++
			retry, ok := l.take("", noon.Add(time.Duration(ms)*time.Millisecond))
			if ok {
				served, last = served+1, ms
				continue
			}
			if retry < 1 || retry > longestRetry {
				t.Fatalf("told to wait %d s", retry)
			}
			at := ms + retry*1000 + int(random()*1000)
			due[at] = append(due[at], who)
		}
	}
	if served != 650 || last > 15_000 || tries > 650*5/2 {
		t.Errorf("%d served, the last after %d ms, %d tries", served, last, tries)
	}
}

// TestMostInASecond holds that no second sees more than the limit, however
// they come.
func TestMostInASecond(t *testing.T) {
	for _, most := range []int{1, 2, 5, 30, 200} {
		l := newLimiter(Limits{Sessions: float64(most)}, func() float64 { return 0 })
		var in []int // milliseconds
		for ms := range 10_000 {
			if ms%1700 < 300 {
				continue // they come in waves
			}
			for range 10 {
				if _, ok := l.take("", noon.Add(time.Duration(ms)*time.Millisecond)); ok {
					in = append(in, ms)
				}
			}
		}
		for i := range in {
			if i+most < len(in) && in[i+most]-in[i] < 1000 {
				t.Fatalf("limit %d: %d within %d ms", most, most+1, in[i+most]-in[i])
			}
		}
		if len(in) < 10*most/3 {
			t.Errorf("limit %d: %d in 10 s", most, len(in))
		}
	}
}

func TestTenantsAreBounded(t *testing.T) {
	l := newLimiter(Limits{Tenant: 1}, func() float64 { return 0 })
	for i := range 3 * maxTenants / 2 {
		l.take(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second))
	}
	if len(l.tenants) != maxTenants {
		t.Errorf("%d tenants", len(l.tenants))
	}
	if l.tenants["0"] != nil || l.tenants[fmt.Sprint(3*maxTenants/2-1)] == nil {
		t.Error("the newest was forgotten, or the oldest was not")
	}
}

func TestNoLimits(t *testing.T) {
	l := newLimiter(Limits{}, func() float64 { return 0 })
	for range 10_000 {
		if _, ok := l.take("a", noon); !ok {
			t.Fatal("refused")
		}
	}
	for _, bad := range []Limits{{Sessions: -1}, {Tenant: math.NaN()}, {Sessions: math.Inf(1)}} {
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
