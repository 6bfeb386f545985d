package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tutti/api/auth"
	"tutti/mixer"
)

// sample fills in a route's path: a room, participant and recording that exist.
func (h *harness) sample(path string) string {
	if strings.Contains(path, ":announcement") {
		h.announce()
	}
	return strings.NewReplacer(":room", "r1", ":participant", "p1", ":recording", "rec0", ":file", "001.webm", ":node", "node-1", ":announcement", "a1", ":forwarder", "fwd0").Replace(path)
}

// announce lets the announcement a1 play in room r1, unless it does already. A
// room that plays something does work, which one of many tests at once should not.
func (h *harness) announce() {
	h.t.Helper()
	r, err := h.rooms.Get("r1")
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := r.Announce(mixer.AnnounceConfig{ID: "a1", File: "a.ogg", Source: &fakeSound{blocks: 1 << 30}}); err != nil && err != mixer.ErrAnnouncementExists {
		h.t.Fatal(err)
	}
}

// furnished is a harness with room r1, somebody in it, a recording and a
// forwarder.
func furnished(t testing.TB) *harness {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	r, err := h.rooms.Get("r1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.gateway.Open(t.Context(), r, SessionRequest{ID: "p1", Name: "Ada", Role: "participant"}); err != nil {
		t.Fatal(err)
	}
	h.json("POST", "/v1/rooms/r1/recordings", h.admin(), "{}").is(201)
	h.json("POST", "/v1/rooms/r1/forwarders", h.admin(), `{"host":"media.example.org","audio_port":5004}`).is(201)
	return h
}

// eachRoute runs fn for every route under /v1.
func eachRoute(t *testing.T, fn func(t *testing.T, h *harness, r route)) {
	for _, r := range furnished(t).server.routes() {
		if underV1(r.path) {
			t.Run(r.method+" "+r.path, func(t *testing.T) {
				h := furnished(t)
				fn(t, h, r)
				if n := len(h.rooms.List()); n != 1 {
					t.Errorf("%d rooms are left, want the one of before", n)
				}
				room, err := h.rooms.Get("r1")
				if err != nil {
					t.Fatal(err)
				}
				if n := len(room.Participants()); n != 1 {
					t.Errorf("%d participants are left, want the one of before", n)
				}
			})
		}
	}
}

// goodBody is a body of the right type, so that another fault stands alone.
func goodBody(r route) (body, mediaType string) {
	if len(r.body) == 0 {
		return "", ""
	}
	if r.body[0] == typeSDP {
		return "v=0\r\n", typeSDP
	}
	return "{}", r.body[0]
}

func TestEveryRouteRefusesWithoutAToken(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		other, err := auth.NewHMAC("k1", []byte(strings.Repeat("x", 32)))
		if err != nil {
			t.Fatal(err)
		}
		good := h.admin()
		h.key = other
		forged := h.admin()
		for name, c := range map[string]struct{ header, code string }{
			"none":         {"", "token_required"},
			"other scheme": {"Basic dTpw", "token_required"},
			"empty":        {"Bearer ", "token_required"},
			"garbage":      {"Bearer abc", "invalid_token"},
			"cut":          {"Bearer " + good[:len(good)-4], "invalid_token"},
			"forged":       {"Bearer " + forged, "invalid_token"},
			"endless":      {"Bearer " + strings.Repeat("a", 9000), "invalid_token"},
		} {
			body, mediaType := goodBody(r)
			a := h.do(r.method, h.sample(r.path), "", body, "Content-Type: "+mediaType, "Authorization: "+c.header)
			a.problem(401, c.code, "")
			if a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", name)
			}
		}
	})
}

func TestEveryRouteRefusesNarrowTokens(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		body, mediaType := goodBody(r)
		roles := []auth.Role{auth.Viewer, auth.Publisher, auth.Participant, auth.Moderator, auth.Admin}
		for _, role := range roles {
			room := "other"
			if role != auth.Admin && !strings.Contains(r.path, ":room") {
				room = "*"
			} else if !strings.Contains(r.path, ":room") {
				continue
			}
			h.do(r.method, h.sample(r.path), h.token(role, room), body, "Content-Type: "+mediaType).problem(403, "forbidden", "")
		}
		if slices.Contains([]auth.Action{auth.Moderate, auth.Create, auth.ListAll, auth.Operate}, r.action) {
			for _, role := range roles[:3] {
				h.do(r.method, h.sample(r.path), h.token(role, "*"), body, "Content-Type: "+mediaType).problem(403, "forbidden", "")
			}
		}
	})
}

