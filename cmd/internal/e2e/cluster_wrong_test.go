package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tutti/api/cluster"
)

// ends runs a command that is wrong, and answers its exit code and what it says.
func ends(t *testing.T, args ...string) (code int, says string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestClusterRefuses joins a cluster in wrong ways. Each is told what is wrong, and
// what runs goes on.
func TestClusterRefuses(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	f := launch(t, 1, 1, "--set", "cluster.key="+key)
	router, node := f.routers[0], f.nodes["node-1"]
	if _, err := router.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Fatal(err)
	}
	before := f.owner(t, "r")

	member := []string{"node", "--dev", "--cluster", f.url, "--http", freePort(t), "--udp", freePort(t), "--set"}
	t.Run("a name that is taken", func(t *testing.T) {
		code, says := ends(t, append(member, "cluster.key="+key, "--name", "node-1")...)
		if code != 1 || !strings.Contains(says, "node-1") || !strings.Contains(says, node.http) {
			t.Errorf("exit code %d: %s", code, tail(says, 500))
		}
	})
	t.Run("another key", func(t *testing.T) {
		code, says := ends(t, append(member, "cluster.key="+strings.Repeat("x", 32), "--name", "node-2")...)
		if code != 2 || !strings.Contains(says, "cluster.key is not that of") || strings.Contains(says, "xxxx") {
			t.Errorf("exit code %d: %s", code, tail(says, 500))
		}
	})
	t.Run("a stranger among the members", func(t *testing.T) {
		for _, given := range []string{"", strings.Repeat("x", 32)} {
			req, err := node.request(http.MethodPost, "/cluster/v1/rooms/r/take", strings.NewReader(`{"from":{"node":"node-1","incarnation":"x"}}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Tutti-Cluster-Key", given)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("with the key %q it is answered %s", given, res.Status)
			}
		}
	})
	t.Run("junk in the store", func(t *testing.T) {
		for _, at := range []string{"rooms/r2", "rooms/../x", "live/node-9", "loads/node-1", "nothing/at/all"} {
			if _, err := f.store.Commit(t.Context(), nil, []cluster.Write{{Key: cluster.Prefix + at, Value: []byte("{\"id\":7")}}); err != nil {
				t.Fatal(err)
			}
		}
		until(t, patience, func() string {
			return wrongIf(router.metric(t, "tutti_cluster_foreign_entries") < 3, "the router has not noticed")
		})
		if got := f.state(t, router, "node-1"); got != (nodeState{"node-1", "active", 1}) {
			t.Errorf("the node is %+v", got)
		}
	})
	t.Run("a store of another format", func(t *testing.T) {
		const at = "/tutti/999/members/x"
		if _, err := f.store.Commit(t.Context(), nil, []cluster.Write{{Key: at, Value: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
		code, says := ends(t, append(member, "cluster.key="+key, "--name", "node-2")...)
		if code != 1 || !strings.Contains(says, at) {
			t.Errorf("exit code %d: %s", code, tail(says, 500))
		}
	})
	if after := f.owner(t, "r"); after != before {
		t.Errorf("the room was at %+v and is at %+v", before, after)
	}
	checkSettings(t, router, "r")
}

// TestRulesAreReadAgain changes a router's rules while it runs.
func TestRulesAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rule := func(region string) string {
		return "rules:\n  - name: only-" + region + "\n    pool:\n      require: {region: " + region + "}\n"
	}
	write("rules:\n  - name: x\n    pool: {top: many}\n")
	code, says := ends(t, "router", "--dev", "--http", freePort(t), "--rules", file)
	if code != 2 || strings.Count(says, "\n") != 1 || !strings.Contains(says, "router.rules cannot be used") || !strings.Contains(says, "top") {
		t.Errorf("exit code %d: %s", code, says)
	}

	write(rule("here"))
	f := launch(t, 1, 0, "--set", "router.rules="+file)
	router := f.routers[0]
	n := f.node(t, "node-1", "--dev", "--set", "cluster.labels=region=here")
	n.begin()
	makes := func(room string) error {
		_, err := router.call(http.MethodPut, "/v1/rooms/"+room, smallRoom)
		return err
	}
	if err := makes("a"); err != nil {
		t.Error(err)
	}

	write(rule("elsewhere"))
	router.says(t, "a file was read again")
	if err := makes("b"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a room of no node is answered %v", err)
	}

	write("rules: 7\n")
	router.says(t, "a file was not taken")
	if err := makes("c"); err == nil {
		t.Error("wrong rules replace those that were right")
	}

	write(rule("here"))
	until(t, 2*time.Second, func() string {
		err := makes("d")
		return wrongIf(err != nil, "%v", err)
	})
}

// says waits until a server has logged a text.
func (s *server) says(t *testing.T, text string) {
	t.Helper()
	until(t, patience, func() string { return wrongIf(!strings.Contains(s.log(), text), "it does not say %q", text) })
}
