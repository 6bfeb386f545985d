package record

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

func TestRecordingPlays(t *testing.T) {
	var told events
	m, r := open(t, Config{OnEvent: told.add}), newRoom()
	packets := film.Make(t)
	i := begin(t, m, r, Options{}, packets[:20]...)
	if i.State != Active || i.Format != "webm" || i.Rendition != "hd" || i.Room != "demo" {
		t.Errorf("started as %+v", i)
	}
	if !i.StartedAt.Equal(r.created.Add(film.From)) {
		t.Errorf("started at %v, want the first frame's %v", i.StartedAt, r.created.Add(film.From))
	}
	if !r.cfg.Continuous {
		t.Error("not subscribed to a continuous output")
	}
	r.send(packets[20:]...)
	i = end(t, m, i)
	if i.State != Complete || i.EndedAt == nil || len(i.Files) != 1 || len(i.Gaps) != 0 {
		t.Errorf("ended as %+v", i)
	}
	if math.Abs(i.DurationS-film.Length.Seconds()) > 0.1 || i.Bytes == 0 || i.Bytes != i.Files[0].Bytes {
		t.Errorf("lasts %v s, %d bytes", i.DurationS, i.Bytes)
	}
	webmtest.Check(t, m.path(i, 0), 320, 180, film.Length)
	for _, d := range webmtest.Sync(t, m.path(i, 0)) {
		if d.Abs() > 20*time.Millisecond {
			t.Errorf("sound is %v from its picture", d)
		}
	}
	if got := told.words(); !slices.Equal(got, []string{"recording_started active", "recording_ended complete"}) {
		t.Errorf("told %v", got)
	}
}

func TestSoundOnly(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	packets := webmtest.Film{Length: 3 * time.Second}.Make(t)
	i := begin(t, m, r, Options{AudioOnly: true, Format: "mkv"}, packets[:5]...)
	r.send(packets[5:]...)
	if r.cfg.Video {
		t.Error("subscribed to pictures")
	}
	i = end(t, m, i)
	webmtest.Check(t, m.path(i, 0), 0, 0, 3*time.Second)
}

func TestRoomCloses(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	packets := film.Make(t)
	i := begin(t, m, r, Options{}, packets...)
	close(r.done)
	eventually(t, func() bool { g, _ := m.Get(i.Room, i.ID); return g.State == Complete })
	i, _ = m.Get(i.Room, i.ID)
	webmtest.Check(t, m.path(i, 0), 320, 180, film.Length)
	if _, err := m.SetState(context.Background(), i.Room, i.ID, "ending"); !errors.Is(err, ErrInvalidState) {
		t.Errorf("ended again: %v", err)
	}
}

func TestPause(t *testing.T) {
	var told events
	m, r := open(t, Config{OnEvent: told.add}), newRoom()
	packets := film.Make(t)
	at := func(d time.Duration) int {
		return slices.IndexFunc(packets, func(p *codec.Packet) bool { return p.PTS >= film.From+d })
	}
	i := begin(t, m, r, Options{}, packets[:at(time.Second)]...)
	if g, err := m.SetState(context.Background(), i.Room, i.ID, "paused"); err != nil || g.State != Paused {
		t.Fatalf("pause: %v %v", g.State, err)
	}
	r.send(packets[at(time.Second):at(3*time.Second)]...)
	before := r.keysAsked()
	if _, err := m.SetState(context.Background(), i.Room, i.ID, "active"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return r.keysAsked() > before })
	r.send(packets[at(3*time.Second):]...)
	i = end(t, m, i)
	// Key frames come at 0, 2 and 4 s: one second, and the last two.
	webmtest.Check(t, m.path(i, 0), 320, 180, 3*time.Second)
	for _, d := range webmtest.Sync(t, m.path(i, 0)) {
		if d.Abs() > 20*time.Millisecond {
			t.Errorf("sound is %v from its picture", d)
		}
	}
	if len(i.Gaps) != 1 || i.Gaps[0].Reason != GapPaused || math.Abs(i.Gaps[0].OffsetS-1) > 0.1 || math.Abs(i.Gaps[0].DurationS-3) > 0.1 {
		t.Errorf("gaps %+v", i.Gaps)
	}
	want := []string{
		"recording_started active", "recording_updated paused", "recording_updated active",
		"recording_updated", "recording_ended complete",
	}
	got := told.words()
	if len(got) != len(want) || !strings.HasPrefix(got[3], want[3]) {
		t.Errorf("told %v", got)
	}
}

