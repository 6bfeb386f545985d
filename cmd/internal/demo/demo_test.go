package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/api/guest"
	"tutti/codec/vpx"
)

// door is a server with the participants' door and their events alone: it
// answers offers with peer connections of its own and keeps what comes in.
type door struct {
	t   *testing.T
	api *webrtc.API

	mu       sync.Mutex
	refuse   int // status to refuse with, 0: none
	joined   []string
	left     []string
	resumed  []string
	sessions map[string]*webrtc.PeerConnection
	feeds    []chan string // of events; nil ends a stream
	audio    chan heard
	video    chan *rtp.Packet
	ssrc     chan seen
}

// heard is a packet of sound with its announced level.
type heard struct {
	*rtp.Packet
	pc    *webrtc.PeerConnection
	level rtp.AudioLevelExtension
	ok    bool
}

// seen is a picture's stream, to ask for key frames of.
type seen struct {
	pc   *webrtc.PeerConnection
	ssrc webrtc.SSRC
}

func newDoor(t *testing.T) (*door, *httptest.Server) {
	api, err := newAPI()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{
		t: t, api: api, sessions: map[string]*webrtc.PeerConnection{},
		audio: make(chan heard, 1000), video: make(chan *rtp.Packet, 10000), ssrc: make(chan seen, 10),
	}
	server := httptest.NewServer(d)
	t.Cleanup(func() {
		server.Close()
		d.end()
	})
	return d, server
}

// end closes all sessions, as a server that goes away does.
func (d *door) end() {
	d.mu.Lock()
	sessions := d.sessions
	d.sessions = map[string]*webrtc.PeerConnection{}
	d.cut()
	d.mu.Unlock()
	for _, pc := range sessions {
		if err := pc.GracefulClose(); err != nil {
			d.t.Error(err)
		}
	}
}

// tell sends everybody an event; without a text the streams end.
func (d *door) tell(text string) {
	for _, f := range d.feeds {
		f <- text
	}
}

func (d *door) cut() {
	d.tell("")
	d.feeds = nil
}

