package api

import (
	"bufio"
	"context"
	"fmt"
	"image/jpeg"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/mixer"
)

// stream is a response that is read while it is written.
type stream struct {
	mu     sync.Mutex
	header http.Header
	status int
	text   strings.Builder
	stall  chan struct{} // where not nil, writing waits for it
}

func (s *stream) Header() http.Header { return s.header }

func (s *stream) WriteHeader(status int) { s.status = status }

func (s *stream) Write(b []byte) (int, error) {
	if s.stall != nil {
		<-s.stall
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *stream) Flush() {}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// open starts a GET; cancel is the client who goes away, done is closed when
// the handler has returned.
func (h *harness) open(target, token string, headers ...string) (s *stream, cancel func(), done chan struct{}) {
	s = &stream{header: http.Header{}}
	cancel, done = h.openInto(s, target, token, headers...)
	return s, cancel, done
}

func (h *harness) openInto(s *stream, target, token string, headers ...string) (cancel func(), done chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	req := httptest.NewRequest("GET", target, nil).WithContext(ctx)
	req.Header.Set("Authorization", "Bearer "+token)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	done = make(chan struct{})
	go func() {
		defer close(done)
		h.server.Handler().ServeHTTP(s, req)
	}()
	return cancel, done
}

// seen answers "id type" of the events in a stream.
func seen(text string) (list []string) {
	for block := range strings.SplitSeq(text, "\n\n") {
		var id, event string
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if v, ok := strings.CutPrefix(line, "id: "); ok {
				id = v
			}
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				event = v
			}
		}
		if event != "" {
			list = append(list, id+" "+event)
		}
	}
	return list
}

func wantEvents(t *testing.T, s *stream, want ...string) {
	t.Helper()
	if got := seen(s.String()); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRoomEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
		s, cancel, done := h.open("/v1/rooms/r1/events", h.token(auth.Viewer, "r1"))
		synctest.Wait()
		wantEvents(t, s, "1 room_started")
		if s.status != 200 || s.header.Get("Content-Type") != typeEvents || s.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", s.status, s.header)
		}
		h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"grid"}`).is(200)
		synctest.Wait()
		wantEvents(t, s, "1 room_started", "2 layout_changed")
		if !strings.Contains(s.String(), `data: {"seq":2,"type":"layout_changed","room":"r1",`) {
			t.Errorf("%s", s)
		}
		cancel()
		<-done

		h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"speaker"}`).is(200)
		h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"auto"}`).is(200)
		for _, open := range []func() (*stream, func(), chan struct{}){
			func() (*stream, func(), chan struct{}) {
				return h.open("/v1/rooms/r1/events", h.admin(), "Last-Event-ID: 2")
			},
			func() (*stream, func(), chan struct{}) { return h.open("/v1/rooms/r1/events?after=2", h.admin()) },
			func() (*stream, func(), chan struct{}) {
				return h.open("/v1/rooms/r1/events?after=0", h.admin(), "Last-Event-ID: 2")
			},
		} {
			s, cancel, done := open()
			synctest.Wait()
			wantEvents(t, s, "3 layout_changed", "4 layout_changed")
			cancel()
			<-done
		}
		// An id of an earlier life of the server.
		s, cancel, done = h.open("/v1/rooms/r1/events", h.admin(), "Last-Event-ID: 1000")
		synctest.Wait()
		wantEvents(t, s, "1 room_started", "2 layout_changed", "3 layout_changed", "4 layout_changed")
		h.do("DELETE", "/v1/rooms/r1", h.admin(), "").is(200)
		<-done // the room has finished, and so has the stream
		cancel()
		if got := seen(s.String()); got[len(got)-1] != "5 room_finished" {
			t.Errorf("%v", got)
		}
		s, cancel, done = h.open("/v1/rooms/r1/events?after=4", h.admin())
		<-done
		cancel()
		wantEvents(t, s, "5 room_finished")
		time.Sleep(5 * time.Minute)
		h.do("GET", "/v1/rooms/r1/events", h.admin(), "").problem(404, "room_not_found", "")
	})
}

func TestBadEventIDs(t *testing.T) {
	h := furnished(t)
	for _, id := range []string{"x", "-1", "1.5", "99999999999999999999999", "0x1"} {
		h.do("GET", "/v1/rooms/r1/events", h.admin(), "", "Last-Event-ID: "+id).problem(400, "invalid_field", "Last-Event-ID")
		h.do("GET", "/v1/rooms/r1/events?after="+id, h.admin(), "").problem(400, "invalid_query", "after")
		h.do("GET", "/v1/events?after="+id, h.admin(), "").problem(400, "invalid_query", "after")
	}
}

func TestSilentStreamsHaveAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"empty_timeout_s":0}`).is(201)
		s, cancel, done := h.open("/v1/rooms/r1/events", h.admin())
		time.Sleep(61 * time.Second)
		if n := strings.Count(s.String(), ": alive\n\n"); n != 4 {
			t.Errorf("%d heartbeats in 61 s", n)
		}
		cancel()
		<-done
	})
}

func TestAllEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r0", h.admin(), `{"tenant":"t1"}`).is(201)
		all, cancelAll, doneAll := h.open("/v1/events", h.admin())
		one, cancelOne, doneOne := h.open("/v1/events", h.token(auth.Admin, "r1"))
		ten, cancelTen, doneTen := h.open("/v1/events?after=0", h.token(auth.Admin, "*", tenant("t1")))
		synctest.Wait()
		h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
		h.json("PUT", "/v1/rooms/r2", h.admin(), `{"tenant":"t1"}`).is(201)
		synctest.Wait()
		wantEvents(t, all, "2 room_started", "3 room_started")
		wantEvents(t, one, "2 room_started")
		wantEvents(t, ten, "1 room_started", "3 room_started")
		if strings.Contains(ten.String(), `"r1"`) || !strings.Contains(ten.String(), `{"seq":1,"type":"room_started","room":"r2","tenant":"t1"`) {
			t.Errorf("%s", ten)
		}
		for _, stop := range []func(){cancelAll, cancelOne, cancelTen} {
			stop()
		}
		<-doneAll
		<-doneOne
		<-doneTen
	})
}

// TestEventsOfAFormerRoomAreItsTenants holds that whoever makes a room under
// an identifier that was another's reads nothing of what happened before.
func TestEventsOfAFormerRoomAreItsTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		t1, t2 := h.token(auth.Admin, "*", tenant("t1")), h.token(auth.Admin, "*", tenant("t2"))
		h.json("PUT", "/v1/rooms/r1", t1, "{}").is(201)
		h.do("DELETE", "/v1/rooms/r1", t1, "").is(200)
		h.do("GET", "/v1/rooms/r1/events", t2, "").problem(404, "room_not_found", "")
		if got := seen(string(h.do("GET", "/v1/rooms/r1/events", t1, "").is(200).body)); len(got) != 2 {
			t.Errorf("its own tenant reads %v", got)
		}
		h.json("PUT", "/v1/rooms/r1", t2, "{}").is(201)
		h.do("GET", "/v1/rooms/r1/events", t1, "").problem(404, "room_not_found", "")
		s, cancel, done := h.open("/v1/rooms/r1/events", t2)
		synctest.Wait()
		wantEvents(t, s, "3 room_started")
		cancel()
		<-done
	})
}

// TestSlowReadersAreCut holds that a reader who does not read hinders nobody
// and is dropped when it has missed something.
func TestSlowReadersAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
		slow := &stream{header: http.Header{}, stall: make(chan struct{})}
		cancel, done := h.openInto(slow, "/v1/rooms/r1/events", h.admin())
		defer cancel()
		quick, cancelQuick, doneQuick := h.open("/v1/rooms/r1/events", h.admin())
		synctest.Wait()
		for i := range 1000 {
			h.hub.Publish(mixer.Event{Type: mixer.LayoutChanged, Room: "r1", Time: time.Now()})
			if i%100 == 99 {
				synctest.Wait()
			}
		}
		if n := len(seen(quick.String())); n != 1001 {
			t.Errorf("the quick reader has %d events", n)
		}
		close(slow.stall)
		<-done
		if n := len(seen(slow.String())); n > 256 {
			t.Errorf("the slow reader has %d events", n)
		}
		cancelQuick()
		<-doneQuick
	})
}

func TestCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
		_, cancel, done := h.open("/v1/rooms/r1/events", h.admin())
		_, cancelAll, doneAll := h.open("/v1/events", h.admin())
		synctest.Wait()
		h.server.Close()
		h.server.Close()
		<-done
		<-doneAll
		cancel()
		cancelAll()
	})
}

// FuzzLastEventID holds that no resumption makes the server fail, and that an
// id is taken exactly where it is a number.
func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"0", "1", "18446744073709551615", "18446744073709551616", "-1", "", "a", "1 ", "٣"} {
		f.Add(s)
	}
	h := newHarness(f, nil)
	r, err := h.rooms.Create("r1", mixer.DefaultSettings())
	if err != nil {
		f.Fatal(err)
	}
	h.hub.Publish(mixer.Event{Type: mixer.LayoutChanged, Room: "r1"})
	r.Close("over") // so that the stream ends
	token := h.admin()
	f.Fuzz(func(t *testing.T, id string) {
		h := *h
		h.t = t
		req := httptest.NewRequest("GET", "/v1/rooms/r1/events", nil)
		req.Header["Authorization"] = []string{"Bearer " + token}
		req.Header["Last-Event-Id"] = []string{id}
		a := h.serve(req)
		var n uint64
		_, err := fmt.Sscanf(id+"\n", "%d\n", &n)
		switch {
		case a.StatusCode == 200:
			if id != "" && err != nil {
				t.Errorf("%q was taken", id)
			}
			if got := seen(string(a.body)); n < 3 && len(got) != 3-int(n) {
				t.Errorf("%q: %v", id, got)
			}
		case a.StatusCode != 400:
			t.Errorf("%q: %d", id, a.StatusCode)
		}
	})
}

