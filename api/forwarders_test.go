package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/api/cluster"
	"tutti/mixer"
)

// fakeForwarders sends nothing; it takes two a room, to one host.
type fakeForwarders struct {
	mu      sync.Mutex
	options map[string]ForwarderOptions // by room/id
	list    map[string][]Forwarder      // by room
	made    int
}

func (f *fakeForwarders) Start(_ context.Context, r *mixer.Room, o ForwarderOptions) (Forwarder, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case o.Host != "media.example.org":
		return Forwarder{}, &mixer.FieldError{Field: "host", Reason: "must be public"}
	case o.AudioPort%2 != 0:
		return Forwarder{}, &mixer.FieldError{Field: "audio_port", Reason: "must be even"}
	case len(f.list[r.ID()]) == 2:
		return Forwarder{}, codedError("too_many_forwarders")
	}
	if f.list == nil {
		f.list, f.options = map[string][]Forwarder{}, map[string]ForwarderOptions{}
	}
	n := Forwarder{
		ID: fmt.Sprintf("fwd%d", f.made), Host: o.Host, Address: "192.0.2.7", AudioPort: o.AudioPort, VideoPort: o.VideoPort, Rendition: "hd",
		RTCPMux: o.RTCPMux, Profile: o.Profile, State: "active", StartedAt: time.Now(), Packets: 3, Bytes: 300, Dropped: 1, Refused: 2, KeyFrameRequests: 4,
	}
	f.made++
	f.list[r.ID()] = append(f.list[r.ID()], n)
	f.options[r.ID()+"/"+n.ID] = o
	return n, nil
}

func (f *fakeForwarders) List(room string) []Forwarder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list[room])
}

func (f *fakeForwarders) Get(room, id string) (Forwarder, error) {
	for _, n := range f.List(room) {
		if n.ID == id {
			return n, nil
		}
	}
	return Forwarder{}, codedError("forwarder_not_found")
}

func (f *fakeForwarders) SDP(room, id, asker string) (string, error) {
	if _, err := f.Get(room, id); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text := "v=0\r\n"
	if o := f.options[room+"/"+id]; o.Starter == asker {
		text += "a=crypto:1 " + o.Key + "\r\n"
	}
	return text, nil
}

func (f *fakeForwarders) Stop(room, id string) error {
	if _, err := f.Get(room, id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[room] = slices.DeleteFunc(f.list[room], func(n Forwarder) bool { return n.ID == id })
	return nil
}

// fakeForwarding is forwarders of which every room has the same.
type fakeForwarding struct {
	fakeRunning
	has []cluster.Forwarder
}

func (f *fakeForwarding) Running(string) []cluster.Forwarder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.has)
}

func (f *fakeForwarding) Continue(r *mixer.Room, was cluster.Forwarder, after time.Duration) error {
	f.called("continue %s in %s after %v", was.ID, r.ID(), after)
	if was.ID == "bad" {
		return codedError("invalid_field")
	}
	return nil
}

// A forwarder is started, listed, described and ended; its key is told to nobody
// but the bearer of the token that gave it.
func TestForwarders(t *testing.T) {
	m := newMember(t, nil)
	m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
	m.calls("claim r1 ")
	token := m.token(auth.Moderator, "r1")
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
	a := m.json("POST", "/v1/rooms/r1/forwarders", token, `{"host":"media.example.org","audio_port":5004,"video_port":5006,"rendition":"hd","rtcp_mux":true,"srtp":{"profile":"AES_CM_128_HMAC_SHA1_80","key":"`+key+`"}}`).is(201)
	m.calls("save r1")
	at := a.Header.Get("Location")
	var f forwarderResource
	if a.into(&f); at != "/v1/rooms/r1/forwarders/fwd0" || f.SDPURL != at+"/sdp" || f.SRTP.Profile != "AES_CM_128_HMAC_SHA1_80" || strings.Contains(string(a.body), "AAEC") {
		t.Errorf("%s: %s", at, a.body)
	}
	got := m.forwarders.options["r1/fwd0"]
	if want := (ForwarderOptions{"media.example.org", 5004, 5006, "hd", true, "AES_CM_128_HMAC_SHA1_80", key, bearerOf(token)}); got != want {
		t.Errorf("asked for %+v", got)
	}
	m.json("POST", "/v1/rooms/r1/forwarders", m.admin(), `{"host":"media.example.org","audio_port":5004}`).is(201)
	m.json("POST", "/v1/rooms/r1/forwarders", m.admin(), `{"host":"media.example.org","audio_port":5004}`).problem(409, "too_many_forwarders", "")
	var list struct {
		Forwarders []forwarderResource `json:"forwarders"`
		Next       string              `json:"next_page_token"`
	}
	m.do("GET", "/v1/rooms/r1/forwarders?page_size=1", token, "").is(200).into(&list)
	if len(list.Forwarders) != 1 || list.Forwarders[0].ID != "fwd0" || list.Next == "" {
		t.Errorf("%+v", list)
	}
	b := m.do("GET", "/v1/rooms/r1/forwarders?page_token="+list.Next, token, "").is(200)
	if b.into(&list); len(list.Forwarders) != 1 || list.Forwarders[0].ID != "fwd1" || list.Next != "" || strings.Contains(string(b.body), "srtp") {
		t.Errorf("%+v", list)
	}
	if b = m.do("GET", at, m.admin(), "").is(200); strings.Contains(string(b.body), "AAEC") {
		t.Errorf("%s", b.body)
	}
	for who, knows := range map[string]bool{token: true, m.token(auth.Moderator, "r1", subject("other")): false, m.admin(): false} {
		b := m.do("GET", at+"/sdp", who, "").is(200)
		if b.Header.Get("Content-Type") != typeSDP || strings.Contains(string(b.body), key) != knows {
			t.Errorf("%s: %s, knows it: %v", b.Header.Get("Content-Type"), b.body, knows)
		}
	}
	m.cluster.took()
	if b := m.do("DELETE", at, token, "").is(204); len(b.body) != 0 {
		t.Errorf("%s", b.body)
	}
	m.calls("save r1")
	m.do("GET", at, token, "").problem(404, "forwarder_not_found", "")
	if strings.Contains(m.log.String(), "AAEC") {
		t.Error("the key is in the log")
	}
}

