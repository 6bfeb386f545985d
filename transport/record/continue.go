package record

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"tutti/mixer"
)

// Running is what it takes to let a recording go on elsewhere.
type Running struct {
	ID        string
	Format    string // webm or mkv
	Rendition string
	AudioOnly bool
	SegmentS  int
	Paused    bool
	StartedAt time.Time
	// NextFile is a number that no file of it has had yet, from 1.
	NextFile int
	// DurationS is how much there is of it, CutS how much of the time since
	// StartedAt was cut out, by pauses and moves.
	DurationS, CutS float64
}

// settleAfter is how long after a planned move the files of the other node are
// complete for certain, where it has the folder too.
const settleAfter = 10 * time.Second

// Running answers the recordings of a room that run and have begun, the oldest
// first.
func (m *Manager) Running(roomID string) []Running {
	list := []Running{}
	for _, r := range m.running(roomID) {
		if r.begun() || r.continued != "" {
			list = append(list, r.state())
		}
	}
	slices.SortFunc(list, func(a, b Running) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// running answers the recordings of a room whose end nobody has asked for.
func (m *Manager) running(roomID string) (list []*recording) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, r := range m.all {
		if k.room == roomID && r.done != nil && !isClosed(r.stop) && !isClosed(r.done) {
			list = append(list, r)
		}
	}
	return list
}

func (r *recording) state() Running {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := &r.info
	return Running{
		ID: i.ID, Format: i.Format, Rendition: i.Rendition, AudioOnly: i.AudioOnly, SegmentS: int(r.segment / time.Second),
		Paused: i.State == Paused, StartedAt: i.StartedAt, NextFile: r.next, DurationS: i.DurationS, CutS: i.cut() + r.cutElsewhere,
	}
}

// Continue lets a recording go on in a room that has come from another node, in
// a file of the next number. What is missing between is listed as a gap by that
// reason, GapMoved or GapNodeLost. It answers at once; the gap and the file are
// there with the first frame. Where the folder has the recording already its
// index is taken on. One that runs here already is left as it is.
func (m *Manager) Continue(rm *mixer.Room, was Running, reason string) error {
	return m.goOn(mixed{rm}, was, reason)
}

func (m *Manager) goOn(rm room, was Running, reason string) error {
	if !mixer.ValidID(was.ID) || was.Format != "webm" && was.Format != "mkv" || was.NextFile < 1 || !(was.DurationS >= 0) || !(was.CutS >= 0) {
		return fmt.Errorf("record: continue %q: %w", was.ID, ErrFormat)
	}
	settings, _ := rm.Settings()
	if !slices.ContainsFunc(settings.Renditions, func(r mixer.Rendition) bool { return r.Name == was.Rendition }) {
		was.Rendition = settings.Renditions[0].Name
	}
	r := newRecording(m, rm, Options{Format: was.Format, Rendition: was.Rendition, AudioOnly: was.AudioOnly, SegmentS: was.SegmentS}, settings.Audio.Stereo)
	r.dir, r.info.ID, r.continued, r.since = path.Join(rm.ID(), was.ID), was.ID, reason, time.Now()
	k := key{rm.ID(), was.ID}
	m.mu.Lock()
	old := m.all[k]
	switch {
	case m.closed:
		m.mu.Unlock()
		return mixer.ErrDraining
	case old != nil && old.done != nil && !isClosed(old.done):
		m.mu.Unlock()
		return nil
	}
	m.all[k] = r
	m.mu.Unlock()
	r.takeOn(old, was)
	if err := m.enter(r); err != nil {
		m.mu.Lock()
		if delete(m.all, k); old != nil {
			m.all[k] = old
		}
		m.mu.Unlock()
		_, _ = m.root.Remove(r.dir), m.root.Remove(path.Dir(r.dir)) // only where they are empty
		close(r.done)
		return err
	}
	return nil
}

// enter lets a recording that was taken on run.
func (m *Manager) enter(r *recording) error {
	if err := m.root.MkdirAll(r.dir, 0o755); err != nil {
		return failed("make folder", err)
	}
	if r.info.State == Paused {
		r.queue.Pause()
	}
	return m.launch(r)
}

// takeOn begins with what the folder has of the recording, or old knows.
func (r *recording) takeOn(old *recording, was Running) {
	i := r.info
	if found, err := r.m.readIndex(r.dir); err == nil {
		i = found
	} else if old != nil {
		i = old.Info()
	}
	if r.continued == GapNodeLost { // whoever wrote them does so no more
		i.Files = r.m.repairAll(r.dir, i)
	}
	for n := len(i.Gaps); n > 0 && i.Gaps[n-1].DurationS == 0; n-- { // the ends that were none
		i.Gaps = i.Gaps[:n-1]
	}
	total := max(was.DurationS, i.DurationS, i.EarlierS+lasting(i.Files))
	r.before = time.Duration(total * float64(time.Second))
	r.cutElsewhere = max(0, was.CutS-i.cut())
	r.next = was.NextFile
	r.earlier = i.Files
	r.mu.Lock()
	defer r.mu.Unlock()
	i.Room, i.Tenant, i.Format, i.Rendition, i.AudioOnly, i.Node = r.info.Room, r.info.Tenant, was.Format, was.Rendition, was.AudioOnly, r.m.cfg.Node
	i.ID, i.StartedAt, i.EndedAt, i.Error, i.State = was.ID, was.StartedAt, nil, "", Active
	if was.Paused {
		i.State = Paused
	}
	i.EarlierS = max(0, total-lasting(i.Files))
	i.setFiles(i.Files)
	r.info = i
}

func lasting(files []File) (seconds float64) {
	for _, f := range files {
		seconds += f.DurationS
	}
	return seconds
}

// resumed is called with the first packet of a recording that goes on: its time
// says how much was lost.
func (r *recording) resumed(first time.Time) {
	r.update(func(i *Info) {
		lost := first.Sub(i.StartedAt).Seconds() - r.before.Seconds() - i.cut() - r.cutElsewhere
		if len(i.Gaps) < maxGaps {
			i.Gaps = append(i.Gaps, Gap{r.before.Seconds(), max(0, lost), r.continued})
		}
	})
	r.saveIndex()
	r.m.tell(mixer.RecordingUpdated, r.Info())
	close(r.first)
}

// settle lists the files of the node that the recording came from as they are
// at last, where it has the same folder.
func (r *recording) settle() {
	if r.continued != GapMoved || time.Since(r.since) < settleAfter {
		return
	}
	r.earlier = r.earlier[:0:0]
	for _, name := range r.m.filesIn(r.dir, r.info.ID) {
		if slices.ContainsFunc(r.files, func(f File) bool { return f.Name == name }) {
			continue
		}
		if f, err := r.m.repair(r.dir, name); err == nil {
			r.earlier = append(r.earlier, f)
		}
	}
	r.update(func(i *Info) { i.EarlierS = max(0, r.before.Seconds()-lasting(r.earlier)) })
	r.publish()
}

// HandOver ends a room's recordings here, since they go on elsewhere: the files
// are completed, and nobody is told. It does not wait.
func (m *Manager) HandOver(roomID string) {
	for _, r := range m.running(roomID) {
		r.handed.Store(true)
		r.stopNow()
	}
}

// handOver is the end of a recording that goes on elsewhere. Where the other
// node has the same folder the index is its by now.
func (r *recording) handOver() {
	now := time.Now()
	r.update(func(i *Info) {
		if i.State, i.EndedAt = Complete, &now; len(i.Gaps) < maxGaps {
			i.Gaps = append(i.Gaps, Gap{OffsetS: i.DurationS, Reason: GapMoved})
		}
	})
	if there, err := r.m.readIndex(r.dir); err == nil && there.Node != r.m.cfg.Node {
		return
	}
	r.saveIndex()
}

// Abandon ends a room's recordings without another word to the disk: this node
// may write to it no more. It does not wait.
func (m *Manager) Abandon(roomID string) {
	for _, r := range m.running(roomID) {
		r.abandoned.Store(true)
		r.stopNow()
	}
}

// desert is the end of a recording that was abandoned: what was written can be
// had, as far as it goes.
func (r *recording) desert() {
	if s := r.seg; s != nil && !s.closed {
		s.closed = true
		r.files = append(r.files, s.info())
		if err := s.file.Close(); err != nil {
			r.m.cfg.Logger.Warn("recording file not closed", "room", r.info.Room, "recording", r.info.ID, "error", plain(err))
		}
	}
	r.publish()
	now := time.Now()
	r.update(func(i *Info) {
		i.State, i.EndedAt = Complete, &now
		i.Gaps = append(i.Gaps, Gap{OffsetS: i.DurationS, Reason: GapInterrupted})
	})
	if !r.begun() && len(r.earlier) == 0 {
		r.m.mu.Lock()
		delete(r.m.all, key{r.info.Room, r.info.ID})
		r.m.mu.Unlock()
	}
}
