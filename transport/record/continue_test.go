package record

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

// goOn lets a recording go on in r, and sends it the film.
func goOn(t *testing.T, m *Manager, r *fakeRoom, was Running, reason string, packets []*codec.Packet) Info {
	t.Helper()
	if err := m.goOn(r, was, reason); err != nil {
		t.Fatal(err)
	}
	r.send(packets...)
	if was.Paused {
		i, err := m.Get(r.id, was.ID)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	rec, err := m.get(r.id, was.ID)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, rec.begun)
	eventually(t, func() bool { return rec.queue.Bytes() == 0 })
	return rec.Info()
}

// running answers the one recording of a room that runs.
func running(t *testing.T, m *Manager, room string) Running {
	t.Helper()
	list := m.Running(room)
	if len(list) != 1 {
		t.Fatalf("%d recordings run in %s: %+v", len(list), room, list)
	}
	return list[0]
}

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

// later is a room on another node, whose clock of packets began so much later.
func later(by time.Duration) *fakeRoom {
	r := newRoom()
	r.created = r.created.Add(by)
	return r
}

// recorded is a recording of the whole film that runs on a node.
func recorded(t *testing.T, m *Manager) (*fakeRoom, Info, Running) {
	t.Helper()
	r, packets := newRoom(), film.Make(t)
	i := begin(t, m, r, Options{}, packets[:20]...)
	r.send(packets[20:]...)
	rec, _ := m.get(i.Room, i.ID)
	eventually(t, func() bool { return rec.queue.Bytes() == 0 && rec.Info().DurationS > 4 })
	return r, i, running(t, m, "demo")
}

// A recording whose node died goes on where the room goes, with its identifier,
// its beginning and a file of the next number, and says what is missing.
func TestGoesOnOnAnotherDisk(t *testing.T) {
	var told events
	_, i, was := recorded(t, open(t, Config{Node: "a"}))
	if was.NextFile != 2 || was.Paused || !was.StartedAt.Equal(i.StartedAt) || was.Format != "webm" || was.Rendition != "hd" {
		t.Errorf("runs as %+v", was)
	}
	b, r := open(t, Config{Node: "b", OnEvent: told.add}), later(10*time.Second)
	goOn(t, b, r, was, GapNodeLost, film.Make(t))
	i = end(t, b, i)
	if i.State != Complete || !i.StartedAt.Equal(was.StartedAt) || len(i.Files) != 1 || !strings.HasSuffix(i.Files[0].Name, i.ID+"-002.webm") {
		t.Errorf("ended as %+v", i)
	}
	webmtest.Check(t, b.path(i, 0), 320, 180, film.Length)
	if !near(i.DurationS, was.DurationS+film.Length.Seconds(), 0.1) {
		t.Errorf("lasts %v s, %v before", i.DurationS, was.DurationS)
	}
	if len(i.Gaps) != 1 || i.Gaps[0].Reason != GapNodeLost || !near(i.Gaps[0].OffsetS, was.DurationS, 0.01) || !near(i.Gaps[0].DurationS, 10-was.DurationS, 0.1) {
		t.Errorf("gaps %+v after %v s", i.Gaps, was.DurationS)
	}
	if got := told.words(); !slices.Equal(got, []string{"recording_updated active", "recording_ended complete"}) {
		t.Errorf("told %v", got)
	}
	again := open(t, Config{Node: "b", Dir: b.cfg.Dir})
	if j, err := again.Get(i.Room, i.ID); err != nil || j.DurationS != i.DurationS || j.EarlierS == 0 {
		t.Errorf("read as %+v, %v", j, err)
	}
}

