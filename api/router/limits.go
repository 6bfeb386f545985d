package router

import (
	"errors"
	"math"
	"sync"
	"time"

	"tutti/api"
)

// Limits bound how fast sessions are made, so that a crowd that comes back at
// once does not take what the healthy rooms need. Each is the most that may be
// made within any second; 0 is no limit.
type Limits struct {
	Sessions float64 // of the whole router
	Tenant   float64 // of each tenant
}

func (l Limits) check() error {
	for _, n := range []float64{l.Sessions, l.Tenant} {
		if n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			return errors.New("router: the limits of sessions must not be negative")
		}
	}
	return nil
}

// maxTenants bounds the tenants whose sessions are counted apart; those that had
// none for the longest time are forgotten first.
const maxTenants = 4096

// longestRetry is the most that anybody is told to wait, in seconds.
const longestRetry = 60

// limiter counts sessions. It takes the time as an argument.
type limiter struct {
	limits Limits
	random func() float64 // 0 to 1

	mu      sync.Mutex
	all     bucket
	tenants map[string]*bucket
}

func newLimiter(l Limits, random func() float64) *limiter {
	return &limiter{limits: l, random: random, all: newBucket(l.Sessions), tenants: map[string]*bucket{}}
}

// take admits a session, or answers after how many seconds to try again.
func (l *limiter) take(tenant string, now time.Time) (retry int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.tenant(tenant, now)
	l.all.refill(now)
	b.refill(now)
	if l.all.has() && b.has() {
		l.all.spend()
		b.spend()
		return 0, true
	}
	wait := max(l.all.refuse(), b.refuse())
	return 1 + int(l.random()*min(wait, longestRetry-1)), false
}

// tenant answers a tenant's bucket. The lock is held.
func (l *limiter) tenant(name string, now time.Time) *bucket {
	if b := l.tenants[name]; b != nil {
		return b
	}
	if len(l.tenants) >= maxTenants {
		oldest := ""
		for n, b := range l.tenants {
			if oldest == "" || b.at.Before(l.tenants[oldest].at) {
				oldest = n
			}
		}
		delete(l.tenants, oldest)
	}
	b := newBucket(l.limits.Tenant)
	b.at = now
	l.tenants[name] = &b
	return &b
}

// bucket is a token bucket that also knows how many are waiting outside.
type bucket struct {
	rate, size float64 // rate 0: without limit
	tokens     float64
	backlog    float64 // who was refused and may be expected back
	at         time.Time
}

// newBucket answers one that lets no more than most through within any second:
// what it holds and what flows in meanwhile, together. It holds a tenth, so that
// nine tenths come steadily.
func newBucket(most float64) bucket {
	size := max(1, most/10)
	return bucket{rate: max(most-size, most/2), size: size, tokens: size}
}

// refill lets time pass: tokens come, and the backlog shrinks as it is served.
func (b *bucket) refill(now time.Time) {
	passed := now.Sub(b.at).Seconds()
	if passed <= 0 {
		return // a clock that goes back gives nothing, now or later
	}
	if !b.at.IsZero() {
		b.tokens = min(b.size, b.tokens+b.rate*passed)
		b.backlog = max(0, b.backlog-b.rate*passed)
	}
	b.at = now
}

func (b *bucket) has() bool { return b.rate == 0 || b.tokens >= 1 }

func (b *bucket) spend() {
	if b.rate != 0 {
		b.tokens--
	}
}

// refuse counts one more who waits, where this bucket is the empty one, and
// answers how long those who wait take to be served, in seconds.
func (b *bucket) refuse() float64 {
	if b.has() {
		return 0
	}
	b.backlog++
	return b.backlog / b.rate
}

// admit lets a session of a tenant be made, or answers a Problem.
func (r *Router) admit(tenant string) error {
	retry, ok := r.limits.take(tenant, r.cfg.Now())
	if ok {
		return nil
	}
	r.figures.limited()
	p := api.Refuse("overloaded", "too many sessions are made at once")
	p.RetryAfter = retry
	return p
}
