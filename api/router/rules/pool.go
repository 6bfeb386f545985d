package rules

// Isolation is whether rooms of other rules may be on the same node.
type Isolation string

// The isolations.
const (
	Shared Isolation = "shared"
	// Dedicated: a node with rooms of the rule takes rooms of that rule only, and
	// a node with rooms of others is none of its pool.
	Dedicated Isolation = "dedicated"
)

// What OnEmpty may be besides the name of a rule.
const (
	Refuse = "refuse"
	Next   = "next"
)

// Pool is what a rule asks of the nodes that its rooms go to.
type Pool struct {
	Rule                    string // whose pool it is
	Require, Forbid, Prefer []Label
	// Release is the version that a node must have, where it is not empty.
	// AnyRelease lets any have the room where no node of that version takes it.
	Release    string
	AnyRelease bool
	Isolation  Isolation // empty: Shared
	// Top restricts the choice to the first so many of the room's order; 0 does not.
	Top int
	// Ceiling is the share of its capacity that a node may be used to, the room
	// included; 0 leaves it to the planner.
	Ceiling float64
	// MaxRooms is how many rooms of this rule one node may have; 0: any number.
	MaxRooms int
	OnEmpty  string // Refuse, Next or the name of a rule
}

// Label is a label of a node; the value "*" stands for any.
type Label struct {
	Key, Value string
	lacks, has string // why a node is refused for it, made once
}

func newLabel(key, value string) Label {
	text := key + "=" + value
	return Label{Key: key, Value: value, lacks: "lacks " + text, has: "has " + text}
}

func (l Label) String() string { return l.Key + "=" + l.Value }

// On reports whether a node with these labels has it.
func (l Label) On(labels map[string]string) bool {
	v, ok := labels[l.Key]
	return ok && (l.Value == "*" || v == l.Value)
}

// Admits reports whether a node with these labels is one of the pool, and if not,
// why, as in "lacks region=eu". It does not ask for the release. It allocates nothing.
func (p *Pool) Admits(labels map[string]string) (why string, ok bool) {
	for i := range p.Require {
		if !p.Require[i].On(labels) {
			return p.Require[i].lacks, false
		}
	}
	for i := range p.Forbid {
		if p.Forbid[i].On(labels) {
			return p.Forbid[i].has, false
		}
	}
	return "", true
}

// Preferred answers how many of the preferred labels a node has.
func (p *Pool) Preferred(labels map[string]string) int {
	n := 0
	for i := range p.Prefer {
		if p.Prefer[i].On(labels) {
			n++
		}
	}
	return n
}
