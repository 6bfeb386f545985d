package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/transport/v5"
)

// server is a running tutti serve --dev, or one that asks for a token and may be
// elsewhere, or a member of a cluster. Its ports and its data outlive a restart.
type server struct {
	t         *testing.T
	http, udp string // addresses; a router has no udp
	scheme    string // empty for http
	dir       string // its folder, with the recordings in data

	at      place
	net     transport.Net // where clients in Go are, beside the server; nil for this machine
	command string        // node or router; empty for serve
	flags   []string      // of the command, besides the addresses
	token   string        // what requests show; empty where none is needed

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended

	mu     sync.Mutex
	output bytes.Buffer // what it logged, over all restarts
}

// start runs a server on free ports until it is ready. It is gone when the test
// ends, and fails it if it found a data race or panicked.
func start(t *testing.T) *server {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
	s := &server{
		t: t, http: freePort(t), udp: freePort(t), dir: t.TempDir(),
		at: here, flags: []string{"--dev"},
	}
	s.begin()
	return s
}

// begin runs the server for the first time and sees to its end.
func (s *server) begin() {
	s.t.Helper()
	ready := s.spawn()
	s.endsWithTest()
	s.await(ready)
}

// endsWithTest sees to the end of a server that has begun.
func (s *server) endsWithTest() {
	t := s.t
	t.Helper()
	t.Cleanup(func() {
		s.kill()
		log := s.log()
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "level=ERROR"} {
			if strings.Contains(log, bad) {
				t.Errorf("the server logged %q", bad)
			}
		}
		if t.Failed() {
			t.Logf("the server logged:\n%s", tail(log, 8000))
		}
	})
}

// place is where processes run and sockets open.
type place struct {
	// command makes a process that will run there.
	command func(name string, args ...string) *exec.Cmd
	dial    func(network, address string) (net.Conn, error)
}

// here is this machine.
var here = place{exec.Command, net.Dial}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// freePort answers an address on loopback that is free for TCP and UDP. It is
// below the ports that systems give to clients, so that it is still free after
// a restart.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(20000)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		p, err := net.ListenPacket("udp", address)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = p.Close()
		return address
	}
	t.Fatal("no free port was found")
	return ""
}

// run starts the process and waits until it is ready.
func (s *server) run() {
	s.t.Helper()
	s.await(s.spawn())
}

// spawn starts the process. It closes what it answers when the server is ready.
func (s *server) spawn() (ready chan struct{}) {
	s.t.Helper()
	args := []string{cmp.Or(s.command, "serve"), "--http", s.http}
	if s.udp != "" {
		args = append(args, "--udp", s.udp)
	}
	s.cmd = s.at.command(program, append(args, s.flags...)...)
	s.cmd.Dir = s.dir
	dieWithUs(s.cmd)
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended, cmd := make(chan struct{}), s.cmd
	ready, s.ended = make(chan struct{}), ended
	go func() {
		defer close(ended)
		s.read(pipe, ready)
		_ = cmd.Wait() // the exit code tells all
	}()
	return ready
}

// await waits until the process is ready.
func (s *server) await(ready <-chan struct{}) {
	s.t.Helper()
	select {
	case <-ready:
	case <-s.ended:
		s.t.Fatalf("the server ended before it was ready:\n%s", s.log())
	case <-time.After(patience):
		s.t.Fatalf("the server is not ready after %v:\n%s", patience, s.log())
	}
}

// read keeps what the server logs.
func (s *server) read(pipe io.Reader, ready chan<- struct{}) {
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		s.mu.Lock()
		s.output.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if strings.Contains(lines.Text(), "msg=ready ") {
			close(ready)
		}
	}
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// kill ends the server without giving it a chance.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// terminate ends the server by SIGTERM and answers its exit code.
func (s *server) terminate() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatalf("the server runs %v after SIGTERM", patience)
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) url(path string) string { return cmp.Or(s.scheme, "http") + "://" + s.http + path }

// client keeps no connection open, which would be a goroutine and a socket of
// the server. Certificates of tests are nobody's.
var client = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
}, Timeout: patience}

// request answers a request that shows the token.
func (s *server) request(method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequest(method, s.url(path), body)
	if err == nil && s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	return req, err
}

// call sends a request with a JSON body (nil for none) and answers what came
// back; any status but 2xx is an error.
func (s *server) call(method, path string, body any) ([]byte, error) {
	var r io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := s.request(method, path, r)
	if err != nil {
		return nil, err
	}
	switch {
	case method == http.MethodPatch:
		req.Header.Set("Content-Type", "application/merge-patch+json")
	case body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return text, err
}

// ask sends a request and reads its JSON answer.
func ask[T any](t *testing.T, s *server, method, path string, body any) T {
	t.Helper()
	var v T
	text, err := s.call(method, path, body)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// participant is what the API tells of one, as far as tests ask.
type participant struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Audio *struct {
		Muted bool    `json:"muted"`
		Level float64 `json:"level_dbov"`
	} `json:"audio"`
	Video *pictureInfo `json:"video"`
	Stats struct {
		PacketsReceived  int            `json:"packets_received"`
		PacketsLost      int            `json:"packets_lost"`
		FramesRefused    int            `json:"frames_refused"`
		KeyFrameRequests int            `json:"key_frame_requests"`
		AudioBlocks      map[string]int `json:"audio_blocks"`
	} `json:"stats"`
}

// pictureInfo is what the API tells of a participant's picture.
type pictureInfo struct {
	Muted bool    `json:"muted"`
	Width int     `json:"width"`
	FPS   float64 `json:"fps"`
}

// participants answers who is in a room, by name.
func (s *server) participants(t *testing.T, room string) map[string]participant {
	t.Helper()
	list := ask[struct {
		Participants []participant `json:"participants"`
	}](t, s, http.MethodGet, "/v1/rooms/"+room+"/participants", nil)
	byName := map[string]participant{}
	for _, p := range list.Participants {
		byName[p.Name] = p
	}
	return byName
}

// tile is where a participant is drawn, in fractions of the canvas.
type tile struct{ x, y, width, height float64 }

// tiles answers where who is drawn, by identifier.
func (s *server) tiles(t *testing.T, room string) map[string]tile {
	t.Helper()
	settings := ask[struct {
		Canvas struct {
			Width  float64 `json:"width"`
			Height float64 `json:"height"`
		} `json:"canvas"`
	}](t, s, http.MethodGet, "/v1/rooms/"+room, nil)
	layout := ask[struct {
		Tiles []struct {
			Participant string  `json:"participant"`
			X           float64 `json:"x"`
			Y           float64 `json:"y"`
			Width       float64 `json:"width"`
			Height      float64 `json:"height"`
		} `json:"tiles"`
	}](t, s, http.MethodGet, "/v1/rooms/"+room+"/layout", nil)
	w, h := settings.Canvas.Width, settings.Canvas.Height
	found := map[string]tile{}
	for _, l := range layout.Tiles {
		found[l.Participant] = tile{l.X / w, l.Y / h, l.Width / w, l.Height / h}
	}
	return found
}

// metric answers one figure of /metrics.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	text, err := s.call(http.MethodGet, "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}
