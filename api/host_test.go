package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tutti/api/auth"
	"tutti/api/cluster"
	"tutti/mixer"
	"tutti/mixer/layout"
	"tutti/mixer/mixertest"
)

// bearerOf is how the directory names the bearer of a token.
func bearerOf(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// wandering is a room that was on another node, with two people in it.
func wandering(token string) cluster.Room {
	s := mixer.DefaultSettings()
	s.Title, s.Layout, s.Metadata = "Round", layout.Layout{Name: layout.Grid, MaxTiles: 9}, map[string]string{"floor": "3"}
	return cluster.Room{
		ID: "r1", Owner: cluster.Owner{Node: "node-1", Epoch: 12}, Settings: s, Rule: "ward", Seq: 1024,
		CreatedAt: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
		Participants: map[string]cluster.Attributes{
			"ada": {Name: "Ada L.", AudioMuted: true, VideoMuted: true, GainDB: -6, Bearer: bearerOf(token)},
			"bob": {Name: "Bob", Deafened: true},
		},
		Recordings: []cluster.Recording{{ID: "rec1", Format: "webm", NextFile: 2}},
	}
}

// take has the node take a room over, as its agent would.
func (m *member) take(r cluster.Room, planned bool) {
	m.t.Helper()
	m.cluster.mu.Lock()
	m.cluster.rooms[r.ID] = r.Owner
	m.cluster.mu.Unlock()
	if err := m.host.Restore(m.t.Context(), r, planned); err != nil {
		m.t.Fatal(err)
	}
}

// A room that comes from another node is as it was there: settings, age, events,
// recordings.
func TestRestore(t *testing.T) {
	m := newMember(t, nil)
	was := wandering("")
	m.take(was, false)
	m.take(was, false) // asked twice
	var r roomResource
	m.do("GET", "/v1/rooms/r1", m.admin(), "").is(200).into(&r)
	if r.Title != "Round" || r.Layout != was.Settings.Layout || r.Metadata["floor"] != "3" || !r.CreatedAt.Equal(was.CreatedAt) || r.Node != "node-1" {
		t.Errorf("came back as %+v", r)
	}
	events := m.hub.Room("r1", 0)
	defer events.Close()
	if list, err := events.Poll(); err != nil || len(list) != 1 || list[0].Seq != 1024 || list[0].Event.Type != mixer.RoomStarted {
		t.Errorf("events %+v, %v", list, err)
	}
	if got := m.running.took(); !slices.Equal(got, []string{"continue rec1 in r1, planned false"}) {
		t.Errorf("recordings: %q", got)
	}
	m.calls() // the agent knows
	m.do("DELETE", "/v1/rooms/r1", m.admin(), "").is(200)
	eventually(t, "release", func() bool { return len(m.cluster.took()) == 1 })
}

// What a room cannot be made of leaves nothing behind.
func TestRestoreThatFails(t *testing.T) {
	m := newMember(t, nil)
	broken := wandering("")
	broken.Settings.Canvas.Width = 1
	if err := m.host.Restore(t.Context(), broken, false); err == nil {
		t.Error("a room with impossible settings was made")
	}
	m.host.Drain(true)
	if err := m.host.Restore(t.Context(), wandering(""), false); !errors.Is(err, mixer.ErrDraining) {
		t.Errorf("draining: %v", err)
	}
	m.host.Drain(false)
	m.take(wandering(""), true)
	if _, _, ok := m.host.Describe("r1"); !ok {
		t.Error("the room is not known")
	}
}

// Who comes back to a room gets back what they had, and nobody else does.
func TestResumes(t *testing.T) {
	var late atomic.Int64
	m := newMember(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) } })
	own, other := m.token(auth.Participant, "r1", subject("ada")), m.token(auth.Participant, "r1", subject("eve"))
	m.take(wandering(own), false)
	join := func(token, query string) mixer.ParticipantInfo {
		t.Helper()
		path := m.offer("/v1/rooms/r1/participants"+query, token).is(201).Header.Get("Location")
		r, err := m.rooms.Get("r1")
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Participant(path[strings.LastIndex(path, "/")+1:])
		if err != nil {
			t.Fatal(err)
		}
		return p.Info()
	}
	had := func(i mixer.ParticipantInfo) bool {
		return i.Name == "Ada L." && i.Audio.Muted && i.VideoMuted && !i.Audio.Deafened && i.Audio.GainDB == -6
	}
	if i := join(own, "?resumes=ada&name=A"); !had(i) {
		t.Errorf("came back as %+v", i)
	}
	if i := join(own, "?resumes=ada"); !had(i) { // the answer was lost, and it asks again
		t.Errorf("came back again as %+v", i)
	}
	for name, i := range map[string]mixer.ParticipantInfo{
		"another token": join(other, "?resumes=ada&name=A"), "an unknown session": join(own, "?resumes=nobody&name=A"),
		"a session without a token": join(own, "?resumes=bob&name=A"), "none": join(own, "?name=A"),
	} {
		if i.Name != "A" || i.Audio.Muted || i.Audio.Deafened || i.VideoMuted || i.Audio.GainDB != 0 {
			t.Errorf("%s: %+v", name, i)
		}
	}
	late.Store(int64(keepAttributes))
	if i := join(own, "?resumes=ada&name=A"); i.Name != "A" || i.Audio.Muted {
		t.Errorf("after a minute: %+v", i)
	}
}

