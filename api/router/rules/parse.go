package rules

import (
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tutti/mixer"
)

// What a document may have.
const (
	maxBytes  = 4 << 20
	maxRules  = 2000
	maxErrors = 20
)

var (
	labelText  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,62}[A-Za-z0-9])?$`)
	hostText   = regexp.MustCompile(`^[a-z0-9*]([a-z0-9.*-]{0,252}[a-z0-9*])?$|^\[[0-9a-f:.]{2,45}\]$`)
	roomText   = regexp.MustCompile(`^[A-Za-z0-9_*?-]{1,128}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$") // a token, RFC 9110 5.6.2
)

// Parse reads a document. The error, if any, is an Errors. An empty document
// gives what Default does.
func Parse(document []byte) (*Rules, error) {
	r := &reader{rule: -1}
	list := r.document(document)
	if len(r.errors) == 0 {
		r.validate(list)
	}
	if len(r.errors) > 0 {
		return nil, r.errors
	}
	if len(list) == 0 {
		return Default(), nil
	}
	return compile(list), nil
}

// reader walks through a document and gathers what is wrong with it.
type reader struct {
	errors Errors
	rule   int    // that it is at, or -1
	name   string // of that
	lines  []int  // of the rules
}

func (r *reader) fail(n *yaml.Node, field, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	if len(r.errors) < maxErrors {
		r.errors = append(r.errors, &Error{Rule: r.rule, Name: r.name, Field: field, Line: line, Reason: fmt.Sprintf(format, args...)})
	}
}

func (r *reader) document(text []byte) []rule {
	if len(text) > maxBytes {
		r.fail(nil, "", "must be at most %d bytes", maxBytes)
		return nil
	}
	var root yaml.Node
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := d.Decode(&root); err != nil {
		if strings.TrimSpace(string(text)) != "" && err.Error() != "EOF" {
			r.fail(nil, "", "no YAML: %v", err)
		}
		return nil
	}
	if err := d.Decode(new(yaml.Node)); err == nil || err.Error() != "EOF" {
		r.fail(nil, "", "must be one document")
		return nil
	}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return nil
	}
	var list []rule
	r.mapping(root.Content[0], "", func(key string, value *yaml.Node) bool {
		if key == "rules" {
			list = r.rules(value)
		}
		return key == "rules"
	})
	return list
}

func (r *reader) rules(n *yaml.Node) []rule {
	var list []rule
	if n = at(n); n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxRules {
		r.fail(n, "rules", "must be a list of at most %d rules", maxRules)
		return nil
	}
	for i, item := range n.Content {
		r.rule, r.name = i, ""
		list = append(list, r.one(item))
		r.lines = append(r.lines, item.Line)
	}
	r.rule, r.name = -1, ""
	return list
}

func (r *reader) one(n *yaml.Node) rule {
	one := rule{match: match{percent: 100}, pool: Pool{OnEmpty: Refuse, Isolation: Shared}}
	if name := lookUp(n, "name"); name != nil && mixer.ValidID(name.Value) {
		r.name = name.Value // first, so that all errors have it
	}
	r.mapping(n, "", func(key string, value *yaml.Node) bool {
		switch key {
		case "name":
			one.pool.Rule = r.text(value, "name")
		case "match":
			r.match(value, &one.match)
		case "pool":
			r.pool(value, &one.pool)
		case "on_empty":
			one.pool.OnEmpty = r.text(value, "on_empty")
		default:
			return false
		}
		return true
	})
	if name := one.pool.Rule; !mixer.ValidID(name) || name == Refuse || name == Next {
		r.fail(n, "name", "must match [A-Za-z0-9_-]{1,64} and be neither %s nor %s", Refuse, Next)
	}
	return one
}

func (r *reader) match(n *yaml.Node, m *match) {
	r.mapping(n, "match", func(key string, value *yaml.Node) bool {
		field := "match." + key
		switch key {
		case "tenant":
			m.tenants = r.identifiers(value, field)
		case "kind":
			m.kinds = r.identifiers(value, field)
		case "purpose":
			m.purposes = r.identifiers(value, field)
		case "host":
			m.hosts = r.texts(value, field, func(s string) bool { return hostText.MatchString(s) }, "must be a name such as a.example or *.example, in lower case, without a port")
		case "room":
			if m.room = r.text(value, field); !roomText.MatchString(m.room) {
				r.fail(value, field, "must match [A-Za-z0-9_*?-]{1,128}")
			}
		case "header":
			m.headers = r.headers(value)
		case "percent":
			m.percent = r.number(value, field, 0, 100)
		default:
			return false
		}
		return true
	})
}

