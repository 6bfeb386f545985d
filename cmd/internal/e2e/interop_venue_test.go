package e2e

import (
	"path/filepath"
	"testing"
)

// venue is a server and where its clients are.
type venue struct {
	*server
	outside place // where the clients are
}

// openVenue starts a server behind such a link.
func openVenue(t *testing.T, l link) *venue {
	t.Helper()
	if l.loss > 0 {
		t.Skip("there is nothing yet that loses packets")
	}
	v := &venue{server: start(t), outside: here}
	room := map[string]any{"canvas": map[string]any{"width": 640, "height": 360, "fps": 30}, "layout": map[string]any{"name": "grid"}}
	if _, err := v.call("PUT", "/v1/rooms/"+interopRoom, room); err != nil {
		t.Fatal(err)
	}
	return v
}

func absolute(t *testing.T, path ...string) string {
	t.Helper()
	found, err := filepath.Abs(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
