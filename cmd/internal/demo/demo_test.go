package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec/vpx"
)

// door is a server with the participants' door alone: it answers offers with
// peer connections of its own and keeps what comes in.
type door struct {
	t   *testing.T
	api *webrtc.API

	mu       sync.Mutex
	refuse   int // status to refuse with, 0: none
	joined   []string
	left     []string
	sessions map[string]*webrtc.PeerConnection
	audio    chan heard
	video    chan *rtp.Packet
	ssrc     chan seen
}

// heard is a packet of sound with its announced level.
type heard struct {
	*rtp.Packet
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
	d.mu.Unlock()
	for _, pc := range sessions {
		if err := pc.GracefulClose(); err != nil {
			d.t.Error(err)
		}
	}
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case r.Method == http.MethodDelete:
		d.left = append(d.left, r.URL.Path)
	case r.Header.Get("Authorization") != "Bearer word":
		w.WriteHeader(http.StatusUnauthorized)
	case d.refuse != 0:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(d.refuse)
		fmt.Fprint(w, `{"code":"no_such_thing","detail":"go away"}`)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/rooms/r1/participants" && r.Header.Get("Content-Type") == "application/sdp":
		d.joined = append(d.joined, r.URL.Query().Get("name"))
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
		h := heard{Packet: p}
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

func TestRefusalEndsIt(t *testing.T) {
	d, server := newDoor(t)
	d.refuse = http.StatusForbidden
	_, result := run(t, server.URL, 2)
	err := take(t, result)
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "403 Forbidden: no_such_thing: go away") {
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
