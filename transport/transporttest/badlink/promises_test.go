package badlink

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPipeKeepsItsPromises does anything in any order, and checks what holds for
// all: nothing is lost from the books, nothing leaves before its time or after
// Next, and no queue is longer than it may be.
func TestPipeKeepsItsPromises(t *testing.T) {
	unit := rapid.OneOf(rapid.Just(0.), rapid.Float64Range(0, 1))
	span := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "ns"))
	}))
	conditions := rapid.Custom(func(t *rapid.T) Conditions {
		return Conditions{
			Delay: span.Draw(t, "delay"), Jitter: span.Draw(t, "jitter"), Scatter: rapid.Bool().Draw(t, "scatter"),
			Loss:    unit.Draw(t, "loss"),
			Burst:   Burst{unit.Draw(t, "to bad"), unit.Draw(t, "to good"), unit.Draw(t, "bad"), unit.Draw(t, "good")},
			Reorder: unit.Draw(t, "reorder"), ReorderDelay: span.Draw(t, "late"), Duplicate: unit.Draw(t, "duplicate"),
			RateBPS:    rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1000, 1e9)).Draw(t, "rate"),
			QueueBytes: rapid.IntRange(0, 10_000).Draw(t, "bytes"), QueueTime: span.Draw(t, "queue"), MTU: rapid.IntRange(0, 3000).Draw(t, "mtu"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		c := conditions.Draw(t, "conditions")
		p := New(start, Config[int]{Seed: rapid.Uint64().Draw(t, "seed"), Conditions: c})
		now, entered := time.Duration(0), []time.Duration{}
		latest := start // that the pipe has heard of
		for range rapid.IntRange(1, 100).Draw(t, "operations") {
			now += rapid.OneOf(rapid.Just(time.Duration(0)), span).Draw(t, "later")
			for next, ok := p.Next(); ok && !next.After(at(now)); next, ok = p.Next() {
				if next.After(latest) {
					if _, _, early := p.Pop(next.Add(-1)); early {
						t.Fatal("something leaves before Next")
					}
					latest = next
				}
				for n, _, ok := p.Pop(next); ok; n, _, ok = p.Pop(next) {
					if took := next.Sub(start) - entered[n]; took < c.Delay {
						t.Fatalf("%d took %v, less than %v", n, took, c.Delay)
					}
				}
			}
			p.Push(at(now), rapid.IntRange(1, 3000).Draw(t, "size"), len(entered))
			entered, latest = append(entered, now), at(now)
			books(t, p.Counts(), c)
		}
	})
}

func books(t *rapid.T, n Counts, c Conditions) {
	if n.In+n.Duplicated != n.Out+n.Lost+n.Dropped+n.TooLong+uint64(n.Waiting) || n.Waiting < 0 {
		t.Fatalf("the books are wrong: %+v", n)
	}
	if c.QueueBytes > 0 && n.MaxQueueBytes > c.QueueBytes || c.QueueTime > 0 && n.MaxQueueTime > c.QueueTime {
		t.Fatalf("the queue is too long: %+v", n)
	}
	if !c.Scatter && c.Reorder == 0 && n.Reordered > 0 {
		t.Fatalf("reordered: %+v", n)
	}
}
