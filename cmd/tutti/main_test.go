package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is the program when this variable is set, so that exit codes
// and signals are those of a process.
const asProgram = "TEST_AS_TUTTI"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		_ = os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

// tutti answers the program with arguments and variables, in a folder of its
// own.
func tutti(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

const secret = "0123456789abcdef0123456789abcdef"

func TestExitCodes(t *testing.T) {
	broken := write(t, "rooms:\n  maximum: 3\n")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says string // on standard error, all of which is one line where the code is 2
	}{
		{"version", nil, []string{"version"}, 0, ""},
		{"help", nil, []string{"--help"}, 0, ""},
		{"no command", nil, nil, 2, "expected one of"},
		{"unknown command", nil, []string{"conduct"}, 2, "conduct"},
		{"unknown flag", nil, []string{"serve", "--devel"}, 2, "--devel"},
		{"unknown variable", []string{"TUTTI_PORT=1"}, []string{"serve", "--dev"}, 2, "TUTTI_PORT"},
		{"unknown key", nil, []string{"serve", "--dev", "--config", broken}, 2, "rooms.maximum"},
		{"wrong flag", nil, []string{"serve", "--dev", "--http", "here"}, 2, "http must be"},
		{"wrong key by --set", nil, []string{"serve", "--dev", "--set", "rooms.max=none"}, 2, "rooms.max must be"},
		{"no key", nil, []string{"serve"}, 2, "auth.key must be set"},
		{"weak key", []string{"TUTTI_AUTH_KEY=password"}, []string{"serve", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0"}, 2, "auth.key"},
		{"token without key", nil, []string{"token", "--room", "r", "--role", "viewer"}, 2, "auth.key"},
		{"token of no role", []string{"TUTTI_AUTH_KEY=" + secret}, []string{"token", "--room", "r", "--role", "king"}, 2, "role"},
		{"token without room", []string{"TUTTI_AUTH_KEY=" + secret}, []string{"token", "--role", "viewer"}, 2, "--room"},
		{"token for no time", []string{"TUTTI_AUTH_KEY=" + secret}, []string{"token", "--room", "r", "--role", "viewer", "--ttl", "0s"}, 2, "token"},
		{"token", []string{"TUTTI_AUTH_KEY=" + secret}, []string{"token", "--room", "r", "--role", "viewer"}, 0, ""},
		{"too many people", nil, []string{"demo", "--people", "201"}, 2, "demo.people"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := tutti(t, c.env, c.args...)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			_ = cmd.Run() // the code tells all
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, not %d\n%s", got, c.code, &errs)
			}
			if !strings.Contains(errs.String(), c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, &errs)
			}
			if c.code == 2 && strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("it takes more than a line:\n%s", &errs)
			}
			if c.code == 0 && out.Len() == 0 {
				t.Error("it prints nothing")
			}
			if strings.Contains(errs.String(), "password") {
				t.Errorf("the key is shown:\n%s", &errs)
			}
		})
	}
}

func TestVersionNamesTheLibraries(t *testing.T) {
	out, err := tutti(t, nil, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tutti ", "opus ", "vpx ", "yuv "} {
		if !strings.Contains("\n"+string(out), "\n"+name) {
			t.Errorf("%q is missing in:\n%s", name, out)
		}
	}
}

// server is a running tutti serve.
type server struct {
	*exec.Cmd
	http   string // address
	mu     sync.Mutex
	output *bytes.Buffer // to be read after logged is closed, or by log
	logged chan struct{} // closed when the output has ended
}

// log answers what the server has logged so far.
func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// says waits until the server has logged a text.
func (s *server) says(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.log(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q:\n%s", text, s.log())
		}
	}
}

// start runs tutti serve on free ports until it is ready.
func start(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0"}, args...)
	s := &server{Cmd: tutti(t, env, args...), output: new(bytes.Buffer), logged: make(chan struct{})}
	pipe, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.Wait()
	})
	ready := make(chan string, 1)
	go func() {
		defer close(s.logged)
		defer close(ready)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			s.mu.Lock()
			s.output.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if _, after, ok := strings.Cut(lines.Text(), "msg=ready http="); ok {
				address, _, _ := strings.Cut(after, " ")
				ready <- address
			}
		}
	}()
	if s.http = <-ready; s.http == "" {
		t.Fatalf("it ended before it was ready:\n%s", s.output)
	}
	return s
}

// end waits until the server has ended by itself and answers its exit code.
func (s *server) end(t *testing.T) int {
	t.Helper()
	<-s.logged
	_ = s.Wait() // the code tells all
	return s.ProcessState.ExitCode()
}

func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestServeUntilSignal(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		s := start(t, nil, "--dev")
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml", "/", "/v1/rooms"} {
			if status, body := get(t, "http://"+s.http+path); status != http.StatusOK {
				t.Errorf("%s answers %d: %s", path, status, body)
			}
		}
		if err := s.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := s.end(t); code != 0 {
			t.Errorf("%v: exit code %d\n%s", signal, code, s.output)
		}
	}
}

// A stream of events does not keep the server from ending; it is told.
func TestSignalEndsStreams(t *testing.T) {
	s := start(t, nil, "--dev")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.http+"/v1/rooms/r1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("the room was not created: %s", res.Status)
	}
	events, err := http.Get("http://" + s.http + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told, err := io.ReadAll(events.Body)
	if err != nil {
		t.Errorf("the stream was torn: %v", err)
	}
	for _, event := range []string{"node_draining", "room_finished"} {
		if !strings.Contains(string(told), event) {
			t.Errorf("the stream does not tell of %s:\n%s", event, told)
		}
	}
	if code := s.end(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.output)
	}
}

// Whoever connects and asks nothing does not keep the server from ending.
func TestSilentConnectionDoesNotHoldUp(t *testing.T) {
	s := start(t, nil, "--dev")
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if status, _ := get(t, "http://"+s.http+"/healthz"); status != http.StatusOK { // by now it has been accepted
		t.Fatalf("it answers %d", status)
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.end(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.output)
	}
}

func TestTokenOpensTheDoor(t *testing.T) {
	env := []string{"TUTTI_AUTH_KEY=" + secret}
	s := start(t, env)
	url := "http://" + s.http + "/v1/rooms"
	if status, _ := get(t, url); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	mint := func(env []string, role string) string {
		out, err := tutti(t, env, "token", "--room", "*", "--role", role).Output()
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + strings.TrimSpace(string(out))
	}
	if status, body := get(t, url, "Authorization", mint(env, "admin")); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
	if status, _ := get(t, url, "Authorization", mint(env, "viewer")); status != http.StatusForbidden {
		t.Errorf("with a viewer's token: %d", status)
	}
	other := []string{"TUTTI_AUTH_KEY=" + strings.ToUpper(secret)}
	if status, _ := get(t, url, "Authorization", mint(other, "admin")); status != http.StatusUnauthorized {
		t.Errorf("with a token of another key: %d", status)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, args := range [][]string{
		{"--http", l.Addr().String(), "--udp", "127.0.0.1:0"},
		{"--http", "127.0.0.1:0", "--udp", u.LocalAddr().String()},
	} {
		cmd := tutti(t, nil, append([]string{"serve", "--dev"}, args...)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "is taken by another program") {
			t.Errorf("%v: exit code %d\n%s", args, code, &errs)
		}
	}
}
