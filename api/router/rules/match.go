package rules

import (
	"slices"
	"strings"
)

// match is what a rule asks of a room. A nil list asks nothing.
type match struct {
	tenants, kinds, purposes []string // sorted
	hosts                    []string // names, or patterns with *
	room                     string   // a pattern; "" asks nothing
	headers                  []header // by name
	percent                  float64
}

type header struct{ name, value string }

// matches reports whether all fields hold: the plain meaning of a match, by
// which the rest of what the index does not decide is looked at.
func (m *match) matches(q *Query) bool {
	for _, h := range m.headers {
		if ask(q, h.name) != h.value {
			return false
		}
	}
	return in(m.tenants, q.Tenant) && in(m.kinds, q.Kind) && in(m.purposes, q.Purpose) &&
		m.onHost(q.Host) && (m.room == "" || glob(m.room, q.Room)) && share(q.Hash) < m.percent
}

func (m *match) onHost(host string) bool {
	return m.hosts == nil || slices.ContainsFunc(m.hosts, func(p string) bool { return glob(p, host) })
}

func in(list []string, s string) bool { return list == nil || slices.Contains(list, s) }

func ask(q *Query, name string) string {
	if q.Header == nil {
		return ""
	}
	return q.Header(name)
}

// share answers where between 0 and 100 a room lies.
func share(hash uint64) float64 { return float64(hash>>11) / (1 << 53) * 100 }

// covers reports whether m matches everything that other matches. It may miss
// cases with two patterns, but never claims too much.
func (m *match) covers(other *match) bool {
	for _, h := range m.headers {
		if !slices.Contains(other.headers, h) {
			return false
		}
	}
	return subset(m.tenants, other.tenants) && subset(m.kinds, other.kinds) && subset(m.purposes, other.purposes) &&
		coversHosts(m.hosts, other.hosts) && (m.room == "" || other.room != "" && globCovers(m.room, other.room)) &&
		m.percent >= other.percent
}

func subset(all, some []string) bool {
	if all == nil {
		return true
	}
	return some != nil && !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func coversHosts(all, some []string) bool {
	if all == nil {
		return true
	}
	return some != nil && !slices.ContainsFunc(some, func(s string) bool {
		return !slices.ContainsFunc(all, func(a string) bool { return globCovers(a, s) })
	})
}

// glob reports whether a pattern matches a text: * any run of bytes, ? one. It
// goes back to the last * alone, which is enough, so the time is at most the
// product of the lengths.
func glob(pattern, text string) bool {
	p, t, star, from := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// globCovers reports whether a pattern matches all that another does: where it
// matches that one's letters, with * eating its * and ?, and ? its ?. A * of the other
// is eaten by no letter.
func globCovers(pattern, other string) bool {
	if strings.Contains(other, "*") && !strings.Contains(pattern, "*") {
		return false
	}
	p, o, star, from := 0, 0, -1, 0
	for o < len(other) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, o
			p++
		case p < len(pattern) && other[o] != '*' && (pattern[p] == '?' || pattern[p] == other[o]):
			p, o = p+1, o+1
		case star >= 0:
			from++
			p, o = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
