package rules

import (
	"slices"
	"sort"
	"strings"
)

// prefixes answers which rules the beginning of a room's name leaves in
// question. A pattern without * and ? is decided by it as a whole.
type prefixes struct {
	texts  []string // sorted, all different: what patterns begin with, "" among them
	parent []int    // the longest other one that each begins with, or -1
	sets   []set    // rules whose patterns begin with the text or with a beginning of it
	whole  map[string]set
}

// literal answers what a pattern begins with, and whether that is all of it.
func literal(pattern string) (text string, all bool) {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return pattern[:i], false
	}
	return pattern, pattern != ""
}

// decided reports whether the index knows all about a pattern: it has none of
// * and ?, or a * at its end alone.
func decided(pattern string) bool {
	text, all := literal(pattern)
	return all || pattern == "" || pattern == text+"*"
}

func newPrefixes(list []rule) prefixes {
	own := map[string]set{"": newSet(len(list))}
	whole := map[string]set{}
	for i := range list {
		text, all := literal(list[i].match.room)
		group := own
		if all {
			group = whole
		}
		if group[text] == nil {
			group[text] = newSet(len(list))
		}
		group[text].add(i)
	}
	p := prefixes{whole: whole}
	for text := range own {
		p.texts = append(p.texts, text)
	}
	slices.Sort(p.texts)
	for i, text := range p.texts {
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(text, p.texts[parent]) {
			parent = p.parent[parent]
		}
		s := own[text]
		if parent >= 0 {
			s = s.union(p.sets[parent])
		}
		p.parent, p.sets = append(p.parent, parent), append(p.sets, s)
	}
	for text := range whole {
		whole[text] = whole[text].union(p.begin(text))
	}
	return p
}

func (p *prefixes) of(room string) set {
	if s, ok := p.whole[room]; ok {
		return s
	}
	return p.begin(room)
}

// begin answers the set of the longest text that a name begins with. Whatever
// lies between that text and the name in the order begins with the text too,
// so it is among the parents of the last one before the name.
func (p *prefixes) begin(room string) set {
	i := sort.Search(len(p.texts), func(i int) bool { return p.texts[i] > room }) - 1
	for !strings.HasPrefix(room, p.texts[i]) {
		i = p.parent[i]
	}
	return p.sets[i]
}