// With one folder for both, the files of the lost node are repaired and listed,
// and it touches nothing any more once it was fenced.
func TestGoesOnInTheSameFolder(t *testing.T) {
	a := open(t, Config{Node: "a"})
	r, i, was := recorded(t, a)
	index := filepath.Join(a.cfg.Dir, i.Room, i.ID, indexName)
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	file := a.path(i, 0)
	a.Abandon("demo")
	size, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { g, err := a.Get(i.Room, i.ID); return err == nil && g.State == Complete })
	if len(a.Running("demo")) != 0 || r.subscribed() {
		t.Error("it runs still")
	}
	rec, _ := a.get(i.Room, i.ID)
	rec.saveIndex() // as one that was under way would
	after, _ := os.ReadFile(index)
	now, _ := os.Stat(file)
	if !bytes.Equal(before, after) || now.Size() != size.Size() {
		t.Errorf("a fenced node has written: index\n%s\n%s\nfile %d, %d bytes", before, after, size.Size(), now.Size())
	}
	b := open(t, Config{Node: "b", Dir: a.cfg.Dir})
	if len(b.List("demo")) != 0 {
		t.Error("another node's recording is listed, or was repaired, while it runs")
	}
	was.NextFile = 1 // as the store knew it, a file ago
	goOn(t, b, later(10*time.Second), was, GapNodeLost, film.Make(t))
	i = end(t, b, i)
	if len(i.Files) != 2 || i.EarlierS > 0.6 || len(i.Gaps) != 1 || i.Gaps[0].OffsetS < 4 {
		t.Fatalf("ended as %+v", i)
	}
	for n, f := range i.Files {
		webmtest.Check(t, b.path(i, n), 320, 180, time.Duration(f.DurationS*float64(time.Second)))
	}
}

// In a planned move both nodes have the recording for a moment. The old one
// completes its file, tells nobody, and leaves the index to the new one where
// they have one folder.
func TestHandOver(t *testing.T) {
	for _, shared := range []bool{false, true} {
		var told events
		a := open(t, Config{Node: "a", OnEvent: told.add})
		r, i, was := recorded(t, a)
		dir := ""
		if shared {
			dir = a.cfg.Dir
		}
		b := open(t, Config{Node: "b", Dir: dir})
		goOn(t, b, later(film.Length), was, GapMoved, film.Make(t))
		a.HandOver("demo")
		eventually(t, func() bool { return !r.subscribed() && len(a.Running("demo")) == 0 })
		eventually(t, func() bool { g, _ := a.Get(i.Room, i.ID); return g.State == Complete })
		old, _ := a.Get(i.Room, i.ID)
		writer := "a"
		if shared {
			writer = "b"
		}
		rec, _ := a.get(i.Room, i.ID)
		<-rec.done
		if there, err := a.readIndex(rec.dir); err != nil || there.Node != writer || (there.State == Complete) == shared {
			t.Errorf("shared %v: after it was handed over the index is %+v, %v", shared, there, err)
		}
		webmtest.Check(t, a.path(old, 0), 320, 180, film.Length)
		if got := told.words(); !slices.Equal(got, []string{"recording_started active"}) {
			t.Errorf("shared %v: told %v", shared, got)
		}
		rec, _ = b.get(i.Room, i.ID)
		rec.since = rec.since.Add(-settleAfter) // as if it had run for longer
		j := end(t, b, i)
		want := 1
		if shared {
			want = 2
		}
		if len(j.Files) != want || !near(j.DurationS, 2*film.Length.Seconds(), 1) || j.Gaps[0].Reason != GapMoved || j.Gaps[0].DurationS > 1 {
			t.Errorf("shared %v: ended as %+v", shared, j)
		}
		for n, f := range j.Files {
			webmtest.Check(t, b.path(j, n), 320, 180, film.Length)
			if there, err := os.Stat(b.path(j, n)); err != nil || f.Bytes != there.Size() || !near(f.DurationS, film.Length.Seconds(), 0.1) {
				t.Errorf("shared %v: %s is listed as %+v, %v", shared, f.Name, f, err)
			}
		}
		if shared != (j.EarlierS < 0.1) {
			t.Errorf("shared %v: %v s are said to be elsewhere", shared, j.EarlierS)
		}
		indexed, err := b.readIndex(rec.dir)
		if err != nil || indexed.Node != "b" || len(indexed.Files) != want {
			t.Errorf("shared %v: index %+v, %v", shared, indexed, err)
		}
		if shared {
			continue
		}
		// And back again to the first: its own file is there still.
		goOn(t, a, later(3*film.Length), Running{
			ID: i.ID, Format: "webm", Rendition: "gone", StartedAt: was.StartedAt, NextFile: 3, DurationS: 12,
		}, GapMoved, film.Make(t))
		k := end(t, a, i)
		if len(k.Files) != 2 || !strings.HasSuffix(k.Files[1].Name, "-003.webm") || !near(k.DurationS, 18, 0.2) || k.Rendition != "hd" {
			t.Errorf("back: %+v", k)
		}
		if n := len(k.Gaps); n != 1 || k.Gaps[0].Reason != GapMoved || k.Gaps[0].OffsetS != 12 || !near(k.Gaps[0].DurationS, 6, 0.1) {
			t.Errorf("back: gaps %+v", k.Gaps)
		}
	}
}

