package rules

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	one := func(rest string) string { return "rules:\n  - name: a\n" + rest }
	for _, c := range []struct{ doc, want string }{
		{"rules: {", "no YAML"},
		{"rules: 7", "must be a list"},
		{"[]", "must be a mapping"},
		{"rule: []", "rules: rule: there is no such key (line 1)"},
		{"rules: []\nrules: []", "is there twice"},
		{"rules: []\n---\nrules: []", "must be one document"},
		{"rules:\n  - match: {}\n", "rule 0: name: must match"},
		{"rules:\n  - 7\n", "rule 0"},
		{"rules:\n  - name: next\n", "be neither refuse nor next"},
		{one("    colour: red\n"), "rule 0 (a): colour: there is no such key (line 3)"},
		{one("    match: {tenants: x}\n"), "rule 0 (a): match.tenants: there is no such key"},
		{one("    match: {tenant: x, tenant: y}\n"), "match.tenant: is there twice"},
		{one("    match: {tenant: [x, 'a b']}\n"), `match.tenant: must match [A-Za-z0-9_-]{1,64} or be empty, not "a b"`},
		{one("    match: {tenant: []}\n"), "match.tenant: must name at least one"},
		{one("    match: {tenant: {a: b}}\n"), "match.tenant: must be a text"},
		{one("    match: {tenant: null}\n"), "match.tenant: must be a text"},
		{one("    match: {host: 'A.example'}\n"), "match.host"},
		{one("    match: {host: 'a.example:80'}\n"), "match.host"},
		{one("    match: {room: 'a/b'}\n"), "match.room"},
		{one("    match: {room: ''}\n"), "match.room"},
		{one("    match: {percent: 101}\n"), "match.percent: must be a number from 0 to 100"},
		{one("    match: {percent: -1}\n"), "match.percent"},
		{one("    match: {percent: .nan}\n"), "match.percent"},
		{one("    match: {percent: nan}\n"), "match.percent"},
		{one("    match: {percent: ten}\n"), "match.percent"},
		{one("    match: {header: {'a b': x}}\n"), "match.header.a b: must be the name of a header"},
		{one("    match: {header: {x-a: 1, X-A: 2}}\n"), "match.header.X-A: is there twice"},
		{one("    match: {header: {a: b, c: d, e: f, g: h, i: j, k: l, m: n, o: p, q: r}}\n"), "at most 8 different headers"},
		{one("    pool: {require: {'a b': x}}\n"), "pool.require.a b: must be letters"},
		{one("    pool: {require: {a: 'x y'}}\n"), "pool.require.a: must be letters"},
		{one("    pool: {require: [a]}\n"), "pool.require: must be a mapping"},
		{one("    pool: {require: {a: x, a: y}}\n"), "pool.require.a: is there twice"},
		{one("    pool: {require: {a: x}, forbid: {a: x}}\n"), "pool.forbid.a: contradicts pool.require"},
		{one("    pool: {require: {a: x}, forbid: {a: '*'}}\n"), "pool.forbid.a: contradicts pool.require"},
		{one("    pool: {require: {a: '*'}, forbid: {a: '*'}}\n"), "pool.forbid.a: contradicts pool.require"},
		{one("    pool: {prefer: {a: x}, forbid: {a: x}}\n"), "contradicts pool.prefer"},
		{one("    pool: {prefer: {a: x}, require: {a: y}}\n"), "pool.prefer.a: contradicts pool.require"},
		{one("    pool: {release: {fallback: any}}\n"), "pool.release.version"},
		{one("    pool: {release: {version: 1, fallback: some}}\n"), "pool.release.fallback: must be any or refuse"},
		{one("    pool: {isolation: strict}\n"), "pool.isolation: must be shared or dedicated"},
		{one("    pool: {top: -1}\n"), "pool.top: must be a whole number"},
		{one("    pool: {top: 1.5}\n"), "pool.top"},
		{one("    pool: {ceiling: 0}\n"), "pool.ceiling: must be more than 0"},
		{one("    pool: {ceiling: 1.1}\n"), "pool.ceiling: must be a number from 0 to 1"},
		{one("    pool: {max_rooms: many}\n"), "pool.max_rooms"},
		{one("    on_empty: b\n"), `rule 0 (a): on_empty: must be refuse, next or the name of a rule, not "b" (line 2)`},
		{one("    on_empty: a\n"), "on_empty: goes round in a circle: a, a"},
		{"rules:\n  - {name: a, match: {kind: x}}\n  - {name: a}\n", "rule 1 (a): name: is that of rule 0 too"},
		{"rules:\n  - {name: a}\n  - {name: b}\n", "rule 1 (b): match: is never reached: rule 0 (a) matches all that it matches (line 3)"},
		{"rules:\n  - {name: a, on_empty: b, match: {kind: x}}\n  - {name: b, on_empty: a}\n", "circle: a, b, a"},
		{"rules:\n  - {name: a, on_empty: next, match: {kind: x}}\n  - {name: b, on_empty: a}\n", "circle: a, b, a"},
		{strings.Repeat(" ", maxBytes+1), "must be at most"},
		{"rules:\n" + strings.Repeat("  - {name: a}\n", maxRules+1), "must be a list of at most"},
	} {
		r, err := Parse([]byte(c.doc))
		var all Errors
		if err == nil || r != nil || !errors.As(err, &all) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.120q: %v does not speak of %q", c.doc, err, c.want)
			continue
		}
		var first *Error
		if all.Code() != "invalid_rules" || !errors.As(err, &first) || first != all[0] {
			t.Errorf("%.120q: %v", c.doc, all.Code())
		}
	}
}

