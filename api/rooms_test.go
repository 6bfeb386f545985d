package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tutti/api/auth"
	"tutti/mixer"
)

func TestAnEmptyBodyMakesARoom(t *testing.T) {
	h := newHarness(t, nil)
	for i, send := range []func(string) answer{
		func(path string) answer { return h.do("PUT", path, h.admin(), "") },
		func(path string) answer { return h.json("PUT", path, h.admin(), "{}") },
		func(path string) answer { return h.json("PUT", path, h.admin(), "") },
		func(path string) answer {
			return h.do("PUT", path, h.admin(), "{}", "Content-Type: application/json; charset=utf-8")
		},
	} {
		path := fmt.Sprintf("/v1/rooms/r%d", i)
		var room roomResource
		a := send(path).is(201).into(&room)
		want := roomResource{ID: fmt.Sprintf("r%d", i), Settings: mixer.DefaultSettings(), State: "active", Node: "node-1", CreatedAt: room.CreatedAt}
		if diff := cmp.Diff(want, room); diff != "" {
			t.Error(diff)
		}
		if a.Header.Get("Location") != path || a.Header.Get("Content-Length") != fmt.Sprint(len(a.body)) || !strings.HasPrefix(a.Header.Get("ETag"), `"`) {
			t.Errorf("headers %v", a.Header)
		}
		again := h.do("GET", path, h.admin(), "").is(200)
		if string(again.body) != string(a.body) || again.Header.Get("ETag") != a.Header.Get("ETag") {
			t.Errorf("read back:\n%s\n%s", a.body, again.body)
		}
	}
}

func TestPostChoosesTheIdentifier(t *testing.T) {
	h := newHarness(t, nil)
	var room roomResource
	a := h.do("POST", "/v1/rooms", h.admin(), "").is(201).into(&room)
	if !mixer.ValidID(room.ID) || a.Header.Get("Location") != "/v1/rooms/"+room.ID {
		t.Errorf("id %q, Location %q", room.ID, a.Header.Get("Location"))
	}
	h.do("GET", a.Header.Get("Location"), h.admin(), "").is(200)
	h.json("POST", "/v1/rooms", h.token(auth.Admin, "r1"), "{}").problem(403, "forbidden", "")
}

// settingsOf reads a room's settings.
func (h *harness) settingsOf(room string) mixer.Settings {
	h.t.Helper()
	var r roomResource
	h.do("GET", "/v1/rooms/"+room, h.admin(), "").is(200).into(&r)
	return r.Settings
}

func TestPutReplacesAndPatchMerges(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"title":"A","kind":"k","canvas":{"width":640,"height":360},"metadata":{"a":"1","b":"2"}}`).is(201)
	want := mixer.DefaultSettings()
	want.Title, want.Kind, want.Metadata = "A", "k", map[string]string{"a": "1", "b": "2"}
	want.Canvas.Width, want.Canvas.Height = 640, 360
	want.Renditions[0].Width, want.Renditions[0].Height = 640, 360
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, h.settingsOf("r1")); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("create")

	h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"title":"B","metadata":{"a":null,"c":"3"},"canvas":{"fps":15}}`).is(200)
	want.Title, want.Metadata = "B", map[string]string{"b": "2", "c": "3"}
	want.Canvas.FPS, want.Renditions[0].FPS = 15, 15
	check("merge")

	h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"canvas":null,"title":null,"renditions":[{"bitrate_bps":700000}]}`).is(200)
	want.Canvas, want.Title = mixer.DefaultSettings().Canvas, ""
	want.Renditions = mixer.DefaultSettings().Renditions
	want.Renditions[0].BitrateBPS = 700000
	check("null")

	h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"canvas":{"width":320,"height":180}}`).is(200)
	want.Canvas.Width, want.Canvas.Height = 320, 180
	want.Renditions[0].Width, want.Renditions[0].Height = 320, 180
	check("rendition follows")

	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"purpose":"live"}`).is(200)
	want = mixer.DefaultSettings()
	want.Purpose = "live"
	check("replace")
}

// TestWhatIsReadCanBeWrittenBack holds that a room, as it is answered, is a
// body that PUT and PATCH take and that changes nothing.
func TestWhatIsReadCanBeWrittenBack(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"tenant":"t","title":"A","layout":{"name":"grid","max_tiles":4}}`).is(201)
	before := h.settingsOf("r1")
	body := string(h.do("GET", "/v1/rooms/r1", h.admin(), "").body)
	h.json("PUT", "/v1/rooms/r1", h.admin(), body).is(200)
	h.json("PATCH", "/v1/rooms/r1", h.admin(), body).is(200)
	if diff := cmp.Diff(before, h.settingsOf("r1")); diff != "" {
		t.Error(diff)
	}
	l := h.do("GET", "/v1/rooms/r1/layout", h.admin(), "").is(200)
	h.json("PUT", "/v1/rooms/r1/layout", h.admin(), string(l.body)).is(200)
	if diff := cmp.Diff(before, h.settingsOf("r1")); diff != "" {
		t.Error(diff)
	}
}