// A recording that was paused goes on paused, and begins when it is resumed.
func TestGoesOnPaused(t *testing.T) {
	a := open(t, Config{})
	_, i, _ := recorded(t, a)
	if _, err := a.SetState(context.Background(), i.Room, i.ID, "paused"); err != nil {
		t.Fatal(err)
	}
	was := running(t, a, "demo")
	if !was.Paused {
		t.Errorf("%+v", was)
	}
	b, r := open(t, Config{}), later(20*time.Second)
	packets := film.Make(t)
	if g := goOn(t, b, r, was, GapMoved, packets[:40]); g.State != Paused || len(g.Files) != 0 {
		t.Errorf("goes on as %+v", g)
	}
	if next := running(t, b, "demo"); !next.Paused || next.NextFile != 2 || next.DurationS != was.DurationS {
		t.Errorf("runs as %+v, was %+v", next, was)
	}
	if _, err := b.SetState(context.Background(), i.Room, i.ID, "active"); err != nil {
		t.Fatal(err)
	}
	r.send(packets...)
	i = end(t, b, i)
	webmtest.Check(t, b.path(i, 0), 320, 180, film.Length)
}

// One that never gets a frame on the new node is none there; where its folder is
// there already, it is complete with what it has.
func TestGoesOnWithoutAFrame(t *testing.T) {
	a := open(t, Config{Node: "a"})
	_, i, was := recorded(t, a)
	b, r := open(t, Config{Node: "b"}), later(time.Minute)
	if err := b.goOn(r, was, GapNodeLost); err != nil {
		t.Fatal(err)
	}
	if err := b.goOn(r, was, GapNodeLost); err != nil { // asked twice
		t.Fatal(err)
	}
	if len(b.Running("demo")) != 1 {
		t.Error("it does not count as running before its first frame")
	}
	close(r.done)
	nothingLeft(t, b, r)
	a.Abandon("demo")
	eventually(t, func() bool { g, err := a.Get(i.Room, i.ID); return err == nil && g.State == Complete })
	r = later(time.Minute)
	if err := a.goOn(r, was, GapNodeLost); err != nil {
		t.Fatal(err)
	}
	close(r.done)
	eventually(t, func() bool { g, err := a.Get(i.Room, i.ID); return err == nil && g.State == Complete })
	if g, _ := a.Get(i.Room, i.ID); len(g.Files) != 1 {
		t.Errorf("%+v", g)
	}
}

// What cannot go on leaves everything as it was.
func TestWhatDoesNotGoOn(t *testing.T) {
	m, r := open(t, Config{}), newRoom()
	good := Running{ID: "x", Format: "webm", NextFile: 1}
	for _, change := range []func(*Running){
		func(w *Running) { w.ID = "../x" }, func(w *Running) { w.Format = "exe" }, func(w *Running) { w.NextFile = 0 },
		func(w *Running) { w.DurationS = math.NaN() }, func(w *Running) { w.CutS = -1 },
	} {
		was := good
		change(&was)
		if err := m.goOn(r, was, GapMoved); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %v", was, err)
		}
	}
	r.refusing = mixer.ErrRoomClosed
	if err := m.goOn(r, good, GapMoved); !errors.Is(err, mixer.ErrRoomClosed) {
		t.Errorf("closed room: %v", err)
	}
	nothingLeft(t, m, r)
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := m.goOn(newRoom(), good, GapMoved); !errors.Is(err, mixer.ErrDraining) {
		t.Errorf("after Close: %v", err)
	}
}

// A recording that is abandoned before its first frame is given up, too.
func TestAbandonedBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := open(t, Config{}), newRoom()
		failed := make(chan error, 1)
		go func() { _, err := m.start(context.Background(), r, Options{}); failed <- err }()
		synctest.Wait()
		if len(m.Running("demo")) != 0 {
			t.Error("a recording without a frame would go on elsewhere")
		}
		m.Abandon("demo")
		if err := <-failed; !errors.Is(err, mixer.ErrRoomClosed) {
			t.Errorf("Start: %v", err)
		}
		if len(m.List("demo")) != 0 || r.subscribed() {
			t.Errorf("%+v", m.List("demo"))
		}
	})
}
