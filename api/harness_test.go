package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"go.uber.org/goleak"

	"tutti/api/auth"
	"tutti/api/events"
	"tutti/api/metrics"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

func TestMain(m *testing.M) {
	for _, t := range []string{typeSDP, typeFragment, typeEvents, "image/png", "image/jpeg", "video/webm", "text/html", "application/yaml"} {
		openapi3filter.RegisterBodyDecoder(t, openapi3filter.FileBodyDecoder)
	}
	os.Exit(m.Run())
}

// harness is a server with real rooms and a faked outer world.
type harness struct {
	t          testing.TB
	server     *Server
	rooms      *mixer.Rooms
	hub        *events.Hub
	gateway    *fakeGateway
	recordings *fakeRecordings
	live       *fakeLive
	sounds     *fakeSounds
	forwarders *fakeForwarders
	key        auth.Key
	log        *lockedBuffer
}

const secret = "a secret that is long enough for HS256"

func newHarness(t testing.TB, change func(*Config)) *harness {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	h := &harness{t: t, gateway: &fakeGateway{sessions: map[sessionKey]*fakeSession{}}, recordings: &fakeRecordings{}, live: &fakeLive{}, sounds: &fakeSounds{}, forwarders: &fakeForwarders{}, log: &lockedBuffer{}}
	h.hub = events.New(events.Config{})
	var err error
	if h.rooms, err = mixer.NewRooms(mixer.Config{Codecs: &mixertest.Codecs{}, OnEvent: h.hub.Publish}); err != nil {
		t.Fatal(err)
	}
	if h.key, err = auth.NewHMAC("k1", []byte(secret)); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.NewVerifier(h.key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Rooms: h.rooms, Gateway: h.gateway, Recordings: h.recordings, Live: h.live, Sounds: h.sounds, Forwarders: h.forwarders, MaxUpload: 200 << 10, Auth: verifier,
		Events: h.hub, Metrics: metrics.New(h.rooms, "test"), Version: "test", Node: "node-1",
		WebPolicy: "default-src 'self'; media-src 'self' blob:",
		Web:       fstest.MapFS{"index.html": {Data: []byte("<!doctype html>hello")}, "lib/a.js": {Data: []byte("export {}")}, "lib/index.html": {Data: []byte("in lib")}},
		Log:       slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	if h.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.server.Close()
		if err := h.rooms.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := goleak.Find(leaks); err != nil {
			t.Error(err)
		}
	})
	return h
}

// token mints a token for a role in a room.
func (h *harness) token(role auth.Role, room string, more ...func(*auth.Grant)) string {
	h.t.Helper()
	g := auth.Grant{Room: room, Role: role}
	for _, f := range more {
		f(&g)
	}
	s, err := auth.Mint(h.key, g, time.Hour, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func tenant(name string) func(*auth.Grant)  { return func(g *auth.Grant) { g.Tenant = name } }
func named(name string) func(*auth.Grant)   { return func(g *auth.Grant) { g.Name = name } }
func subject(name string) func(*auth.Grant) { return func(g *auth.Grant) { g.Subject = name } }

// admin is a token for everything.
func (h *harness) admin() string { return h.token(auth.Admin, "*") }

// answer is a response, read whole.
type answer struct {
	t testing.TB
	*http.Response
	body []byte
	call string
}

// do sends a request; headers are "Name: value". What comes back is held
// against the OpenAPI document.
func (h *harness) do(method, target, token, body string, headers ...string) answer {
	h.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return h.serve(req)
}

// serve answers a request.
func (h *harness) serve(req *http.Request) answer {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, req)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := answer{h.t, res, b, req.Method + " " + req.URL.Path}
	conforms(h.t, req, a)
	return a
}

// json sends a JSON body with its type: a merge patch with PATCH.
func (h *harness) json(method, target, token, body string, headers ...string) answer {
	h.t.Helper()
	mediaType := typeJSON
	if method == "PATCH" {
		mediaType = typeMerge
	}
	return h.do(method, target, token, body, append(headers, "Content-Type: "+mediaType)...)
}

// offer posts an SDP offer.
func (h *harness) offer(target, token string) answer {
	h.t.Helper()
	return h.do("POST", target, token, "v=0\r\n", "Content-Type: application/sdp")
}

// is asserts the status.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.call, a.StatusCode, status, a.body)
	}
	return a
}

// problem asserts an RFC 9457 problem with its code and, where named, field.
func (a answer) problem(status int, code, field string) answer {
	a.t.Helper()
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.Header.Get("Content-Type") != problemType {
		a.t.Fatalf("%s: no problem: %d %s %q", a.call, a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	if a.StatusCode != status || p.Status != status || p.Code != code || p.Field != field || p.Title == "" || p.Type != "urn:tutti:problem:"+code {
		a.t.Fatalf("%s: got %d %+v, want %d %s %q", a.call, a.StatusCode, p, status, code, field)
	}
	return a
}

// into decodes the body.
func (a answer) into(v any) answer {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return a
}

var document3 = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(contract)
})