func TestRoomPreconditions(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}", "If-Match: *").problem(412, "precondition_failed", "")
	first := h.json("PUT", "/v1/rooms/r1", h.admin(), "{}", "If-None-Match: *").is(201).Header.Get("ETag")
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}", "If-None-Match: *").problem(412, "precondition_failed", "")
	second := h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"title":"A"}`, "If-Match: "+first).is(200).Header.Get("ETag")
	if first == second {
		t.Error("the ETag did not change")
	}
	for _, tag := range []string{first, "W/" + second, strings.Trim(second, `"`), `""`, "bogus", second + "x"} {
		h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"title":"B"}`, "If-Match: "+tag).problem(412, "precondition_failed", "")
		h.json("PUT", "/v1/rooms/r1", h.admin(), `{"title":"B"}`, "If-Match: "+tag).problem(412, "precondition_failed", "")
		h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"grid"}`, "If-Match: "+tag).problem(412, "precondition_failed", "")
		h.do("DELETE", "/v1/rooms/r1", h.admin(), "", "If-Match: "+tag).problem(412, "precondition_failed", "")
	}
	third := h.json("PUT", "/v1/rooms/r1/layout", h.admin(), `{"name":"grid"}`, "If-Match: "+first+", "+second).is(200).Header.Get("ETag")
	if got := h.do("GET", "/v1/rooms/r1", h.admin(), "").Header.Get("ETag"); got != third || third == second {
		t.Errorf("layout's ETag %s, room's %s, before %s", third, got, second)
	}
	h.do("DELETE", "/v1/rooms/r1", h.admin(), "", "If-Match: "+third).is(200)
	h.do("DELETE", "/v1/rooms/r1", h.admin(), "").problem(404, "room_not_found", "")
	anew := h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201).Header.Get("ETag")
	if anew == first {
		t.Error("a room that was made anew has the old one's ETag")
	}
}

func TestRoomsAreListed(t *testing.T) {
	h := newHarness(t, nil)
	for i := range 7 {
		body := fmt.Sprintf(`{"tenant":"t%d","kind":"k%d"}`, i%2, i%3)
		h.json("PUT", fmt.Sprintf("/v1/rooms/r%d", i), h.admin(), body).is(201)
	}
	list := func(query, token string) (ids []string, next string) {
		t.Helper()
		var page struct {
			Rooms []roomResource `json:"rooms"`
			Next  string         `json:"next_page_token"`
		}
		h.do("GET", "/v1/rooms?"+query, token, "").is(200).into(&page)
		for _, r := range page.Rooms {
			ids = append(ids, r.ID)
		}
		return ids, page.Next
	}
	expect := func(query, token string, want ...string) {
		t.Helper()
		if got, _ := list(query, token); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	expect("", h.admin(), "r0", "r1", "r2", "r3", "r4", "r5", "r6")
	expect("tenant=t1", h.admin(), "r1", "r3", "r5")
	expect("tenant=t1&kind=k0", h.admin(), "r3")
	expect("tenant=", h.admin())
	expect("purpose=", h.admin(), "r0", "r1", "r2", "r3", "r4", "r5", "r6")
	expect("state=draining", h.admin())
	expect("node=node-2", h.admin())
	expect("node=node-1&state=active&kind=k1", h.admin(), "r1", "r4")
	expect("", h.token(auth.Admin, "r3"), "r3")
	expect("", h.token(auth.Admin, "*", tenant("t0")), "r0", "r2", "r4", "r6")

	var all []string
	token := ""
	for {
		part, next := list("page_size=3&page_token="+token, h.admin())
		all = append(all, part...)
		if next == "" {
			break
		}
		h.do("DELETE", "/v1/rooms/"+part[0], h.admin(), "").is(200) // what goes between pages shifts nothing
		token = next
	}
	if want := []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6"}; !slices.Equal(all, want) {
		t.Errorf("pages gave %v", all)
	}
}

