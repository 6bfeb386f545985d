package rtc

import (
	"sync"
	"time"
)

// The meter's window: ten buckets of 100 ms, and the one that is being filled.
const (
	meterBucket  = 100 * time.Millisecond
	meterBuckets = 11
)

// meter sums an amount over the last second. It may be used from any goroutine.
type meter struct {
	mu      sync.Mutex
	newest  int64 // number of the newest bucket since the epoch
	buckets [meterBuckets]int
}

// add counts n at now.
func (m *meter) add(now time.Time, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.buckets[m.newest%meterBuckets] += n
}

// perSecond answers the sum of the last second that is complete, up to 100 ms
// ago.
func (m *meter) perSecond(now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	sum := -m.buckets[m.newest%meterBuckets]
	for _, n := range m.buckets {
		sum += n
	}
	return sum
}

// advance clears the buckets between the newest and now.
func (m *meter) advance(now time.Time) {
	b := now.UnixNano() / int64(meterBucket)
	if b-m.newest >= meterBuckets {
		m.buckets = [meterBuckets]int{}
		m.newest = b
	}
	for ; m.newest < b; m.newest++ {
		m.buckets[(m.newest+1)%meterBuckets] = 0
	}
}
