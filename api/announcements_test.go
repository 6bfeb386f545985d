package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/codec/pcm"
	"tutti/mixer"
)

// fakeSound is a sound of so many blocks.
type fakeSound struct {
	mu           sync.Mutex
	blocks, at   int
	rounds, shut int
}

func (f *fakeSound) ReadAudio(b *pcm.Block) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == f.blocks {
		return false
	}
	f.at++
	b.Clear()
	return true
}

func (f *fakeSound) Rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.rounds = 0, f.rounds+1
}

func (f *fakeSound) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut++
}

func (f *fakeSound) closed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shut
}

// fakeSounds has a file a.ogg of 20 blocks; what is sent is as long as its text
// says, in blocks.
type fakeSounds struct {
	mu     sync.Mutex
	opened []*fakeSound
}

func (f *fakeSounds) add(blocks int) mixer.Player {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, &fakeSound{blocks: blocks})
	return f.opened[len(f.opened)-1]
}

func (f *fakeSounds) File(name string) (mixer.Player, error) {
	switch name {
	case "a.ogg":
		return f.add(20), nil
	case "broken.ogg":
		return nil, codedError("invalid_audio")
	case "unreadable.ogg":
		return nil, fmt.Errorf("the disk is on fire")
	}
	return nil, codedError("file_not_found")
}

func (f *fakeSounds) Sound(content []byte) (mixer.Player, error) {
	blocks := 0
	if _, err := fmt.Sscan(string(content), &blocks); err != nil {
		return nil, codedError(strings.TrimSpace(string(content)))
	}
	return f.add(blocks), nil
}

// open answers how many sounds were not closed.
func (f *fakeSounds) open() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.opened {
		n += 1 - s.closed()
	}
	return n
}

const announcements = "/v1/rooms/r1/announcements"

// TestAnAnnouncementFromItsBeginningToItsEnd follows one by the API and by its
// events.
func TestAnAnnouncementFromItsBeginningToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"empty_timeout_s":0}`).is(201)
		s, cancel, done := h.open("/v1/rooms/r1/events", h.admin())
		var a announcementResource
		began := time.Now().UTC()
		made := h.json("POST", announcements, h.token(auth.Moderator, "r1"), `{"file":"a.ogg","gain_db":-3}`).is(201).into(&a)
		if a.ID == "" || a.File != "a.ogg" || a.State != "playing" || a.GainDB != -3 || a.Loop || !a.StartedAt.Equal(began) || a.PlayedMS != 0 {
			t.Errorf("%+v", a)
		}
		at := made.Header.Get("Location")
		if at != announcements+"/"+a.ID {
			t.Errorf("Location %q", at)
		}
		time.Sleep(210 * time.Millisecond)
		h.do("GET", at, h.admin(), "").is(200).into(&a)
		if a.PlayedMS < 180 || a.PlayedMS > 240 || a.State != "playing" {
			t.Errorf("after 210 ms: %+v", a)
		}
		var list struct{ Announcements []announcementResource }
		h.do("GET", announcements, h.admin(), "").is(200).into(&list)
		if len(list.Announcements) != 1 || list.Announcements[0].ID != a.ID {
			t.Errorf("%+v", list)
		}
		time.Sleep(300 * time.Millisecond)
		h.do("GET", at, h.admin(), "").problem(404, "announcement_not_found", "")
		h.do("GET", announcements, h.admin(), "").is(200).into(&list)
		if len(list.Announcements) != 0 || h.sounds.open() != 0 {
			t.Errorf("%+v, %d sounds are open", list, h.sounds.open())
		}
		wantEvents(t, s, "1 room_started", "2 announcement_started", "3 announcement_ended")
		if want := `"announcement":{"id":"` + a.ID + `","file":"a.ogg"}`; strings.Count(s.String(), want) != 2 {
			t.Errorf("%s", s)
		}
		cancel()
		<-done
	})
}

func TestASoundIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"empty_timeout_s":0}`).is(201)
		for i, c := range []struct {
			query, mediaType string
			gain             float64
			loop             bool
		}{{"", typeWAV, 0, false}, {"?gain_db=-60&loop=true", typeOgg, -60, true}, {"?gain_db=2.5&loop=false", typeOgg + "; codecs=opus", 2.5, false}} {
			var a announcementResource
			h.do("POST", announcements+c.query, h.admin(), "500", "Content-Type: "+c.mediaType).is(201).into(&a)
			if a.File != "" || a.GainDB != c.gain || a.Loop != c.loop {
				t.Errorf("%d: %+v", i, a)
			}
		}
		if n := h.sounds.open(); n != 3 {
			t.Errorf("%d sounds are open", n)
		}
	})
}

func TestAnnouncementsAreChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"empty_timeout_s":0}`).is(201)
		at := h.do("POST", announcements+"?gain_db=-6&loop=true", h.admin(), "5", "Content-Type: "+typeOgg).is(201).Header.Get("Location")
		check := func(body string, gain float64, loop bool, state string) {
			t.Helper()
			var a announcementResource
			h.json("PATCH", at, h.admin(), body).is(200).into(&a)
			if a.GainDB != gain || a.Loop != loop || a.State != state {
				t.Errorf("%s made %+v", body, a)
			}
		}
		check(`{}`, -6, true, "playing")
		check(`{"gain_db":3}`, 3, true, "playing")
		check(`{"state":"playing","loop":true}`, 3, true, "playing")
		check(`{"gain_db":null}`, 0, true, "playing")
		time.Sleep(time.Second) // it would have ended ten times
		check(`{"loop":null}`, 0, false, "playing")
		time.Sleep(200 * time.Millisecond)
		h.do("GET", at, h.admin(), "").problem(404, "announcement_not_found", "")

		at = h.do("POST", announcements, h.admin(), "500", "Content-Type: "+typeOgg).is(201).Header.Get("Location")
		check(`{"state":"ended","gain_db":1}`, 1, false, "ended")
		time.Sleep(100 * time.Millisecond)
		h.json("PATCH", at, h.admin(), `{}`).problem(404, "announcement_not_found", "")

		at = h.do("POST", announcements, h.admin(), "500", "Content-Type: "+typeOgg).is(201).Header.Get("Location")
		if a := h.do("DELETE", at, h.admin(), "").is(204); len(a.body) != 0 {
			t.Errorf("%q", a.body)
		}
		time.Sleep(100 * time.Millisecond)
		h.do("DELETE", at, h.admin(), "").problem(404, "announcement_not_found", "")
		if n := h.sounds.open(); n != 0 {
			t.Errorf("%d sounds are open", n)
		}
	})
}

// TestRefusedSounds holds that each refusal names what is to blame, and leaves
// nothing open.
func TestRefusedSounds(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	h.json("POST", announcements, h.admin(), `{"file":"none.ogg"}`).problem(404, "file_not_found", "file")
	h.json("POST", announcements, h.admin(), `{"file":"../a.ogg"}`).problem(404, "file_not_found", "file")
	h.json("POST", announcements, h.admin(), `{"file":"broken.ogg"}`).problem(422, "invalid_audio", "file")
	a := h.json("POST", announcements, h.admin(), `{"file":"unreadable.ogg"}`).problem(500, "internal", "")
	if strings.Contains(string(a.body), "fire") {
		t.Error("the inside of the server was told")
	}
	h.json("POST", announcements+"?gain_db=1", h.admin(), `{"file":"a.ogg"}`).problem(400, "invalid_query", "gain_db")
	h.json("POST", announcements, h.admin(), ``).problem(400, "missing_body", "")
	send := func(query, body string) answer {
		return h.do("POST", announcements+query, h.admin(), body, "Content-Type: "+typeOgg)
	}
	send("", "").problem(400, "missing_body", "")
	for code, status := range map[string]int{"invalid_audio": 422, "unsupported_audio": 422, "audio_too_long": 422, "audio_too_large": 413} {
		send("", code).problem(status, code, "")
	}
	for query, field := range map[string]string{
		"?gain_db=x": "gain_db", "?gain_db=21": "gain_db", "?gain_db=NaN": "gain_db", "?gain_db=-Inf": "gain_db",
		"?loop=1": "loop", "?loop=True": "loop", "?file=a.ogg": "file",
	} {
		send(query, "5").problem(400, "invalid_query", field)
	}
	// What takes no sounds takes nothing as large as one either.
	h.do("PUT", "/v1/rooms/r1", h.admin(), strings.Repeat(" ", 100<<10), "Content-Type: "+typeOgg).problem(413, "body_too_large", "")
	h.do("POST", "/v1/rooms/none/announcements", h.admin(), "5", "Content-Type: "+typeOgg).problem(404, "room_not_found", "")
	if n := h.sounds.open(); n != 0 {
		t.Errorf("%d sounds are open", n)
	}
	for range 4 {
		send("", "5000").is(201)
	}
	send("", "5000").problem(409, "too_many_announcements", "")
	if n := h.sounds.open(); n != 4 {
		t.Errorf("%d sounds are open", n)
	}
}

// TestAnnouncementsArePaged reads four by two.
func TestAnnouncementsArePaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"empty_timeout_s":0}`).is(201)
		var want, got []string
		for range 4 {
			var a announcementResource
			h.do("POST", announcements, h.admin(), "500", "Content-Type: "+typeWAV).is(201).into(&a)
			want = append(want, a.ID)
			time.Sleep(time.Millisecond)
		}
		next := ""
		for range 2 {
			var page struct {
				Announcements []announcementResource
				Next          string `json:"next_page_token"`
			}
			h.do("GET", announcements+"?page_size=2&page_token="+next, h.admin(), "").is(200).into(&page)
			for _, a := range page.Announcements {
				got = append(got, a.ID)
			}
			next = page.Next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || next != "" {
			t.Errorf("got %v, then %q; want %v", got, next, want)
		}
	})
}

