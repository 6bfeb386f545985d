package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is a Go file of the repository.
type source struct {
	path string // from the root, with slashes
	text []byte
	set  *token.FileSet
	file *ast.File
}

// dir answers the folder, which is the package's path within the module.
func (s *source) dir() string { return path.Dir(s.path) }

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s *source) line(p token.Pos) int { return s.set.Position(p).Line }

func parse(t *testing.T, path string, text []byte) *source {
	t.Helper()
	s := &source{path: path, text: text, set: token.NewFileSet()}
	var err error
	if s.file, err = parser.ParseFile(s.set, path, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		t.Fatal(err)
	}
	return s
}

// root answers the repository's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("the repository is not where it was: %v", err)
	}
	return dir
}

// Folders whose contents nobody wrote by hand for this repository.
var foreign = []string{".git", ".cache", "bin", "data", "node_modules", "testdata"}

// files answers the contents of all files of the repository with one of the
// endings, by path from the root.
func files(t *testing.T, endings ...string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	tree := os.DirFS(root(t))
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(foreign, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(p, e) }) {
			return nil
		}
		found[p], err = fs.ReadFile(tree, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sources answers all Go files, in the order of their paths.
func sources(t *testing.T) []*source {
	t.Helper()
	texts := files(t, ".go")
	if len(texts) < 50 {
		t.Fatalf("only %d Go files were found", len(texts))
	}
	var list []*source
	for p, text := range texts {
		list = append(list, parse(t, p, text))
	}
	slices.SortFunc(list, func(a, b *source) int { return strings.Compare(a.path, b.path) })
	return list
}

// lines answers how many lines a text has.
func lines(text []byte) int { return bytes.Count(text, []byte("\n")) }
