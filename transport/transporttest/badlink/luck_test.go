package badlink

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestLossIsTheShare(t *testing.T) {
	const n = 200_000
	for _, share := range []float64{0, 0.02, 0.1, 0.5, 1} {
		p := pipe(Conditions{Loss: share})
		list, fates := run(p, n, 100, time.Millisecond)
		lost := 0
		for _, f := range fates {
			if f == Lost {
				lost++
			}
		}
		near(t, "loss", float64(lost)/n, share, 4*math.Sqrt(share*(1-share)/n))
		if c := p.Counts(); c.Lost != uint64(lost) || len(list) != n-lost || c.Out != uint64(n-lost) || c.In != n {
			t.Errorf("%d lost and %d arrived, counted %+v", lost, len(list), c)
		}
		if share == 0.1 {
			runs := bursts(fates)
			near(t, "mean run of single losses", mean(runs), 1/(1-share), 0.02)
		}
	}
}

func bursts(fates []Fate) (lengths []int) {
	length := 0
	for _, f := range fates {
		if f == Lost {
			length++
		} else if length > 0 {
			lengths, length = append(lengths, length), 0
		}
	}
	return lengths
}

func mean(list []int) float64 {
	sum := 0
	for _, n := range list {
		sum += n
	}
	return float64(sum) / float64(len(list))
}

func TestBurstsHaveTheirLengths(t *testing.T) {
	const n = 500_000
	for _, c := range []struct{ share, length float64 }{{0.02, 4}, {0.1, 2}, {0.3, 10}, {0.05, 1}} {
		model := Bursts(c.share, c.length)
		near(t, "share that the model says", model.Mean(), c.share, 1e-9)
		_, fates := run(pipe(Conditions{Burst: model}), n, 100, time.Millisecond)
		lengths := bursts(fates)
		near(t, "length", mean(lengths), c.length, 0.05*c.length)
		near(t, "share", mean(lengths)*float64(len(lengths))/n, c.share, 0.05*c.share)
		// Bursts end by chance: their lengths are geometric.
		longer := 0
		for _, l := range lengths {
			if l > int(c.length) {
				longer++
			}
		}
		near(t, "share of longer bursts", float64(longer)/float64(len(lengths)), math.Pow(1-1/c.length, math.Floor(c.length)), 0.02)
	}
}

func TestBurstLosesByItsState(t *testing.T) {
	b := Burst{ToBad: 0.02, ToGood: 0.1, LossBad: 0.6, LossGood: 0.01}
	_, fates := run(pipe(Conditions{Burst: b}), 500_000, 100, time.Millisecond)
	lost := 0
	for _, f := range fates {
		if f == Lost {
			lost++
		}
	}
	want := (0.02*0.6 + 0.1*0.01) / 0.12
	near(t, "share", float64(lost)/500_000, want, 0.05*want)
	near(t, "share that the model says", b.Mean(), want, 1e-9)
}

func TestBurstsBeginInGood(t *testing.T) {
	p := pipe(Conditions{Burst: Burst{ToBad: 1, LossBad: 1}}) // bad for ever
	first := p.Push(start, 100, 0)
	p.Set(start, Conditions{})
	second := p.Push(start, 100, 1)
	p.Set(start, Conditions{Burst: Burst{LossBad: 1}}) // good for ever
	if third := p.Push(start, 100, 2); first != Lost || second != Carried || third != Carried {
		t.Errorf("%d, %d, %d", first, second, third)
	}
}

func TestLuckIsRepeatable(t *testing.T) {
	luckOf := func(seed uint64, c Conditions, gap time.Duration) []Fate {
		c.Loss, c.Burst = 0.1, Bursts(0.05, 3)
		p := New(start, Config[int]{Seed: seed, Conditions: c})
		_, fates := run(p, 2000, 200, gap)
		return fates
	}
	want := luckOf(1, Conditions{}, time.Millisecond)
	other := Conditions{Delay: time.Second, Jitter: time.Second, Scatter: true, Duplicate: 0.5, Reorder: 0.5, RateBPS: 1e9}
	if got := luckOf(1, other, time.Second); !slices.Equal(got, want) {
		t.Error("other conditions and times change what is lost")
	}
	if got := luckOf(2, Conditions{}, time.Millisecond); slices.Equal(got, want) {
		t.Error("another seed has the same luck")
	}
	arrivals := func() []arrival {
		p := New(start, Config[int]{Seed: 1, Conditions: Conditions{Jitter: time.Second, Scatter: true, Duplicate: 0.5, Reorder: 0.5}})
		list, _ := run(p, 2000, 200, time.Millisecond)
		return list
	}
	if !slices.Equal(arrivals(), arrivals()) {
		t.Error("two runs differ")
	}
}
