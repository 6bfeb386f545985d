package api

import (
	"crypto/subtle"
	"hash/maphash"
	"maps"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

const (
	// seqStep is in what steps the directory learns how far a room's events have
	// come: it promises a number that is at least one step ahead, and is written
	// again after as many.
	seqStep = 256
	// durationStep is in what steps it learns how long a recording is, in seconds.
	durationStep = 5
)

// Describe answers what the directory is to know of a room, and a number that is
// another one whenever that is. While nothing changes it makes nothing anew.
func (h *host) Describe(room string) (cluster.Room, uint64, bool) {
	now := h.s.cfg.Now()
	h.mu.Lock()
	n := h.homes[room]
	if n == nil || n.room == nil || n.left {
		h.mu.Unlock()
		return cluster.Room{}, 0, false
	}
	r, created, rule, last, version := n.room, n.created, n.rule, n.described, n.version
	var kept map[string]cluster.Attributes // never written after Restore
	if now.Before(n.keptUntil) {
		kept = n.kept
	}
	h.mu.Unlock()
	v := h.view(r, len(kept))
	if v.version == version {
		return last, version, true
	}
	last = v.describe(created, kept)
	last.Rule = rule
	h.mu.Lock()
	n.described, n.version = last, v.version
	h.mu.Unlock()
	return last, v.version, true
}

// view is a room as it is now, before it is written out.
type view struct {
	room       *mixer.Room
	settings   mixer.Settings
	people     []mixer.Attributes
	bearers    [][32]byte // of them; zero without a token
	recordings []cluster.Recording
	forwarders []cluster.Forwarder
	seq        uint64
	version    uint64
}

func (h *host) view(r *mixer.Room, kept int) view {
	v := view{room: r, people: r.Attributes()}
	var settled uint64
	v.settings, settled = r.Settings()
	v.bearers = h.s.owners.bearers(r.ID(), v.people)
	if h.s.cfg.Running != nil {
		v.recordings = h.s.cfg.Running.Running(r.ID())
	}
	if h.s.cfg.Forwarding != nil {
		v.forwarders = h.s.cfg.Forwarding.Running(r.ID())
	}
	v.seq = (h.s.cfg.Events.LastOf(r.ID())/seqStep + 2) * seqStep
	d := digest(1)
	d.add(settled, v.seq, uint64(kept))
	for i, p := range v.people {
		d.text(p.ID)
		d.add(p.Version)
		d.text(string(v.bearers[i][:]))
	}
	for _, rec := range v.recordings {
		paused := uint64(0)
		if rec.Paused {
			paused = 1
		}
		d.text(rec.ID)
		d.add(uint64(rec.NextFile), paused, uint64(rec.DurationS/durationStep), uint64(rec.CutS))
	}
	for _, f := range v.forwarders { // nothing of one changes
		d.text(f.ID)
	}
	v.version = uint64(d) | 1 // 0 is that of nothing
	return v
}

func (v *view) describe(created time.Time, kept map[string]cluster.Attributes) cluster.Room {
	people := maps.Clone(kept)
	if people == nil {
		people = map[string]cluster.Attributes{}
	}
	for i, p := range v.people {
		people[p.ID] = cluster.Attributes{
			Name: p.Name, AudioMuted: p.AudioMuted, Deafened: p.Deafened, VideoMuted: p.VideoMuted, GainDB: p.GainDB,
			Bearer: bearerName(v.bearers[i]),
		}
	}
	return cluster.Room{
		ID: v.room.ID(), Settings: v.settings, CreatedAt: created.UTC(), Seq: v.seq, Participants: people, Recordings: v.recordings,
		Forwarders: v.forwarders,
	}
}

// digest is a number that is another one where what was added is (FNV-1a by
// words).
type digest uint64

var digestSeed = maphash.MakeSeed()

func (d *digest) add(words ...uint64) {
	for _, w := range words {
		*d = (*d ^ digest(w)) * 1099511628211
		*d ^= *d >> 29 // its low bits would know nothing of the high ones
	}
}

func (d *digest) text(s string) { d.add(maphash.String(digestSeed, s)) }

// resumed answers the attributes of a former session that wait in a room, for
// who made it: the same token, or none as then.
func (h *host) resumed(room, session string, p *principal) (cluster.Attributes, bool) {
	now := h.s.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.homes[room]
	if n == nil || !now.Before(n.keptUntil) {
		return cluster.Attributes{}, false
	}
	a, has := n.kept[session]
	if !has || subtle.ConstantTimeCompare([]byte(a.Bearer), []byte(p.bearer())) != 1 {
		return cluster.Attributes{}, false
	}
	return a, true
}