// Without tokens, as in development, a session is whoever's knows its name.
func TestResumesWithoutTokens(t *testing.T) {
	m := newMember(t, func(c *Config) { c.Dev = true })
	m.take(wandering("x"), true)
	for session, muted := range map[string]bool{"bob": true, "ada": false} {
		a := m.do("POST", "/v1/rooms/r1/participants?resumes="+session, "", "v=0\r\n", passed("X-Forwarded-For: 127.0.0.1", "Host: 127.0.0.1", "Content-Type: application/sdp")...).is(201)
		var p participantResource
		m.do("GET", a.Header.Get("Location"), m.admin(), "").into(&p)
		if p.Audio.Deafened != muted || (p.Name == "Bob") != muted {
			t.Errorf("%s: %+v %+v", session, p, p.Audio)
		}
	}
}

// The directory is told of all that a move must keep, under a number that is new
// whenever something of it is.
func TestDescribe(t *testing.T) {
	var late atomic.Int64
	m := newMember(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) } })
	own := m.token(auth.Participant, "r1")
	m.take(wandering(own), false)
	seen := map[uint64]string{}
	last := uint64(0)
	changes := func(what string, changed bool) cluster.Room {
		t.Helper()
		r, v, ok := m.host.Describe("r1")
		if _, again, _ := m.host.Describe("r1"); !ok || again != v {
			t.Fatalf("%s: %v, or the number changed by itself: %d, %d", what, ok, v, again)
		}
		if was, had := seen[v]; changed && had {
			t.Errorf("%s: the number of %q", what, was)
		}
		if !changed && v != last {
			t.Errorf("%s: another number", what)
		}
		seen[v], last = what, v
		return r
	}
	r := changes("first", true)
	if r.ID != "r1" || r.Settings.Title != "Round" || !r.CreatedAt.Equal(wandering("").CreatedAt) || len(r.Participants) != 2 ||
		r.Participants["ada"] != wandering(own).Participants["ada"] || r.Seq < 1024+seqStep || r.Owner != (cluster.Owner{}) || r.Rule != "ward" {
		t.Errorf("described as %+v", r)
	}
	m.json("PATCH", "/v1/rooms/r1", m.admin(), `{"title":"Two"}`).is(200)
	if r := changes("title", true); r.Settings.Title != "Two" {
		t.Errorf("%+v", r.Settings)
	}
	session := m.offer("/v1/rooms/r1/participants?name=Eve", own).is(201).Header.Get("Location")
	id := session[strings.LastIndex(session, "/")+1:]
	if r := changes("join", true); r.Participants[id] != (cluster.Attributes{Name: "Eve", Bearer: bearerOf(own)}) {
		t.Errorf("%+v", r.Participants)
	}
	m.json("PATCH", session, m.admin(), `{"audio":{"gain_db":3,"deafened":true}}`).is(200)
	if r := changes("gain", true); r.Participants[id].GainDB != 3 || !r.Participants[id].Deafened {
		t.Errorf("%+v", r.Participants)
	}
	rec := cluster.Recording{ID: "rec1", NextFile: 2, DurationS: 11}
	m.running.set(rec)
	if r := changes("recording", true); !slices.Equal(r.Recordings, []cluster.Recording{rec}) {
		t.Errorf("%+v", r.Recordings)
	}
	rec.DurationS = 11.5
	m.running.set(rec)
	changes("half a second", false)
	for what, change := range map[string]func(){
		"duration": func() { rec.DurationS = 16 }, "file": func() { rec.NextFile = 3 }, "pause": func() { rec.Paused = true }, "cut": func() { rec.CutS = 4 },
	} {
		change()
		m.running.set(rec)
		changes(what, true)
	}
	m.do("DELETE", session, m.admin(), "").is(200)
	changes("leave", true)
	late.Store(int64(keepAttributes))
	if r := changes("a minute", true); len(r.Participants) != 0 {
		t.Errorf("%+v", r.Participants)
	}
	for range 2 * seqStep {
		m.hub.Publish(mixer.Event{Type: mixer.LayoutChanged, Room: "r1"})
		if r, _, _ := m.host.Describe("r1"); r.Seq <= m.hub.LastOf("r1")+seqStep {
			t.Fatalf("number %d was promised, the last is %d", r.Seq, m.hub.LastOf("r1"))
		}
	}
	changes("events", true)
	if _, _, ok := m.host.Describe("none"); ok {
		t.Error("a room that is not there is described")
	}
}

