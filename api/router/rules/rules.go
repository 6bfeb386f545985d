// Package rules says which nodes a room may go to: by its tenant, kind and
// purpose, by its name, and by the request that makes it.
//
// Rules are a YAML document:
//
//	rules:
//	  - name: hospital
//	    match:
//	      tenant: [hospital-a, hospital-b]   # one or several, exact; "" is a room of no tenant
//	      kind: consultation                 # likewise
//	      purpose: live                      # likewise
//	      host: "*.hospital.example"         # one or several; * stands for anything
//	      room: "ward-*"                     # * stands for any run of characters, ? for one
//	      header: {X-Region: eu}             # all of them, exact; "" where it is missing
//	      percent: 10                        # of the rooms, 0 to 100, by their hash
//	    pool:
//	      require: {region: eu, disk: "*"}   # labels that a node must have; "*" with any value
//	      forbid: {gpu: "*"}                 # labels that it must not have
//	      prefer: {zone: a}                  # nodes that have the most of these are taken first
//	      release: {version: 1.4.2, fallback: any}   # any or refuse (default) where no node has it
//	      isolation: dedicated               # nodes with rooms of this rule take no others; or shared (default)
//	      top: 3                             # only the first so many of the room's order; 0 is all
//	      ceiling: 0.8                       # of a node's capacity
//	      max_rooms: 40                      # of this rule on one node; 0 is as many as fit
//	    on_empty: next                       # refuse (default), next or the name of another rule
//
// The first rule that matches wins. A match without fields matches everything.
// Where no node of its pool takes the room, on_empty decides: the room is refused, or
// goes to the next rule that matches, or to the pool of the rule that is named,
// whether that one matches or not. A room that no rule matches is refused;
// a document without rules is one rule, default, with all nodes in it.
//
// Percentages are of the same hash in every rule, so that a room that is among
// the first 10 percent is among the first 20 too.
package rules

import "strings"

// Rules is a compiled document, immutable and safe for concurrent use.
type Rules struct {
	list  []rule
	names map[string]int
	index index
}

// rule is one of the document.
type rule struct {
	match match
	pool  Pool
}

// Query is what is known of a room when it is placed.
type Query struct {
	Tenant, Kind, Purpose string
	// Rule is the name of the one that the room was placed by before; while there is
	// such a rule, it is the first that matches.
	Rule string
	// Host is the request's, as Host answers it.
	Host string
	// Room is the identifier. Patterns are compared with it byte by byte.
	Room string
	// Header answers a header of the request by its canonical name, or "". It may be nil.
	Header func(name string) string
	// Hash is the room's, as placement.Key answers it.
	Hash uint64
}

// Default answers the rules of who has none: one by the name default, which
// takes all rooms to all nodes.
func Default() *Rules {
	return compile([]rule{{match: match{percent: 100}, pool: Pool{Rule: "default", OnEmpty: Refuse}}})
}

// compile indexes rules that have been validated.
func compile(list []rule) *Rules {
	r := &Rules{list: list, names: map[string]int{}, index: newIndex(list)}
	for i := range list {
		r.names[list[i].pool.Rule] = i
	}
	return r
}

// Match answers the first rule that matches, from 0, and its pool, which is not
// to be written; -1 and nil where none does. It allocates nothing.
func (r *Rules) Match(q *Query) (int, *Pool) {
	if q.Rule != "" {
		if i, ok := r.names[q.Rule]; ok {
			return i, &r.list[i].pool
		}
	}
	return r.from(q, 0)
}

// Then answers where a room goes whose pool, that of rule number i, has no node
// that takes it; -1 and nil where it is refused. Called again and again, it comes to
// an end. It allocates nothing.
func (r *Rules) Then(q *Query, i int) (int, *Pool) {
	if i < 0 || i >= len(r.list) {
		return -1, nil
	}
	switch next := r.list[i].pool.OnEmpty; next {
	case Refuse:
		return -1, nil
	case Next:
		return r.from(q, i+1)
	default:
		j := r.names[next]
		return j, &r.list[j].pool
	}
}

func (r *Rules) from(q *Query, first int) (int, *Pool) {
	i := r.index.find(r.list, q, first)
	if i < 0 {
		return -1, nil
	}
	return i, &r.list[i].pool
}

// Len answers how many rules there are.
func (r *Rules) Len() int { return len(r.list) }

// Pool answers the pool of the rule of a name.
func (r *Rules) Pool(name string) (*Pool, bool) {
	i, ok := r.names[name]
	if !ok {
		return nil, false
	}
	return &r.list[i].pool, true
}

// Unknown answers the labels that rules ask for and none of the nodes has, each
// as "rule: field: label=value": mistakes, or nodes that are still to come.
func (r *Rules) Unknown(nodes []map[string]string) []string {
	var unknown []string
	for i := range r.list {
		p := &r.list[i].pool
		for _, set := range []struct {
			field  string
			labels []Label
		}{{"require", p.Require}, {"forbid", p.Forbid}, {"prefer", p.Prefer}} {
			for _, l := range set.labels {
				if !anyHas(nodes, l) {
					unknown = append(unknown, p.Rule+": "+set.field+": "+l.String())
				}
			}
		}
	}
	return unknown
}

func anyHas(nodes []map[string]string, l Label) bool {
	for _, labels := range nodes {
		if l.On(labels) {
			return true
		}
	}
	return false
}

// Host answers the name in a request's Host header as rules compare it: in lower
// case, without the port and without a dot at the end.
func Host(header string) string {
	host := header
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") && (host[0] == '[' || strings.IndexByte(host, ':') == i) {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