func TestNewFiles(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	long := film
	long.Length = 13 * time.Second
	packets := long.Make(t)
	bigger := film
	bigger.Width, bigger.Height, bigger.From = 640, 360, film.From+13*time.Second
	packets = append(packets, bigger.Make(t)...)
	i := begin(t, m, r, Options{SegmentS: 5}, packets...)
	i = end(t, m, i)
	var lengths []float64
	for n, f := range i.Files {
		lengths = append(lengths, math.Round(f.DurationS*10)/10)
		w, h := 320, 180
		if n == 3 {
			w, h = 640, 360
		}
		webmtest.Check(t, m.path(i, n), w, h, time.Duration(f.DurationS*float64(time.Second)))
		for _, d := range webmtest.Sync(t, m.path(i, n)) {
			if d.Abs() > 20*time.Millisecond {
				t.Errorf("file %d: sound is %v from its picture", n, d)
			}
		}
	}
	if !slices.Equal(lengths, []float64{6, 6, 1, 6}) && !slices.Equal(lengths, []float64{6, 6, 1, 6.1}) {
		t.Errorf("files last %v", lengths)
	}
	if r.keysAsked() == 0 {
		t.Error("no key frame was asked for when a file was due")
	}
}

func TestSlowDisk(t *testing.T) {
	g := &gate{}
	m := open(t, Config{QueueBytes: 12000, create: func(root *os.Root, name string) (file, error) {
		f, err := createFile(root, name)
		g.file = f
		return g, err
	}})
	r := newRoom()
	busy := film
	busy.Length, busy.KeyEvery = 12*time.Second, time.Second
	packets := busy.Make(t)
	cut := slices.IndexFunc(packets, func(p *codec.Packet) bool { return p.PTS >= film.From+2*time.Second })
	back := slices.IndexFunc(packets, func(p *codec.Packet) bool { return p.PTS >= film.From+8*time.Second })
	i := begin(t, m, r, Options{}, packets[:20]...)
	pace := func(packets []*codec.Packet) {
		for _, p := range packets {
			r.send(p)
			eventually(t, func() bool { rec, _ := m.get(i.Room, i.ID); return rec.queue.Bytes() == 0 })
		}
	}
	pace(packets[20:cut])
	g.mu.Lock() // the disk stands still, and the room does not notice
	r.send(packets[cut:back]...)
	g.mu.Unlock()
	pace(packets[back:])
	i = end(t, m, i)
	webmtest.Check(t, m.path(i, 0), 320, 180, busy.Length)
	if len(i.Gaps) == 0 || i.Gaps[0].Reason != GapVideo && i.Gaps[0].Reason != GapAudio {
		t.Errorf("gaps %+v", i.Gaps)
	}
	for _, g := range i.Gaps {
		if g.OffsetS < 2 || g.OffsetS+g.DurationS > 10 {
			t.Errorf("gap %+v", g)
		}
	}
	if r.keysAsked() == 0 {
		t.Error("no key frame was asked for")
	}
	if i.State != Complete {
		t.Errorf("state %v", i.State)
	}
}

func TestFullDisk(t *testing.T) {
	var told events
	m := open(t, Config{OnEvent: told.add, create: func(root *os.Root, name string) (file, error) {
		f, err := createFile(root, name)
		return &small{f, 15000}, err
	}})
	r := newRoom()
	packets := film.Make(t)
	i := begin(t, m, r, Options{}, packets[:30]...)
	r.send(packets[30:]...)
	eventually(t, func() bool { g, _ := m.Get(i.Room, i.ID); return g.State == Failed })
	eventually(t, func() bool { return !r.subscribed() })
	i, _ = m.Get(i.Room, i.ID)
	if !strings.Contains(i.Error, "no space left on device") || strings.Contains(i.Error, "secret") {
		t.Errorf("error %q", i.Error)
	}
	if i.DurationS < 1 || i.DurationS > 5.5 {
		t.Fatalf("the test is of no use: %v s fitted", i.DurationS)
	}
	webmtest.Check(t, m.path(i, 0), 320, 180, time.Duration(i.DurationS*float64(time.Second)))
	eventually(t, func() bool {
		return slices.Equal(told.words(), []string{"recording_started active", "recording_ended failed"})
	})
}

func TestDiskFailsAtOnce(t *testing.T) {
	m := open(t, Config{create: func(*os.Root, string) (file, error) {
		return nil, &os.PathError{Op: "open", Path: "/secret", Err: syscall.EROFS}
	}})
	r := newRoom()
	go func() {
		eventually(t, r.subscribed)
		r.send(film.Make(t)[:20]...)
	}()
	_, err := m.start(context.Background(), r, Options{})
	if !errors.Is(err, ErrFailed) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Start: %v", err)
	}
	nothingLeft(t, m, r)
}

func nothingLeft(t *testing.T, m *Manager, r *fakeRoom) {
	t.Helper()
	// It is off the list before its folder is removed.
	eventually(t, func() bool {
		e, _ := os.ReadDir(m.cfg.Dir)
		return len(m.List("demo")) == 0 && len(e) == 0
	})
	if r.subscribed() {
		t.Error("still subscribed")
	}
}

func TestNoPictureComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := open(t, Config{}), newRoom()
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			r.send(webmtest.Film{Length: time.Second}.Make(t)...)
		}()
		_, err := m.start(context.Background(), r, Options{})
		if !errors.Is(err, ErrFailed) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		synctest.Wait()
		nothingLeft(t, m, r)
	})
}

func TestStartIsGivenUp(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { eventually(t, r.subscribed); cancel() }()
	if _, err := m.start(ctx, r, Options{}); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrFailed) {
		t.Errorf("Start: %v", err)
	}
	nothingLeft(t, m, r)
}

func TestWhatStartRefuses(t *testing.T) {
	m, r := open(t, Config{MaxRunning: 1}), newRoom()
	try := func(o Options) error { _, err := m.start(context.Background(), r, o); return err }
	if err := try(Options{Format: "mp4"}); !errors.Is(err, ErrFormat) {
		t.Errorf("format: %v", err)
	}
	if err := try(Options{Rendition: "uhd"}); !errors.Is(err, ErrRendition) {
		t.Errorf("rendition: %v", err)
	}
	var field *mixer.FieldError
	if err := try(Options{SegmentS: -1}); !errors.As(err, &field) || field.Field != "segment_s" {
		t.Errorf("segment: %v", err)
	}
	r.refusing = mixer.ErrRoomClosed
	if err := try(Options{}); !errors.Is(err, mixer.ErrRoomClosed) {
		t.Errorf("closed room: %v", err)
	}
	nothingLeft(t, m, r)
	r.refusing = nil
	begin(t, m, r, Options{}, film.Make(t)[:20]...)
	if err := try(Options{}); !errors.Is(err, ErrTooMany) || ErrTooMany.Code() != "too_many_recordings" {
		t.Errorf("second: %v", err)
	}
}

func TestDeleteAndOpen(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	packets := film.Make(t)
	i := begin(t, m, r, Options{}, packets...)
	if err := m.Delete(i.Room, i.ID); !errors.Is(err, ErrRunning) {
		t.Errorf("delete while it runs: %v", err)
	}
	if err := m.Delete(i.Room, "other"); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete another: %v", err)
	}
	i = end(t, m, i)
	f, err := m.Open(i.Room, i.ID, i.Files[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Seek(0, io.SeekEnd); err != nil || n != i.Bytes {
		t.Errorf("%d bytes, %v, want %d", n, err, i.Bytes)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Delete(i.Room, i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(i.Room, i.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	nothingLeft(t, m, r)
}

func TestNoWayOutOfTheFolder(t *testing.T) {
	dir := t.TempDir()
	m, r := open(t, Config{Dir: filepath.Join(dir, "data")}), newRoom()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := end(t, m, begin(t, m, r, Options{}, film.Make(t)[:60]...))
	name := i.Files[0].Name
	for _, try := range [][3]string{
		{i.Room, i.ID, "../../../secret"},
		{i.Room, i.ID, "..%2f..%2fsecret"},
		{i.Room, i.ID, "/etc/passwd"},
		{i.Room, i.ID, indexName},
		{i.Room, i.ID, ""},
		{i.Room, i.ID, "."},
		{i.Room, i.ID, "./" + name},
		{i.Room, "../" + i.Room + "/" + i.ID, name},
		{"../data/" + i.Room, i.ID, name},
		{i.Room, i.ID, name + "\x00"},
	} {
		if f, err := m.Open(try[0], try[1], try[2]); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q): %v %v", try, f, err)
		}
	}
	// A link in the place of a file is not followed, in or out.
	for _, to := range []string{filepath.Join(dir, "secret"), indexName} {
		p := m.path(i, 0)
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, p); err != nil {
			t.Fatal(err)
		}
		if f, err := m.Open(i.Room, i.ID, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(link to %s): %v %v", to, f, err)
		}
	}
}

func TestCloseEndsAll(t *testing.T) {
	m := open(t, Config{})
	packets := film.Make(t)
	var rooms []*fakeRoom
	var infos []Info
	for _, id := range []string{"a", "b"} {
		r := newRoom()
		r.id = id
		rooms = append(rooms, r)
		infos = append(infos, begin(t, m, r, Options{}, packets...))
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for n, i := range infos {
		i, err := m.Get(i.Room, i.ID)
		if err != nil || i.State != Complete || rooms[n].subscribed() {
			t.Errorf("%+v %v", i, err)
		}
		webmtest.Check(t, m.path(i, 0), 320, 180, film.Length)
	}
	if _, err := m.start(context.Background(), newRoom(), Options{}); !errors.Is(err, mixer.ErrDraining) {
		t.Errorf("Start after Close: %v", err)
	}
}
