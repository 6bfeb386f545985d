package webm_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tutti/codec"
	"tutti/transport/webm"
	"tutti/transport/webm/webmtest"
)

var film = webmtest.Film{
	Width: 320, Height: 180, FPS: 15, Length: 5 * time.Second,
	From: time.Hour, KeyEvery: 1700 * time.Millisecond, VideoLate: 60 * time.Millisecond,
}

// write puts packets through a timeline into a writer.
func write(t testing.TB, w *webm.Writer, packets []*codec.Packet, video bool) {
	t.Helper()
	line := webm.NewTimeline(video, 0)
	for _, p := range packets {
		line.Push(p)
		drain(t, line, w)
	}
	line.Pause()
	drain(t, line, w)
}

func drain(t testing.TB, line *webm.Timeline, w *webm.Writer) {
	t.Helper()
	for {
		p, at, ok := line.Next()
		if !ok {
			return
		}
		if err := w.Write(p, at); err != nil {
			t.Fatal(err)
		}
	}
}

func create(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f.webm"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

var video = webm.Config{Width: 320, Height: 180, Channels: 1, Date: time.Unix(1700000000, 0)}

func TestFilePlays(t *testing.T) {
	for _, docType := range []string{webm.WebM, webm.Matroska} {
		f := create(t)
		cfg := video
		cfg.DocType = docType
		w, err := webm.NewFile(f, cfg)
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, film.Make(t), true)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		webmtest.Check(t, f.Name(), 320, 180, film.Length)
		for _, d := range webmtest.Sync(t, f.Name()) {
			if d.Abs() > 20*time.Millisecond {
				t.Errorf("sound is %v from its picture", d)
			}
		}
		if st, _ := f.Stat(); st.Size() != w.Bytes() {
			t.Errorf("file has %d bytes, writer says %d", st.Size(), w.Bytes())
		}
		if d := w.Duration() - film.Length; d.Abs() > 100*time.Millisecond {
			t.Errorf("writer says %v", w.Duration())
		}
	}
}

func TestSoundOnlyPlays(t *testing.T) {
	f := create(t)
	w, err := webm.NewFile(f, webm.Config{Channels: 2})
	if err != nil {
		t.Fatal(err)
	}
	only := webmtest.Film{Length: 3 * time.Second, From: time.Minute}
	write(t, w, only.Make(t), false)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	webmtest.Check(t, f.Name(), 0, 0, only.Length)
}

func TestStreamPlays(t *testing.T) {
	f := create(t)
	// No file behind it: only Write is there to be used.
	w, err := webm.NewStream(struct{ io.Writer }{f}, video)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, film.Make(t), true)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	webmtest.Check(t, f.Name(), 320, 180, 0)
}

// pieces notes how a file is written to.
type pieces struct {
	*os.File
	appended [][]byte
	end      int64
}

func (p *pieces) WriteAt(b []byte, at int64) (int, error) {
	if at == p.end {
		p.appended = append(p.appended, bytes.Clone(b))
		p.end += int64(len(b))
	}
	return p.File.WriteAt(b, at)
}

func TestClustersAreWrittenWholeAndShort(t *testing.T) {
	p := &pieces{File: create(t)}
	w, err := webm.NewFile(p, video)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, film.Make(t), true)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	clusters := p.appended[1 : len(p.appended)-1] // header, clusters, cues
	if len(clusters) < 6 || len(clusters) > 9 {
		t.Errorf("%d writes for 5 s with 3 key frames, want one for each cluster", len(clusters))
	}
	for i, c := range clusters {
		if !bytes.HasPrefix(c, []byte{0x1F, 0x43, 0xB6, 0x75}) {
			t.Errorf("write %d does not begin with a cluster: % x", i, c[:8])
		}
	}
}

func TestSeekingFindsEachKeyFrame(t *testing.T) {
	f := create(t)
	w, err := webm.NewFile(f, video)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, film.Make(t), true)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	// SeekHead first in the segment, at the front, and a cue for each key frame.
	if i := bytes.Index(data, []byte{0x11, 0x4D, 0x9B, 0x74}); i < 0 || i > 100 {
		t.Errorf("seek head at %d", i)
	}
	if i := bytes.LastIndex(data, []byte{0x1C, 0x53, 0xBB, 0x6B}); i < 0 || bytes.Count(data[i:], []byte{0xBB}) < 3 {
		t.Errorf("cues at %d of %d", i, len(data))
	}
}

var errDisk = errors.New("no space")

// full is a disk that takes so many bytes and no more, and tears what comes then.
type full struct {
	*os.File
	left int64
}

func (f *full) WriteAt(b []byte, at int64) (int, error) {
	if st, err := f.Stat(); err == nil && at+int64(len(b)) > st.Size() {
		grows := at + int64(len(b)) - st.Size()
		if grows > f.left {
			n, _ := f.File.WriteAt(b[:int64(len(b))-grows+f.left], at)
			f.left = 0
			return n, errDisk
		}
		f.left -= grows
	}
	return f.File.WriteAt(b, at)
}

func TestFullDiskLeavesAPlayableFile(t *testing.T) {
	packets := film.Make(t)
	f := &full{File: create(t), left: 15000}
	w, err := webm.NewFile(f, video)
	if err != nil {
		t.Fatal(err)
	}
	line := webm.NewTimeline(true, 0)
	for _, p := range packets {
		line.Push(p)
		for q, at, ok := line.Next(); ok; q, at, ok = line.Next() {
			_ = w.Write(q, at)
		}
	}
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Fatalf("Close: %v", err)
	}
	if w.Duration() < time.Second || w.Duration() > 4500*time.Millisecond {
		t.Fatalf("the test is of no use: %v fitted", w.Duration())
	}
	webmtest.Check(t, f.Name(), 320, 180, w.Duration())
	if err := w.Write(packets[0], 0); !errors.Is(err, webm.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}
