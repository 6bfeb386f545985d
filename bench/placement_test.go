package main

import "testing"

// TestPlacementSpreads lets a few seeds of the simulation tell whether placement
// still does what bench/results/placement.md says. Nothing in it depends on the
// machine.
func TestPlacementSpreads(t *testing.T) {
	for _, c := range []struct {
		policy    policy
		mean, p99 float64
	}{
		{policy{name: "planned"}, 1.30, 1.55},
		{policy{name: "rebalanced", moving: true}, 1.15, 1.30},
	} {
		sum, err := simulate(t.Context(), c.policy, 3)
		if err != nil {
			t.Fatal(err)
		}
		if mean, p99 := sum.ratios.mean(), sum.ratios.percentile(99); mean > c.mean || p99 > c.p99 || len(sum.ratios) < 1000 {
			t.Errorf("%s: the hottest node has %.3f times the average cost, p99 %.3f of %d; at most %v and %v",
				c.policy.name, mean, p99, len(sum.ratios), c.mean, c.p99)
		}
	}
}

func TestMembersComeAndGo(t *testing.T) {
	m := changeMembers(10_000)
	if m.others != 0 || m.own < 900 || m.own > 1100 || m.joined < 800 || m.joined > 1020 {
		t.Errorf("%+v", m)
	}
}

func TestSimulationIsTheSame(t *testing.T) {
	one, err := simulate(t.Context(), policy{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := simulate(t.Context(), policy{}, 1)
	if one.ratios.mean() != two.ratios.mean() || one.placed != two.placed || one.placed < 1000 || one.refused > 0 {
		t.Errorf("%d rooms, %d refused, mean %v; again %d, mean %v", one.placed, one.refused, one.ratios.mean(), two.placed, two.ratios.mean())
	}
}