func (r *reader) pool(n *yaml.Node, p *Pool) {
	r.mapping(n, "pool", func(key string, value *yaml.Node) bool {
		field := "pool." + key
		switch key {
		case "require":
			p.Require = r.labels(value, field)
		case "forbid":
			p.Forbid = r.labels(value, field)
		case "prefer":
			p.Prefer = r.labels(value, field)
		case "release":
			r.release(value, p)
		case "isolation":
			p.Isolation = Isolation(r.text(value, field))
			if p.Isolation != Shared && p.Isolation != Dedicated {
				r.fail(value, field, "must be %s or %s", Shared, Dedicated)
			}
		case "top":
			p.Top = r.count(value, field, 1000)
		case "ceiling":
			if p.Ceiling = r.number(value, field, 0, 1); p.Ceiling == 0 {
				r.fail(value, field, "must be more than 0, or no room fits")
			}
		case "max_rooms":
			p.MaxRooms = r.count(value, field, 1_000_000)
		default:
			return false
		}
		return true
	})
}

func (r *reader) release(n *yaml.Node, p *Pool) {
	r.mapping(n, "pool.release", func(key string, value *yaml.Node) bool {
		switch key {
		case "version":
			p.Release = r.text(value, "pool.release.version")
		case "fallback":
			f := r.text(value, "pool.release.fallback")
			if p.AnyRelease = f == "any"; f != "any" && f != Refuse {
				r.fail(value, "pool.release.fallback", "must be any or %s", Refuse)
			}
		default:
			return false
		}
		return true
	})
	if p.Release == "" || len(p.Release) > 64 {
		r.fail(n, "pool.release.version", "must be a version of at most 64 characters")
	}
}

// mapping calls known for each key, which answers whether there is such a key.
func (r *reader) mapping(n *yaml.Node, field string, known func(key string, value *yaml.Node) bool) {
	if n = at(n); n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, field, "must be a mapping of keys to values")
		return
	}
	var seen []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		path := strings.TrimPrefix(field+"."+key.Value, ".")
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, field, "must have plain keys")
		case slices.Contains(seen, key.Value):
			r.fail(key, path, "is there twice")
		case !known(key.Value, at(n.Content[i+1])):
			r.fail(key, path, "there is no such key")
		}
		seen = append(seen, key.Value)
	}
}

// at answers the node that an alias stands for.
func at(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// lookUp answers the value of a key, or nil.
func lookUp(n *yaml.Node, key string) *yaml.Node {
	if n = at(n); n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return at(n.Content[i+1])
			}
		}
	}
	return nil
}

func (r *reader) text(n *yaml.Node, field string) string {
	if n = at(n); n.Kind != yaml.ScalarNode || n.Tag == "!!null" || len(n.Value) > 256 {
		r.fail(n, field, "must be a text of at most 256 characters")
		return ""
	}
	return n.Value
}

// texts reads one text or a list of them; sorted, never nil.
func (r *reader) texts(n *yaml.Node, field string, ok func(string) bool, reason string) []string {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) == 0 {
		r.fail(n, field, "must name at least one, or matches nothing")
	}
	list := []string{}
	for _, item := range items {
		before := len(r.errors)
		text := r.text(item, field)
		if len(r.errors) == before && !ok(text) {
			r.fail(item, field, "%s, not %q", reason, text)
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (r *reader) identifiers(n *yaml.Node, field string) []string {
	return r.texts(n, field, func(s string) bool { return s == "" || mixer.ValidID(s) }, "must match [A-Za-z0-9_-]{1,64} or be empty")
}

func (r *reader) headers(n *yaml.Node) []header {
	var list []header
	r.mapping(n, "match.header", func(key string, value *yaml.Node) bool {
		field, name := "match.header."+key, textproto.CanonicalMIMEHeaderKey(key)
		switch {
		case !headerName.MatchString(key):
			r.fail(value, field, "must be the name of a header")
		case slices.ContainsFunc(list, func(h header) bool { return h.name == name }):
			r.fail(value, field, "is there twice")
		}
		list = append(list, header{name, r.text(value, field)})
		return true
	})
	slices.SortFunc(list, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return list
}

func (r *reader) labels(n *yaml.Node, field string) []Label {
	var list []Label
	r.mapping(n, field, func(key string, value *yaml.Node) bool {
		text := r.text(value, field+"."+key)
		if !labelText.MatchString(key) || text != "*" && !labelText.MatchString(text) {
			r.fail(value, field+"."+key, "must be letters, digits and ._/- between them, at most 64, or * as the value")
		}
		list = append(list, newLabel(key, text))
		return true
	})
	slices.SortFunc(list, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return list
}

func (r *reader) number(n *yaml.Node, field string, least, most float64) float64 {
	f, err := strconv.ParseFloat(r.text(n, field), 64)
	if err != nil || !(f >= least && f <= most) {
		r.fail(n, field, "must be a number from %v to %v", least, most)
	}
	return f
}

func (r *reader) count(n *yaml.Node, field string, most int) int {
	i, err := strconv.Atoi(r.text(n, field))
	if err != nil || i < 0 || i > most {
		r.fail(n, field, "must be a whole number from 0 to %d", most)
	}
	return i
}