// moving runs fn with a member in virtual time whose room r1 is moved to node-2
// while somebody is in it.
func moving(t *testing.T, fn func(t *testing.T, m *member, session string, r *mixer.Room)) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember(t, func(c *Config) { c.AutoCreate = true })
		m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
		session := m.offer("/v1/rooms/r1/participants", m.admin()).is(201).Header.Get("Location")
		r, err := m.rooms.Get("r1")
		if err != nil {
			t.Fatal(err)
		}
		m.host.MoveOut("r1", m.cluster.moveTo("r1", "node-2"))
		synctest.Wait()
		m.cluster.took()
		fn(t, m, session, r)
	})
}

func over(r *mixer.Room) bool {
	synctest.Wait()
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

// The old half tells its clients, takes nothing new, serves who is there, and
// ends with the last of them. Its recordings end when all have heard the new half.
func TestMoveOut(t *testing.T) {
	moving(t, func(t *testing.T, m *member, session string, r *mixer.Room) {
		events := m.hub.Room("r1", 0)
		defer events.Close()
		list, _ := events.Poll()
		e := list[len(list)-1]
		if e.Event.Type != mixer.RoomMoved || !strings.Contains(string(e.JSON), `"move":{"join_within_ms":500,"leave_after_ms":1500}`) {
			t.Errorf("told %s", e.JSON)
		}
		m.offer("/v1/rooms/r1/whep", m.admin()).problem(421, "misdirected", "")
		m.json("PATCH", "/v1/rooms/r1", m.admin(), `{"title":"x"}`).problem(421, "misdirected", "")
		m.do("GET", "/v1/rooms/r1", m.admin(), "", passed("Tutti-Epoch: 9")...).problem(421, "misdirected", "")
		m.do("GET", session, m.admin(), "", passed("Tutti-Epoch: 9")...).is(200)
		m.json("PATCH", session, m.admin(), `{"name":"x"}`).is(200)
		var rooms struct{ Rooms []roomResource }
		if m.do("GET", "/v1/rooms", m.admin(), "").is(200).into(&rooms); len(rooms.Rooms) != 0 {
			t.Errorf("listed: %+v", rooms)
		}
		if _, _, ok := m.host.Describe("r1"); ok || m.host.Usage().Rooms != 0 {
			t.Error("it is described or counted still")
		}
		time.Sleep(leaveAfter - time.Millisecond)
		synctest.Wait()
		if got := m.running.took(); len(got) != 0 {
			t.Errorf("%q too early", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := m.running.took(); !slices.Equal(got, []string{"hand over r1"}) {
			t.Errorf("recordings: %q", got)
		}
		time.Sleep(time.Second)
		if over(r) || slices.Contains(m.cluster.took(), "left r1") {
			t.Fatal("closed while somebody is there")
		}
		m.do("DELETE", session, m.admin(), "").is(200)
		time.Sleep(200 * time.Millisecond)
		if !over(r) {
			t.Fatal("not closed when all have left")
		}
		list, _ = events.Poll()
		if e := list[len(list)-1].Event; e.Type != mixer.RoomFinished || e.Reason != "moved" {
			t.Errorf("ended with %+v", e)
		}
		if got := m.cluster.took(); slices.Contains(got, "release r1") || !slices.Contains(got, "left r1") {
			t.Errorf("another node's room was released, or that nothing of it is left was not said: %q", got)
		}
		m.do("GET", session, m.admin(), "").problem(421, "misdirected", "")
		m.do("GET", "/v1/rooms/r1/events", m.admin(), "").problem(421, "misdirected", "")
	})
}

// Who does not leave is put out.
func TestMoveOutHasADeadline(t *testing.T) {
	moving(t, func(t *testing.T, m *member, _ string, r *mixer.Room) {
		time.Sleep(moveWithin - time.Millisecond)
		if over(r) {
			t.Fatal("closed too early")
		}
		time.Sleep(time.Millisecond)
		if !over(r) {
			t.Fatal("not closed in time")
		}
		m.host.MoveOut("r1", cluster.Owner{Node: "node-2"}) // told twice, and too late
	})
}

// A room that comes back while its old half is here still finds it gone.
func TestMovedBackAtOnce(t *testing.T) {
	moving(t, func(t *testing.T, m *member, _ string, r *mixer.Room) {
		began := time.Now()
		m.take(wandering(""), true)
		if !over(r) || time.Since(began) > time.Second {
			t.Errorf("the old half was here for %v", time.Since(began))
		}
		again, err := m.rooms.Get("r1")
		if err != nil || again == r {
			t.Fatalf("%v", err)
		}
		m.do("GET", "/v1/rooms/r1", m.admin(), "").is(200)
		time.Sleep(2 * moveWithin)
		if over(again) {
			t.Error("the room that came back was closed with its old half")
		}
		if got := m.cluster.took(); !slices.Equal(got, []string{"left r1"}) {
			t.Errorf("%q", got)
		}
	})
}

// A room that moves on while it is being made goes when it is there.
func TestMovedWhileItIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember(t, nil)
		m.cluster.claims = make(chan struct{})
		answered := make(chan answer)
		go func() { answered <- m.json("PUT", "/v1/rooms/r1", m.admin(), "{}") }()
		synctest.Wait()
		m.host.MoveOut("r1", cluster.Owner{Node: "node-2"})
		close(m.cluster.claims)
		<-answered
		r, err := m.rooms.Get("r1")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(leaveAfter - time.Millisecond) // its recordings must be on the new node first
		if over(r) {
			t.Error("it went at once")
		}
		time.Sleep(200 * time.Millisecond)
		if !over(r) {
			t.Error("it stays")
		}
	})
}

