package e2e

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// lostByKill is the most of a recording that a killed server may lose.
const lostByKill = 2 * time.Second

// TestRecordingEndings ends servers in the middle of a recording, in good order
// and not.
func TestRecordingEndings(t *testing.T) {
	t.Run("SIGTERM", func(t *testing.T) {
		t.Parallel()
		s, r := recorded(t)
		asked := time.Now()
		if code := s.terminate(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		shortest, longest := asked.Sub(r.begun), time.Since(r.begun)
		// The file itself: a server that starts would repair it.
		files, err := filepath.Glob(filepath.Join(s.dir, "data", "recordings", "r", "*", "*.webm"))
		if err != nil || len(files) != 1 {
			t.Fatalf("the recording has the files %v, %v", files, err)
		}
		checkFile(t, files[0], 640, 360, shortest, longest)
		s.run()
		if state := r.get(t).State; state != "complete" {
			t.Errorf("after a restart the recording is %s", state)
		}
	})
	t.Run("kill -9", func(t *testing.T) {
		t.Parallel()
		s, r := recorded(t)
		killed := time.Since(r.begun)
		s.kill()
		s.run()
		list := ask[struct{ Recordings []recordingResource }](t, s, http.MethodGet, "/v1/rooms/r/recordings", nil)
		if len(list.Recordings) != 1 || "/v1/rooms/r/recordings/"+list.Recordings[0].ID != r.path {
			t.Fatalf("after a restart there are the recordings %+v", list.Recordings)
		}
		if state := list.Recordings[0].State; state != "complete" {
			t.Errorf("after a restart the recording is %s", state)
		}
		checkFile(t, r.download(t), 640, 360, killed-lostByKill, killed+patience)
	})
}

// midCluster is in the middle of a cluster, which lasts a second: what is not
// written by then is missed.
const midCluster = 7600 * time.Millisecond

// recorded answers a server with a room of one, and its recording, which is
// in the middle of a cluster.
func recorded(t *testing.T) (*server, *recording) {
	t.Helper()
	s := start(t)
	if _, err := s.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Fatal(err)
	}
	s.enter(t, "r", "participants", red.name).send(t, red)
	r := s.record(t, "r")
	until(t, patience, func() string {
		lasts := time.Since(r.begun)
		return wrongIf(lasts < midCluster, "the recording lasts %v", lasts)
	})
	return s, r
}
