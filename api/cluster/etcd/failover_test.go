package etcd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tutti/api/cluster"
)

// childEnv has the EmbedConfig, in JSON, of the member that this program is to
// be instead of the tests.
const childEnv = "TUTTI_TEST_ETCD"

// child is a member until its standard input ends.
func child(member string) {
	var c EmbedConfig
	if err := json.Unmarshal([]byte(member), &c); err != nil {
		panic(err)
	}
	s, err := Embed(c)
	if err != nil {
		panic(err)
	}
	<-s.Ready()
	fmt.Println("ready")
	go func() {
		leads := false
		for {
			if now := s.Leads(); now != leads {
				leads = now
				fmt.Println("leads", leads)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// process is a member of etcd in a process of its own.
type process struct {
	*exec.Cmd
	said chan string
}

// three starts three members and answers them with their client URLs.
func three(t *testing.T) (members []*process, endpoints []string) {
	t.Helper()
	urls := ports(t, 6)
	var initial []string
	for i := range 3 {
		initial = append(initial, fmt.Sprintf("m%d=%s", i, urls[3+i]))
	}
	for i := range 3 {
		config, err := json.Marshal(EmbedConfig{
			Name: fmt.Sprint("m", i), Dir: t.TempDir(), ClientURLs: urls[i : i+1], PeerURLs: urls[3+i : 4+i],
			InitialCluster: strings.Join(initial, ","),
		})
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, start(t, config))
	}
	for _, m := range members {
		m.wait(t, "ready")
	}
	return members, urls[:3]
}

func start(t *testing.T, config []byte) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0]), make(chan string, 100)}
	p.Env = append(os.Environ(), childEnv+"="+string(config))
	p.Stderr = os.Stderr
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.said <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.Process.Kill()
		<-read
		_ = p.Wait()
	})
	return p
}

func (p *process) wait(t *testing.T, line string) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		select {
		case said := <-p.said:
			if said == line {
				return
			}
		case <-deadline:
			t.Fatalf("did not say %q", line)
		}
	}
}

// leader answers which member leads.
func leader(t *testing.T, s *Store) int {
	t.Helper()
	var found int
	eventually(t, patience, func() error {
		for i, c := range s.clients {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r, err := c.Status(ctx, c.Endpoints()[0])
			cancel()
			if err == nil && r.Leader == r.Header.MemberId {
				found = i
				return nil
			}
		}
		return fmt.Errorf("no leader")
	})
	return found
}

// TestLeaderLost kills or stops the leader of three, while the store is asked at
// that very endpoint.
func TestLeaderLost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six processes")
	}
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			members, endpoints := three(t)
			s := dial(t, endpoints...)
			commit := func() error {
				_, err := s.Commit(t.Context(), nil, []cluster.Write{{Key: "/a", Value: []byte("1")}})
				return err
			}
			eventually(t, patience, commit)
			l, err := s.Grant(t.Context(), 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			lost := leader(t, s)
			s.current.Store(uint32(lost))
			slow, err := Dial(Config{Endpoints: endpoints, Limit: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer slow.Close()
			slow.current.Store(uint32(lost))
			gap := follow(t, slow)
			if err := members[lost].Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			t.Logf("read after %v", eventually(t, patience, func() error {
				_, _, err := s.Read(t.Context(), "/")
				return err
			}))
			if err := s.Renew(t.Context(), l); err != nil {
				t.Errorf("renewed: %v", err)
			}
			t.Logf("committed after %v", eventually(t, patience, commit))
			for range 20 {
				if err := commit(); err != nil {
					t.Errorf("committed later: %v", err)
				}
			}
			if longest := gap(); longest >= slow.limit {
				t.Errorf("the watch told nothing for %v, as if only silence ended it", longest)
			}
		})
	}
}

// follow watches a store for as long as it takes, and answers how to end that and
// learn for how long nothing was told at most.
func follow(t *testing.T, s *Store) (gap func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan time.Time, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var after int64
		for ctx.Err() == nil {
			_ = s.Watch(ctx, "/", after, func(u cluster.Update) bool {
				after = u.Revision
				told <- time.Now()
				return true
			})
		}
	}()
	last := <-told
	return func() (longest time.Duration) {
		for asked := time.Now(); last.Before(asked); {
			next := <-told
			longest, last = max(longest, next.Sub(last)), next
		}
		cancel()
		<-ended
		t.Logf("longest silence %v", longest)
		return longest
	}
}

// patience is for a machine that is busy with other tests; how long things take
// is measured by bench.
const patience = 20 * time.Second

// TestMajorityLost sees that a member of etcd that is left over does not look
// like a store that is there.
func TestMajorityLost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	members, endpoints := three(t)
	s := dial(t, endpoints...)
	eventually(t, patience, func() error {
		_, _, err := s.Read(t.Context(), "/")
		return err
	})
	left := (leader(t, s) + 1) % 3
	s.current.Store(uint32(left))
	told, lost := make(chan time.Time, 1000), make(chan time.Time, 1)
	go func() {
		_ = s.Watch(t.Context(), "/", 0, func(cluster.Update) bool { told <- time.Now(); return true })
		lost <- time.Now()
	}()
	<-told
	for i, m := range members {
		if i != left {
			if err := m.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	stopped := time.Now()
	end := <-lost
	after := 0
	for len(told) > 0 {
		if at := <-told; at.After(stopped) {
			after++
		}
	}
	if after > 2 { // one was asked for before, one is on its way
		t.Errorf("told %d times after the majority was lost, and ended after %v", after, end.Sub(stopped))
	}
	if _, _, err := s.Read(t.Context(), "/"); err == nil {
		t.Error("read without a majority")
	}
	for _, m := range members {
		_ = m.Process.Signal(syscall.SIGCONT)
	}
	t.Logf("back after %v", eventually(t, patience, func() error {
		_, err := s.Commit(t.Context(), nil, []cluster.Write{{Key: "/a", Value: []byte("1")}})
		return err
	}))
	silence(t, members[left], endpoints[left])
}

// silence stops the only endpoint that is known.
func silence(t *testing.T, member *process, endpoint string) {
	t.Helper()
	s := dial(t, endpoint)
	var stopped time.Time
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := s.Watch(ctx, "/", 0, func(cluster.Update) bool {
		if stopped.IsZero() {
			stopped = time.Now()
			if err := member.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if !errors.Is(err, errSilent) {
		t.Errorf("ended with %v, %v after the endpoint was stopped", err, time.Since(stopped))
	}
}
