package announce

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	inside, good := filepath.Join(dir, "in"), toneFile(monoWAV, 440, 0.5, 2000)
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Mkdir(inside, 0o700), os.Mkdir(filepath.Join(inside, "folder.wav"), 0o700),
		syscall.Mkfifo(filepath.Join(inside, "pipe.wav"), 0o600),
		os.Symlink("../outside.wav", filepath.Join(inside, "link-out.wav")),
		os.Symlink("good.wav", filepath.Join(inside, "link-in.wav")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write("outside.wav", good)
	write("in/good.wav", good)
	write("in/.hidden.wav", good)
	write("in/notes.txt", good)
	write("in/bad.ogg", []byte("no sound"))
	write("in/large.wav", append(good, make([]byte, 8000)...))
	f, err := OpenFolder(inside, Limits{Bytes: int64(len(good))})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]error{
		"good.wav": nil, "link-in.wav": nil, "link-out.wav": ErrNotFound, "pipe.wav": ErrNotFound, "folder.wav": ErrNotFound,
		"none.wav": ErrNotFound, "notes.txt": ErrNotFound, ".hidden.wav": ErrNotFound, "../outside.wav": ErrNotFound,
		"../in/good.wav": ErrNotFound, filepath.Join(inside, "good.wav"): ErrNotFound, "": ErrNotFound, ".wav": ErrNotFound, "good.wav\x00": ErrNotFound,
		"bad.ogg": ErrInvalid, "large.wav": ErrTooLarge, strings.Repeat("x", 300) + ".wav": ErrNotFound,
	} {
		p, err := f.File(name)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err == nil && len(play(p, 1)) == 0 {
			t.Errorf("%q has no sound", name)
		}
	}
	if p, err := f.Sound(good); err != nil || len(play(p, 1)) == 0 {
		t.Errorf("a file that was sent: %v", err)
	}
	if _, err := f.Sound(append(good, 0)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestNoFolder(t *testing.T) {
	f, err := OpenFolder("", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.File("good.wav"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenFolder(filepath.Join(t.TempDir(), "none"), Limits{}); err == nil {
		t.Error("a folder that is not there was opened")
	}
}
