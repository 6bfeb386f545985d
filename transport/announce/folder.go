package announce

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"syscall"
)

// Folder plays the files of one folder, and nothing outside it. Its methods may
// be called from any goroutine.
type Folder struct {
	root   *os.Root // nil: there is no folder
	limits Limits
}

// OpenFolder answers the files of a folder; with an empty name there are none.
// The folder must be there.
func OpenFolder(dir string, limits Limits) (*Folder, error) {
	f := &Folder{limits: limits.orDefaults()}
	if dir == "" {
		return f, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("announce: open the folder: %w", err)
	}
	f.root = root
	return f, nil
}

// fileName is what a file may be called: no path, nothing hidden.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\.(ogg|opus|wav)$`)

// File answers a player of a file by its name, or an *Error.
func (f *Folder) File(name string) (*Player, error) {
	if f.root == nil {
		return nil, ErrNotFound.because("the server has no folder of announcements")
	}
	if !fileName.MatchString(name) {
		return nil, ErrNotFound.because("names are letters, digits and ._- with .ogg, .opus or .wav")
	}
	data, err := f.read(name)
	if err != nil {
		return nil, err
	}
	return Open(data, f.limits)
}

// Sound answers a player of a file's content, which is the player's from now on,
// or an *Error.
func (f *Folder) Sound(data []byte) (*Player, error) { return Open(data, f.limits) }

// Close gives the folder up. Players go on.
func (f *Folder) Close() error {
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// read reads a file whole. What is no file, such as a pipe, is not waited for.
func (f *Folder) read(name string) ([]byte, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("announce: open a file: %w", err)
	}
	if err != nil { // it is not there, or is a link to the outside
		return nil, ErrNotFound.because(name)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("announce: look at a file: %w", err)
	case !info.Mode().IsRegular():
		return nil, ErrNotFound.because(name + " is no file")
	case info.Size() > f.limits.Bytes:
		return nil, ErrTooLarge.because(fmt.Sprintf("at most %d bytes are taken", f.limits.Bytes))
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(file, data) // what grows meanwhile is read as it was
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("announce: read a file: %w", err)
	}
	return data[:n], nil
}
