package demo

import (
	"sort"

	"tutti/assets/speech"
)

// turn is one sentence that a person says, in blocks of 20 ms.
type turn struct {
	start, length int
	from          int // the first packet in the person's voice
}

// script is who says what when: one after the other with pauses of a natural
// length, now and then two at once, and from the beginning again after cycle
// blocks. It depends on nothing but the voices, so every run is the same.
type script struct {
	cycle int
	turns [][]turn // by person, in order of start
}

// gaps are the pauses between two turns, in blocks; a negative one lets the
// next begin before the last has ended.
var gaps = []int{20, 12, 30, -45, 25, 8, 18, -30, 35, 15, 10}

// newScript lets everybody say each of the sentences of their voice.
func newScript(voices []*speech.Voice) *script {
	s := &script{turns: make([][]turn, len(voices))}
	rounds := 0
	for _, v := range voices {
		rounds = max(rounds, len(v.Sentences))
	}
	var end, before int // of the last turn, and of the one before it
	last := -1
	for n := range rounds * len(voices) {
		who := order(n, len(voices))
		v := voices[who]
		sentence := v.Sentences[n/len(voices)%len(v.Sentences)]
		gap := gaps[n%len(gaps)]
		if who == last || n == 0 {
			gap = 20
		}
		t := turn{start: max(end+gap, before), length: sentence.To - sentence.From, from: sentence.From}
		s.turns[who] = append(s.turns[who], t)
		before, end, last = max(before, min(end, t.start+t.length)), max(end, t.start+t.length), who
	}
	s.cycle = end + 30
	return s
}

// order answers who speaks at turn n: everybody once a round, each round in
// another order.
func order(n, people int) int {
	round, i := n/people, n%people
	return (i + round*(people/2)) % people
}

// at answers the packet of its voice that a person says in a block, or that
// it is silent.
func (s *script) at(person, block int) (packet int, speaks bool) {
	block %= s.cycle
	turns := s.turns[person]
	i := sort.Search(len(turns), func(i int) bool { return turns[i].start > block }) - 1
	if i < 0 || block >= turns[i].start+turns[i].length {
		return 0, false
	}
	return turns[i].from + block - turns[i].start, true
}
