package rules

import (
	"slices"
	"strings"
)

// validate finds what is wrong between the fields of a rule and between rules.
func (r *reader) validate(list []rule) {
	numbers := map[string]int{}
	for i := range list {
		r.at(list, i)
		if first, twice := numbers[list[i].pool.Rule]; twice {
			r.blame(i, "name", "is that of rule %d too", first)
		} else {
			numbers[list[i].pool.Rule] = i
		}
		r.contradictions(i, &list[i].pool)
	}
	for i := range list {
		r.at(list, i)
		if to := list[i].pool.OnEmpty; to != Refuse && to != Next {
			if _, ok := numbers[to]; !ok {
				r.blame(i, "on_empty", "must be %s, %s or the name of a rule, not %q", Refuse, Next, to)
			}
		}
	}
	if n := headerNames(list); len(n) > maxHeaders {
		r.rule, r.name = -1, ""
		r.fail(nil, "rules", "must ask for at most %d different headers, not %d", maxHeaders, len(n))
	}
	if len(r.errors) == 0 {
		r.circles(list, numbers)
	}
	if len(r.errors) == 0 {
		r.shadows(list, numbers)
	}
}

func (r *reader) at(list []rule, i int) { r.rule, r.name = i, list[i].pool.Rule }

func (r *reader) blame(i int, field, format string, args ...any) {
	r.fail(nil, field, format, args...)
	if n := len(r.errors); n > 0 && r.errors[n-1].Rule == i {
		r.errors[n-1].Line = r.lines[i]
	}
}

// contradictions finds labels that are asked for and forbidden at once.
func (r *reader) contradictions(i int, p *Pool) {
	for _, f := range p.Forbid {
		if l, ok := find(p.Require, f.Key); ok && (f.Value == "*" || f.Value == l.Value) {
			r.blame(i, "pool.forbid."+f.Key, "contradicts pool.require, so that no node is left")
		}
		if l, ok := find(p.Prefer, f.Key); ok && (f.Value == "*" || f.Value == l.Value) {
			r.blame(i, "pool.forbid."+f.Key, "contradicts pool.prefer")
		}
	}
	for _, l := range p.Prefer {
		if q, ok := find(p.Require, l.Key); ok && l.Value != "*" && q.Value != "*" && l.Value != q.Value {
			r.blame(i, "pool.prefer."+l.Key, "contradicts pool.require, so that no node has it")
		}
	}
}

func find(labels []Label, key string) (Label, bool) {
	if i := slices.IndexFunc(labels, func(l Label) bool { return l.Key == key }); i >= 0 {
		return labels[i], true
	}
	return Label{}, false
}

// circles finds rules whose rooms could be passed on for ever. A rule that goes
// on to the next may get to any later one; so the step "the next from i on",
// numbered len(list)+i, leads to rule i and to the same step of i+1.
func (r *reader) circles(list []rule, numbers map[string]int) {
	const unseen, open, done = 0, 1, 2
	state := make([]int, 2*len(list)+1)
	var path []int
	var visit func(i int) bool
	visit = func(i int) bool {
		if state[i] != unseen {
			return state[i] == open
		}
		state[i] = open
		path = append(path, i)
		for _, next := range steps(list, numbers, i) {
			if visit(next) {
				if state[next] == open && len(r.errors) == 0 {
					r.circle(list, path[slices.Index(path, next):])
				}
				return true
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		return false
	}
	for i := range list {
		if visit(i) {
			return
		}
	}
}

func steps(list []rule, numbers map[string]int, i int) []int {
	if n := len(list); i >= n {
		if i == 2*n {
			return nil
		}
		return []int{i - n, i + 1}
	}
	switch to := list[i].pool.OnEmpty; to {
	case Refuse:
		return nil
	case Next:
		return []int{len(list) + i + 1}
	default:
		return []int{numbers[to]}
	}
}

func (r *reader) circle(list []rule, path []int) {
	var names []string
	first := -1
	for _, i := range path {
		if i < len(list) {
			names = append(names, list[i].pool.Rule)
			if first < 0 {
				first = i
			}
		}
	}
	r.at(list, first)
	r.blame(first, "on_empty", "goes round in a circle: %s", strings.Join(append(names, names[0]), ", "))
}

// shadows finds rules that no room gets to, since an earlier one matches all
// that they match and never passes on. A rule that another one names, and one that is
// switched off by 0 percent, are meant to be so.
func (r *reader) shadows(list []rule, numbers map[string]int) {
	named := map[string]bool{}
	for i := range list {
		named[list[i].pool.OnEmpty] = true
	}
	final := make([]bool, len(list))
	for i := range list {
		final[i] = ends(list, numbers, i)
	}
	for i := range list {
		if named[list[i].pool.Rule] || list[i].match.percent == 0 {
			continue
		}
		for j := range i {
			if final[j] && list[j].match.covers(&list[i].match) {
				r.at(list, i)
				r.blame(i, "match", "is never reached: rule %d (%s) matches all that it matches", j, list[j].pool.Rule)
				break
			}
		}
	}
}

// ends reports whether a room that rule i has is refused in the end without
// having been passed on to the next.
func ends(list []rule, numbers map[string]int, i int) bool {
	for range list {
		switch to := list[i].pool.OnEmpty; to {
		case Refuse:
			return true
		case Next:
			return false
		default:
			i = numbers[to]
		}
	}
	return true
}
