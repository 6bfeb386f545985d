package assets

import (
	"context"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestUnits runs the tests that lie beside the page.
func TestUnits(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the page's own tests are not run")
	}
	tests, err := filepath.Glob("web/test/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("the page has no tests: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, append([]string{"--test"}, tests...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestWebIsComplete follows every reference from the page: each leads to a file
// that is built in, and each built-in file is led to.
func TestWebIsComplete(t *testing.T) {
	links := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`(?:href|src)="([^"#]+)"`),
		".js":   regexp.MustCompile(`(?:from|import) '(\.[^']+)'|import\('(\.[^']+)'\)`),
		".css":  regexp.MustCompile(`url\(["']?([^"')]+)`),
	}
	reached := map[string]bool{}
	var follow func(name string)
	follow = func(name string) {
		if reached[name] {
			return
		}
		body, err := fs.ReadFile(Web(), name)
		if err != nil {
			t.Errorf("referred to, but not there: %v", err)
			return
		}
		reached[name] = true
		if link := links[path.Ext(name)]; link != nil {
			for _, m := range link.FindAllStringSubmatch(string(body), -1) {
				follow(path.Join(path.Dir(name), m[1]+strings.Join(m[2:], "")))
			}
		}
	}
	follow("index.html")
	for _, name := range all(t) {
		if !reached[name] {
			t.Errorf("%s is built in, but nothing refers to it", name)
		}
	}
}

// TestPageKeepsItsPolicy looks for what the policy forbids: a browser would
// pass over it in silence.
func TestPageKeepsItsPolicy(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"an inline style":         regexp.MustCompile(`(?i)<style|\sstyle\s*=\s*["']|setAttribute\(['"]style|cssText`),
		"an inline script":        regexp.MustCompile(`(?i)<script(?:\s+type="module")?\s*>|\son[a-z]+\s*=\s*"|javascript:`),
		"an outside address":      regexp.MustCompile(`(?i)(?:src|href|url\(|import|from|fetch\()\s*[=(]?\s*["'](?:https?:)?//`),
		"markup made from a text": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`),
	}
	for _, name := range all(t) {
		body, err := fs.ReadFile(Web(), name)
		if err != nil {
			t.Fatal(err)
		}
		for what, pattern := range forbidden {
			if m := pattern.Find(body); m != nil {
				t.Errorf("%s holds %s: %s", name, what, m)
			}
		}
	}
}

// TestPolicyInPage: each page says the same as the header, but for what a
// meta element cannot say.
func TestPolicyInPage(t *testing.T) {
	want := strings.TrimSuffix(ContentSecurityPolicy, "; frame-ancestors 'none'")
	for _, name := range all(t) {
		if path.Ext(name) != ".html" {
			continue
		}
		page, err := fs.ReadFile(Web(), name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), `http-equiv="Content-Security-Policy" content="`+want+`"`) {
			t.Errorf("%s does not say %q", name, want)
		}
	}
}

// all answers the names of all files that are built in.
func all(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(Web(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