// TestTenantsAreApart tries every route of one tenant's room with the other's
// tokens.
func TestTenantsAreApart(t *testing.T) {
	h := newHarness(t, nil)
	own := h.token(auth.Admin, "*", tenant("t1"))
	h.json("PUT", "/v1/rooms/r1", own, `{}`).is(201)
	if got := h.settingsOf("r1").Tenant; got != "t1" {
		t.Errorf("tenant %q", got)
	}
	h.json("POST", "/v1/rooms/r1/recordings", own, `{}`).is(201)
	h.offer("/v1/rooms/r1/participants", own).is(201)
	h.json("PUT", "/v1/rooms/r2", own, `{"tenant":"t2"}`).problem(403, "forbidden", "tenant")
	h.json("PATCH", "/v1/rooms/r1", h.admin(), `{"tenant":"t2"}`).problem(400, "invalid_field", "tenant")
	other := h.token(auth.Admin, "*", tenant("t2"))
	h.json("PUT", "/v1/rooms/r1", other, `{}`).problem(409, "room_exists", "")
	for _, r := range h.server.routes() {
		if !strings.Contains(r.path, ":room") || r.method == "PUT" && r.path == roomPath {
			continue
		}
		body, mediaType := goodBody(r)
		a := h.do(r.method, h.sample(r.path), other, body, "Content-Type: "+mediaType)
		if a.StatusCode != 404 && a.StatusCode != 501 {
			t.Errorf("%s: %d %s", a.call, a.StatusCode, a.body)
		}
	}
	var page struct{ Rooms []any }
	h.do("GET", "/v1/rooms", other, "").is(200).into(&page)
	if len(page.Rooms) != 0 {
		t.Errorf("the other tenant sees %v", page.Rooms)
	}
}

