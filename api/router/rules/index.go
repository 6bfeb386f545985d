package rules

import (
	"math/bits"
	"slices"
	"sort"
	"strings"
)

// maxHeaders bounds the names of headers that one document may ask for, so that
// the sets of a query fit on the stack.
const maxHeaders = 8

// set has one bit for each rule.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

func (s set) union(other set) set {
	u := slices.Clone(s)
	for w := range u {
		u[w] |= other[w]
	}
	return u
}

// index answers for each field which rules a value leaves in question, as a set
// of them. The first rule in all these sets matches, unless it has a pattern that
// its beginning does not decide: that one is looked at by itself.
type index struct {
	fields  [4]field // tenant, kind, purpose, host
	headers []field
	rooms   prefixes
	shares  []float64 // rising; rules of shareSets[i] have a percentage of at least shares[i]
	sets    []set     // of shares
	look    set       // rules with patterns that are to be looked at
	size    int       // of a set, in words
}

// field is one that is compared exactly.
type field struct {
	name   string // of a header
	values map[string]set
	other  set // for all other values
	used   bool
}

func newField(n int, name string, of func(i int) []string) field {
	f := field{name: name, values: map[string]set{}, other: newSet(n)}
	for i := range n {
		if of(i) == nil {
			f.other.add(i)
		}
	}
	for i := range n {
		for _, v := range of(i) {
			if f.values[v] == nil {
				f.values[v] = slices.Clone(f.other)
			}
			f.values[v].add(i)
			f.used = true
		}
	}
	return f
}

func (f *field) of(value string) set {
	if s, ok := f.values[value]; ok {
		return s
	}
	return f.other
}

func newIndex(list []rule) index {
	n := len(list)
	x := index{look: newSet(n), size: (n + 63) / 64}
	x.fields = [4]field{
		newField(n, "", func(i int) []string { return list[i].match.tenants }),
		newField(n, "", func(i int) []string { return list[i].match.kinds }),
		newField(n, "", func(i int) []string { return list[i].match.purposes }),
		newField(n, "", func(i int) []string { return exact(list[i].match.hosts) }),
	}
	for _, name := range headerNames(list) {
		x.headers = append(x.headers, newField(n, name, func(i int) []string { return list[i].match.header(name) }))
	}
	x.rooms = newPrefixes(list)
	x.indexShares(list)
	for i := range list {
		m := &list[i].match
		if m.hosts != nil && exact(m.hosts) == nil || !decided(m.room) {
			x.look.add(i)
		}
	}
	return x
}

// exact answers names of hosts, or nil where one is a pattern.
func exact(hosts []string) []string {
	if slices.ContainsFunc(hosts, func(h string) bool { return strings.Contains(h, "*") }) {
		return nil
	}
	return hosts
}

// header answers what a match asks of one header, or nil.
func (m *match) header(name string) []string {
	for _, h := range m.headers {
		if h.name == name {
			return []string{h.value}
		}
	}
	return nil
}

func headerNames(list []rule) []string {
	var names []string
	for i := range list {
		for _, h := range list[i].match.headers {
			if !slices.Contains(names, h.name) {
				names = append(names, h.name)
			}
		}
	}
	return names
}

func (x *index) indexShares(list []rule) {
	for i := range list {
		if p := list[i].match.percent; !slices.Contains(x.shares, p) {
			x.shares = append(x.shares, p)
		}
	}
	slices.Sort(x.shares)
	for _, s := range x.shares {
		rules := newSet(len(list))
		for i := range list {
			if list[i].match.percent >= s {
				rules.add(i)
			}
		}
		x.sets = append(x.sets, rules)
	}
}

// find answers the first rule from a number on that matches, or -1.
func (x *index) find(list []rule, q *Query, first int) int {
	var sets [6 + maxHeaders]set
	n := 0
	for i, value := range [4]string{q.Tenant, q.Kind, q.Purpose, q.Host} {
		if x.fields[i].used {
			sets[n], n = x.fields[i].of(value), n+1
		}
	}
	for i := range x.headers {
		sets[n], n = x.headers[i].of(ask(q, x.headers[i].name)), n+1
	}
	s := sort.Search(len(x.shares), func(i int) bool { return x.shares[i] > share(q.Hash) })
	if s == len(x.shares) {
		return -1
	}
	sets[n], sets[n+1] = x.sets[s], x.rooms.of(q.Room)
	return x.first(list, q, first, sets[:n+2])
}

// first answers the first rule that is in all sets and, if that has to be looked
// at, matches.
func (x *index) first(list []rule, q *Query, first int, sets []set) int {
	for w := first / 64; w < x.size; w++ {
		in := ^uint64(0)
		for _, s := range sets {
			in &= s[w]
		}
		if w == first/64 {
			in &= ^uint64(0) << (first % 64)
		}
		for ; in != 0; in &= in - 1 {
			i := w*64 + bits.TrailingZeros64(in)
			if !x.look.has(i) || list[i].match.matches(q) {
				return i
			}
		}
	}
	return -1
}