func TestLive(t *testing.T) {
	h := furnished(t)
	a := h.do("GET", "/v1/rooms/r1/live.webm", h.token(auth.Viewer, "r1"), "").is(200)
	if string(a.body) != "clustercluster" || a.Header.Get("Content-Type") != "video/webm" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	if a := h.do("HEAD", "/v1/rooms/r1/live.webm", h.admin(), "").is(200); len(a.body) != 0 {
		t.Errorf("%q", a.body)
	}
	h.live.fail = mixer.ErrRoomClosed
	h.do("GET", "/v1/rooms/r1/live.webm", h.admin(), "").problem(410, "room_closed", "")
}

func TestSnapshots(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"canvas":{"width":320,"height":180,"background":"#c02040"}}`).is(201)
	for name, mediaType := range map[string]string{"snapshot.png": "image/png", "snapshot.jpg": "image/jpeg"} {
		a := h.do("GET", "/v1/rooms/r1/"+name, h.admin(), "").is(200)
		if a.Header.Get("Content-Type") != mediaType || a.Header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			t.Errorf("%s: %v", name, a.Header)
		}
		decode := png.Decode
		if mediaType == "image/jpeg" {
			decode = jpeg.Decode
		}
		m, err := decode(strings.NewReader(string(a.body)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Bounds().Dx() != 320 || m.Bounds().Dy() != 180 {
			t.Errorf("%s: %v", name, m.Bounds())
		}
		r, g, b, _ := m.At(2, 2).RGBA()
		if near := func(got uint32, want int) bool { return max(int(got>>8)-want, want-int(got>>8)) <= 4 }; !near(r, 0xc0) || !near(g, 0x20) || !near(b, 0x40) {
			t.Errorf("%s: the corner is %02x%02x%02x", name, r>>8, g>>8, b>>8)
		}
	}
}

func TestRecordings(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	var rec Recording
	moderator := h.token(auth.Moderator, "r1")
	a := h.do("POST", "/v1/rooms/r1/recordings", moderator, "").is(201).into(&rec)
	path := a.Header.Get("Location")
	if path != "/v1/rooms/r1/recordings/"+rec.ID || rec.Format != "webm" || rec.State != "active" {
		t.Errorf("%q %+v", path, rec)
	}
	h.do("DELETE", path, moderator, "").problem(409, "recording_running", "")
	h.json("PATCH", path, moderator, `{"state":"paused"}`).is(200).into(&rec)
	if rec.State != "paused" {
		t.Errorf("%+v", rec)
	}
	h.json("PATCH", path, moderator, `{"state":"ending"}`).is(200)
	h.json("PATCH", path, moderator, `{"state":"active"}`).problem(409, "invalid_state", "")
	h.do("DELETE", "/v1/rooms/r1", h.admin(), "").is(200)

	h.do("GET", path, moderator, "").is(200).into(&rec) // it outlives its room
	file := path + "/files/" + rec.Files[0].Name
	a = h.do("GET", file, moderator, "").is(200)
	if string(a.body) != "0123456789" || a.Header.Get("Content-Type") != "video/webm" || a.Header.Get("Accept-Ranges") != "bytes" ||
		a.Header.Get("Content-Disposition") != "attachment; filename=r1-001.webm" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	if a := h.do("GET", file, moderator, "", "Range: bytes=2-4").is(206); string(a.body) != "234" || a.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	h.do("GET", file, moderator, "", "Range: bytes=20-").is(416)
	if a := h.do("HEAD", file, moderator, "").is(200); len(a.body) != 0 || a.Header.Get("Content-Length") != "10" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	var page struct{ Recordings []Recording }
	h.do("GET", "/v1/rooms/r1/recordings", moderator, "").is(200).into(&page)
	if len(page.Recordings) != 1 {
		t.Errorf("%+v", page)
	}
	h.do("DELETE", path, moderator, "").is(200)
	h.do("GET", file, moderator, "").problem(404, "recording_not_found", "")
}

// TestStreamsOutliveTheTimeouts runs over a real socket: a stream goes on when
// the time that a request may take is long over, one that nobody reads does not.
func TestStreamsOutliveTheTimeouts(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.WriteTimeout, c.Heartbeat = 200*time.Millisecond, 20*time.Millisecond })
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := h.server.HTTPServer()
	server.ReadTimeout, server.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/rooms/r1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", h.admin())
	r, beats, began := bufio.NewReader(c), 0, time.Now()
	for time.Since(began) < 500*time.Millisecond {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %v and %d heartbeats: %v", time.Since(began), beats, err)
		}
		if strings.Contains(line, "alive") {
			beats++
		}
	}
	if beats < 5 {
		t.Errorf("%d heartbeats", beats)
	}
}