func TestEveryRouteRefusesBadIdentifiers(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		body, mediaType := goodBody(r)
		for _, field := range []string{"room", "participant", "recording", "announcement", "node"} {
			if !strings.Contains(r.path, ":"+field) {
				continue
			}
			for _, id := range []string{"a%20b", "%2e%2e", "%00", "%F0%9F%8E%B5", strings.Repeat("x", 65), "a.b", "a%22b"} {
				target := h.sample(strings.Replace(r.path, ":"+field, id, 1))
				h.do(r.method, target, h.admin(), body, "Content-Type: "+mediaType).problem(400, "invalid_id", field)
			}
		}
	})
}

func TestEveryRouteRefusesOtherQueries(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		if r.anyQuery {
			return
		}
		body, mediaType := goodBody(r)
		h.do(r.method, h.sample(r.path)+"?bogus=1", h.admin(), body, "Content-Type: "+mediaType).problem(400, "invalid_query", "bogus")
		if !r.tokenInQuery {
			h.do(r.method, h.sample(r.path)+"?access_token="+h.admin(), "", body, "Content-Type: "+mediaType).problem(401, "token_required", "")
		}
		for _, name := range r.query {
			h.do(r.method, h.sample(r.path)+"?"+name+"=1&"+name+"=2", h.admin(), body).problem(400, "invalid_query", name)
		}
	})
}

func TestEveryRouteRefusesOtherBodies(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		if len(r.body) == 0 {
			return
		}
		target := h.sample(r.path)
		for _, mediaType := range []string{"text/plain", "application/xml", "multipart/form-data", "bogus", ""} {
			a := h.do(r.method, target, h.admin(), "{}", "Content-Type: "+mediaType).problem(415, "unsupported_media_type", "")
			accept := a.Header.Get("Accept-Post") + a.Header.Get("Accept-Patch") + a.Header.Get("Accept")
			if accept != strings.Join(r.body, ", ") {
				t.Errorf("accepts %q, want %v", accept, r.body)
			}
		}
		for _, mediaType := range r.body {
			huge := strings.Repeat(" ", 1<<20)
			h.do(r.method, target, h.admin(), huge, "Content-Type: "+mediaType, `If-Match: *`).problem(413, "body_too_large", "")
			tooLarge := h.chunked(r.method, target, huge, mediaType)
			tooLarge.problem(413, "body_too_large", "")
		}
	})
}

// chunked sends a body that does not tell its length.
func (h *harness) chunked(method, target, body, mediaType string) answer {
	h.t.Helper()
	req, err := http.NewRequest(method, target, struct{ *strings.Reader }{strings.NewReader(body)})
	if err != nil {
		h.t.Fatal(err)
	}
	req.RequestURI, req.ContentLength = target, -1
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("If-Match", "*")
	req.Header.Set("Authorization", "Bearer "+h.admin())
	return h.serve(req)
}

func TestEveryRouteRefusesBadJSON(t *testing.T) {
	eachRoute(t, func(t *testing.T, h *harness, r route) {
		if len(r.body) == 0 || r.body[0] == typeSDP {
			return
		}
		target := h.sample(r.path)
		send := func(body string) answer {
			h.t.Helper()
			return h.do(r.method, target, h.admin(), body, "Content-Type: "+r.body[0])
		}
		for _, body := range []string{"{", "[]", "null", "1", `"x"`, "{}{}", "{} x", `{"a":}`, "\xff\xfe", "{\"title\":\"\xff\"}", strings.Repeat("[", 20000), "nul"} {
			send(body).problem(400, "invalid_json", "")
		}
		for _, body := range []string{`{"bogus":1}`, `{"bogus":null}`, `{"bogus":{}}`} {
			send(body).problem(400, "unknown_field", "bogus")
		}
		if r.method == "PATCH" {
			send("").problem(400, "missing_body", "")
		}
	})
}

