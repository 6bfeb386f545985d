package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"tutti/bench/load"
)

// janusRoom is the number of the one room in Janus' AudioBridge.
const janusRoom = 1

// janusFiles are Janus' configuration: its AudioBridge alone, a room at 48 kHz,
// all else as it is by default. The first %s is the folder they are in, the
// second the HTTP port.
var janusFiles = map[string]string{
	"janus.jcfg": `general: {
	configs_folder = "%[1]s"
	plugins_folder = "%[1]s/plugins"
	transports_folder = "%[1]s/transports"
	events_folder = "%[1]s/none"
	loggers_folder = "%[1]s/none"
	debug_level = 2
	session_timeout = 0
}
media: { ipv6 = false }
`,
	"janus.plugin.audiobridge.jcfg": `room-1: { description = "bench", sampling_rate = 48000 }
`,
	"janus.transport.http.jcfg": `general: { base_path = "/janus", json = "compact", http = true, ip = "127.0.0.1", port = %[2]s, https = false }
admin: { admin_http = false }
`,
}

// hostAddress answers an IPv4 address of this host that is not a loopback one.
// Janus (libnice) offers no other; what the host sends to its own address does
// not leave it.
func hostAddress() (netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("janus needs an IPv4 address besides loopback, and this host has none")
}

// janus is a Janus process under measurement.
type janus struct {
	url    string // of the one session that has a handle for each client
	dir    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is no more
	quit   context.CancelFunc
	events sync.WaitGroup

	mu      sync.Mutex
	waiting map[uint64]chan janusEvent // by handle
}

// janusEvent is what Janus answers, at once or later (its documentation, "RESTful,
// WebSockets ... API").
type janusEvent struct {
	Janus  string              `json:"janus"`
	Sender uint64              `json:"sender"`
	Data   struct{ ID uint64 } `json:"data"`
	Error  struct {
		Reason string `json:"reason"`
	} `json:"error"`
	Plugin struct {
		Data struct {
			Error string `json:"error"`
		} `json:"data"`
	} `json:"plugindata"`
	JSEP *struct {
		SDP string `json:"sdp"`
	} `json:"jsep"`
}

// startJanus starts Debian's Janus, its API on a free loopback port, and waits
// until it answers.
func startJanus(ctx context.Context) (*janus, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	j := &janus{ended: make(chan struct{}), waiting: map[uint64]chan janusEvent{}}
	if j.dir, err = os.MkdirTemp("", "tutti-bench-janus-"); err != nil {
		return nil, err
	}
	if err := j.configure(address); err != nil {
		return nil, errors.Join(err, os.RemoveAll(j.dir))
	}
	var logs bytes.Buffer
	j.cmd = exec.CommandContext(ctx, "janus", "--disable-colors", "-F", j.dir, "-C", filepath.Join(j.dir, "janus.jcfg"))
	j.cmd.Stdout, j.cmd.Stderr = &logs, &logs
	j.cmd.Cancel = func() error { return j.cmd.Process.Signal(syscall.SIGTERM) }
	j.cmd.WaitDelay = 15 * time.Second
	if err := j.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start janus (package janus): %w", err), os.RemoveAll(j.dir))
	}
	go func() {
		_ = j.cmd.Wait()
		close(j.ended)
	}()
	if err := j.open(ctx, "http://"+address+"/janus"); err != nil {
		j.stop()
		return nil, fmt.Errorf("%w; it said: %s", err, logs.Bytes())
	}
	return j, nil
}