func TestAllErrorsAreTold(t *testing.T) {
	_, err := Parse([]byte("rules:\n  - {name: a, colour: red, pool: {top: x}}\n  - {match: {percent: 200}}\n"))
	var all Errors
	if !errors.As(err, &all) || len(all) != 4 || all[3].Rule != 1 || len(all.Unwrap()) != 4 {
		t.Errorf("%v", err)
	}
	_, err = Parse([]byte("rules:\n" + strings.Repeat("  - {name: '?'}\n", 100)))
	if !errors.As(err, &all) || len(all) != maxErrors {
		t.Errorf("%d errors", len(all))
	}
}

// TestShadows: the later of two rules is refused where no room gets to it.
func TestShadows(t *testing.T) {
	for _, c := range []struct {
		early, late string
		never       bool
	}{
		{"{}", "{}", true},
		{"{}", "{tenant: a}", true},
		{"{tenant: a}", "{}", false},
		{"{tenant: a}", "{tenant: a}", true},
		{"{tenant: [a, b]}", "{tenant: b, kind: x}", true},
		{"{tenant: [a, b]}", "{tenant: [b, c]}", false},
		{"{kind: x}", "{purpose: x}", false},
		{"{room: 'a*'}", "{room: 'ab*'}", true},
		{"{room: 'a*'}", "{room: abc}", true},
		{"{room: 'ab*'}", "{room: 'a*'}", false},
		{"{room: 'a?c'}", "{room: 'a*c'}", false},
		{"{room: '*c'}", "{room: 'a?c'}", true},
		{"{room: '*'}", "{room: 'a?c*'}", true},
		{"{room: '*a*'}", "{room: 'b*'}", false},
		{"{room: '?'}", "{room: '*'}", false},
		{"{room: '?*'}", "{room: '*'}", false},
		{"{host: '*.a.example'}", "{host: b.a.example}", true},
		{"{host: '*.a.example'}", "{host: [b.a.example, a.example]}", false},
		{"{header: {x: a}}", "{header: {x: a, y: b}}", true},
		{"{header: {x: a, y: b}}", "{header: {x: a}}", false},
		{"{header: {x: a}}", "{header: {x: b}}", false},
		{"{percent: 20}", "{percent: 10}", true},
		{"{percent: 10}", "{percent: 20}", false},
		{"{percent: 20}", "{percent: 0}", false}, // switched off
	} {
		for _, passes := range []bool{false, true} {
			on := Refuse
			if passes {
				on = Next
			}
			_, err := Parse(fmt.Appendf(nil, "rules:\n  - {name: a, match: %s, on_empty: %s}\n  - {name: b, match: %s}\n", c.early, on, c.late))
			if (err != nil) != (c.never && !passes) {
				t.Errorf("%s before %s, on_empty %s: %v", c.early, c.late, on, err)
			}
		}
	}
	if _, err := Parse([]byte("rules:\n  - {name: a, match: {kind: x}, on_empty: c}\n  - {name: b}\n  - {name: c}\n")); err != nil {
		t.Errorf("a rule that is named: %v", err)
	}
	if _, err := Parse([]byte("rules:\n  - {name: a, match: {kind: x}, on_empty: c}\n  - {name: b, match: {kind: x, purpose: y}}\n  - {name: c, on_empty: refuse}\n")); err == nil {
		t.Error("a rule behind one that goes on to another, and there ends, is never reached")
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	r, err := Parse([]byte("rules:\n  - {name: a, match: {kind: x}, pool: &p {require: {region: eu}}}\n  - {name: b, pool: *p}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := r.Pool("b"); len(p.Require) != 1 {
		t.Errorf("%+v", p)
	}
}

// FuzzParse: no document brings the parser down, each error has a reason, and
// whatever is taken decides every query in a bounded number of steps.
func FuzzParse(f *testing.F) {
	seed, err := os.ReadFile("testdata/decisions.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), "", "rules: [*a]", "&a [*a]", "rules: &a [{name: b, pool: *a}]", "rules:\n  - {name: a, on_empty: a}"} {
		f.Add(s, "tenant", "room-1", uint64(1)<<60)
	}
	f.Fuzz(func(t *testing.T, doc, tenant, room string, hash uint64) {
		r, err := Parse([]byte(doc))
		var all Errors
		if err != nil {
			if !errors.As(err, &all) || len(all) == 0 || all[0].Reason == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		q := Query{Tenant: tenant, Room: room, Hash: hash}
		i, p := r.Match(&q)
		for steps := 0; i >= 0; i, p = r.Then(&q, i) {
			if steps++; steps > r.Len() || p == nil || p.Rule == "" {
				t.Fatalf("%d steps, %+v", steps, p)
			}
		}
	})
}
