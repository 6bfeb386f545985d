package router

import (
	"bufio"
	"net/url"
	"strings"
	"testing"

	"tutti/api"
	"tutti/mixer"
)

func tokenOf(id string) string { return api.PageToken(id) }

// FuzzDestination holds that a path leads to one room at most, and that what is
// sent on means the same.
func FuzzDestination(f *testing.F) {
	for _, path := range []string{
		"/v1/rooms/r1", "/v1/rooms/%721/whip", "/v1/rooms/%2572", "/v1/rooms/", "/v1/rooms//participants", "/v1/rooms/r1/../r2", "/v1/rooms/r1%2Fwhip",
		"/v1/rooms/r1/participants/%zz", "/v1/rooms/%", "/v1/rooms/re\u0301", "/v1/rooms", "/v1/tokens", "/v1/rooms/r1;a/whip", "/v1/rooms/r1/",
	} {
		f.Add("POST", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		d, err := destinationOf(method, path)
		if err != nil {
			return
		}
		if (d.room != "") != strings.HasPrefix(path, roomsPath) || d.room != "" && !mixer.ValidID(d.room) {
			t.Fatalf("%q leads to %q", path, d.room)
		}
		if d.room == "" {
			return
		}
		rest := strings.TrimPrefix(path, roomsPath)
		text, _, _ := strings.Cut(rest, "/")
		if once, err := url.PathUnescape(text); err != nil || once != d.room || rest != text+d.rest {
			t.Fatalf("%q is room %q and %q", path, d.room, d.rest)
		}
		if d.joins && !d.makes || d.makes && method != "PUT" && method != "POST" {
			t.Fatalf("%s %q: %+v", method, path, d)
		}
	})
}

// FuzzPosition holds that what is read as a position is written so again.
func FuzzPosition(f *testing.F) {
	for _, text := range []string{"a.x.1", "a.x.1,b.y.2", "a..0", "", ",", "a.b.18446744073709551615", "a.b.18446744073709551616", "a.b.+1", "a.b.01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(text)
		if err != nil {
			return
		}
		again, err := parsePosition(p.String())
		if err != nil || again.String() != p.String() || len(again) != len(p) {
			t.Fatalf("%q: %q: %v", text, p, err)
		}
	})
}

// FuzzEvents holds that any stream is read to its end, and no event is made of
// what has no number.
func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: a\ndata: {}\n\n")
	f.Add("retry: 1\n\n: alive\n\nid: 2\r\nevent: b\r\ndata: x\r\n\r\n")
	f.Add("event: a\ndata: x\n\nid: -1\nevent: a\ndata: x\n\nid: 5\n\n")
	f.Add("id: 1\nevent: a\ndata: " + strings.Repeat("x", 70<<10) + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := bufio.NewReaderSize(strings.NewReader(text), 1<<10)
		for n := 0; ; n++ {
			e, err := readEvent(lines)
			if err != nil {
				return
			}
			if e.kind == "" || e.data == "" || !strings.Contains(text, "id") || n > len(text) {
				t.Fatalf("%+v", e)
			}
		}
	})
}

func TestEventsAreRead(t *testing.T) {
	lines := bufio.NewReader(strings.NewReader("retry: 1\n\n: alive\n\nevent: lost\ndata: no number\n\nid: 7\nevent: a\ndata: {\"x\": 1}\n\nid:8\nevent:b\ndata:y\n\nid: 9\nevent: cut"))
	for _, want := range []event{{total: 7, kind: "a", data: `{"x": 1}`}, {total: 8, kind: "b", data: "y"}} {
		if e, err := readEvent(lines); err != nil || e != want {
			t.Errorf("%+v, want %+v: %v", e, want, err)
		}
	}
	if e, err := readEvent(lines); err == nil {
		t.Errorf("%+v of half an event", e)
	}
}
