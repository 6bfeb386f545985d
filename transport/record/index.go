package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"tutti/mixer"
	"tutti/transport/webm"
)

const (
	indexName    = "recording.json"
	indexTemp    = "recording.json.tmp"
	maxIndexSize = 32 << 20
)

var errIndex = errors.New("not the index of a recording")

// saveIndex replaces the index: it is there whole, old or new, whenever the
// machine stops.
func saveIndex(root *os.Root, dir string, i Info) error {
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	temp := path.Join(dir, indexTemp)
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(temp, path.Join(dir, indexName))
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// parseIndex reads an index and believes nothing that it could not have
// written: names that lead elsewhere, states that there are not.
func parseIndex(data []byte) (Info, error) {
	var i Info
	if err := json.Unmarshal(data, &i); err != nil {
		return Info{}, fmt.Errorf("%w: %w", errIndex, err)
	}
	if !mixer.ValidID(i.ID) || !mixer.ValidID(i.Room) {
		return Info{}, fmt.Errorf("%w: bad identifier", errIndex)
	}
	switch i.State {
	case Starting, Active, Paused, Ending, Complete, Failed:
	default:
		return Info{}, fmt.Errorf("%w: bad state", errIndex)
	}
	for _, f := range i.Files {
		if !validName(i.ID, f.Name) || f.Bytes < 0 || !(f.DurationS >= 0) {
			return Info{}, fmt.Errorf("%w: bad file", errIndex)
		}
	}
	if !(i.EarlierS >= 0) || i.Node != "" && !mixer.ValidID(i.Node) {
		return Info{}, fmt.Errorf("%w: bad origin", errIndex)
	}
	if i.Files == nil {
		i.Files = []File{}
	}
	if i.Gaps == nil {
		i.Gaps = []Gap{}
	}
	return i, nil
}

// validName reports whether a recording can have a file of that name:
// {recording}-{at least three digits}.{webm|mkv}.
func validName(id, name string) bool {
	rest, ok := strings.CutPrefix(name, id+"-")
	number, ext, found := strings.Cut(rest, ".")
	if !ok || !found || ext != "webm" && ext != "mkv" || len(number) < 3 || len(number) > 9 {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}

// load reads all indexes below the root. What cannot be read is left where it
// is and said; it does not keep the rest from being there.
func (m *Manager) load() error {
	names, err := fs.Glob(m.root.FS(), "*/*/"+indexName)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := m.loadOne(path.Dir(name)); err != nil {
			m.cfg.Logger.Warn("recording left out", "folder", path.Dir(name), "error", plain(err))
		}
	}
	return nil
}

func (m *Manager) loadOne(dir string) error {
	i, err := m.readIndex(dir)
	switch {
	case err != nil:
		return err
	case i.State.over():
	case m.cfg.Node != "" && i.Node != "" && i.Node != m.cfg.Node:
		return nil // another node is writing it
	default:
		m.recover(dir, &i)
	}
	m.all[key{i.Room, i.ID}] = &recording{m: m, dir: dir, info: i}
	return nil
}

// readIndex reads the index in a folder.
func (m *Manager) readIndex(dir string) (Info, error) {
	f, err := openRegular(m.root, path.Join(dir, indexName))
	if err != nil {
		return Info{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxIndexSize))
	if err = errors.Join(err, f.Close()); err != nil {
		return Info{}, err
	}
	i, err := parseIndex(data)
	if err == nil && path.Join(i.Room, i.ID) != dir {
		err = fmt.Errorf("%w: it belongs elsewhere", errIndex)
	}
	return i, err
}

// recover completes a recording that ran when the process died.
func (m *Manager) recover(dir string, i *Info) {
	files := m.repairAll(dir, *i)
	i.setFiles(files)
	i.State = Complete
	lasted := i.DurationS + i.cut()
	i.Gaps = append(i.Gaps, Gap{OffsetS: i.DurationS, Reason: GapInterrupted})
	ended := i.StartedAt.Add(time.Duration(lasted * float64(time.Second)))
	i.EndedAt = &ended
	if len(files) == 0 {
		i.State, i.Error = Failed, errNothingPlayed.Error()
	}
	m.cfg.Logger.Info("interrupted recording recovered", "room", i.Room, "recording", i.ID, "state", i.State, "duration_s", i.DurationS)
	if err := saveIndex(m.root, dir, *i); err != nil {
		m.cfg.Logger.Error("recording index not written", "room", i.Room, "recording", i.ID, "error", plain(err))
	}
}

// cut answers how much of the time was cut out: the files join without it.
func (i *Info) cut() (seconds float64) {
	for _, g := range i.Gaps {
		switch g.Reason {
		case GapPaused, GapMoved, GapNodeLost:
			seconds += g.DurationS
		}
	}
	return seconds
}

// repairAll completes all files of a recording that nobody writes, and answers
// those that play.
func (m *Manager) repairAll(dir string, i Info) []File {
	files := []File{}
	for _, name := range m.filesIn(dir, i.ID) {
		f, err := m.repair(dir, name)
		if err != nil {
			m.cfg.Logger.Warn("recording file not repaired", "room", i.Room, "recording", i.ID, "file", name, "error", plain(err))
			continue
		}
		files = append(files, f)
	}
	return files
}

// filesIn answers the names of a recording's files, in order; one that was
// begun after the index was written last is among them.
func (m *Manager) filesIn(dir, id string) []string {
	entries, err := fs.ReadDir(m.root.FS(), dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && validName(id, e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names
}

func (m *Manager) repair(dir, name string) (File, error) {
	f, err := m.root.OpenFile(path.Join(dir, name), os.O_RDWR, 0)
	if err != nil {
		return File{}, err
	}
	st, err := f.Stat()
	if err != nil {
		return File{}, errors.Join(err, f.Close())
	}
	done, err := webm.Repair(f, st.Size())
	if errors.Is(err, webm.ErrEmpty) || errors.Is(err, webm.ErrForeign) {
		return File{}, errors.Join(err, f.Close())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		// It plays as it is; only what Repair adds is missing.
		m.cfg.Logger.Warn("recording file not repaired", "file", name, "error", plain(err))
		return File{Name: name, Bytes: st.Size()}, nil
	}
	return File{name, done.Bytes, done.Duration.Seconds()}, nil
}
