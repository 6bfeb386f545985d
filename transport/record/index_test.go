package record

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tutti/transport/webm/webmtest"
)

func TestRecordingsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	m, r := open(t, Config{Dir: dir}), newRoom()
	i := end(t, m, begin(t, m, r, Options{}, film.Make(t)[:100]...))
	again := open(t, Config{Dir: dir})
	got, err := again.Get(i.Room, i.ID)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(i)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Errorf("read %s, written %s", b, a)
	}
	if l := again.List(i.Room); len(l) != 1 {
		t.Errorf("%d listed", len(l))
	}
	if e, _ := os.ReadDir(filepath.Join(dir, i.Room, i.ID)); len(e) != 2 {
		t.Errorf("the folder holds %v", e)
	}
	if err := again.Delete(i.Room, i.ID); err != nil {
		t.Error(err)
	}
}

// recordUntilKilled records at the pace of a room, for ever.
func recordUntilKilled(dir string) {
	m, err := New(Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	r := newRoom()
	long := film
	long.Length = 20 * time.Second
	packets := long.Make(&testing.B{})
	began := time.Now()
	go func() {
		for {
			if r.subscribed() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		for _, p := range packets {
			time.Sleep(time.Until(began.Add(p.PTS - film.From)))
			r.send(p)
			_ = os.WriteFile(filepath.Join(dir, "sent"), []byte((p.PTS - film.From).String()), 0o600)
		}
	}()
	if _, err := m.start(context.Background(), r, Options{}); err != nil {
		panic(err)
	}
	select {}
}

func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TUTTI_RECORD_UNTIL_KILLED="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var sent time.Duration
	defer func() { t.Log(out.String()) }()
	eventually(t, func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "sent"))
		sent, _ = time.ParseDuration(string(b))
		return sent > 3500*time.Millisecond
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b, _ := os.ReadFile(filepath.Join(dir, "sent"))
	if d, err := time.ParseDuration(string(b)); err == nil {
		sent = d
	}
	files, _ := filepath.Glob(filepath.Join(dir, "demo", "*", "*.webm"))
	if len(files) != 1 {
		t.Fatalf("files %v\n%s", files, out.String())
	}
	webmtest.Check(t, files[0], 320, 180, 0) // as it was left

	m := open(t, Config{Dir: dir})
	l := m.List("demo")
	if len(l) != 1 || l[0].State != Complete || l[0].EndedAt == nil || len(l[0].Files) != 1 {
		t.Fatalf("recovered %+v", l)
	}
	i := l[0]
	if lost := sent.Seconds() - i.DurationS; lost > 2 {
		t.Errorf("%.3f s were lost", lost)
	}
	if n := len(i.Gaps); n == 0 || i.Gaps[n-1].Reason != GapInterrupted {
		t.Errorf("gaps %+v", i.Gaps)
	}
	webmtest.Check(t, m.path(i, 0), 320, 180, time.Duration(i.DurationS*float64(time.Second)))
	if f, err := m.Open(i.Room, i.ID, i.Files[0].Name); err != nil {
		t.Error(err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingPlayableIsFailed(t *testing.T) {
	dir := t.TempDir()
	i := Info{ID: "x", Room: "demo", State: Active, Format: "webm"}
	folder := filepath.Join(dir, "demo", "x")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(i)
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(indexName, data)
	write("x-001.webm", []byte("garbage"))
	got, err := open(t, Config{Dir: dir}).Get("demo", "x")
	if err != nil || got.State != Failed || got.Error == "" || len(got.Files) != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestBadIndexesAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	for name, index := range map[string]string{
		"a": `{`, "b": `{"id":"other","room":"demo","state":"complete"}`,
		"c": `{"id":"c","room":"demo","state":"complete","files":[{"name":"../../../etc/passwd"}]}`,
		"d": `{"id":"d","room":"demo","state":"dancing"}`,
		"e": `{"id":"e","room":"demo","state":"complete"}`,
	} {
		folder := filepath.Join(dir, "demo", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, indexName), []byte(index), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, Config{Dir: dir}).List("demo")
	if len(l) != 1 || l[0].ID != "e" {
		t.Errorf("listed %+v", l)
	}
}

func FuzzIndex(f *testing.F) {
	whole, _ := json.Marshal(Info{
		ID: "20260504T030201-abcdef", Room: "demo", State: Complete, Format: "webm",
		Files: []File{{"20260504T030201-abcdef-001.webm", 1000, 2.5}}, Gaps: []Gap{{1, 2, GapPaused}},
	})
	f.Add(whole)
	f.Add([]byte(`{"id":"a","room":"b","state":"active","files":[{"name":"a-001.webm/../x"}]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := parseIndex(data)
		if err != nil {
			return
		}
		for _, file := range i.Files {
			if strings.ContainsAny(file.Name, "/\\\x00") || strings.HasPrefix(file.Name, ".") || file.Bytes < 0 {
				t.Fatalf("believed %+v", file)
			}
		}
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseIndex(b)
		if err != nil || !reflect.DeepEqual(again.Files, i.Files) || again.State != i.State {
			t.Fatalf("read back %+v, %v", again, err)
		}
	})
}