func TestOtherMethodsAreRefused(t *testing.T) {
	h := furnished(t)
	allowed := map[string][]string{}
	for _, r := range h.server.routes() {
		allowed[r.path] = append(allowed[r.path], r.method)
		if r.method == "GET" {
			allowed[r.path] = append(allowed[r.path], "HEAD")
		}
	}
	for path, methods := range allowed {
		for _, m := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "BREW"} {
			if slices.Contains(methods, m) {
				continue
			}
			req, err := http.NewRequest(m, h.sample(path), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+h.admin())
			a := h.serve(req).problem(405, "method_not_allowed", "")
			got := strings.Split(a.Header.Get("Allow"), ", ")
			want := append(slices.Clone(methods), "OPTIONS")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s %s: Allow %v, want %v", m, path, got, want)
			}
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	h := furnished(t)
	for _, m := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
		for _, path := range []string{
			"/v1", "/v1/", "/v1/bogus", "/v1/rooms/", "/v1/rooms/r1/bogus", "/v1/rooms/r1/participants/p1/x",
			"/v1/rooms/r1/recordings/rec0/files/a/b", "/v2/rooms", "/bogus", "/lib/b.js", "/../etc/passwd", "/lib/%2e%2e/index.html",
		} {
			h.do(m, path, h.admin(), "").problem(404, "not_found", "")
		}
	}
	h.do("GET", "/v1/bogus", "", "").problem(401, "token_required", "")
	h.do("GET", "/%761/rooms", "", "").problem(401, "token_required", "")
	h.do("GET", "/%761/rooms", h.admin(), "").problem(404, "not_found", "")
}

