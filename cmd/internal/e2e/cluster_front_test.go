package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tutti/codec/i420"
	"tutti/codec/vpx"
)

// example answers an example configuration with some of it replaced, all of which
// must be there.
func example(t *testing.T, name string, replace map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "api", "router", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for old, now := range replace {
		if !strings.Contains(changed, old) {
			t.Fatalf("%s has no %q", name, old)
		}
		changed = strings.ReplaceAll(changed, old, now)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned writes a certificate and its key into one file each, and one file
// with both.
func selfSigned(t *testing.T) (cert, key, both string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	dir := t.TempDir()
	cert, key, both = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "both.pem")
	for path, text := range map[string][]byte{cert: certPEM, key: keyPEM, both: append(certPEM, keyPEM...)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, both
}

// front starts a proxy in front of the routers and waits until it serves.
func front(t *testing.T, address, name string, args ...string) *server {
	t.Helper()
	cmd := exec.Command(name, args...)
	dieWithUs(cmd)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the output tells all
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // at which NGINX ends its workers too
		<-ended
		if t.Failed() {
			t.Logf("%s says:\n%s", name, output.String())
		}
	})
	s := &server{t: t, http: address, scheme: "https"}
	until(t, patience, func() string {
		select {
		case <-ended:
			t.Fatalf("%s has ended", name)
		default:
		}
		_, err := s.call(http.MethodGet, "/readyz", nil)
		return wrongIf(err != nil, "%v", err)
	})
	return s
}

// find answers where a program is: those of the system's administrator are not
// on everybody's path.
func find(name string) (string, bool) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

func startNGINX(t *testing.T, f *fleet) *server {
	t.Helper()
	program, ok := find("nginx")
	if !ok {
		missing(t, "nginx")
	}
	dir, address := t.TempDir(), freePort(t)
	cert, key, _ := selfSigned(t)
	var folders strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&folders, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	config := example(t, "nginx.conf", map[string]string{
		"worker_processes auto":                       "worker_processes 1",
		"/run/nginx-tutti.pid":                        filepath.Join(dir, "pid"),
		"error_log /var/log/nginx/tutti-error.log":    "error_log stderr",
		"access_log /var/log/nginx/tutti-access.log;": "access_log off;\n" + folders.String(),
		"listen 443 ssl http2":                        "listen " + address + " ssl http2",
		"/etc/ssl/mix.example.org.crt":                cert,
		"/etc/ssl/mix.example.org.key":                key,
		"192.0.2.11:8080":                             f.routers[0].http,
		"192.0.2.12:8080":                             f.routers[1].http,
	})
	return front(t, address, program, "-p", dir, "-c", config, "-e", "stderr", "-g", "daemon off;")
}

func startHAProxy(t *testing.T, f *fleet) *server {
	t.Helper()
	program, ok := find("haproxy")
	if !ok {
		missing(t, "haproxy")
	}
	address := freePort(t)
	_, _, both := selfSigned(t)
	config := example(t, "haproxy.cfg", map[string]string{
		"maxconn 20000":                        "maxconn 200", // of which a user may have fewer
		"log /dev/log local0":                  "",
		"bind :443":                            "bind " + address,
		"/etc/ssl/private/mix.example.org.pem": both,
		"192.0.2.11:8080":                      f.routers[0].http,
		"192.0.2.12:8080":                      f.routers[1].http,
	})
	return front(t, address, program, "-db", "-f", config)
}

// TestFronts puts NGINX and HAProxy, configured as the examples say, before two
// routers.
func TestFronts(t *testing.T) {
	f := launch(t, 2, 1)
	for name, start := range map[string]func(*testing.T, *fleet) *server{"nginx": startNGINX, "haproxy": startHAProxy} {
		t.Run(name, func(t *testing.T) {
			s := start(t, f)
			room := "behind-" + name
			if _, err := s.call(http.MethodPut, "/v1/rooms/"+room, smallRoom); err != nil {
				t.Fatal(err)
			}
			t.Run("events come at once", func(t *testing.T) { eventsComeAtOnce(t, s, room) })
			rosa := s.enter(t, room, "participants", red.name)
			rosa.perform(t, red, noise(t), 5)
			viewer := s.enter(t, room, "whep", "Viewer")
			hear(t, []identity{red}, viewer.levels)
			t.Run("downloads come in parts", func(t *testing.T) { downloads(t, s, room) })
			f.routers[1].kill()
			for range 4 { // of which some would have gone there
				if list := s.participants(t, room); len(list) != 2 {
					t.Errorf("without a router, in the room are %v", list)
				}
			}
			f.routers[1].run()
			for _, p := range []*person{rosa, viewer} {
				if err := p.leave(); err != nil {
					t.Error(err)
				}
			}
			for _, path := range []string{"/cluster/v1/away", "/metrics"} {
				if _, err := s.call(http.MethodGet, path, nil); err == nil || !strings.Contains(err.Error(), "404") {
					t.Errorf("%s is for everybody: %v", path, err)
				}
			}
		})
	}
}

// noise answers a film that no encoder makes small.
func noise(t *testing.T) (film [][]byte) {
	t.Helper()
	encoder, err := vpx.NewEncoder(vpx.EncoderConfig{Width: 320, Height: 180, FPS: 10, BitrateBPS: 2_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	picture, random := i420.New(320, 180), mathrand.New(mathrand.NewPCG(1, 2))
	for range 10 {
		for i := range picture.Y {
			picture.Y[i] = byte(random.Uint32())
		}
		frame, _, err := encoder.Encode(picture, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		film = append(film, bytes.Clone(frame))
	}
	return film
}

// eventsComeAtOnce changes a room over and over while its stream of events is
// open, and measures when the stream tells.
func eventsComeAtOnce(t *testing.T, s *server, room string) {
	req, err := s.request(http.MethodGet, "/v1/rooms/"+room+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := streams.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	told := make(chan string, 100)
	go func() {
		defer close(told)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
				told <- data
			}
		}
	}()
	for i := range 5 {
		layout := []string{"speaker", "grid"}[i%2]
		if _, err := s.call(http.MethodPut, "/v1/rooms/"+room+"/layout", map[string]any{"name": layout}); err != nil {
			t.Fatal(err)
		}
		late := time.After(time.Second)
		for seen := false; !seen; {
			select {
			case data, ok := <-told:
				if !ok {
					t.Fatal("the stream has ended")
				}
				seen = strings.Contains(data, "layout_changed")
			case <-late:
				t.Fatalf("the stream does not tell of change %d within a second", i)
			}
		}
	}
}

// downloads records for some seconds, and asks for the file whole and in a part.
func downloads(t *testing.T, s *server, room string) {
	r := s.record(t, room)
	until(t, patience, func() string {
		lasts := time.Since(r.begun)
		return wrongIf(lasts < 4*time.Second, "the recording lasts %v", lasts)
	})
	r.stop(t)
	whole, err := os.ReadFile(r.download(t))
	if err != nil {
		t.Fatal(err)
	}
	if made := r.get(t); int64(len(whole)) != made.Bytes || len(whole) < 50000 {
		t.Fatalf("the file has %d bytes, the recording is %+v", len(whole), made)
	}
	file := r.path + "/files/" + r.get(t).Files[0].Name
	req, err := s.request(http.MethodGet, file, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	const first, last = 1000, 40999
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	part, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusPartialContent || !bytes.Equal(part, whole[first:last+1]) {
		t.Errorf("a part is answered %s with %d bytes, %v", res.Status, len(part), err)
	}
}