// A node that lost its place shuts everything, waits for nobody, and tells the
// store nothing.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember(t, nil)
		block := make(chan struct{})
		defer close(block)
		for i := range 3 {
			m.json("PUT", fmt.Sprintf("/v1/rooms/r%d", i), m.admin(), "{}").is(201)
			m.offer(fmt.Sprintf("/v1/rooms/r%d/whip", i), m.admin()).is(201)
		}
		r, _ := m.rooms.Get("r1")
		if _, err := r.Subscribe(mixer.SubscribeConfig{Sink: &mixertest.Ear{}, Audio: true, Finish: func() { <-block }}); err != nil {
			t.Fatal(err)
		}
		events := m.hub.Room("r1", 0)
		defer events.Close()
		m.cluster.took()
		began := time.Now()
		m.host.Fence("fenced")
		if took := time.Since(began); took > 100*time.Millisecond || len(m.rooms.List()) != 0 || !over(r) {
			t.Errorf("after %v %d rooms are left", took, len(m.rooms.List()))
		}
		list, _ := events.Poll()
		if e := list[len(list)-1].Event; e.Type != mixer.RoomFinished || e.Reason != "fenced" {
			t.Errorf("ended with %+v", e)
		}
		got := m.running.took()
		if slices.Sort(got); !slices.Equal(got, []string{"abandon r0", "abandon r1", "abandon r2"}) {
			t.Errorf("recordings: %q", got)
		}
		synctest.Wait()
		m.calls()
		m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201) // as a new member
	})
}

// A room whose claim was under way when everything was shut is not made.
func TestFenceDuringAClaim(t *testing.T) {
	m := newMember(t, nil)
	m.cluster.claims = make(chan struct{})
	answered := make(chan answer)
	go func() { answered <- m.json("PUT", "/v1/rooms/r1", m.admin(), "{}") }()
	eventually(t, "claim", func() bool { return m.cluster.asked() == 1 })
	m.host.Fence("fenced")
	close(m.cluster.claims)
	(<-answered).problem(503, "fenced", "")
	if len(m.rooms.List()) != 0 {
		t.Error("the room is there")
	}
	m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").is(201)
}

// A claim that takes too long is given up.
func TestClaimHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember(t, nil)
		m.cluster.claims = make(chan struct{})
		began := time.Now()
		m.json("PUT", "/v1/rooms/r1", m.admin(), "{}").problem(503, "overloaded", "")
		if took := time.Since(began); took != claimWithin {
			t.Errorf("after %v", took)
		}
	})
}

// A server by itself moves nothing and forgets nothing, whatever it is told.
func TestHostOfAServerByItself(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	if l := h.server.Host().Usage(); l.Rooms != 1 || l.Name != "node-1" {
		t.Errorf("%+v", l)
	}
	h.offer("/v1/rooms/r1/participants?resumes=x", h.admin()).is(201)
	if err := h.server.Host().Restore(context.Background(), cluster.Room{ID: "r2", Settings: mixer.DefaultSettings()}, false); err != nil {
		t.Fatal(err)
	}
}
