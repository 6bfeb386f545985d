package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/mixertest"
)

// recording is one that was started by REST.
type recording struct {
	s                 *server
	path              string // of its resource
	begun             time.Time
	shortest, longest time.Duration // what was asked for, once it was stopped
}

// recordingResource is what the API tells of a recording, as far as tests ask.
type recordingResource struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Started  time.Time `json:"started_at"`
	Duration float64   `json:"duration_s"`
	Bytes    int64     `json:"bytes"`
	Files    []struct {
		Name string `json:"name"`
	} `json:"files"`
}

// record starts a recording of a room.
func (s *server) record(t *testing.T, room string) *recording {
	t.Helper()
	r := ask[recordingResource](t, s, http.MethodPost, "/v1/rooms/"+room+"/recordings", map[string]any{"format": "webm"})
	if r.Started.IsZero() || r.State != "active" && r.State != "starting" {
		t.Fatalf("the recording begins as %+v", r)
	}
	return &recording{s: s, path: "/v1/rooms/" + room + "/recordings/" + r.ID, begun: r.Started}
}

func (r *recording) get(t *testing.T) recordingResource {
	t.Helper()
	return ask[recordingResource](t, r.s, http.MethodGet, r.path, nil)
}

// stop ends the recording and waits until its file is complete.
func (r *recording) stop(t *testing.T) {
	t.Helper()
	asked := time.Now()
	if _, err := r.s.call(http.MethodPatch, r.path, map[string]any{"state": "ending"}); err != nil {
		t.Fatal(err)
	}
	r.shortest, r.longest = asked.Sub(r.begun), time.Since(r.begun)
	until(t, patience, func() string {
		if state := r.get(t).State; state != "complete" {
			return "the recording is " + state
		}
		return ""
	})
}

// download writes the recording's one file to a folder and answers its path.
func (r *recording) download(t *testing.T) string {
	t.Helper()
	files := r.get(t).Files
	if len(files) != 1 {
		text, _ := r.s.call(http.MethodGet, r.path, nil)
		t.Fatalf("the recording has %d files: %s", len(files), text)
	}
	body, err := r.s.call(http.MethodGet, r.path+"/files/"+files[0].Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), files[0].Name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// program answers what a program prints, and fails the test where it fails or
// complains.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("%s: %v\n%s", name, err, &complaints)
	}
	return out.Bytes()
}

// checkFile checks that a file has just one VP8 and one Opus of the right size
// and length, and that all of it can be decoded.
func checkFile(t *testing.T, path string, width, height int, shortest, longest time.Duration) {
	t.Helper()
	var probe struct {
		Streams []struct {
			Kind   string `json:"codec_type"`
			Codec  string `json:"codec_name"`
			Width  int    `json:"width"`
			Height int    `json:"height"`
		} `json:"streams"`
		Format struct {
			Duration string `json:"duration"`
		} `json:"format"`
	}
	text := output(t, "ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", path)
	if err := json.Unmarshal(text, &probe); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range probe.Streams {
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s %dx%d", s.Kind, s.Codec, s.Width, s.Height), " 0x0"))
	}
	want := []string{fmt.Sprintf("video vp8 %dx%d", width, height), "audio opus"}
	if len(got) == 2 && strings.HasPrefix(got[0], "audio") {
		got[0], got[1] = got[1], got[0]
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the file has the streams %q, not %q", got, want)
	}
	seconds, err := strconv.ParseFloat(probe.Format.Duration, 64)
	if err != nil {
		t.Fatalf("the file does not tell its length: %s", text)
	}
	const tolerance = 200 * time.Millisecond
	if d := time.Duration(seconds * float64(time.Second)); d < shortest-tolerance || d > longest+tolerance {
		t.Errorf("the file lasts %v, not %v to %v", d, shortest, longest)
	}
	output(t, "ffmpeg", "-v", "error", "-i", path, "-f", "null", "-")
}

// soundOf answers how to listen to the last second of a file.
func soundOf(t *testing.T, path string) func([]float64) []float64 {
	t.Helper()
	raw := output(t, "ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", "48000", "-f", "f32le", "-")
	raw = raw[max(0, len(raw)-4*pcm.Rate):]
	sound := make([]float32, len(raw)/4)
	for i := range sound {
		sound[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return func(frequencies []float64) []float64 {
		found := make([]float64, len(frequencies))
		for i, hz := range frequencies {
			found[i] = mixertest.Goertzel(sound, hz)
		}
		return found
	}
}

// readEvents answers the events that a stream has kept.
func readEvents(t *testing.T, url string) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	// The stream goes on; what is kept comes at once.
	timer := time.AfterFunc(time.Second, cancel)
	defer timer.Stop()
	var events []event
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	return events
}
