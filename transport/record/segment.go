package record

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"tutti/codec"
	"tutti/transport/webm"
)

// file is what a recording needs of the disk.
type file interface {
	webm.File
	Sync() error
	Close() error
}

func createFile(root *os.Root, name string) (file, error) {
	return root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

// openRegular opens a file for reading, and nothing but a file.
func openRegular(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, os.ErrNotExist
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(os.ErrNotExist, f.Close())
	}
	return f, nil
}

// segment is one file of a recording, being written.
type segment struct {
	name          string
	file          file
	w             *webm.Writer
	from          time.Duration // its 0 on the recording's timeline
	synced        time.Duration
	width, height int
	closed        bool
}

// newSegment begins the next file with p, which lies at that time.
func (r *recording) newSegment(p *codec.Packet, at time.Duration) (*segment, error) {
	s := &segment{from: at, synced: at, width: p.Width, height: p.Height}
	if err := r.createFile(s); err != nil {
		return nil, err
	}
	var err error
	s.w, err = webm.NewFile(s.file, webm.Config{
		Width: p.Width, Height: p.Height, Channels: r.channels,
		DocType: docType(r.info.Format), Date: r.room.CreatedAt().Add(p.PTS),
	})
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// createFile makes the file of the next number that is not taken: another node
// may have made one meanwhile, where it has the folder too.
func (r *recording) createFile(s *segment) (err error) {
	for range 100 {
		s.name = fmt.Sprintf("%s-%03d.%s", r.info.ID, r.next, r.info.Format)
		s.file, err = r.m.cfg.create(r.m.root, path.Join(r.dir, s.name))
		r.mu.Lock()
		r.next++
		r.mu.Unlock()
		if r.continued == "" || !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return err
}

// write adds a packet and reports whether the file has grown.
func (s *segment) write(p *codec.Packet, at, syncEvery time.Duration) (grown bool, err error) {
	had := s.w.Bytes()
	if err := s.w.Write(p, at-s.from); err != nil {
		return false, err
	}
	if s.w.Bytes() == had {
		return false, nil
	}
	if syncEvery > 0 && at-s.synced >= syncEvery {
		s.synced = at
		if err := s.file.Sync(); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (s *segment) info() File {
	return File{s.name, s.w.Bytes(), s.w.Duration().Seconds()}
}

// closeSegment completes the file that is being written, if there is one.
func (r *recording) closeSegment() error {
	s := r.seg
	if s == nil || s.closed {
		return nil
	}
	s.closed = true
	err := s.w.Close()
	if serr := s.file.Sync(); err == nil {
		err = serr
	}
	if cerr := s.file.Close(); err == nil {
		err = cerr
	}
	r.files = append(r.files, s.info())
	return err
}
