package cluster

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// machine is what an agent needs besides the store and the members: time, and
// things that go on at once. Whatever in an agent waits does so here, in a Store
// or in peers, so that the simulation can run many of them one step at a time.
type machine interface {
	// Now is the time by the clock that pauses do not stop.
	Now() time.Duration
	// Wall is the time of day.
	Wall() time.Time
	// Sleep waits until d is over or ctx ends.
	Sleep(ctx context.Context, d time.Duration)
	// Timeout answers a context that ends after d.
	Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Go runs f beside the caller.
	Go(f func())
	// All runs all of fs at once and waits for them.
	All(fs ...func())
	// Random answers a text that nobody had before.
	Random() string
}

// realMachine is this machine.
type realMachine struct {
	now     func() time.Duration
	running sync.WaitGroup
}

func (m *realMachine) Now() time.Duration { return m.now() }

func (m *realMachine) Wall() time.Time { return time.Now() }

func (m *realMachine) Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (m *realMachine) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

func (m *realMachine) Go(f func()) { m.running.Go(f) }

func (m *realMachine) All(fs ...func()) {
	var all sync.WaitGroup
	for _, f := range fs {
		all.Go(f)
	}
	all.Wait()
}

func (m *realMachine) Random() string { return rand.Text() }
