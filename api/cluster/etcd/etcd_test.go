package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tutti/api/cluster"
	"tutti/api/cluster/storetest"
)

func TestMain(m *testing.M) {
	if member := os.Getenv(childEnv); member != "" {
		child(member)
	}
	goleak.VerifyTestMain(m)
}

// ports answers free addresses on the loopback.
func ports(t testing.TB, n int) (urls []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		urls = append(urls, "http://"+l.Addr().String())
	}
	return urls
}

// alone answers a member without others, which is ready.
func alone(t testing.TB, dir string, urls []string) *Server {
	t.Helper()
	s, err := Embed(EmbedConfig{Name: "alone", Dir: dir, ClientURLs: urls[:1], PeerURLs: urls[1:]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready")
	}
	return s
}

func dial(t testing.TB, endpoints ...string) *Store {
	t.Helper()
	s, err := Dial(Config{Endpoints: endpoints, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEtcdKeepsTheContract(t *testing.T) {
	server := alone(t, t.TempDir(), ports(t, 2))
	storetest.Run(t, func() cluster.Store {
		s := dial(t, server.Endpoints()...)
		empty(t, s)
		return s
	}, nil)
	s := dial(t, server.Endpoints()...)
	storetest.Compaction(t, s, func(revision int64) {
		if _, err := s.clients[0].Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
	})
}

// empty removes all that a test before left.
func empty(t *testing.T, s *Store) {
	t.Helper()
	entries, _, err := s.Read(t.Context(), "")
	for len(entries) > 0 && err == nil {
		n := min(len(entries), 500)
		var writes []cluster.Write
		for _, e := range entries[:n] {
			writes = append(writes, cluster.Write{Key: e.Key})
		}
		_, err = s.Commit(t.Context(), nil, writes)
		entries = entries[n:]
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestServerReturns sees that what was written outlives a restart.
func TestServerReturns(t *testing.T) {
	dir, urls := t.TempDir(), ports(t, 2)
	first := alone(t, dir, urls)
	s := dial(t, urls[0])
	if _, err := s.Commit(t.Context(), nil, []cluster.Write{{Key: "/a", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(context.Background(), "/", 0, func(cluster.Update) bool { return true }) }()
	foreign := s.clients[0].Watch(t.Context(), "/a") // does not go by itself
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the watch ended without an error")
	}
	if len(foreign) != 0 {
		t.Errorf("told %v", <-foreign)
	}
	start := time.Now()
	if _, _, err := s.Read(t.Context(), "/"); err == nil || time.Since(start) > patience {
		t.Errorf("reading without a server: %v after %v", err, time.Since(start))
	}
	alone(t, dir, urls)
	var entries []cluster.Entry
	eventually(t, patience, func() (err error) {
		entries, _, err = s.Read(t.Context(), "/")
		return err
	})
	if len(entries) != 1 || string(entries[0].Value) != "1" {
		t.Errorf("%+v", entries)
	}
}

// TestAnotherStore sees that a store is not taken for another at the same
// address.
func TestAnotherStore(t *testing.T) {
	urls := ports(t, 2)
	first := alone(t, t.TempDir(), urls)
	s := dial(t, urls[0])
	if _, _, err := s.Read(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := Embed(EmbedConfig{Name: "alone", Dir: t.TempDir(), ClientURLs: urls[:1], PeerURLs: urls[1:], InitialClusterToken: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	<-other.Ready()
	eventually(t, patience, func() error {
		if _, _, err := s.Read(t.Context(), "/"); err == nil || !strings.Contains(err.Error(), ErrOther.Error()) {
			return fmt.Errorf("read: %w", err)
		}
		return nil
	})
}

// eventually tries f until it succeeds, and answers how long that took.
func eventually(t testing.TB, within time.Duration, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		switch {
		case err == nil:
			return time.Since(start)
		case time.Since(start) > within:
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, endpoints := range [][]string{nil, {""}, {"192.0.2.1:2379"}, {"ftp://192.0.2.1"}, {"http://192.0.2.1:2379", "http://%zz"}} {
		if s, err := Dial(Config{Endpoints: endpoints}); err == nil {
			t.Errorf("dialed %q", endpoints)
			_ = s.Close()
		}
	}
	good := EmbedConfig{Name: "a", Dir: t.TempDir(), ClientURLs: []string{"http://127.0.0.1:1"}, PeerURLs: []string{"http://127.0.0.1:2"}}
	for name, change := range map[string]func(*EmbedConfig){
		"no name":      func(c *EmbedConfig) { c.Name = "" },
		"no dir":       func(c *EmbedConfig) { c.Dir = "" },
		"no client":    func(c *EmbedConfig) { c.ClientURLs = nil },
		"no peer":      func(c *EmbedConfig) { c.PeerURLs = nil },
		"no port":      func(c *EmbedConfig) { c.PeerURLs = []string{"http://127.0.0.1"} },
		"host name":    func(c *EmbedConfig) { c.ClientURLs = []string{"http://example.org:2379"} },
		"not in it":    func(c *EmbedConfig) { c.InitialCluster = "b=http://127.0.0.1:3" },
		"no such form": func(c *EmbedConfig) { c.InitialCluster = "b" },
	} {
		c := good
		change(&c)
		if s, err := Embed(c); err == nil {
			t.Errorf("%s: started", name)
			_ = s.Close()
		}
	}
}