// events is a stream of events, beginning with the arrival of everybody.
func (d *door) events(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	feed := make(chan string, 100)
	d.feeds = append(d.feeds, feed)
	for location := range d.sessions {
		feed <- `{"type":"participant_joined","participant":{"id":"` + path.Base(location) + `"}}`
	}
	d.mu.Unlock()
	for {
		select {
		case text := <-feed:
			if text == "" {
				return
			}
			fmt.Fprintf(w, "id: 1\ndata: %s\n\n", text)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	if r.Method == http.MethodGet && r.URL.Path == "/v1/rooms/r1/events" && r.Header.Get("Authorization") == "Bearer word" {
		d.events(w, r)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case r.Method == http.MethodDelete:
		d.left = append(d.left, r.URL.Path)
	case r.Header.Get("Authorization") != "Bearer word":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/rooms/r1/participants/"):
		if d.sessions[r.URL.Path] == nil {
			w.WriteHeader(http.StatusNotFound)
		}
	case d.refuse != 0:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(d.refuse)
		fmt.Fprint(w, `{"code":"no_such_thing","detail":"go away"}`)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/rooms/r1/participants" && r.Header.Get("Content-Type") == "application/sdp":
		d.joined = append(d.joined, r.URL.Query().Get("name"))
		d.resumed = append(d.resumed, r.URL.Query().Get("resumes"))
		location := fmt.Sprintf("/v1/rooms/r1/participants/p%d", len(d.joined))
		answer := d.answer(location, string(body))
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, answer)
	default:
		d.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func (d *door) answer(location, offer string) string {
	pc, err := d.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		d.t.Error(err)
		return ""
	}
	d.sessions[location] = pc
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) { d.read(pc, t, r) })
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		d.t.Error(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		d.t.Error(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		d.t.Error(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

func (d *door) read(pc *webrtc.PeerConnection, t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	level := uint8(0)
	for _, e := range r.GetParameters().HeaderExtensions {
		if e.URI == sdp.AudioLevelURI {
			level = uint8(e.ID)
		}
	}
	if t.Kind() == webrtc.RTPCodecTypeVideo {
		d.ssrc <- seen{pc, t.SSRC()}
	}
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			offer(d.video, p)
			continue
		}
		h := heard{Packet: p, pc: pc}
		if ext := p.GetExtension(level); ext != nil {
			h.ok = h.level.Unmarshal(ext) == nil
		}
		offer(d.audio, h)
	}
}

// offer puts v into c if there is space.
func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// take waits for a value.
func take[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// run runs the demo against a server until the test stops it.
func run(t *testing.T, url string, people int) (stop context.CancelFunc, result <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{
			URL: url, Room: "r1", Token: "word", People: people, NewVideoEncoder: newEncoder, Log: slog.New(slog.DiscardHandler),
		})
	}()
	t.Cleanup(cancel)
	return cancel, done
}

func TestSoundIsSpeechWithTrueLevels(t *testing.T) {
	d, server := newDoor(t)
	stop, result := run(t, server.URL, 1)
	list, err := voices(1)
	if err != nil {
		t.Fatal(err)
	}
	voice := map[string]float64{}
	for _, p := range list[0].Packets {
		voice[string(p.Opus)] = p.LevelDBOV
	}
	first := take(t, d.audio)
	spoken, silent := 0, 0
	for n := 1; spoken < 50 || silent < 5; n++ {
		h := take(t, d.audio)
		if h.SequenceNumber != first.SequenceNumber+uint16(n) || h.Timestamp != first.Timestamp+uint32(n)*960 {
			t.Fatalf("packet %d has number %d and time %d after %d and %d", n, h.SequenceNumber, h.Timestamp, first.SequenceNumber, first.Timestamp)
		}
		if !h.ok {
			t.Fatal("the level is not announced")
		}
		want, speaks := voice[string(h.Payload)]
		if speaks {
			spoken++
		} else {
			silent++
			want = -127
		}
		if got := -float64(h.level.Level); h.level.Voice != speaks || got < want-0.51 || got > want+0.51 {
			t.Fatalf("packet %d announces %v, voice %v; it has %.2f, voice %v", n, got, h.level.Voice, want, speaks)
		}
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if len(d.left) != 1 || d.left[0] != "/v1/rooms/r1/participants/p1" {
		t.Errorf("leave was taken of %v", d.left)
	}
}

func TestPictureAnswersRequestsForKeyFrames(t *testing.T) {
	d, server := newDoor(t)
	run(t, server.URL, 1)
	s := take(t, d.ssrc)
	// isKey reads one whole frame and answers whether it is a key frame.
	isKey := func() bool {
		var frame []byte
		for {
			p := take(t, d.video)
			var v codecs.VP8Packet
			payload, err := v.Unmarshal(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if frame = append(frame, payload...); p.Marker {
				break
			}
		}
		h, err := vpx.Inspect(frame)
		if err != nil {
			t.Fatal(err)
		}
		return h.KeyFrame
	}
	if !isKey() {
		t.Error("the first frame is no key frame")
	}
	// Unasked, key frames come every keyInterval frames; on a slow machine a
	// request may take so long that it changes nothing.
	early := 0
	for range 5 {
		for !isKey() {
		}
		isKey()
		if err := s.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(s.ssrc)}}); err != nil {
			t.Fatal(err)
		}
		frames := 2
		for !isKey() {
			frames++
		}
		if frames < keyInterval {
			early++
		}
	}
	if early < 2 {
		t.Errorf("of 5 requests %d were answered before a key frame was due", early)
	}
}

func TestComesBackWhenTheServerDoes(t *testing.T) {
	d, server := newDoor(t)
	stop, result := run(t, server.URL, 2)
	take(t, d.ssrc)
	take(t, d.ssrc)
	d.mu.Lock()
	d.refuse = http.StatusServiceUnavailable
	d.mu.Unlock()
	d.end()
	time.AfterFunc(time.Second, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refuse = 0
	})
	take(t, d.ssrc)
	take(t, d.ssrc)
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.joined) != 4 {
		t.Errorf("joined: %v", d.joined)
	}
}