func TestUnknownThings(t *testing.T) {
	h := furnished(t)
	merge, fragment := "Content-Type: "+typeMerge, "Content-Type: "+typeFragment
	for _, c := range []struct{ call, code string }{
		{"GET /v1/rooms/none", "room_not_found"},
		{"PATCH /v1/rooms/none", "room_not_found"},
		{"DELETE /v1/rooms/none", "room_not_found"},
		{"GET /v1/rooms/none/layout", "room_not_found"},
		{"GET /v1/rooms/none/snapshot.png", "room_not_found"},
		{"GET /v1/rooms/none/participants", "room_not_found"},
		{"GET /v1/rooms/none/participants/p1", "room_not_found"},
		{"GET /v1/rooms/r1/participants/none", "participant_not_found"},
		{"PATCH /v1/rooms/r1/participants/none", "participant_not_found"},
		{"DELETE /v1/rooms/r1/participants/none", "participant_not_found"},
		{"GET /v1/rooms/none/recordings", "room_not_found"},
		{"GET /v1/rooms/r1/recordings/none", "recording_not_found"},
		{"PATCH /v1/rooms/r1/recordings/none", "recording_not_found"},
		{"DELETE /v1/rooms/r1/recordings/none", "recording_not_found"},
		{"GET /v1/rooms/r1/recordings/none/files/001.webm", "recording_not_found"},
		{"GET /v1/rooms/r1/recordings/rec0/files/..", "file_not_found"},
		{"GET /v1/rooms/r1/recordings/rec0/files/recording.json", "file_not_found"},
		{"GET /v1/rooms/none/announcements", "room_not_found"},
		{"GET /v1/rooms/none/announcements/a1", "room_not_found"},
		{"GET /v1/rooms/r1/announcements/none", "announcement_not_found"},
		{"PATCH /v1/rooms/r1/announcements/none", "announcement_not_found"},
		{"DELETE /v1/rooms/r1/announcements/none", "announcement_not_found"},
		{"GET /v1/rooms/none/forwarders", "room_not_found"},
		{"GET /v1/rooms/none/forwarders/fwd0", "room_not_found"},
		{"GET /v1/rooms/r1/forwarders/none", "forwarder_not_found"},
		{"GET /v1/rooms/r1/forwarders/none/sdp", "forwarder_not_found"},
		{"GET /v1/rooms/none/forwarders/fwd0/sdp", "room_not_found"},
		{"DELETE /v1/rooms/r1/forwarders/none", "forwarder_not_found"},
		{"DELETE /v1/rooms/none/forwarders/fwd0", "room_not_found"},
		{"GET /v1/rooms/none/live.webm", "room_not_found"},
		{"GET /v1/rooms/none/events", "room_not_found"},
		{"GET /v1/rooms/none/whip", "room_not_found"},
		{"GET /v1/rooms/none/whep", "room_not_found"},
		{"PATCH /v1/nodes/none", "node_not_found"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		body := ""
		if method == "PATCH" {
			body = "{}"
		}
		h.do(method, path, h.admin(), body, merge).problem(404, c.code, "")
	}
	h.do("PATCH", "/v1/rooms/r1/participants/none", h.admin(), "a=x", fragment).problem(404, "participant_not_found", "")
	for _, door := range []string{"participants", "whip", "whep"} {
		h.offer("/v1/rooms/none/"+door, h.admin()).problem(404, "room_not_found", "")
	}
}

// TestBadSettings tries settings that cannot be: each names its field, and
// neither makes nor changes a room.
func TestBadSettings(t *testing.T) {
	h := furnished(t)
	before := h.do("GET", "/v1/rooms/r1", h.admin(), "")
	for body, field := range map[string]string{
		`{"canvas":{"widht":1280}}`:                              "!canvas.widht",
		`{"Canvas":{}}`:                                          "!Canvas",
		`{"renditions":[{"name":"hd","bitrate":1}]}`:             "!renditions[0].bitrate",
		`{"canvas":{"width":"1280"}}`:                            "canvas.width",
		`{"canvas":{"width":1280.5}}`:                            "canvas.width",
		`{"canvas":{"width":1e30}}`:                              "canvas.width",
		`{"canvas":{"width":99999999999999999999}}`:              "canvas.width",
		`{"canvas":{"width":16384,"height":16384}}`:              "canvas.width",
		`{"canvas":{"width":-2}}`:                                "canvas.width",
		`{"canvas":{"width":1279}}`:                              "canvas.width",
		`{"canvas":{"fps":1000}}`:                                "canvas.fps",
		`{"canvas":{"background":"red"}}`:                        "canvas.background",
		`{"canvas":[]}`:                                          "canvas",
		`{"canvas":1}`:                                           "canvas",
		`{"layout":{"name":"bogus"}}`:                            "layout.name",
		`{"layout":{"name":"grid","max_tiles":1000}}`:            "layout.max_tiles",
		`{"layout":"grid"}`:                                      "layout",
		`{"audio":{"max_talkers":-1}}`:                           "audio.max_talkers",
		`{"audio":{"bitrate_bps":1}}`:                            "audio.bitrate_bps",
		`{"audio":{"stereo":1}}`:                                 "audio.stereo",
		`{"audio":{"bitrate_bps":128001}}`:                       "audio.bitrate_bps",
		`{"audio":{"max_talkers":51}}`:                           "audio.max_talkers",
		`{"audio":{"levelling":1}}`:                              "audio.levelling",
		`{"audio":{"leveling":true}}`:                            "!audio.leveling",
		`{"audio":{"min_playout_delay_ms":-1}}`:                  "audio.min_playout_delay_ms",
		`{"audio":{"min_playout_delay_ms":501}}`:                 "audio.min_playout_delay_ms",
		`{"audio":{"max_playout_delay_ms":239}}`:                 "audio.max_playout_delay_ms",
		`{"audio":{"max_playout_delay_ms":1001}}`:                "audio.max_playout_delay_ms",
		`{"audio":{"max_playout_delay_ms":40.5}}`:                "audio.max_playout_delay_ms",
		`{"audio":{"min_playout_delay_ms":301}}`:                 "audio.max_playout_delay_ms", // 100 below it
		`{"audio":{"speaker_trigger_ms":39}}`:                    "audio.speaker_trigger_ms",
		`{"audio":{"speaker_trigger_ms":5001}}`:                  "audio.speaker_trigger_ms",
		`{"audio":{"speaker_trigger_ms":"200"}}`:                 "audio.speaker_trigger_ms",
		`{"audio":{"speaker_hold_ms":-1}}`:                       "audio.speaker_hold_ms",
		`{"audio":{"speaker_hold_ms":10001}}`:                    "audio.speaker_hold_ms",
		`{"renditions":[]}`:                                      "renditions",
		`{"renditions":{}}`:                                      "renditions",
		`{"renditions":[null]}`:                                  "renditions[0]",
		`{"renditions":[1]}`:                                     "renditions[0]",
		`{"renditions":[{},{}]}`:                                 "renditions",
		`{"renditions":[{"width":640}]}`:                         "renditions[0].width",
		`{"renditions":[{"bitrate_bps":1}]}`:                     "renditions[0].bitrate_bps",
		`{"max_participants":0}`:                                 "max_participants",
		`{"max_participants":true}`:                              "max_participants",
		`{"empty_timeout_s":-1}`:                                 "empty_timeout_s",
		`{"metadata":{"a":1}}`:                                   "metadata.a",
		`{"metadata":[]}`:                                        "metadata",
		`{"metadata":{"a":"` + strings.Repeat("x", 2000) + `"}}`: "metadata",
		`{"title":"` + strings.Repeat("x", 300) + `"}`:           "title",
		`{"title":{}}`:                                           "title",
		`{"tenant":"a b"}`:                                       "tenant",
		`{"tenant":"../x"}`:                                      "tenant",
		`{"id":"other"}`:                                         "id",
		`{"id":7}`:                                               "id",
	} {
		code := "invalid_field"
		if strings.HasPrefix(field, "!") {
			code, field = "unknown_field", field[1:]
		}
		h.json("PUT", "/v1/rooms/new", h.admin(), body).problem(400, code, field)
		h.json("PUT", "/v1/rooms/r1", h.admin(), body).problem(400, code, field)
		h.json("PATCH", "/v1/rooms/r1", h.admin(), body).problem(400, code, field)
		h.json("POST", "/v1/rooms", h.admin(), body).problem(400, code, field)
	}
	for _, name := range plannedLayouts {
		h.json("PATCH", "/v1/rooms/r1", h.admin(), fmt.Sprintf(`{"layout":{"name":%q,"regions":[]}}`, name)).problem(501, "not_implemented", "layout.name")
		h.json("PUT", "/v1/rooms/r1/layout", h.admin(), fmt.Sprintf(`{"name":%q,"regions":[]}`, name)).problem(501, "not_implemented", "name")
	}
	h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"bogus"}`).problem(400, "invalid_field", "name")
	h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"grid","max_tiles":50}`).problem(400, "invalid_field", "max_tiles")
	h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{}`).problem(400, "invalid_field", "name")
	if len(h.rooms.List()) != 1 {
		t.Error("bad settings made a room")
	}
	if after := h.do("GET", "/v1/rooms/r1", h.admin(), ""); string(after.body) != string(before.body) || after.Header.Get("ETag") != before.Header.Get("ETag") {
		t.Errorf("bad settings changed the room:\n%s\n%s", before.body, after.body)
	}
}

func TestOtherBadValues(t *testing.T) {
	h := furnished(t)
	h.announce()
	for _, c := range []struct{ call, body, field string }{
		{"PATCH /v1/rooms/r1/participants/p1", `{"audio":{"gain_db":100}}`, "audio.gain_db"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"audio":{"gain_db":"loud"}}`, "audio.gain_db"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"audio":{"gain_db":1e999}}`, "audio.gain_db"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"audio":{"muted":"yes"}}`, "audio.muted"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"video":true}`, "video"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"name":"a\u0007b"}`, "name"},
		{"PATCH /v1/rooms/r1/participants/p1", `{"name":"` + strings.Repeat("é", 65) + `"}`, "name"},
		{"PATCH /v1/rooms/r1/recordings/rec0", `{"state":"bogus"}`, "state"},
		{"PATCH /v1/rooms/r1/recordings/rec0", `{}`, "state"},
		{"POST /v1/rooms/r1/recordings", `{"format":"avi"}`, "format"},
		{"POST /v1/rooms/r1/recordings", `{"segment_s":-1}`, "segment_s"},
		{"POST /v1/rooms/r1/recordings", `{"audio_only":"no"}`, "audio_only"},
		{"POST /v1/rooms/r1/announcements", `{}`, "file"},
		{"POST /v1/rooms/r1/announcements", `{"file":7}`, "file"},
		{"POST /v1/rooms/r1/announcements", `{"file":"a.ogg","gain_db":21}`, "gain_db"},
		{"POST /v1/rooms/r1/announcements", `{"file":"a.ogg","gain_db":"loud"}`, "gain_db"},
		{"POST /v1/rooms/r1/announcements", `{"file":"a.ogg","loop":1}`, "loop"},
		{"PATCH /v1/rooms/r1/announcements/a1", `{"gain_db":-61}`, "gain_db"},
		{"PATCH /v1/rooms/r1/announcements/a1", `{"loop":"yes"}`, "loop"},
		{"PATCH /v1/rooms/r1/announcements/a1", `{"state":"paused"}`, "state"},
		{"PATCH /v1/nodes/node-1", `{"state":"dead"}`, "state"},
		{"POST /v1/tokens", `{"room":"r1"}`, "role"},
		{"POST /v1/tokens", `{"role":"viewer"}`, "room"},
		{"POST /v1/tokens", `{"role":"king","room":"r1"}`, "role"},
		{"POST /v1/tokens", `{"role":"viewer","room":"r1","ttl_s":0}`, "ttl_s"},
		{"POST /v1/tokens", `{"role":"viewer","room":"r1","tenant":"a b"}`, "tenant"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		h.json(method, path, h.admin(), c.body).problem(400, "invalid_field", c.field)
	}
	h.json("POST", "/v1/rooms/r1/recordings", h.admin(), `{"format":"mp4"}`).problem(501, "unsupported_format", "format")
	h.json("POST", "/v1/rooms/r1/recordings", h.admin(), `{"rendition":"uhd"}`).problem(400, "unknown_rendition", "rendition")
	for _, q := range []string{"page_size=0", "page_size=501", "page_size=x", "page_size=-1", "page_token=%25"} {
		field, _, _ := strings.Cut(q, "=")
		for _, list := range []string{"/v1/rooms", "/v1/rooms/r1/participants", "/v1/rooms/r1/recordings", "/v1/rooms/r1/announcements", "/v1/nodes"} {
			h.do("GET", list+"?"+q, h.admin(), "").problem(400, "invalid_query", field)
		}
	}
	for _, name := range []string{"a%00b", "%0a", strings.Repeat("x", 65), "%ff"} {
		for _, door := range []string{"participants", "whip", "whep"} {
			h.offer("/v1/rooms/r1/"+door+"?name="+name, h.admin()).problem(400, "invalid_query", "name")
		}
	}
}

// TestBadOffers tries what no session can come of.
func TestBadOffers(t *testing.T) {
	for _, code := range []string{"invalid_sdp", "no_media", "too_many_tracks", "unsupported_codec", "wrong_direction", "sdp_too_large", "session_failed", "draining"} {
		h := newHarness(t, func(c *Config) { c.AutoCreate = true })
		h.gateway.refuse = codedError(code)
		h.offer("/v1/rooms/r1/participants", h.admin()).problem(problems[code].status, code, "")
		h.do("POST", "/v1/rooms/r1/whip", h.admin(), "hello", "Content-Type: application/sdp").problem(400, "invalid_sdp", "")
		h.do("POST", "/v1/rooms/r1/whip", h.admin(), "", "Content-Type: application/sdp").problem(400, "invalid_sdp", "")
		if n := len(h.rooms.List()); n != 0 {
			t.Errorf("%s left %d rooms behind", code, n)
		}
	}
	h := furnished(t)
	h.gateway.refuse = fmt.Errorf("what nobody expected: %s", secret)
	a := h.offer("/v1/rooms/r1/participants", h.admin()).problem(500, "internal", "")
	if strings.Contains(string(a.body), "expected") {
		t.Error("the inside of the server was told")
	}
}
