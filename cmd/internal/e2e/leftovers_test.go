package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tutti/transport/transporttest"
)

// TestNothingIsLeftBehind lets people come and go in three ways; after that the
// server has as many goroutines and open files as before.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	s := start(t)
	visit(t, s, 0, (*person).leave) // whatever is made once is made now
	var goroutines, files float64
	until(t, patience, func() string {
		if left := len(s.participants(t, "r")); left > 0 {
			return fmt.Sprintf("%d are left", left)
		}
		before := goroutines
		goroutines, files = s.metric(t, "go_goroutines"), s.metric(t, "process_open_fds")
		if goroutines != before {
			return fmt.Sprintf("%v goroutines", goroutines)
		}
		return ""
	})

	offerInVain(t, s)
	for i := range 10 {
		visit(t, s, i, (*person).leave)
		visit(t, s, i, (*person).vanish)
	}
	until(t, patience, func() string {
		left := len(s.participants(t, "r"))
		g, f := s.metric(t, "go_goroutines"), s.metric(t, "process_open_fds")
		if left > 0 || g > goroutines || f > files {
			return fmt.Sprintf("%d people, %v goroutines (there were %v), %v open files (%v)", left, g, goroutines, f, files)
		}
		return ""
	})
}

// visit lets somebody come, send, receive sound and picture, and go.
func visit(t *testing.T, s *server, n int, leave func(*person) error) {
	t.Helper()
	p := s.enter(t, "r", "participants", fmt.Sprintf("Visitor%d", n))
	p.send(t, people[n%len(people)])
	until(t, patience, func() string {
		if packets, pictures := p.counts(); packets == 0 || pictures == 0 {
			return fmt.Sprintf("the visitor has %d packets of sound and %d pictures", packets, pictures)
		}
		return ""
	})
	if err := leave(p); err != nil {
		t.Fatal(err)
	}
}

// offerInVain posts an offer and never connects, and one that nobody can answer.
func offerInVain(t *testing.T, s *server) {
	t.Helper()
	c, err := transporttest.NewClient(transporttest.ClientConfig{Audio: doors["whep"], Video: doors["whep"]})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := c.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{offer: http.StatusCreated, "v=0\r\n": http.StatusUnprocessableEntity} {
		res, err := client.Post(s.url("/v1/rooms/r/whep"), "application/sdp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("the offer %.20q is answered %s", body, res.Status)
		}
	}
}
