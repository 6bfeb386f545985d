package badlink

import (
	"math"
	"time"
)

// script is a trace's steps for one direction while it is played.
type script struct {
	steps  []Step
	repeat time.Duration
	began  time.Duration // of this round
	taken  int           // in this round
}

// never is later than any time.
const never = time.Duration(math.MaxInt64)

// next answers when the next step is due.
func (s *script) next() time.Duration {
	switch {
	case len(s.steps) == 0:
	case s.taken < len(s.steps):
		return s.began + s.steps[s.taken].At
	case s.repeat > 0:
		return s.began + s.repeat + s.steps[0].At
	}
	return never
}

// take answers the conditions of the next step.
func (s *script) take() Conditions {
	if s.taken == len(s.steps) {
		s.began, s.taken = s.began+s.repeat, 0
	}
	s.taken++
	return s.steps[s.taken-1].Conditions
}

// skip leaves out whole rounds that have passed, which nobody saw.
func (s *script) skip(until time.Duration) {
	if s.repeat > 0 && until > s.began {
		if rounds := (until-s.began)/s.repeat - 1; rounds > 0 {
			s.began += rounds * s.repeat
		}
	}
}
