package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a file and a function may have, in lines.
const (
	maxFile     = 600
	maxFunction = 80
)

// cores are the packages that take time as an argument.
var cores = []string{
	"codec", "mixer/audio", "mixer/video", "mixer/layout", "mixer/overlay", "transport/jitter", "transport/rtptime",
	"transport/transporttest/badlink", "api/router/rules", "api/router/placement",
}

// clock are the names of package time that read the clock or wait for it.
var clock = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// clocks answers where a core reads the clock or starts a goroutine, which
// would need one.
func clocks(s *source) (complaints []string) {
	if s.test() || !slices.ContainsFunc(cores, func(c string) bool { return within(s.dir(), c) }) {
		return nil
	}
	name := importName(s, "time")
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == name && slices.Contains(clock, n.Sel.Name) {
				complaints = append(complaints, fmt.Sprintf("%s:%d time.%s: a core takes time as an argument", s.path, s.line(n.Pos()), n.Sel.Name))
			}
		case *ast.GoStmt:
			complaints = append(complaints, fmt.Sprintf("%s:%d a core starts no goroutine", s.path, s.line(n.Pos())))
		}
		return true
	})
	return complaints
}

// importName answers by which name a file knows a package, or nothing.
func importName(s *source, imported string) string {
	for _, spec := range s.file.Imports {
		if spec.Path.Value == strconv.Quote(imported) {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return imported[strings.LastIndex(imported, "/")+1:]
		}
	}
	return ""
}

// sizes answers what is too long to be read at once.
func sizes(s *source) (complaints []string) {
	if n := lines(s.text); n > maxFile {
		complaints = append(complaints, fmt.Sprintf("%s has %d lines, more than %d", s.path, n, maxFile))
	}
	if s.test() {
		return complaints
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFunction {
			complaints = append(complaints, fmt.Sprintf("%s:%d %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, maxFunction))
		}
	}
	return complaints
}

// stubs answers what was left for later.
func stubs(s *source) (complaints []string) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		f, isIdent := call.Fun.(*ast.Ident)
		arg, isLit := call.Args[0].(*ast.BasicLit)
		if isIdent && isLit && f.Name == "panic" && strings.Contains(strings.ToLower(arg.Value), "todo") {
			complaints = append(complaints, fmt.Sprintf("%s:%d is not written yet", s.path, s.line(n.Pos())))
		}
		return true
	})
	return complaints
}

// wellKnown are methods that say nothing new: those of interfaces that all
// know.
var wellKnown = []string{
	"Error", "String", "GoString", "Unwrap", "Is", "As", "Read", "Write", "Close", "Len", "Less", "Swap",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "ServeHTTP", "Describe", "Collect",
}

// undocumented answers the exported names without a comment. Package main
// exports nothing.
func undocumented(s *source) (complaints []string) {
	if s.test() || s.file.Name.Name == "main" {
		return nil
	}
	complain := func(p token.Pos, name string) {
		complaints = append(complaints, fmt.Sprintf("%s:%d %s is not documented", s.path, s.line(p), name))
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && !(d.Recv != nil && (slices.Contains(wellKnown, d.Name.Name) || !exportedReceiver(d))) {
				complain(d.Pos(), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if name, ok := bareSpec(d, spec); ok {
					complain(spec.Pos(), name)
				}
			}
		}
	}
	return complaints
}

func exportedReceiver(f *ast.FuncDecl) bool {
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// bareSpec answers an exported name that neither its group, its own lines nor
// the comment behind it explain.
func bareSpec(d *ast.GenDecl, spec ast.Spec) (string, bool) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return s.Name.Name, s.Name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				return n.Name, true
			}
		}
	}
	return "", false
}

func TestCode(t *testing.T) {
	for _, s := range sources(t) {
		for _, c := range slices.Concat(clocks(s), sizes(s), stubs(s), undocumented(s)) {
			t.Error(c)
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		if doc := s.file.Doc; doc != nil && (strings.HasPrefix(doc.Text(), "Package "+s.file.Name.Name+" ") ||
			s.file.Name.Name == "main" && strings.HasPrefix(doc.Text(), "Command ")) {
			documented[s.dir()] = true
		} else if !documented[s.dir()] {
			documented[s.dir()] = false
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestCodeRulesAreHeld(t *testing.T) {
	long := strings.Repeat("\n", maxFunction)
	for _, c := range []struct {
		name, file, text string
		rule             func(*source) []string
		bad              bool
	}{
		{"clock in a core", "mixer/audio/a.go", "import \"time\"\nfunc f() { _ = time.Now() }", clocks, true},
		{"clock under another name", "codec/opus/a.go", "import t \"time\"\nvar x = t.Since", clocks, true},
		{"goroutine in a core", "transport/jitter/a.go", "func f() { go f() }", clocks, true},
		{"time in a core", "mixer/audio/a.go", "import \"time\"\nconst d = time.Second", clocks, false},
		{"clock in a core's test", "mixer/audio/a_test.go", "import \"time\"\nvar x = time.Now", clocks, false},
		{"clock in a shell", "mixer/a.go", "import \"time\"\nvar x = time.Now", clocks, false},
		{"long function", "mixer/a.go", "func f() {" + long + "}", sizes, true},
		{"function of just that length", "mixer/a.go", "func f() {" + long[1:] + "}", sizes, false},
		{"long function in a test", "mixer/a_test.go", "func f() {" + long + "}", sizes, false},
		{"long file", "mixer/a_test.go", strings.Repeat("\n", maxFile), sizes, true},
		{"stub", "mixer/a.go", "func f() { panic(\"TODO\") }", stubs, true},
		{"panic", "mixer/a.go", "func f() { panic(\"twice\") }", stubs, false},
		{"bare function", "mixer/a.go", "func F() {}", undocumented, true},
		{"bare method", "mixer/a.go", "func (t *T) F() {}", undocumented, true},
		{"bare method of what is not exported", "mixer/a.go", "func (t *t) F() {}", undocumented, false},
		{"bare method that all know", "mixer/a.go", "func (t T) String() string { return \"\" }", undocumented, false},
		{"bare type", "mixer/a.go", "type T int", undocumented, true},
		{"bare constant", "mixer/a.go", "const (\n\t// A is.\n\tA = 1\n\tB = 2\n)", undocumented, true},
		{"explained group", "mixer/a.go", "// These.\nconst (\n\tA = 1\n\tB = 2\n)", undocumented, false},
		{"explained behind", "mixer/a.go", "var A = 1 // a", undocumented, false},
		{"private", "mixer/a.go", "func f() {}\nvar a int", undocumented, false},
	} {
		s := parse(t, c.file, []byte("package p\n"+c.text+"\n"))
		if got := c.rule(s); len(got) > 0 != c.bad {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
