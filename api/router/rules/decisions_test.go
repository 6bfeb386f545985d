package rules

import (
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fleet is the nodes of decisions.csv.
var fleet = map[string]map[string]string{
	"n1": {"region": "eu", "zone": "a"},
	"n2": {"region": "eu", "zone": "b", "gpu": "t4"},
	"n3": {"region": "eu", "zone": "a", "gpu": "a2", "disk": "big"},
	"n4": {"region": "us", "zone": "b", "disk": "big"},
	"n5": {"region": "us", "zone": "c", "gpu": "t4"},
	"n6": {"region": "eu", "zone": "c", "spare": "true"},
}

func parsed(t testing.TB, file string) *Rules {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hashAt answers a hash that lies at so many percent.
func hashAt(percent float64) uint64 { return uint64(math.Ceil(percent/100*(1<<53))) << 11 }

// TestDecisionTable goes through decisions.csv: what is asked, at how many
// percent its hash lies, which rules' pools have no node, and at which rule it ends
// with which nodes.
func TestDecisionTable(t *testing.T) {
	f, err := os.Open("testdata/decisions.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) <= 200 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	r := parsed(t, "decisions.yaml")
	for i, row := range rows[1:] {
		at, err := strconv.ParseFloat(row[6], 64)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(row[5], "=")
		q := Query{
			Tenant: row[0], Kind: row[1], Purpose: row[2], Host: Host(row[3]), Room: row[4], Hash: hashAt(at),
			Header: func(n string) string {
				if n == name {
					return value
				}
				return ""
			},
		}
		rule, nodes := decide(r, &q, strings.Fields(row[7]))
		if rule != row[8] || nodes != row[9] {
			t.Errorf("line %d, %v: %s on %s", i+2, row, rule, nodes)
		}
	}
}

func decide(r *Rules, q *Query, empty []string) (rule, nodes string) {
	i, p := r.Match(q)
	for range r.Len() {
		if i >= 0 && slices.Contains(empty, p.Rule) {
			i, p = r.Then(q, i)
		}
	}
	if i < 0 {
		return "refused", "-"
	}
	var names []string
	for name, labels := range fleet {
		if _, ok := p.Admits(labels); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return p.Rule, strings.Join(names, " ")
}

func TestPoolSaysWhatTheDocumentSays(t *testing.T) {
	r := parsed(t, "decisions.yaml")
	p, ok := r.Pool("hospital-theatre")
	if !ok || p.Isolation != Dedicated || p.MaxRooms != 4 || p.Ceiling != 0.6 || p.OnEmpty != Refuse || p.Top != 0 {
		t.Errorf("%+v", p)
	}
	p, _ = r.Pool("canary")
	if p.Release != "2.0.0" || !p.AnyRelease || p.OnEmpty != Next || p.Isolation != Shared {
		t.Errorf("%+v", p)
	}
	p, _ = r.Pool("lectures")
	if p.Top != 3 || p.Preferred(fleet["n1"]) != 0 {
		t.Errorf("%+v", p)
	}
	p, _ = r.Pool("hospital")
	if p.Preferred(fleet["n1"]) != 1 || p.Preferred(fleet["n2"]) != 0 {
		t.Errorf("%+v", p)
	}
	if _, ok := r.Pool("nobody"); ok || r.Len() != 16 {
		t.Errorf("%d rules", r.Len())
	}
}

func TestAdmitsSaysWhy(t *testing.T) {
	p, _ := parsed(t, "decisions.yaml").Pool("hospital-theatre")
	for node, want := range map[string]string{"n1": "lacks gpu=*", "n2": "", "n4": "lacks gpu=*", "n5": "lacks region=eu"} {
		if why, ok := p.Admits(fleet[node]); why != want || ok != (want == "") {
			t.Errorf("%s: %q", node, why)
		}
	}
	p, _ = parsed(t, "decisions.yaml").Pool("exams")
	if why, ok := p.Admits(fleet["n6"]); ok || why != "has spare=*" {
		t.Errorf("%q", why)
	}
}

func TestWithoutRulesAllGoAnywhere(t *testing.T) {
	for _, doc := range []string{"", "\n", "# nothing\n", "rules:\n", "rules: []\n", "{}\n", "---\n"} {
		r, err := Parse([]byte(doc))
		if err != nil {
			t.Errorf("%q: %v", doc, err)
			continue
		}
		i, p := r.Match(&Query{Tenant: "x", Hash: math.MaxUint64})
		if i != 0 || p.Rule != "default" {
			t.Errorf("%q: rule %d", doc, i)
		}
		if i, p := r.Then(&Query{}, 0); i != -1 || p != nil {
			t.Errorf("%q: then %d", doc, i)
		}
	}
}

func TestThenOfNoRule(t *testing.T) {
	r := Default()
	for _, i := range []int{-1, 1, 99} {
		if next, p := r.Then(&Query{}, i); next != -1 || p != nil {
			t.Errorf("%d: %d", i, next)
		}
	}
}

func TestUnknownLabels(t *testing.T) {
	var nodes []map[string]string
	for name, labels := range fleet {
		if name != "n6" {
			nodes = append(nodes, labels)
		}
	}
	got := strings.Join(parsed(t, "decisions.yaml").Unknown(nodes), "\n")
	want := "hospital-spare: require: spare=true\nexams: forbid: spare=*\noff: require: region=mars\noverflow: require: spare=true"
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "A.Example": "a.example", "a.example:8080": "a.example", "a.example.": "a.example", "[::1]:80": "[::1]",
		"[::1]": "[::1]", "::1": "::1", "192.0.2.1:1": "192.0.2.1", ":80": "",
	} {
		if got := Host(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}
