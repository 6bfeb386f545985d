package main

import (
	"math"
	"testing"
	"time"

	"tutti/transport/transporttest/badlink"
)

func second(n float64) time.Time {
	return time.Unix(1000, 0).Add(time.Duration(n * float64(time.Second)))
}

// TestTransits holds the times of a link against those that its conditions
// imply: even ones between 0 and the jitter, and a constant.
func TestTransits(t *testing.T) {
	even := transits(badlink.Conditions{Jitter: 100 * time.Millisecond, Scatter: true, Delay: 7 * time.Millisecond})
	if len(even) != 30000 {
		t.Fatalf("%d packets", len(even))
	}
	for p, want := range map[int]float64{1: 8, 50: 57, 95: 102, 97: 104, 100: 107} {
		if got := even.percentile(p); math.Abs(got-want) > 1 {
			t.Errorf("%d %% take up to %.1f ms, not %.1f", p, got, want)
		}
	}
	if flat := transits(badlink.Conditions{Delay: 30 * time.Millisecond}); flat.percentile(1) != 30 || flat.percentile(100) != 30 {
		t.Errorf("%.1f to %.1f ms, not 30", flat.percentile(1), flat.percentile(100))
	}
}

func TestSized(t *testing.T) {
	for _, kind := range jitters {
		c := sized(kind.conditions, 80)
		if got := transits(c).percentile(95); math.Abs(got-80) > 1 || c.Scatter != kind.conditions.Scatter {
			t.Errorf("%s: p95 is %.1f ms, not 80", kind.name, got)
		}
	}
}

func TestSettles(t *testing.T) {
	figures := func(values ...float64) (all []sample) {
		for i, v := range values {
			all = append(all, sample{second(float64(i)), v})
		}
		return all
	}
	for _, c := range []struct {
		name   string
		all    []sample
		want   time.Duration
		wanted bool
	}{
		{"comes down", figures(9, 9, 9, 9, 5, 4, 3), 2 * time.Second, true},
		{"was never up", figures(1, 1, 1, 1, 1, 1), 0, true},
		{"low before that", figures(1, 1, 9, 9, 5, 5, 5), 2 * time.Second, true},
		{"up once more", figures(9, 9, 9, 5, 9, 5, 5, 5), 3 * time.Second, true},
		{"later does not count", figures(9, 9, 9, 5, 5, 5, 9), time.Second, true},
		{"not long enough", figures(9, 9, 9, 9, 5, 5), 0, false},
		{"never", figures(9, 9, 9, 9), 0, false},
		{"nothing", nil, 0, false},
	} {
		got, ok := settles(second(2), c.all, 5, 2*time.Second)
		if got != c.want || ok != c.wanted {
			t.Errorf("%s: %v %v, not %v %v", c.name, got, ok, c.want, c.wanted)
		}
	}
}

func TestShare(t *testing.T) {
	b := origins{90, 4, 20, 6}.minus(origins{10, 4, 10, 0})
	if b != (origins{80, 0, 10, 6}) || math.Abs(b.share(b.Concealed)-10.0/96) > 1e-9 || (origins{}).share(0) != 0 {
		t.Errorf("%+v %v", b, b.share(b.Concealed))
	}
}
