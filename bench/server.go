package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is a `tutti serve` under measurement.
type server struct {
	*process
	url   string
	media netip.AddrPort // the UDP port of all sessions
	data  string
}

// startServer starts `tutti serve --dev` on free loopback ports and waits until
// it is ready.
func startServer(ctx context.Context, o options) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	media, err := freeAddress()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "tutti-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + address, data: data, media: netip.MustParseAddrPort(media)}
	if s.process, err = startProcess(ctx, o, "serve", "--dev", "--http", address, "--udp", media, "--data", data); err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	return s, nil
}

// freeAddress answers a loopback address whose port nobody has just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (s *server) stop() {
	s.process.stop()
	_ = os.RemoveAll(s.data)
}

// call makes one request and answers the body of a 2xx answer.
func (s *server) call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, http.Header, error) {
	return roundTrip(ctx, method, s.url+path, contentType, body)
}

// roundTrip makes a request and answers the body of a 2xx answer.
func roundTrip(ctx context.Context, method, url, contentType string, body []byte) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, b)
	}
	return b, answer.Header, err
}

// put creates a room with settings.
func (s *server) put(ctx context.Context, room string, settings any) error {
	b, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	_, _, err = s.call(ctx, http.MethodPut, "/v1/rooms/"+room, "application/json", b)
	return err
}

// usage is what a process used so far.
type usage struct {
	cpu  time.Duration
	rss  float64 // MiB, now
	anon float64 // MiB of it that is its own: without the program's code, read from its file when first run
}

// used reads a process's usage from /proc (proc(5)). Clock ticks are 10 ms.
func used(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	b, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, err
	}
	// The second field is the name in brackets, which may hold blanks.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	u := usage{cpu: time.Duration(user+system) * 10 * time.Millisecond}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, err
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch key {
		case "VmRSS":
			u.rss = kib / 1024
		case "RssAnon":
			u.anon = kib / 1024
		}
	}
	return u, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