func TestDraining(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	h.do("GET", "/readyz", "", "").is(200)
	h.json("PATCH", "/v1/nodes/node-1", h.admin(), `{"state":"draining"}`).is(200)
	if a := h.do("GET", "/readyz", "", "").problem(503, "draining", ""); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.do("GET", "/healthz", "", "").is(200)
	if a := h.json("PUT", "/v1/rooms/r2", h.admin(), "{}").problem(503, "draining", ""); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"title":"goes on"}`).is(200)
	var nodes struct {
		Nodes []nodeResource `json:"nodes"`
	}
	h.do("GET", "/v1/nodes", h.admin(), "").is(200).into(&nodes)
	if len(nodes.Nodes) != 1 || nodes.Nodes[0].State != "draining" || nodes.Nodes[0].Rooms != 1 {
		t.Errorf("%+v", nodes)
	}
	h.json("PATCH", "/v1/nodes/node-1", h.admin(), `{"state":"active"}`).is(200)
	h.json("PUT", "/v1/rooms/r2", h.admin(), "{}").is(201)
	for _, g := range []string{h.token(auth.Admin, "r1"), h.token(auth.Admin, "*", tenant("t"))} {
		h.do("GET", "/v1/nodes", g, "").problem(403, "forbidden", "")
		h.json("PATCH", "/v1/nodes/node-1", g, `{"state":"draining"}`).problem(403, "forbidden", "")
	}
}

func TestLayoutTellsTiles(t *testing.T) {
	h := furnished(t)
	var l layoutResource
	h.do("GET", "/v1/rooms/r1/layout", h.admin(), "").is(200).into(&l)
	if l.Name != "auto" || l.Tiles == nil {
		t.Errorf("%+v", l)
	}
	h.json("PUT", "/v1/rooms/r1/layout", h.token(auth.Moderator, "r1"), `{"name":"grid","max_tiles":4}`).is(200).into(&l)
	if l.Name != "grid" || l.MaxTiles != 4 || h.settingsOf("r1").Layout.MaxTiles != 4 {
		t.Errorf("%+v", l)
	}
	r, err := h.rooms.Get("r1")
	if err != nil {
		t.Fatal(err)
	}
	r.Participants()[0].Activate()
	h.do("GET", "/v1/rooms/r1/layout", h.admin(), "").is(200).into(&l)
	want := []tileResource{{Participant: "p1", Width: 1280, Height: 720, Fit: "cover"}}
	if diff := cmp.Diff(want, l.Tiles); diff != "" {
		t.Error(diff)
	}
}

// FuzzRoomBody holds that no body of a room makes the server fail or leaves a
// room behind where it is refused, and that what it accepts is valid.
func FuzzRoomBody(f *testing.F) {
	for _, s := range []string{
		`{}`, ``, `{"canvas":{"width":640,"height":360}}`, `{"renditions":[{}]}`, `{"renditions":null}`, `[]`,
		`{"layout":{"name":"grid","max_tiles":3}}`, `{"metadata":{"a":null}}`, `{"canvas":null}`, `{"audio":{"stereo":true}}`,
	} {
		f.Add([]byte(s))
	}
	h := newHarness(f, nil)
	token := h.admin()
	f.Fuzz(func(t *testing.T, body []byte) {
		h := *h
		h.t = t
		a := h.json("PUT", "/v1/rooms/r1", token, string(body))
		switch {
		case a.StatusCode == 201:
			s := h.settingsOf("r1")
			if err := s.Validate(); err != nil {
				t.Errorf("%q made %v", body, err)
			}
			h.do("DELETE", "/v1/rooms/r1", token, "").is(200)
		case a.StatusCode/100 != 4 && a.StatusCode != 501:
			t.Errorf("%q: %d %s", body, a.StatusCode, a.body)
		}
		if len(h.rooms.List()) != 0 {
			t.Fatal("a room is left")
		}
	})
}

// FuzzMergePatch holds that merging is what RFC 7396 says, by its own
// pseudocode written down once more, and that patching a room never fails.
func FuzzMergePatch(f *testing.F) {
	for _, s := range []string{`{"title":"x"}`, `{"canvas":{"width":640,"height":null}}`, `{"metadata":{"a":"b","x":null}}`, `{"renditions":[{"name":"a"}]}`, `{"layout":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		patch, err := parseDocument(body)
		if err != nil {
			return
		}
		base := mixer.DefaultSettings()
		base.Metadata = map[string]string{"x": "y"}
		want, err := json.Marshal(reference(toDocument(base), patch))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(mergePatch(toDocument(base), patch))
		if err != nil || string(got) != string(want) {
			t.Fatalf("%s: got %s, want %s (%v)", body, got, want, err)
		}
		sent, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := patchSettings(base, patch); err == nil {
			if err := s.Validate(); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		} else if p := problemOf(err); p.Status != 400 && p.Status != 501 {
			t.Errorf("%s: %+v", body, p)
		}
		if after, _ := json.Marshal(patch); string(after) != string(sent) {
			t.Errorf("the patch was changed: %s, was %s", after, sent)
		}
	})
}

// reference is MergePatch of RFC 7396, section 2, line by line.
func reference(target, patch any) any {
	object, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := map[string]any{}
	if t, ok := target.(map[string]any); ok {
		for k, v := range t {
			result[k] = v
		}
	}
	for k, v := range object {
		if v == nil {
			delete(result, k)
		} else {
			result[k] = reference(result[k], v)
		}
	}
	return result
}
