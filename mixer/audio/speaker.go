package audio

import "time"

// Speaker follows who has the floor, with two timers: a challenger must lead
// for Trigger, and nobody loses the floor within Hold of having got it. In
// silence the last speaker keeps it.
type Speaker struct {
	Trigger time.Duration // 400 ms if 0
	Hold    time.Duration // 1 s if 0

	current    *Voice
	challenger *Voice
	since      time.Time // the challenger leads since
	switched   time.Time // the floor changed hands at
}

// Current answers who has the floor, or nil.
func (s *Speaker) Current() *Voice { return s.current }

// lead is by how many dB a challenger must be louder than a speaker who goes on.
const lead = 3.0

// Observe looks at the voices after they have observed their blocks, and
// reports whether the floor changed hands.
func (s *Speaker) Observe(now time.Time, voices []*Voice) bool {
	trigger, hold := s.Trigger, s.Hold
	if trigger == 0 {
		trigger = 400 * time.Millisecond
	}
	if hold == 0 {
		hold = time.Second
	}
	var loudest *Voice
	present := false
	for _, v := range voices {
		present = present || v == s.current
		if v.Speaking(now) && (loudest == nil || v.level > loudest.level) {
			loudest = v
		}
	}
	changed := false
	if s.current != nil && !present { // has left
		s.current, changed = nil, true
	}
	if loudest == nil || loudest == s.current ||
		s.current != nil && s.current.Speaking(now) && loudest.level < s.current.level+lead {
		s.challenger = nil
		return changed
	}
	if loudest != s.challenger {
		s.challenger, s.since = loudest, now
	}
	if s.current == nil && now.Sub(s.since) >= trigger/4 || // nobody to interrupt
		now.Sub(s.since) >= trigger && now.Sub(s.switched) >= hold {
		s.current, s.challenger, s.switched = loudest, nil, now
		return true
	}
	return changed
}
