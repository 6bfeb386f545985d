package rtc

import "time"

// The levels of repair for a receiver that loses packets. Where a share p is lost
// at random, p^(depth+1) stays lost: 0.09 % at 3 % with one, 0.17 % at 12 % with two,
// 0.8 % at 30 % with three packets carried once more. Each level says from what loss
// on it is entered and below which it is left again: between the two nothing
// changes, so that a loss that wavers around one does not switch.
var repairLevels = [...]struct {
	enter, leave float64 // share of packets lost
	depth        int     // packets before its own that each carries, where the client takes that
	percent      int     // loss that an encode with in-band FEC is made for, where not
}{
	{0, 0, 0, 0},
	{0.015, 0.008, 1, 5},
	{0.03, 0.018, 2, 10},
	{0.12, 0.08, 3, 20},
}

const (
	// repairHold is how long a level is kept at least: loss comes in spells.
	repairHold = 30 * time.Second
	// A report weighs as many packets as it is about, against so many of before:
	// few where the loss grows, as waiting is heard, more where it falls.
	riseMemory, fallMemory = 50, 400
	// maxExpected is the most that a report may weigh, in packets.
	maxExpected = 1000
)

// repair decides from what a receiver reports how its losses are made good.
type repair struct {
	lost  float64 // share, smoothed
	level int
	since time.Time // when the loss last called for the level
}

// report takes a report about so many packets, of which that share was lost.
func (r *repair) report(at time.Time, expected int, lost float64) {
	memory := float64(fallMemory)
	if lost > r.lost {
		memory = riseMemory
	}
	weight := float64(min(max(expected, 0), maxExpected))
	r.lost += (lost - r.lost) * weight / (weight + memory)
	for r.level+1 < len(repairLevels) && r.lost >= repairLevels[r.level+1].enter {
		r.level, r.since = r.level+1, at
	}
	if r.lost >= repairLevels[r.level].leave {
		r.since = at
	}
	if at.Sub(r.since) >= repairHold {
		r.level, r.since = r.level-1, at
	}
}

// depth answers how many earlier packets each is to carry.
func (r *repair) depth() int { return repairLevels[r.level].depth }

// percent answers what loss an encode with in-band FEC is to bear.
func (r *repair) percent() int { return repairLevels[r.level].percent }
