package router

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestLimiter(t *testing.T) {
	l := newLimiter(Limits{Sessions: 10, SessionsAtOnce: 20, Tenant: 5, TenantAtOnce: 5}, func() float64 { return 0.5 })
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
		{"a", 0, 100, 5},            // its own share
		{"b", 0, 100, 5},            // another's is not touched
		{"c", 0, 3, 3},              //
		{"d", 0, 100, 5},            //
		{"e", 0, 100, 2},            // what is left of the whole
		{"a", time.Second, 100, 5},  //
		{"b", time.Second, 100, 5},  //
		{"c", time.Second, 100, 0},  // the whole is used up
		{"z", time.Minute, 100, 5},  //
		{"z", 0, 100, 0},            // a clock that goes back gives nothing
		{"z", time.Minute, 100, 0},  // nor does it give twice
		{"y", time.Minute, 100, 5},  //
		{"x", time.Minute, 100, 5},  //
		{"w", time.Minute, 100, 5},  //
		{"v", time.Minute, 1000, 0}, // 20 at once
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
	l := newLimiter(Limits{Sessions: 100, SessionsAtOnce: 50}, random)
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
	for _, bad := range []Limits{{Sessions: -1}, {Tenant: math.NaN()}, {SessionsAtOnce: -1}, {TenantAtOnce: -1}, {Sessions: math.Inf(1)}} {
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
