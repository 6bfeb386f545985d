package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// hopRate is the requests a second, hopRooms the rooms they are for by turns.
const (
	hopRate  = 400
	hopRooms = 100
)

// measureHop compares the ways to a node: straight, through the router, and
// through NginX and HAProxy that choose the node by a hash of the path.
func measureHop(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"a"}})
	if err != nil {
		return err
	}
	defer c.stop()
	for i := range hopRooms {
		if err := c.put(ctx, fmt.Sprintf("hop-%d", i), map[string]any{"empty_timeout_s": 0}); err != nil {
			return err
		}
	}
	node := strings.TrimPrefix(c.nodes["a"].url, "http://")
	ways := []way{{name: "straight", url: c.nodes["a"].url}, {name: "router", url: c.url}}
	for _, p := range []struct {
		name  string
		start func(context.Context, string, string) (*exec.Cmd, error)
	}{{"NginX", startNginX}, {"HAProxy", startHAProxy}} {
		at, err := freeAddress()
		if err != nil {
			return err
		}
		cmd, err := p.start(ctx, at, node)
		if err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
		defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }()
		ways = append(ways, way{name: p.name, url: "http://" + at})
	}
	for i := range ways {
		if err := ways[i].warm(ctx); err != nil {
			return fmt.Errorf("%s: %w", ways[i].name, err)
		}
	}
	for range o.runs { // by turns, so that what else the machine does meets all
		for i := range ways {
			if err := ways[i].measure(ctx, o.seconds); err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
		}
	}
	fmt.Fprintf(o.out, "%d requests a second for one of %d rooms each, sent when they are due whether the last was answered or not.\n\n", hopRate, hopRooms)
	fmt.Fprintf(o.out, "| way | median ms | p99 ms | median beyond straight, ms | p99 beyond straight, ms |\n|---|---|---|---|---|\n")
	for _, w := range ways {
		fmt.Fprintf(o.out, "| %s | %s | %s | %s | %s |\n", w.name, w.p50.show(2), w.p99.show(2), less(w.p50, ways[0].p50).show(2), less(w.p99, ways[0].p99).show(2))
	}
	fmt.Fprintf(o.out, "\nRouter's median over HAProxy's: %s.\n", ratio(ways[1].p50, ways[3].p50).show(2))
	return nil
}

// less answers a-b pair by pair.
func less(a, b series) series {
	var r series
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]-b[i])
	}
	return r
}

// way is one way to a node, and how long requests took on it in each run, in
// milliseconds.
type way struct {
	name, url string
	client    *http.Client
	p50, p99  series
}

// warm waits for the way to open, and opens its connections.
func (w *way) warm(ctx context.Context) error {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 256
	w.client = &http.Client{Transport: t, Timeout: 5 * time.Second}
	var err error
	for range 50 {
		if err = w.get(ctx, 0); err == nil {
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() { _ = w.get(ctx, i) })
			}
			all.Wait()
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return err
}

func (w *way) get(ctx context.Context, i int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/rooms/hop-%d", w.url, i%hopRooms), nil)
	if err != nil {
		return err
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// measure sends for a while, and notes how long after they were due the answers
// were there.
func (w *way) measure(ctx context.Context, d time.Duration) error {
	n := int(d.Seconds() * hopRate)
	took, failed := make(series, n), make([]error, n)
	var all sync.WaitGroup
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / hopRate)
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
		all.Go(func() {
			failed[i] = w.get(ctx, i)
			took[i] = float64(time.Since(due)) / float64(time.Millisecond)
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	w.p50, w.p99 = append(w.p50, took.percentile(50)), append(w.p99, took.percentile(99))
	return nil
}

// startNginX and startHAProxy start a proxy with one worker that listens at an
// address and hashes the path over one node.
func startNginX(ctx context.Context, at, node string) (*exec.Cmd, error) {
	return startProxy(ctx, fmt.Sprintf(`daemon off; worker_processes 1; pid %%DIR%%/pid; error_log stderr crit;
events {}
http {
	access_log off;
	client_body_temp_path %%DIR%%; proxy_temp_path %%DIR%%; fastcgi_temp_path %%DIR%%; uwsgi_temp_path %%DIR%%; scgi_temp_path %%DIR%%;
	upstream nodes { hash $uri consistent; server %s; keepalive 64; }
	server { listen %s; location / { proxy_pass http://nodes; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; } }
}
`, node, at), "nginx", "-e", "stderr", "-c")
}

func startHAProxy(ctx context.Context, at, node string) (*exec.Cmd, error) {
	return startProxy(ctx, fmt.Sprintf(`global
	nbthread 1
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend in
	bind %s
	default_backend nodes
backend nodes
	balance uri
	hash-type consistent
	http-reuse always
	server a %s
`, at, node), "haproxy", "-db", "-f")
}

// startProxy starts a program with a configuration file as its last argument;
// %DIR% in it is a folder of its own.
func startProxy(ctx context.Context, config string, program ...string) (*exec.Cmd, error) {
	dir, err := os.MkdirTemp("", "tutti-bench-")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "%DIR%", dir)), 0o644); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(program[0])
	if err != nil {
		path = filepath.Join("/usr/sbin", program[0]) // not on everybody's PATH
	}
	cmd := exec.CommandContext(ctx, path, append(program[1:], file)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd, cmd.Start()
}
