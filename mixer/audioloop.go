package mixer

import (
	"context"
	"sync"
	"time"

	"tutti/codec/pcm"
)

// fence lets control wait until a loop has left its present tick. The loop
// holds it during a tick and loads the scene within, so that after pass it can
// only see the scene that was current when pass was called, or a newer one.
type fence struct{ mu sync.Mutex }

func (f *fence) pass() {
	f.mu.Lock()
	//lint:ignore SA2001 the passing is the point
	f.mu.Unlock()
}

// The audio loop's patience.
const (
	lateAfter = 5 * time.Millisecond   // a block that begins later than this is counted
	jumpAfter = 200 * time.Millisecond // further behind, blocks are jumped over instead of caught up
	// mostPassed is how many blocks the inputs are let pass at once: more than a rest
	// has, and than they hold.
	mostPassed = 50
)

// audioLoop is the shell around audioCore: it owns the timer.
type audioLoop struct {
	cfg   audioConfig
	fence fence
	stop  context.CancelFunc
	ended chan struct{}
}

// startAudio starts a loop as soon as the one before has ended.
func startAudio(r *Room, cfg audioConfig, before <-chan struct{}) *audioLoop {
	ctx, stop := context.WithCancel(context.Background())
	l := &audioLoop{cfg: cfg, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		wait(before)
		l.run(ctx, r)
	}()
	return l
}

func (l *audioLoop) run(ctx context.Context, r *Room) {
	core := newAudioCore(r, l.cfg)
	defer core.close()
	begin := func(block int64) time.Time { return r.created.Add(time.Duration(block) * pcm.Duration) }
	block := int64(time.Since(r.created)/pcm.Duration) + 1 // the next that is due, at due
	done, due := block-1, begin(block)
	resting := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(due))
		var wake <-chan struct{}
		if resting {
			wake = r.wake
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
			block = min(block, max(done, int64(time.Since(r.created)/pcm.Duration))+1)
			due, resting = begin(block), false
			continue
		case <-timer.C:
		}
		now := time.Now()
		if !resting { // nobody waits for what a resting room has to say
			block += l.lateness(r, now.Sub(due))
		}
		l.fence.mu.Lock()
		sc := r.scene.Load()
		for done = max(done+1, block-mostPassed); done < block; done++ {
			core.pass(begin(done), sc)
		}
		rest := core.tick(now, sc, time.Duration(block)*pcm.Duration, resting)
		l.fence.mu.Unlock()
		if resting = rest > 0; !resting {
			block++
			due = begin(block)
			continue
		}
		last := block + 1 + int64(rest)
		due = together(now)
		if at := int64(due.Sub(r.created) / pcm.Duration); at <= last {
			block = max(block+1, at)
		} else {
			block, due = last, begin(last)
		}
	}
}

// together answers when all resting rooms do what they have to do next: a process
// that hosts hundreds then wakes once, not for each of them.
func together(now time.Time) time.Time {
	const every = pauseEvery * pcm.Duration
	return now.Add(every - time.Duration(now.UnixNano())%every)
}

// lateness counts a block that begins late, and answers how many are to be jumped
// over since the loop is far behind.
func (l *audioLoop) lateness(r *Room, late time.Duration) (skip int64) {
	switch {
	case late > jumpAfter:
		skip = int64(late / pcm.Duration)
		r.count.audioSkipped.Add(uint64(skip))
	case late > lateAfter:
		r.count.audioLate.Add(1)
	}
	return skip
}
