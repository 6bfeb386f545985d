package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tutti/api/auth"
	"tutti/mixer"
)

func TestThreeDoorsMakeOneSession(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	for door, role := range map[string]mixer.Role{"participants": mixer.Both, "whip": mixer.Publisher, "whep": mixer.Viewer} {
		a := h.offer("/v1/rooms/r1/"+door+"?name=%EA%B9%80%20Ada&vendor=x", h.admin()).is(201)
		location := a.Header.Get("Location")
		if !regexp.MustCompile(`^/v1/rooms/r1/participants/[0-9a-f]{32}$`).MatchString(location) {
			t.Errorf("%s: Location %q", door, location)
		}
		if a.Header.Get("Content-Type") != typeSDP || a.Header.Get("Content-Length") != fmt.Sprint(len(a.body)) || !strings.HasPrefix(string(a.body), "v=0") {
			t.Errorf("%s: %v %q", door, a.Header, a.body)
		}
		if !regexp.MustCompile(`^"[^"]+"$`).MatchString(a.Header.Get("ETag")) {
			t.Errorf("%s: ETag %q is not strong", door, a.Header.Get("ETag"))
		}
		var p participantResource
		h.do("GET", location, h.admin(), "").is(200).into(&p)
		if p.Role != role || p.Name != "김 Ada" || p.State != mixer.Joining {
			t.Errorf("%s: %+v", door, p)
		}
		if sends, receives := role != mixer.Viewer, role != mixer.Publisher; (p.Audio != nil) != sends || (p.Video != nil) != sends || (p.Receiving != nil) != receives {
			t.Errorf("%s: %+v", door, p)
		}
		h.do("DELETE", location, h.admin(), "", `If-Match: "bogus"`).is(200)
		h.do("GET", location, h.admin(), "").problem(404, "participant_not_found", "")
		h.do("DELETE", location, h.admin(), "").problem(404, "participant_not_found", "")
	}
}

func TestDoorsTellWhatTheyTake(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	for _, door := range []string{"whip", "whep"} {
		path := "/v1/rooms/r1/" + door
		if a := h.do("GET", path, h.admin(), "").is(204); len(a.body) != 0 {
			t.Errorf("%s: %q", door, a.body)
		}
		if a := h.do("HEAD", path, h.admin(), "").is(200); len(a.body) != 0 || a.Header.Get("Content-Type") != typeSDP {
			t.Errorf("%s: %v %q", door, a.Header, a.body)
		}
		if a := h.do("OPTIONS", path, "", "").is(200); a.Header.Get("Accept-Post") != typeSDP || a.Header.Get("Link") != "" {
			t.Errorf("%s: %v", door, a.Header)
		}
		h.do("GET", path, "", "").problem(401, "token_required", "")
	}
}

// TestTrickleAndRestart walks through RFC 9725, section 4.3.
func TestTrickleAndRestart(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	a := h.offer("/v1/rooms/r1/whip", h.admin()).is(201)
	path, tag := a.Header.Get("Location"), a.Header.Get("ETag")
	send := func(body string, headers ...string) answer {
		t.Helper()
		return h.do("PATCH", path, h.admin(), body, append(headers, "Content-Type: "+typeFragment)...)
	}
	send("a=candidate").problem(428, "precondition_required", "")
	for _, wrong := range []string{`"other"`, strings.Trim(tag, `"`), "W/" + tag} {
		send("a=candidate", "If-Match: "+wrong).problem(412, "precondition_failed", "")
	}
	if a := send("a=candidate", "If-Match: "+tag).is(204); len(a.body) != 0 || a.Header.Get("ETag") != "" {
		t.Errorf("204 with ETag %q and %q", a.Header.Get("ETag"), a.body)
	}
	send("garbage", "If-Match: "+tag).problem(400, "invalid_fragment", "")
	send("", "If-Match: "+tag).problem(400, "missing_body", "")
	send("garbage", "If-Match: *").problem(400, "invalid_fragment", "")
	send("a=candidate", "If-Match: "+tag).is(204) // a restart that failed keeps the session
	a = send("a=ice-ufrag:x", "If-Match: *").is(200)
	fresh := a.Header.Get("ETag")
	if a.Header.Get("Content-Type") != typeFragment || fresh == tag || fresh == "" || !strings.Contains(string(a.body), "ufrag") {
		t.Errorf("%v %q", a.Header, a.body)
	}
	send("a=candidate", "If-Match: "+tag).problem(412, "precondition_failed", "")
	send("a=candidate", "If-Match: "+fresh).is(204)
	h.do("DELETE", path, h.admin(), "").is(200)
	send("a=candidate", "If-Match: "+fresh).problem(404, "participant_not_found", "")
}

func TestMergePatchOfAParticipant(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	path := h.offer("/v1/rooms/r1/participants?name=Ada", h.admin()).is(201).Header.Get("Location")
	read := func() (p participantResource, tag string) {
		t.Helper()
		a := h.do("GET", path, h.admin(), "").is(200).into(&p)
		return p, a.Header.Get("ETag")
	}
	_, first := read()
	h.json("PATCH", path, h.admin(), `{"audio":{"muted":true,"gain_db":-3},"video":{"muted":true},"name":"Bea"}`, "If-Match: "+first).is(200)
	p, second := read()
	if !p.Audio.Muted || p.Audio.GainDB != -3 || p.Audio.Deafened || !p.Video.Muted || p.Name != "Bea" {
		t.Errorf("%+v %+v %+v", p, p.Audio, p.Video)
	}
	h.json("PATCH", path, h.admin(), `{"name":"Cid"}`, "If-Match: "+first).problem(412, "precondition_failed", "")
	h.json("PATCH", path, h.admin(), `{"audio":{"deafened":true}}`).is(200)
	h.json("PATCH", path, h.admin(), `{"audio":{"gain_db":null},"video":null}`).is(200)
	p, third := read()
	if !p.Audio.Muted || !p.Audio.Deafened || p.Audio.GainDB != 0 || p.Video.Muted || p.Name != "Bea" || third == second {
		t.Errorf("%+v %+v %+v", p, p.Audio, p.Video)
	}
}

