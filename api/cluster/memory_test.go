package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/cluster"
	"tutti/api/cluster/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	var now time.Duration
	t.Run("at", func(t *testing.T) {
		storetest.Run(t, func() cluster.Store { return cluster.NewMemoryAt(func() time.Duration { return now }) },
			func(d time.Duration) { now += d })
	})
}

func TestMemoryForgets(t *testing.T) {
	m := cluster.NewMemory()
	storetest.Compaction(t, m, m.Compact)
}

// TestLeasesEndInOrder lets two leases end before anybody calls.
func TestLeasesEndInOrder(t *testing.T) {
	var now time.Duration
	m := cluster.NewMemoryAt(func() time.Duration { return now })
	for key, ttl := range map[string]time.Duration{"/late": 3 * time.Second, "/early": time.Second, "/last": 3 * time.Second} {
		l, err := m.Grant(t.Context(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Commit(t.Context(), nil, []cluster.Write{{Key: key, Value: []byte("1"), Lease: l}}); err != nil {
			t.Fatal(err)
		}
		now += time.Millisecond
	}
	now += time.Minute
	m.Expire()
	_ = m.Watch(t.Context(), "/", 3, func(u cluster.Update) bool {
		if len(u.Changes) != 3 || u.Changes[0].Key != "/early" {
			t.Errorf("ended in the order %v", u.Changes)
		}
		return false
	})
}

// TestMemoryByTheClock sees that a lease ends while nobody calls, and is told.
func TestMemoryByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := cluster.NewMemory()
		l, err := m.Grant(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Commit(t.Context(), nil, []cluster.Write{{Key: "/a", Value: []byte("1"), Lease: l}}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = m.Watch(t.Context(), "/", 1, func(u cluster.Update) bool { return len(u.Changes) == 0 })
		if took := time.Since(start); took < time.Second || took > 1300*time.Millisecond {
			t.Errorf("told after %v", took)
		}
	})
}