func TestWhoMayAnnounce(t *testing.T) {
	h := furnished(t)
	for _, call := range []string{"GET " + announcements, "POST " + announcements, "GET " + announcements + "/a1", "PATCH " + announcements + "/a1", "DELETE " + announcements + "/a1"} {
		method, path, _ := strings.Cut(call, " ")
		for _, token := range []string{h.token(auth.Viewer, "r1"), h.token(auth.Publisher, "r1"), h.token(auth.Participant, "r1"), h.token(auth.Moderator, "r2")} {
			h.json(method, path, token, "{}").problem(403, "forbidden", "")
		}
		h.json(method, path, h.token(auth.Moderator, "r1", tenant("other")), "{}").problem(404, "room_not_found", "")
	}
}

// slowBody is a body that comes when it is let.
type slowBody struct {
	begun chan<- struct{}
	more  <-chan struct{}
}

func (b slowBody) Read([]byte) (int, error) {
	b.begun <- struct{}{}
	<-b.more
	return 0, io.EOF
}

// TestFewSoundsComeAtOnce holds that what waits in memory is bounded.
func TestFewSoundsComeAtOnce(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	begun, more := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	for range MaxUploads {
		req := httptest.NewRequest("POST", announcements, slowBody{begun, more})
		req.Header.Set("Authorization", "Bearer "+h.admin())
		req.Header.Set("Content-Type", typeOgg)
		running.Go(func() { h.server.Handler().ServeHTTP(httptest.NewRecorder(), req) })
		<-begun
	}
	refused := h.do("POST", announcements, h.admin(), "5", "Content-Type: "+typeOgg).problem(503, "overloaded", "")
	if refused.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.json("POST", announcements, h.admin(), `{"file":"a.ogg"}`).is(201) // one of the folder is not among them
	close(more)
	running.Wait()
	h.do("POST", announcements, h.admin(), "5", "Content-Type: "+typeOgg).is(201)
}

// TestASlowSoundMayCome sends a sound for longer than a request may take that is
// none, over a real connection.
func TestASlowSoundMayCome(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.WriteTimeout = 50 * time.Millisecond })
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	server := httptest.NewUnstartedServer(nil)
	server.Config = h.server.HTTPServer()
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()
	send := func(mediaType, text string) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			time.Sleep(150 * time.Millisecond) // the server's deadlines are of the real clock
			_, err := io.WriteString(w, text)
			w.CloseWithError(err)
		}()
		req, err := http.NewRequest("POST", server.URL+announcements, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.admin())
		req.Header.Set("Content-Type", mediaType)
		return server.Client().Do(req)
	}
	res, err := send(typeOgg, "5")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 201 {
		t.Errorf("a slow sound: %d", res.StatusCode)
	}
	if res, err := send(typeJSON, `{"file":"a.ogg"}`); err == nil {
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("slow JSON: %d", res.StatusCode)
		}
	}
	server.Client().CloseIdleConnections()
}
