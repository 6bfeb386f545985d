package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// prefs are Firefox's settings for tests: no questions, no calls home, and
// nothing that changes how media connects.
var prefs = fmt.Sprintf(`
user_pref("media.navigator.audio.fake_frequency", %.0f);
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.server", "");
user_pref("dom.min_background_timeout_value", 10);
user_pref("remote.active-protocols", 1);
`, magenta.tone)

// firefox is a page of a Firefox of its own, driven by WebDriver BiDi.
type firefox struct {
	socket  *websocket.Conn
	context string // the page's identifier
	last    int    // number of the last command
}

const bidiOrigin = "http://127.0.0.1"

// startFirefox starts a Firefox without a window, which takes a while; it ends
// with the test. What it answers waits until the page is open. It answers nil
// where there is no Firefox and need not be one.
func startFirefox(t *testing.T, url string) func() *firefox {
	t.Helper()
	return startFirefoxAt(t, here, url)
}

// startFirefoxAt does so at a place.
func startFirefoxAt(t *testing.T, at place, url string) func() *firefox {
	t.Helper()
	path, err := exec.LookPath("firefox-esr")
	if err != nil && os.Getenv("CI") != "true" {
		t.Log("firefox-esr is not installed: this goes without it")
		return nil
	}
	if err != nil {
		missing(t, "firefox-esr")
	}
	profile := filepath.Join(t.TempDir(), "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := at.command(path, "--headless", "--no-remote", "--profile", profile,
		"--remote-debugging-port", "0", "--remote-allow-origins", bidiOrigin, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(profile), "MOZ_CRASHREPORTER_DISABLE=1")
	dieWithUs(cmd)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	opened, ended := make(chan *firefox, 1), make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its other processes follow it
		<-ended
	})
	go func() {
		defer close(ended)
		defer close(opened)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			if _, address, ok := strings.Cut(lines.Text(), "WebDriver BiDi listening on "); ok {
				f, err := openFirefox(at, address+"/session", url)
				if err != nil {
					t.Errorf("firefox: %v", err)
					_ = cmd.Process.Kill() // which ends its output
					continue
				}
				opened <- f
			}
		}
		_ = cmd.Wait() // it was killed
	}()
	return func() *firefox {
		t.Helper()
		select {
		case f := <-opened:
			if f != nil {
				return f
			}
			t.Fatal("firefox ended before its page was open")
		case <-time.After(2 * patience):
			t.Fatalf("firefox has no page after %v", 2*patience)
		}
		return nil
	}
}

// openFirefox connects to a Firefox and opens an address.
func openFirefox(at place, address, url string) (*firefox, error) {
	config, err := websocket.NewConfig(address, bidiOrigin)
	if err != nil {
		return nil, err
	}
	conn, err := at.dial("tcp", config.Location.Host)
	if err != nil {
		return nil, err
	}
	socket, err := websocket.NewClient(config, conn)
	if err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	f := &firefox{socket: socket}
	if _, err := f.send("session.new", map[string]any{"capabilities": map[string]any{}}); err != nil {
		return nil, err
	}
	made, err := f.send("browsingContext.create", map[string]any{"type": "window"})
	if err != nil {
		return nil, err
	}
	var page struct {
		Context string `json:"context"`
	}
	if err := json.Unmarshal(made, &page); err != nil {
		return nil, err
	}
	f.context = page.Context
	_, err = f.send("browsingContext.navigate", map[string]any{"context": f.context, "url": url, "wait": "complete"})
	return f, err
}

// send sends a command and answers its result. One at a time.
func (f *firefox) send(method string, params map[string]any) (json.RawMessage, error) {
	f.last++
	if err := f.socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := websocket.JSON.Send(f.socket, map[string]any{"id": f.last, "method": method, "params": params}); err != nil {
		return nil, fmt.Errorf("send %s: %w", method, err)
	}
	for {
		var answer struct {
			ID      int             `json:"id"`
			Type    string          `json:"type"`
			Result  json.RawMessage `json:"result"`
			Error   string          `json:"error"`
			Message string          `json:"message"`
		}
		if err := websocket.JSON.Receive(f.socket, &answer); err != nil {
			return nil, fmt.Errorf("await the answer to %s: %w", method, err)
		}
		switch {
		case answer.ID != f.last: // an event
		case answer.Type == "error":
			return nil, fmt.Errorf("%s: %s: %s", method, answer.Error, answer.Message)
		default:
			return answer.Result, nil
		}
	}
}

func (f *firefox) eval(expression string) ([]byte, error) {
	result, err := f.send("script.evaluate", map[string]any{
		"expression": "Promise.resolve(" + strings.TrimSuffix(strings.TrimSpace(expression), ";") + ").then((v) => JSON.stringify(v) ?? 'null')",
		"target":     map[string]any{"context": f.context}, "awaitPromise": true, "userActivation": true,
	})
	if err != nil {
		return nil, err
	}
	var v struct {
		Type   string `json:"type"`
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		Exception struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(result, &v); err != nil {
		return nil, err
	}
	if v.Type != "success" {
		return nil, errors.New("firefox: " + v.Exception.Text)
	}
	return []byte(v.Result.Value), nil
}
