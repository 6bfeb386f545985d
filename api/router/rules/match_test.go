package rules

import (
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// plain is a rule as somebody would write it down.
type plain struct {
	Name    string     `yaml:"name"`
	Match   plainMatch `yaml:"match"`
	OnEmpty string     `yaml:"on_empty"`
}

type plainMatch struct {
	Tenant  []string          `yaml:"tenant,omitempty"`
	Kind    []string          `yaml:"kind,omitempty"`
	Purpose []string          `yaml:"purpose,omitempty"`
	Host    []string          `yaml:"host,omitempty"`
	Room    string            `yaml:"room,omitempty"`
	Header  map[string]string `yaml:"header,omitempty"`
	Percent *float64          `yaml:"percent,omitempty"`
}

// obvious is the reference: field by field, with regular expressions.
func (m *plainMatch) obvious(q *Query) bool {
	oneOf := func(list []string, s string) bool {
		if list == nil {
			return true
		}
		for _, pattern := range list {
			if pattern == s || wild(pattern, s) {
				return true
			}
		}
		return false
	}
	if !oneOf(m.Tenant, q.Tenant) || !oneOf(m.Kind, q.Kind) || !oneOf(m.Purpose, q.Purpose) || !oneOf(m.Host, q.Host) {
		return false
	}
	if m.Room != "" && !wild(m.Room, q.Room) {
		return false
	}
	for name, value := range m.Header {
		if q.Header(textproto.CanonicalMIMEHeaderKey(name)) != value {
			return false
		}
	}
	return m.Percent == nil || float64(q.Hash>>11)/(1<<53) < *m.Percent/100
}

func wild(pattern, s string) bool {
	return regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern)) + `$`).MatchString(s)
}

var (
	words    = []string{"", "a", "b", "ab", "abc"}
	patterns = []string{"a", "ab", "abc", "a*", "ab*", "*b", "a*c", "?", "a?", "?b*", "*", "abca*", "b-*", "a*b*a"}
	hosts    = []string{"a.example", "b.example", "*.example", "*.b.example", "c.b.example"}
	percents = []float64{0, 1, 10, 50, 99.5, 100}
)

func drawRules(t *rapid.T) []plain {
	some := func(from []string) []string {
		list := rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(t, "some")
		if len(list) == 0 {
			return nil
		}
		return list
	}
	var list []plain
	for i := range rapid.IntRange(1, 150).Draw(t, "rules") {
		p := plain{Name: fmt.Sprint("rule-", i), OnEmpty: Next}
		p.Match.Tenant, p.Match.Kind, p.Match.Purpose, p.Match.Host = some(words), some(words), some(words), some(hosts)
		if rapid.Bool().Draw(t, "has room") {
			p.Match.Room = rapid.SampledFrom(patterns).Draw(t, "room")
		}
		if rapid.IntRange(0, 3).Draw(t, "has header") == 0 {
			p.Match.Header = map[string]string{rapid.SampledFrom([]string{"x-one", "X-Two"}).Draw(t, "header"): rapid.SampledFrom(words).Draw(t, "value")}
		}
		if rapid.Bool().Draw(t, "has percent") {
			percent := rapid.SampledFrom(percents).Draw(t, "percent")
			p.Match.Percent = &percent
		}
		list = append(list, p)
	}
	return list
}

func drawQuery(t *rapid.T) *Query {
	word := rapid.SampledFrom(words)
	headers := map[string]string{"X-One": word.Draw(t, "one"), "X-Two": word.Draw(t, "two")}
	return &Query{
		Tenant: word.Draw(t, "tenant"), Kind: word.Draw(t, "kind"), Purpose: word.Draw(t, "purpose"),
		Host: rapid.SampledFrom(append(hosts, "", "d.example")).Draw(t, "host"),
		Room: rapid.StringMatching(`[abc-]{0,6}`).Draw(t, "room"), Hash: rapid.Uint64().Draw(t, "hash"),
		Header: func(name string) string { return headers[name] },
	}
}

// TestMatchIsTheObviousOne: the index finds, one after the other, just the rules
// that the reference finds.
func TestMatchIsTheObviousOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawRules(t)
		doc, err := yaml.Marshal(map[string]any{"rules": list})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			q := drawQuery(t)
			var want, got []int
			for i := range list {
				if list[i].Match.obvious(q) {
					want = append(want, i)
				}
			}
			for i, _ := r.Match(q); i >= 0 && len(got) <= len(list); i, _ = r.Then(q, i) {
				got = append(got, i)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%+v matches %v, not %v", *q, got, want)
			}
		}
	})
}

