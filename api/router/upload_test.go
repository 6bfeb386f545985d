package router

import (
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/api"
	"tutti/api/auth"
)

const announcements = "/v1/rooms/r1/announcements"

// TestSoundsPassThrough holds that a sound may be larger than other bodies, where
// sounds are taken and by whom they are.
func TestSoundsPassThrough(t *testing.T) {
	inWorld(t, false, func(c *Config) { c.MaxUpload = 300 << 10 }, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		node := w.node("a")
		received := func() int { return len(node.bodies[len(node.bodies)-1]) }
		large := strings.Repeat("x", 300<<10)
		w.do("POST", announcements+"?gain_db=-3", large, "Content-Type", "audio/ogg")
		if got := node.last(); received() != len(large) || got.URL.RawQuery != "gain_db=-3" || got.Header.Get("Content-Type") != "audio/ogg" || got.ContentLength != int64(len(large)) {
			t.Errorf("%d bytes of %v", received(), got)
		}
		w.do("POST", announcements, `{"file":"a.ogg"}`, "Content-Type", "application/json")
		if received() != 16 {
			t.Errorf("%d bytes of JSON", received())
		}
		before := node.count()
		for _, c := range []struct{ method, path, mediaType, body string }{
			{"POST", announcements, "audio/wav", large + "x"},
			{"POST", announcements, "application/json", large},
			{"POST", announcements, "", large},
			{"POST", "/v1/rooms/r1/recordings", "audio/wav", large},
			{"PATCH", announcements + "/x", "audio/wav", large},
			{"PUT", "/v1/rooms/r1", "audio/wav", large},
		} {
			w.do(c.method, c.path, c.body, "Content-Type", c.mediaType).problem(413, "body_too_large")
		}
		if n := node.count(); n != before {
			t.Errorf("%d of them were passed on", n-before)
		}
	})
}

// TestSoundsOfStrangersAreNotRead holds that who may send none takes no memory:
// the node refuses.
func TestSoundsOfStrangersAreNotRead(t *testing.T) {
	inWorld(t, false, func(c *Config) { c.Dev = false }, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		node := w.node("a")
		send := func(role auth.Role, room string) int {
			token, err := auth.Mint(w.token, auth.Grant{Room: room, Role: role}, time.Hour, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			w.do("POST", announcements, "a sound", "Content-Type", "audio/ogg", "Authorization", "Bearer "+token)
			return len(node.bodies[len(node.bodies)-1])
		}
		if n := send(auth.Moderator, "r1"); n != 7 {
			t.Errorf("%d bytes of a moderator's sound", n)
		}
		if n := send(auth.Participant, "r1") + send(auth.Moderator, "r2"); n != 0 {
			t.Errorf("%d bytes of who may send none", n)
		}
		w.do("POST", announcements, "a sound", "Content-Type", "audio/ogg")
		if n := len(node.bodies); n != 4 || node.bodies[3] != "" {
			t.Errorf("%d requests, the last with %q", n, node.bodies[n-1])
		}
	})
}

// waiting is a body that comes when it is let.
type waiting struct{ begun, more chan struct{} }

func (b waiting) Read([]byte) (int, error) {
	b.begun <- struct{}{}
	<-b.more
	return 0, io.EOF
}

func TestFewSoundsPassAtOnce(t *testing.T) {
	inWorld(t, false, nil, []string{"a"}, func(w *world) {
		w.own("r1", "a")
		body := waiting{make(chan struct{}), make(chan struct{})}
		var running sync.WaitGroup
		for range api.MaxUploads {
			r := httptest.NewRequest("POST", "http://localhost"+announcements, body)
			r.RemoteAddr = "127.0.0.1:1"
			r.Header.Set("Content-Type", "audio/ogg")
			running.Go(func() { w.router.Handler().ServeHTTP(httptest.NewRecorder(), r) })
			<-body.begun
		}
		a := w.do("POST", announcements, "x", "Content-Type", "audio/ogg").problem(503, "overloaded")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		close(body.more)
		running.Wait()
		before := w.node("a").count()
		w.do("POST", announcements, "x", "Content-Type", "audio/ogg")
		if w.node("a").count() != before+1 {
			t.Error("no sound passes when the others have")
		}
	})
}
