package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// program is the path of the server's binary, built once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tutti-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "tutti")
	args := []string{"build", "-buildvcs=false", "-o", program}
	if race {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "tutti/cmd/tutti")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, out)
		return 1
	}
	defer chromium.close()
	return m.Run()
}

// lookAtSources looks at the files that the server is built from: go test keeps a
// result for as long as what a test looked at has not changed, and knows nothing
// of what another go reads.
var lookAtSources = sync.OnceValue(func() error {
	root := filepath.Join("..", "..", "..")
	for _, dir := range []string{"api", "assets", "cmd", "codec", "mixer", "transport"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := os.Stat(filepath.Join(root, "go.sum"))
	return err
})

// missing skips a test that needs a program which is not there; where CI=true
// it fails.
func missing(t *testing.T, name string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}

// patience is for what takes a second or two on an idle machine.
const patience = 45 * time.Second

// until looks every 100 ms whether something has come true; look answers what
// is still wrong, or nothing.
func until(t *testing.T, within time.Duration, look func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still so after %v: %s", within, wrong)
		}
		<-tick.C
	}
}

// always looks every 100 ms for a time that nothing is wrong.
func always(t *testing.T, during time.Duration, look func() string) {
	t.Helper()
	deadline := time.Now().Add(during)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if wrong := look(); wrong != "" {
			t.Fatal(wrong)
		}
		<-tick.C
	}
}
