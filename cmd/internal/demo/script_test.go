package demo

import (
	"fmt"
	"testing"

	"tutti/assets/speech"
)

// speakers answers voices without sound: sentences of the given lengths.
func speakers(people int, lengths ...int) []*speech.Voice {
	list := make([]*speech.Voice, people)
	for i := range list {
		v := new(speech.Voice)
		at := 30
		for k := range 3 + i%2 { // some have more to say than others
			n := lengths[(i+k)%len(lengths)]
			v.Sentences = append(v.Sentences, speech.Sentence{From: at, To: at + n})
			at += n + 30
		}
		list[i] = v
	}
	return list
}

func TestScript(t *testing.T) {
	for _, people := range []int{1, 2, 3, 4, 7, 50} {
		t.Run(fmt.Sprint(people), func(t *testing.T) { checkScript(t, speakers(people, 90, 200, 41, 60)) })
	}
}

// checkScript plays a whole cycle block by block.
func checkScript(t *testing.T, voices []*speech.Voice) {
	s := newScript(voices)
	said := make([]map[int]int, len(voices)) // sentence by its first packet: how often to the end
	for i := range said {
		said[i] = map[int]int{}
	}
	last := make([]int, len(voices)) // packet said in the block before, -1: none
	for i := range last {
		last[i] = -1
	}
	together, silent := 0, 0
	for block := range s.cycle {
		speaking := 0
		for i, v := range voices {
			packet, speaks := s.at(i, block)
			if !speaks {
				packet = -1
			} else {
				speaking++
			}
			follow(t, v, said[i], last[i], packet)
			last[i] = packet
		}
		switch {
		case speaking > 2:
			t.Fatalf("in block %d %d speak at once", block, speaking)
		case speaking == 2:
			together++
		case speaking == 0:
			silent++
		}
	}
	for i, v := range voices {
		for _, sentence := range v.Sentences {
			if said[i][sentence.From] == 0 {
				t.Errorf("person %d never says sentence %v", i, sentence)
			}
		}
	}
	if len(voices) > 2 && together == 0 {
		t.Error("nobody ever speaks while another does")
	}
	if silent == 0 || silent > s.cycle/2 {
		t.Errorf("all are silent for %d of %d blocks", silent, s.cycle)
	}
}

// follow checks that a sentence is said from its first packet to its last
// without a hole, and counts those that are.
func follow(t *testing.T, v *speech.Voice, said map[int]int, before, packet int) {
	t.Helper()
	for _, s := range v.Sentences {
		if before == s.To-1 {
			said[s.From]++
		}
		if packet >= s.From && packet < s.To {
			if packet != s.From && packet != before+1 {
				t.Fatalf("packet %d of %v follows %d", packet, s, before)
			}
			return
		}
	}
	if packet >= 0 {
		t.Fatalf("packet %d is in no sentence", packet)
	}
}

func TestScriptBeginsAgain(t *testing.T) {
	s := newScript(speakers(4, 50, 70))
	for block := range s.cycle {
		for i := range 4 {
			p, a := s.at(i, block)
			q, b := s.at(i, block+3*s.cycle)
			if p != q || a != b {
				t.Fatalf("person %d, block %d: %d %v, three cycles later %d %v", i, block, p, a, q, b)
			}
		}
	}
}

func TestNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range MaxPeople {
		if seen[name(i)] || len([]rune(name(i))) > 64 {
			t.Errorf("name %q of person %d", name(i), i)
		}
		seen[name(i)] = true
	}
}
