package arch

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

func architecture(t *testing.T) string {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS(root(t)), "ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names reports whether a text has a path as a word of its own.
func names(text, path string) bool {
	return regexp.MustCompile(`(^|[^\w/-])` + regexp.QuoteMeta(path) + `($|[^\w/-]|/$|/[^\w])`).MatchString(text)
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	text := architecture(t)
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if !seen[s.dir()] && !names(text, s.dir()) {
			t.Errorf("ARCHITECTURE.md does not name %s", s.dir())
		}
		seen[s.dir()] = true
	}
}

var quoted = regexp.MustCompile("`((?:api|assets|bench|cmd|codec|mixer|transport)/[\\w./-]+)`")

// stale answers the paths in backquotes that do not exist.
func stale(text string, tree fs.FS) (complaints []string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		if _, err := fs.Stat(tree, strings.TrimRight(m[1], "/.")); err != nil {
			complaints = append(complaints, m[1])
		}
	}
	return complaints
}

func TestArchitectureNamesNothingElse(t *testing.T) {
	for _, path := range stale(architecture(t), os.DirFS(root(t))) {
		t.Errorf("ARCHITECTURE.md names %s, which does not exist", path)
	}
}

// A path into somebody's home or checkout; parted so that this file has none.
var machine = regexp.MustCompile(`(^|[^\w.-])/(wo` + `rk|ho` + `me|Us` + `ers|ro` + `ot)/\w`)

func machinePaths(path string, text []byte) (complaints []string) {
	for i, line := range strings.Split(string(text), "\n") {
		if machine.MatchString(line) {
			complaints = append(complaints, fmt.Sprintf("%s:%d has a path of somebody's machine", path, i+1))
		}
	}
	return complaints
}

func TestNoMachinePaths(t *testing.T) {
	texts := files(t, ".go", ".md", ".yaml", ".yml", ".js", ".mjs", ".html", ".css", ".sh", ".c", ".h", ".json", "Makefile",
		".ci/run", ".ci/demo", ".ci/cluster", ".ci/processes", ".ci/fuzz", ".ci/packages")
	for path, text := range texts {
		for _, c := range machinePaths(path, text) {
			t.Error(c)
		}
	}
}

func TestTextRulesAreHeld(t *testing.T) {
	for text, want := range map[string]bool{
		"the `codec/pcm` package": true, "codec/pcm/": true, "see codec/pcm.": true,
		"codec/pcmx": false, "mycodec/pcm": false, "x/codec/pcm": false, "codec": false,
	} {
		if names(text, "codec/pcm") != want {
			t.Errorf("%q names codec/pcm: not %v", text, want)
		}
	}
	if names("codec/pcm", "codec") {
		t.Error("codec/pcm is said to name codec")
	}
	if got := stale("`mixer/room.go` and `mixer/gone.go`, not mixer/plain", os.DirFS(root(t))); len(got) != 1 || got[0] != "mixer/gone.go" {
		t.Errorf("stale: %v", got)
	}
	for line, bad := range map[string]bool{
		"cd /ho" + "me/ann/tutti": true, "\"/wo" + "rk/main\"": true, "(/ro" + "ot/go)": true,
		"/usr/share/fonts": false, "bench/work/x": false, "https://example.org/home/x": false, "the /root": false,
	} {
		if got := machinePaths("x", []byte(line)); len(got) > 0 != bad {
			t.Errorf("%q: %v", line, got)
		}
	}
}