// TestCoversIsTrue: where a rule is said to cover another, it matches whatever
// that one matches.
func TestCoversIsTrue(t *testing.T) {
	pattern := rapid.StringMatching(`[ab*?]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, text := pattern.Draw(t, "a"), pattern.Draw(t, "b"), rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		if glob(a, text) != wild(a, text) {
			t.Fatalf("%q on %q: %v", a, text, glob(a, text))
		}
		if globCovers(a, b) && glob(b, text) && !glob(a, text) {
			t.Fatalf("%q does not cover %q, as %q shows", a, b, text)
		}
		if !globCovers(a, a) || !globCovers("*", a) {
			t.Fatalf("%q is not covered", a)
		}
	})
}

// thousand answers a thousand rules that share tenants, and rooms for them.
func thousand(t testing.TB) *Rules {
	var doc strings.Builder
	doc.WriteString("rules:\n")
	for i := range 999 {
		extra := []string{"kind: lesson", "purpose: [live, archive]", "host: a.example", `room: "ward-*"`, "header: {X-Ward: w}", "percent: 5"}[i%6]
		fmt.Fprintf(&doc, "  - {name: r%d, match: {tenant: t%d, %s}, pool: {require: {region: eu}}}\n", i, i/6, extra)
	}
	doc.WriteString("  - name: rest\n")
	r, err := Parse([]byte(doc.String()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMatchAllocatesNothing(t *testing.T) {
	r := thousand(t)
	labels := map[string]string{"region": "us"}
	q := Query{Tenant: "t99", Kind: "call", Purpose: "live", Host: "b.example", Room: "ward-9", Hash: 1 << 63, Header: func(string) string { return "" }}
	if n := testing.AllocsPerRun(100, func() {
		i, p := r.Match(&q)
		if _, ok := p.Admits(labels); ok || p.Rule != "r595" {
			t.Fatal(p.Rule)
		}
		r.Then(&q, i)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestStrictRulesDoNotLeak: a million requests of tenants, of which half have nodes
// of their own, never get to the nodes of others.
func TestStrictRulesDoNotLeak(t *testing.T) {
	const tenants = 40
	var doc strings.Builder
	doc.WriteString("rules:\n")
	for i := range tenants / 2 {
		fmt.Fprintf(&doc, "  - {name: canary-%d, match: {tenant: t%d, percent: 10}, pool: {require: {owner: t%d, new: '*'}}, on_empty: next}\n", i, i, i)
		fmt.Fprintf(&doc, "  - {name: own-%d, match: {tenant: t%d}, pool: {require: {owner: t%d}}, on_empty: %s}\n", i, i, i, []string{Refuse, "reserve-" + fmt.Sprint(i)}[i%2])
		fmt.Fprintf(&doc, "  - {name: reserve-%d, match: {tenant: t%d}, pool: {require: {owner: t%d, reserve: '*'}}}\n", i, i, i)
	}
	rules := doc.String() + "  - {name: rest, pool: {forbid: {owner: '*'}}}\n"
	rules = regexp.MustCompile(`(?m)^.*name: reserve-\d*[02468],.*\n`).ReplaceAllString(rules, "") // only those that are named
	r, err := Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	nodes := make([]map[string]string, 8)
	own, shared := 0, 0
	for i := range 1_000_000 {
		if i%1000 == 0 {
			for j := range nodes {
				nodes[j] = map[string]string{"new": "1", "reserve": "1"}
				if random.IntN(4) > 0 {
					nodes[j]["owner"] = fmt.Sprint("t", random.IntN(tenants/2))
				}
			}
		}
		tenant := random.IntN(tenants)
		q := Query{Tenant: tenantNames[tenant], Kind: words[random.IntN(len(words))], Room: words[random.IntN(len(words))], Hash: random.Uint64()}
		rule, p := r.Match(&q)
		for steps := 0; rule >= 0; rule, p = r.Then(&q, rule) {
			if steps++; steps > 3 {
				t.Fatalf("%s is passed on for ever", q.Tenant)
			}
			for _, labels := range nodes {
				if _, ok := p.Admits(labels); !ok {
					continue
				}
				owner, owned := labels["owner"]
				if owned && owner != q.Tenant || !owned && tenant < tenants/2 {
					t.Fatalf("%s goes to a node of %q by %s", q.Tenant, owner, p.Rule)
				}
				if owned {
					own++
				} else {
					shared++
				}
			}
		}
	}
	if own < 10_000 || shared < 10_000 {
		t.Errorf("%d and %d times there was a node", own, shared)
	}
}

var tenantNames = func() (names []string) {
	for i := range 40 {
		names = append(names, fmt.Sprint("t", i))
	}
	return names
}()

func BenchmarkMatch(b *testing.B) {
	r := thousand(b)
	q := Query{Tenant: "t99", Kind: "call", Purpose: "live", Host: "b.example", Room: "ward-9", Hash: 1 << 63, Header: func(string) string { return "" }}
	b.ReportAllocs()
	for b.Loop() {
		r.Match(&q)
	}
}