// TestMovesWithTheRoom holds that who moves is heard by both halves at a time,
// and says the same to both.
func TestMovesWithTheRoom(t *testing.T) {
	d, server := newDoor(t)
	stop, result := run(t, server.URL, 1)
	old := take(t, d.audio).pc
	var fresh *webrtc.PeerConnection
	told, said, newest := false, map[uint32][2]string{}, uint32(0)
	for both := 0; both < 20; {
		h := take(t, d.audio)
		d.mu.Lock()
		if !told && len(d.feeds) > 0 {
			told = true
			d.tell(`{"type":"room_moved","move":{"join_within_ms":10,"leave_after_ms":2000}}`)
		}
		d.mu.Unlock()
		if h.pc != old && fresh == nil {
			fresh = h.pc
		}
		if newest = max(newest, h.Timestamp); newest-h.Timestamp > 48000 {
			t.Fatalf("one half is %d samples behind", newest-h.Timestamp)
		}
		both += heardTwice(t, said, h, h.pc == fresh)
	}
	for left := 0; left == 0; {
		if h := take(t, d.audio); h.pc != old && h.pc != fresh {
			t.Fatal("there is a third session")
		}
		d.mu.Lock()
		left = len(d.left)
		d.mu.Unlock()
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if want := []string{"/v1/rooms/r1/participants/p1", "/v1/rooms/r1/participants/p2"}; !slices.Equal(d.left, want) || !slices.Equal(d.resumed, []string{"", "p1"}) {
		t.Errorf("left %v, resumed %v", d.left, d.resumed)
	}
}

// heardTwice answers 1 where a packet has come by both halves, and holds that it
// is the same.
func heardTwice(t *testing.T, said map[uint32][2]string, h heard, fresh bool) int {
	halves := said[h.Timestamp]
	i := 0
	if fresh {
		i = 1
	}
	halves[i] = string(h.Payload)
	said[h.Timestamp] = halves
	if halves[0] == "" || halves[1] == "" {
		return 0
	}
	if halves[0] != halves[1] {
		t.Fatal("the two halves hear something else")
	}
	return 1
}

// TestComesBackToALostRoom holds that who the server does not know any more comes
// back, though the old connection never fails.
func TestComesBackToALostRoom(t *testing.T) {
	d, server := newDoor(t)
	stop, result := run(t, server.URL, 1)
	first := take(t, d.audio).pc
	for lost := false; ; {
		h := take(t, d.audio)
		if h.pc != first {
			break
		}
		d.mu.Lock()
		if !lost && len(d.feeds) > 0 {
			lost = true
			delete(d.sessions, "/v1/rooms/r1/participants/p1")
			d.cut()
		}
		d.mu.Unlock()
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if err := first.GracefulClose(); err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.resumed, []string{"", "p1"}) {
		t.Errorf("resumed %v", d.resumed)
	}
}

// TestPutOutStaysOut holds that who is removed does not end it for the others.
func TestPutOutStaysOut(t *testing.T) {
	d, server := newDoor(t)
	stop, result := run(t, server.URL, 2)
	first := take(t, d.audio).pc
	for told := false; ; {
		h := take(t, d.audio)
		d.mu.Lock()
		if !told && len(d.feeds) == 2 {
			told = true
			d.tell(`{"type":"participant_left","participant":{"id":"p1"},"reason":"removed"}`)
		}
		left := len(d.left)
		d.mu.Unlock()
		if left == 1 && h.pc != first {
			break
		}
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.joined) != 2 || d.left[0] != "/v1/rooms/r1/participants/p1" {
		t.Errorf("joined %v, left %v", d.joined, d.left)
	}
}

func TestRefusalEndsIt(t *testing.T) {
	d, server := newDoor(t)
	d.refuse = http.StatusForbidden
	_, result := run(t, server.URL, 2)
	err := take(t, result)
	if !errors.Is(err, guest.ErrRefused) || !strings.Contains(err.Error(), "403 Forbidden: no_such_thing: go away") {
		t.Errorf("%v", err)
	}
	if len(d.joined) != 0 {
		t.Errorf("joined: %v", d.joined)
	}
}

func TestWrongNumbers(t *testing.T) {
	for _, n := range []int{-1, 0, MaxPeople + 1} {
		if err := Run(t.Context(), Config{People: n}); err == nil {
			t.Errorf("%d people were sent", n)
		}
	}
}