// configure writes the folder that Janus is started with. Of the plugins and
// transports it sees those that are needed.
func (j *janus) configure(address string) error {
	for name, lib := range map[string]string{"plugins": "libjanus_audiobridge.so", "transports": "libjanus_http.so"} {
		found, err := filepath.Glob(filepath.Join("/usr/lib/*/janus", name, lib))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no %s: it is in Debian's package janus", lib)
		}
		if err := os.MkdirAll(filepath.Join(j.dir, name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(found[0], filepath.Join(j.dir, name, lib)); err != nil {
			return err
		}
	}
	_, port, _ := strings.Cut(address, ":")
	for name, text := range janusFiles {
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text+"%.0[1]s%.0[2]s", j.dir, port)
		}
		if err := os.WriteFile(filepath.Join(j.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(j.dir, "none"), 0o755)
}

// open makes the session and begins to listen to its events.
func (j *janus) open(ctx context.Context, url string) error {
	var session janusEvent
	var err error
	for range 100 {
		if session, err = request(ctx, url, map[string]any{"janus": "create"}); err == nil {
			break
		}
		select {
		case <-j.ended:
			return errors.New("janus ended before it was ready")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err != nil {
		return fmt.Errorf("janus was not ready within ten seconds: %w", err)
	}
	j.url = fmt.Sprintf("%s/%d", url, session.Data.ID)
	listening, quit := context.WithCancel(ctx)
	j.quit = quit
	j.events.Go(func() { j.listen(listening) })
	return nil
}

// request makes one request to Janus.
func request(ctx context.Context, url string, body map[string]any) (janusEvent, error) {
	body["transaction"] = "bench"
	b, err := json.Marshal(body)
	if err != nil {
		return janusEvent{}, err
	}
	answer, _, err := roundTrip(ctx, http.MethodPost, url, "application/json", b)
	if err != nil {
		return janusEvent{}, err
	}
	var e janusEvent
	if err := json.Unmarshal(answer, &e); err != nil {
		return janusEvent{}, fmt.Errorf("janus: read answer: %w", err)
	}
	if e.Janus == "error" {
		return janusEvent{}, fmt.Errorf("janus: %s", e.Error.Reason)
	}
	return e, nil
}

// listen asks for events, by which Janus answers what takes it time, and hands
// them to who waits for them.
func (j *janus) listen(ctx context.Context) {
	for ctx.Err() == nil {
		events, err := j.poll(ctx)
		if err != nil {
			_ = sleep(ctx, 100*time.Millisecond)
		}
		for _, e := range events {
			if e.JSEP == nil && e.Plugin.Data.Error == "" {
				continue // somebody came or went
			}
			j.mu.Lock()
			ch := j.waiting[e.Sender]
			delete(j.waiting, e.Sender)
			j.mu.Unlock()
			if ch != nil {
				ch <- e
			}
		}
	}
}

func (j *janus) poll(ctx context.Context) ([]janusEvent, error) {
	b, _, err := roundTrip(ctx, http.MethodGet, j.url+"?maxev=100", "", nil)
	if err != nil {
		return nil, err
	}
	var events []janusEvent
	if json.Unmarshal(b, &events) == nil {
		return events, nil
	}
	var one janusEvent // without maxev, and for a keepalive
	return []janusEvent{one}, json.Unmarshal(b, &one)
}

// join is a load.Join: it takes a client into the room.
func (j *janus) join(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
	handle, err := request(ctx, j.url, map[string]any{"janus": "attach", "plugin": "janus.plugin.audiobridge"})
	if err != nil {
		return "", nil, err
	}
	answered := make(chan janusEvent, 1)
	j.mu.Lock()
	j.waiting[handle.Data.ID] = answered
	j.mu.Unlock()
	_, err = request(ctx, fmt.Sprintf("%s/%d", j.url, handle.Data.ID), map[string]any{
		"janus": "message",
		"body":  map[string]any{"request": "join", "room": janusRoom, "display": fmt.Sprintf("Person%d", i+1)},
		"jsep":  map[string]any{"type": "offer", "sdp": offer},
	})
	if err != nil {
		return "", nil, err
	}
	select {
	case e := <-answered:
		if e.JSEP == nil {
			return "", nil, fmt.Errorf("janus: %s", e.Plugin.Data.Error)
		}
		return e.JSEP.SDP, nil, nil
	case <-ctx.Done():
		return "", nil, fmt.Errorf("janus has not answered: %w", ctx.Err())
	}
}

var _ load.Join = (*janus)(nil).join

// stop ends Janus.
func (j *janus) stop() {
	if j.quit != nil {
		j.quit()
	}
	j.events.Wait()
	_ = j.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-j.ended:
	case <-time.After(5 * time.Second):
		_ = j.cmd.Process.Kill()
		<-j.ended
	}
	_ = os.RemoveAll(j.dir)
}