// TestOwnSessions holds that who has no more than a seat changes that alone.
func TestOwnSessions(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	mute := `{"audio":{"muted":true}}`
	mine, other := h.token(auth.Participant, "r1"), h.token(auth.Participant, "r1", named("B"))
	path := h.offer("/v1/rooms/r1/participants", mine).is(201).Header.Get("Location")
	h.json("PATCH", path, other, mute).problem(403, "forbidden", "")
	h.do("PATCH", path, other, "a=x", "Content-Type: "+typeFragment, "If-Match: *").problem(403, "forbidden", "")
	h.do("DELETE", path, other, "").problem(403, "forbidden", "")
	h.do("GET", path, other, "").is(200)
	h.json("PATCH", path, mine, mute).is(200)
	h.json("PATCH", path, h.token(auth.Moderator, "r1"), mute).is(200)
	h.json("PATCH", path, h.token(auth.Moderator, "r2"), mute).problem(403, "forbidden", "")
	h.do("DELETE", path, mine, "").is(200)
	h.do("DELETE", path, mine, "").is(200)
	h.do("DELETE", path, other, "").problem(403, "forbidden", "")

	path = h.offer("/v1/rooms/r1/whip", h.token(auth.Publisher, "r1", subject("ada"))).is(201).Header.Get("Location")
	h.do("GET", path, h.token(auth.Publisher, "r1", subject("bea")), "").problem(403, "forbidden", "")
	h.do("GET", path, h.token(auth.Publisher, "r1"), "").problem(403, "forbidden", "")
	h.do("GET", path, h.token(auth.Publisher, "r1", subject("ada")), "").is(200)
	h.do("DELETE", path, h.token(auth.Publisher, "r1", subject("ada")), "").is(200)
}

func TestTheTokenGivesTheName(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	ada := h.token(auth.Participant, "r1", named("Ada"))
	path := h.offer("/v1/rooms/r1/participants?name=Eve", ada).is(201).Header.Get("Location")
	var p participantResource
	h.do("GET", path, ada, "").is(200).into(&p)
	if p.Name != "Ada" {
		t.Errorf("joined as %q", p.Name)
	}
	h.json("PATCH", path, ada, `{"name":"Eve"}`).problem(403, "forbidden", "name")
	h.json("PATCH", path, ada, `{"name":"Ada"}`).is(200)
	h.json("PATCH", path, h.token(auth.Moderator, "r1"), `{"name":"Bea"}`).is(200)
}

func TestAFullRoom(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"max_participants":1}`).is(201)
	path := h.offer("/v1/rooms/r1/participants", h.admin()).is(201).Header.Get("Location")
	h.offer("/v1/rooms/r1/participants", h.admin()).problem(409, "room_full", "")
	h.do("DELETE", path, h.admin(), "").is(200)
	h.offer("/v1/rooms/r1/participants", h.admin()).is(201)
}

func TestAutoCreate(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.AutoCreate = true })
	h.do("GET", "/v1/rooms/r1/whip", h.admin(), "").is(204)
	h.do("GET", "/v1/rooms/r1", h.admin(), "").problem(404, "room_not_found", "")
	h.offer("/v1/rooms/r1/participants", h.token(auth.Participant, "r1", tenant("t1"))).is(201)
	if s := h.settingsOf("r1"); s.Tenant != "t1" {
		t.Errorf("tenant %q", s.Tenant)
	}
	h.offer("/v1/rooms/r1/participants", h.token(auth.Participant, "r1", tenant("t2"))).problem(404, "room_not_found", "")
	h.offer("/v1/rooms/r1/participants", h.token(auth.Participant, "r2")).problem(403, "forbidden", "")
	if n := len(h.rooms.List()); n != 1 {
		t.Errorf("%d rooms", n)
	}
}

func TestParticipantsAreListed(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	var joined []string
	for range 5 {
		path := h.offer("/v1/rooms/r1/participants", h.admin()).is(201).Header.Get("Location")
		joined = append(joined, path[strings.LastIndex(path, "/")+1:])
	}
	var seen []string
	token := ""
	for {
		var page struct {
			Participants []participantResource `json:"participants"`
			Next         string                `json:"next_page_token"`
		}
		h.do("GET", "/v1/rooms/r1/participants?page_size=2&page_token="+token, h.token(auth.Viewer, "r1"), "").is(200).into(&page)
		for _, p := range page.Participants {
			seen = append(seen, p.ID)
		}
		if token = page.Next; token == "" {
			break
		}
		if len(seen) == 2 { // who goes between pages shifts nothing
			h.do("DELETE", "/v1/rooms/r1/participants/"+seen[0], h.admin(), "").is(200)
		}
	}
	if !slices.Equal(seen, joined) {
		t.Errorf("listed %v, joined %v", seen, joined)
	}
}

// TestOwnersAreForgotten holds that sessions that have ended are not
// remembered for ever.
func TestOwnersAreForgotten(t *testing.T) {
	clock := newClock()
	o := newOwners(clock.now)
	ended := func(sessionKey) bool { return true }
	for i := range 1000 {
		o.add(sessionKey{"r", fmt.Sprint(i)}, &principal{}, ended)
		clock.advance(remembered / 10)
	}
	if n := len(o.by); n > 200 {
		t.Errorf("%d sessions are remembered", n)
	}
}