func TestForwardersRefuse(t *testing.T) {
	h := furnished(t)
	for body, field := range map[string]string{
		`{}`: "host", `{"host":"127.0.0.1","audio_port":5004}`: "host", `{"host":7}`: "host", `{"host":"media.example.org","audio_port":5005}`: "audio_port",
		`{"host":"media.example.org","audio_port":"5004"}`: "audio_port", `{"host":"media.example.org","audio_port":5004.5}`: "audio_port", `{"rtcp_mux":1}`: "rtcp_mux",
		`{"host":"media.example.org","srtp":{}}`: "srtp.profile", `{"host":"media.example.org","srtp":{"key":"x"}}`: "srtp.profile", `{"srtp":"x"}`: "srtp", `{"srtp":{"key":7}}`: "srtp.key",
	} {
		h.json("POST", "/v1/rooms/r1/forwarders", h.admin(), body).problem(400, "invalid_field", field)
	}
	h.json("POST", "/v1/rooms/r1/forwarders", h.admin(), `{"srtp":{"salt":"x"}}`).problem(400, "unknown_field", "srtp.salt")
	h.json("POST", "/v1/rooms/r1/forwarders", h.admin(), `{"host":"media.example.org","rendition":"uhd"}`).problem(400, "unknown_rendition", "rendition")
	h.json("POST", "/v1/rooms/r1/forwarders", h.admin(), ``).problem(400, "missing_body", "")
	h.do("GET", "/v1/rooms/r1/forwarders?page_size=0", h.admin(), "").problem(400, "invalid_query", "page_size")
	if n := len(h.forwarders.List("r1")); n != 1 {
		t.Errorf("%d forwarders run, not the one of before", n)
	}
	h.json("PUT", "/v1/rooms/r2", h.admin(), `{"tenant":"a"}`).is(201)
	foreign := h.token(auth.Moderator, "*", func(g *auth.Grant) { g.Tenant = "b" })
	h.json("POST", "/v1/rooms/r2/forwarders", foreign, `{"host":"media.example.org","audio_port":5004}`).problem(404, "room_not_found", "")
	h.do("GET", "/v1/rooms/r2/forwarders", foreign, "").problem(404, "room_not_found", "")
}

// Forwarders go along: at once after a loss, and in a planned move when the old
// half ends its own. One that cannot go on keeps nothing else from doing so.
func TestForwardersMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeForwarding{has: []cluster.Forwarder{{ID: "f1", Host: "media.example.org", Key: "k"}}}
		m := newMember(t, func(c *Config) { c.Forwarding = f })
		m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
		r, version, _ := m.host.Describe("r1")
		if !slices.Equal(r.Forwarders, f.has) {
			t.Errorf("described %+v", r.Forwarders)
		}
		f.mu.Lock()
		f.has = append(f.has, cluster.Forwarder{ID: "f2"})
		f.mu.Unlock()
		r, second, _ := m.host.Describe("r1")
		if second == version || len(r.Forwarders) != 2 {
			t.Errorf("a second one is not told: %+v", r.Forwarders)
		}
		f.mu.Lock()
		f.has[1].ID = "f3"
		f.mu.Unlock()
		if r, third, _ := m.host.Describe("r1"); third == second || r.Forwarders[1].ID != "f3" {
			t.Errorf("another one is not told: %+v", r.Forwarders)
		}
		m.host.MoveOut("r1", m.cluster.moveTo("r1", "node-2"))
		time.Sleep(leaveAfter - time.Millisecond)
		synctest.Wait()
		if got := f.took(); len(got) != 0 {
			t.Errorf("%q too early", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := f.took(); !slices.Equal(got, []string{"hand over r1"}) {
			t.Errorf("%q", got)
		}
		time.Sleep(moveWithin)
		synctest.Wait()

		was := wandering("")
		was.Forwarders = []cluster.Forwarder{{ID: "bad"}, {ID: "f1"}}
		m.take(was, true)
		if got := f.took(); !slices.Equal(got, []string{"continue bad in r1 after 1.5s", "continue f1 in r1 after 1.5s"}) {
			t.Errorf("moved: %q", got)
		}
		m.host.MoveOut("r1", m.cluster.moveTo("r1", "node-2"))
		synctest.Wait()
		m.take(was, false) // it comes back at once
		if got := f.took(); !slices.Equal(got, []string{"hand over r1", "continue bad in r1 after 0s", "continue f1 in r1 after 0s"}) {
			t.Errorf("lost: %q", got)
		}
		m.host.Fence("fenced")
		if got := f.took(); !slices.Equal(got, []string{"hand over r1"}) {
			t.Errorf("fenced: %q", got)
		}
	})
}
