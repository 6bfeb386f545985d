package guest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestDoor(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", r.Header.Get("Authorization"), " ", string(body)))
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/v1/rooms/r%201/participants/p1")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "answer")
		case r.Method == http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	d := &Door{Base: server.URL + "/", Room: "r 1", Token: "word"}
	place, err := d.Join(t.Context(), Offer{SDP: "offer", Name: "Ada & co", Resumes: "p0"})
	if want := (Place{Participant: "p1", Location: server.URL + "/v1/rooms/r%201/participants/p1", Answer: "answer"}); err != nil || place != want {
		t.Fatalf("%+v %v", place, err)
	}
	d.Entrance = "whep"
	if _, err := d.Join(t.Context(), Offer{SDP: "offer"}); err != nil {
		t.Error(err)
	}
	refusal, ok := errors.AsType[*Refusal](d.Look(t.Context(), place.Location))
	if !ok || refusal.Status != http.StatusNotFound {
		t.Error(refusal)
	}
	if err := d.Leave(t.Context(), place.Location); err != nil {
		t.Error(err)
	}
	want := []string{
		"POST /v1/rooms/r%201/participants?name=Ada+%26+co&resumes=p0 application/sdp Bearer word offer",
		"POST /v1/rooms/r%201/whep application/sdp Bearer word offer",
		"GET /v1/rooms/r%201/participants/p1  Bearer word ",
		"DELETE /v1/rooms/r%201/participants/p1  Bearer word ",
	}
	for i := range max(len(want), len(asked)) {
		if i >= len(asked) || i >= len(want) || asked[i] != want[i] {
			t.Fatalf("asked %q", asked)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		forGood bool
		text    string
	}{
		{403, `{"code":"forbidden","detail":"not you"}`, true, "join: 403 Forbidden: forbidden: not you"},
		{422, `<html>`, true, "join: 422 Unprocessable Entity"},
		{503, `{"code":"draining","detail":"later"}`, false, "join: 503 Service Unavailable: draining: later"},
		{409, `{}`, false, "join: 409 Conflict"},
		{202, ``, false, `join: the answer names no session: 202 Accepted, Location ""`},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		d := &Door{Base: server.URL, Room: "r"}
		_, err := d.Join(t.Context(), Offer{SDP: "offer"})
		if errors.Is(err, ErrRefused) != c.forGood || err == nil || err.Error() != c.text {
			t.Errorf("%d: %v", c.status, err)
		}
		if r, ok := errors.AsType[*Refusal](err); ok && r.RetryAfter != 3*time.Second {
			t.Errorf("%d: wait %v", c.status, r.RetryAfter)
		}
		server.Close()
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "2": 2 * time.Second, "x": 0, "-1": 0, "99999999": time.Hour,
		begin.Add(5 * time.Second).Format(http.TimeFormat): 5 * time.Second,
		begin.Add(-time.Minute).Format(http.TimeFormat):    0,
	} {
		if got := retryAfter(value, begin); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