// operation answers the operation of the OpenAPI document that a request is for.
func operation(t testing.TB, method, path string) (*openapi3.T, string, *openapi3.Operation, *openapi3.PathItem) {
	t.Helper()
	doc, err := document3()
	if err != nil {
		t.Fatal(err)
	}
	best := ""
	for template := range doc.Paths.Map() {
		pattern := regexp.MustCompile(`\\{\w+\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		if regexp.MustCompile("^" + pattern + "$").MatchString(path) {
			best = template
		}
	}
	if best == "" {
		return doc, "", nil, nil
	}
	item := doc.Paths.Value(best)
	return doc, best, item.GetOperation(method), item
}

// conforms holds a response against the OpenAPI document: its status must be
// there, and its body as it says.
func conforms(t testing.TB, req *http.Request, a answer) {
	t.Helper()
	method := req.Method
	doc, path, op, item := operation(t, method, req.URL.EscapedPath())
	if op == nil {
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req,
			Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op},
		},
		Status: a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		t.Errorf("%s %s: %d is not as openapi.yaml says: %v\n%s", method, req.URL.Path, a.StatusCode, err, a.body)
	}
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// codedError is a refusal of a port.
type codedError string

func (e codedError) Error() string { return "fake: " + string(e) }
func (e codedError) Code() string  { return string(e) }

// fakeGateway admits a participant with a tone and a test card.
type fakeGateway struct {
	mu       sync.Mutex
	refuse   error
	sessions map[sessionKey]*fakeSession
	opened   int
}

func (g *fakeGateway) Open(_ context.Context, room *mixer.Room, req SessionRequest) (Session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse != nil {
		return nil, g.refuse
	}
	k := sessionKey{room.ID(), req.ID}
	cfg := mixer.JoinConfig{ID: req.ID, Name: req.Name, Role: req.Role, OnLeave: func(string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.sessions, k)
	}}
	if req.Role != mixer.Viewer {
		cfg.Audio, cfg.Video = &mixertest.Tone{}, &mixertest.Card{}
	}
	if _, err := room.Join(cfg); err != nil {
		return nil, err
	}
	g.opened++
	s := &fakeSession{tag: fmt.Sprintf(`"ice%d"`, g.opened)}
	g.sessions[k] = s
	return s, nil
}

func (g *fakeGateway) Session(room, participant string) (Session, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.sessions[sessionKey{room, participant}]
	return s, ok
}

type fakeSession struct {
	tag      string
	trickled []string
}

func (s *fakeSession) Answer() string { return "v=0\r\na=answer\r\n" }
func (s *fakeSession) ETag() string   { return s.tag }

func (s *fakeSession) Trickle(fragment string) error {
	if !strings.Contains(fragment, "a=") {
		return codedError("invalid_fragment")
	}
	s.trickled = append(s.trickled, fragment)
	return nil
}

func (s *fakeSession) Restart(fragment string) (string, error) {
	if !strings.Contains(fragment, "a=ice-ufrag") {
		return "", codedError("invalid_fragment")
	}
	s.tag = `"restarted"`
	return "a=ice-ufrag:new\r\n", nil
}

// fakeRecordings keeps recordings of one file with ten bytes.
type fakeRecordings struct {
	mu   sync.Mutex
	list []Recording
}

func (f *fakeRecordings) Start(_ context.Context, room *mixer.Room, o RecordingOptions) (Recording, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, _ := room.Settings()
	r := Recording{
		ID: fmt.Sprintf("rec%d", len(f.list)), Room: room.ID(), Tenant: s.Tenant, State: "active", Format: o.Format,
		StartedAt: time.Now(), Files: []RecordingFile{{Name: "001.webm", Bytes: 10}},
	}
	f.list = append(f.list, r)
	return r, nil
}

func (f *fakeRecordings) List(room string) (list []Recording) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.list {
		if r.Room == room {
			list = append(list, r)
		}
	}
	return list
}

func (f *fakeRecordings) find(room, id string) (int, error) {
	for i, r := range f.list {
		if r.Room == room && r.ID == id {
			return i, nil
		}
	}
	return 0, codedError("recording_not_found")
}

func (f *fakeRecordings) Get(room, id string) (Recording, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.find(room, id)
	if err != nil {
		return Recording{}, err
	}
	return f.list[i], nil
}

func (f *fakeRecordings) SetState(_ context.Context, room, id, state string) (Recording, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.find(room, id)
	if err != nil {
		return Recording{}, err
	}
	if f.list[i].State == "complete" {
		return Recording{}, codedError("invalid_state")
	}
	f.list[i].State = state
	if state == "ending" {
		now := time.Now()
		f.list[i].State, f.list[i].EndedAt = "complete", &now
	}
	return f.list[i], nil
}

func (f *fakeRecordings) Delete(room, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.find(room, id)
	if err != nil {
		return err
	}
	if f.list[i].State != "complete" {
		return codedError("recording_running")
	}
	f.list = append(f.list[:i], f.list[i+1:]...)
	return nil
}

type closableReader struct{ *strings.Reader }

func (closableReader) Close() error { return nil }

func (f *fakeRecordings) Open(string, string, string) (io.ReadSeekCloser, error) {
	return closableReader{strings.NewReader("0123456789")}, nil
}

// fakeLive streams two clusters, or fails.
type fakeLive struct{ fail error }

func (f *fakeLive) Stream(_ context.Context, _ *mixer.Room, w io.Writer, flush func()) error {
	if f.fail != nil {
		return f.fail
	}
	for range 2 {
		if _, err := io.WriteString(w, "cluster"); err != nil {
			return err
		}
		flush()
	}
	return nil
}
