package forward

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tutti/codec"
	"tutti/mixer"
)

// A room that goes on elsewhere sends on from there, under the same identifier, and
// nobody says goodbye.
func TestMove(t *testing.T) {
	audio := listen(t)
	old, r := newManager(t, nil), newRoom("r")
	i, sub := start(t, old, r, Options{Host: "127.0.0.1", AudioPort: audio.port, Starter: "x", SRTP: theKeys["AES_CM_128_HMAC_SHA1_80"]})
	sound := of(codec.Audio, film()(t))
	sub.play(sound[0])
	first := plainRTP(t, readOne(t, audio))
	was := old.Running("r")
	if len(was) != 1 || was[0] != i.Running {
		t.Fatalf("%+v", was)
	}
	next, there := newManager(t, nil), newRoom("r")
	const after = 200 * time.Millisecond
	began := time.Now()
	was[0].Rendition = "gone"
	if err := next.goOn(there, was[0], after); err != nil {
		t.Fatal(err)
	}
	if err := next.goOn(there, was[0], after); err != nil || len(next.List("r")) != 1 {
		t.Errorf("twice: %v, %+v", err, next.List("r"))
	}
	began2 := there.last(t)
	if took := time.Since(began); took < after {
		t.Errorf("it took its turn after %v", took)
	}
	old.HandOver("r")
	eventually(t, "the end", func() bool { n, _ := old.Totals(); return n == 0 })
	<-sub.closed
	read(t, audio.rtcp) // the first report
	silent(t, audio.rtcp)
	began2.play(sound[1])
	second := plainRTP(t, readOne(t, audio))
	if second.SSRC == first.SSRC || second.SequenceNumber >= 1<<15 || first.SequenceNumber >= 1<<15 {
		t.Errorf("%v after %v", second.Header, first.Header)
	}
	j, err := next.Get("r", i.ID)
	if err != nil || j.Rendition != "hd" || j.StartedAt != i.StartedAt || j.Options.SRTP != i.Options.SRTP || j.Starter != "x" {
		t.Errorf("%+v, %v", j, err)
	}
	old.HandOver("r")
	if err := old.goOn(r, i.Running, 0); err != nil || len(old.List("r")) != 1 { // it comes back
		t.Errorf("%v, %+v", err, old.List("r"))
	}
	next.HandOver("r")
	if err := next.goOn(there, was[0], 0); err != nil || len(next.List("r")) != 1 { // before its end
		t.Errorf("%v, %+v", err, next.List("r"))
	}
	for what, bad := range map[string]func(*Running){
		"id": func(w *Running) { w.ID = "../x" }, "port": func(w *Running) { w.AudioPort = 80 }, "key": func(w *Running) { w.SRTP.Key = "x" },
		"address": func(w *Running) { w.Address = netip.MustParseAddr("10.0.0.1") }, "no address": func(w *Running) { w.Address = netip.Addr{} },
	} {
		w := i.Running
		w.ID = "other"
		bad(&w)
		if err := next.goOn(there, w, 0); err == nil {
			t.Errorf("%s: it went on", what)
		}
	}
}

// A room that ends, and one whose turn has not come, end their forwarders.
func TestRoomEnds(t *testing.T) {
	m, r := newManager(t, nil), newRoom("r")
	_, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: listen(t).port})
	close(r.done)
	<-sub.closed
	again := newRoom("s")
	if err := m.goOn(again, Running{ID: "f", Options: Options{AudioPort: 4000}, Address: netip.MustParseAddr("127.0.0.1")}, time.Hour); err != nil {
		t.Fatal(err)
	}
	close(again.done)
	eventually(t, "the end", func() bool { n, _ := m.Totals(); return n == 0 })
	if len(again.subs) != 0 {
		t.Error("it went in before its turn")
	}
}

func TestOptions(t *testing.T) {
	m, r := newManager(t, nil), newRoom("r")
	cm, gcm := theKeys["AES_CM_128_HMAC_SHA1_80"], theKeys["AEAD_AES_128_GCM"]
	for field, list := range map[string][]Options{
		"host":       {{AudioPort: 4000}, {Host: "10.0.0.1", AudioPort: 4000}},
		"audio_port": {{}, {AudioPort: 1023}, {AudioPort: 1022}, {AudioPort: 4001}, {AudioPort: 65535, RTCPMux: true}, {AudioPort: 65536}, {AudioPort: -2}, {AudioPort: 53, VideoPort: 4000}},
		"video_port": {{AudioPort: 4000, VideoPort: 4000}, {AudioPort: 4000, VideoPort: 4001}, {VideoPort: 1}, {VideoPort: 70000}},
		"rendition":  {{AudioPort: 4000, Rendition: "none"}},
		"srtp.profile": {
			{AudioPort: 4000, SRTP: SRTP{Key: cm.Key}}, {AudioPort: 4000, SRTP: SRTP{"NULL", cm.Key}}, {AudioPort: 4000, SRTP: SRTP{"aes_cm_128_hmac_sha1_80", cm.Key}},
		},
		"srtp.key": {
			{AudioPort: 4000, SRTP: SRTP{Profile: cm.Profile}},
			{AudioPort: 4000, SRTP: SRTP{cm.Profile, gcm.Key}},
			{AudioPort: 4000, SRTP: SRTP{gcm.Profile, cm.Key}},
			{AudioPort: 4000, SRTP: SRTP{cm.Profile, cm.Key + "\n"}},
			{AudioPort: 4000, SRTP: SRTP{cm.Profile, "####"}},
		},
	} {
		for _, o := range list {
			if o.Host == "" && field != "host" {
				o.Host = "127.0.0.1"
			}
			_, err := m.start(t.Context(), r, o)
			var bad *mixer.FieldError
			if !errors.As(err, &bad) || bad.Field != field {
				t.Errorf("%+v: %v, want %s to blame", o, err, field)
			} else if strings.Contains(err.Error(), "AAEC") {
				t.Errorf("the key is told: %v", err)
			}
		}
	}
	if n, _ := m.Totals(); n != 0 || len(r.subs) != 0 {
		t.Errorf("%d run", n)
	}
	for _, o := range []Options{{AudioPort: 65534}, {VideoPort: 1024}, {AudioPort: 4001, VideoPort: 4002, RTCPMux: true}, {AudioPort: 4000, VideoPort: 4002, SRTP: gcm, Rendition: "hd"}} {
		o.Host = "127.0.0.1"
		if _, err := m.start(t.Context(), r, o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Limits hold for a room and for all; who goes on is bound by neither.
func TestLimits(t *testing.T) {
	m := newManager(t, func(c *Config) { c.MaxPerRoom, c.MaxRunning = 2, 3 })
	o := Options{Host: "127.0.0.1", AudioPort: 4000}
	for i, room := range []string{"a", "a", "a", "b", "c"} {
		_, err := m.start(t.Context(), newRoom(room), o)
		if full := i == 2 || i == 4; full != errors.Is(err, ErrTooMany) || !full && err != nil {
			t.Errorf("%d in %s: %v", i, room, err)
		}
	}
	if err := m.goOn(newRoom("a"), Running{ID: "f", Options: o, Address: netip.MustParseAddr("127.0.0.1")}, 0); err != nil || len(m.List("a")) != 3 {
		t.Errorf("%v, %d", err, len(m.List("a")))
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.start(t.Context(), newRoom("z"), o); !errors.Is(err, mixer.ErrDraining) {
		t.Error(err)
	}
	if err := m.goOn(newRoom("z"), Running{ID: "f", Options: o, Address: netip.MustParseAddr("127.0.0.1")}, 0); !errors.Is(err, mixer.ErrDraining) {
		t.Error(err)
	}
}

// Keys are in no log, however they get there.
func TestKeysAreNotShown(t *testing.T) {
	var log bytes.Buffer
	m := newManager(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	i, _ := start(t, m, newRoom("r"), Options{Host: "127.0.0.1", AudioPort: 4000, SRTP: theKeys["AEAD_AES_128_GCM"]})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", i, "b", m.Running("r"), "c", i.SRTP)
	fmt.Fprintf(&log, "%v %+v %#v %s", i, i, i, i.SRTP.Key)
	if strings.Contains(log.String(), "AAEC") || !strings.Contains(log.String(), "forwarder started") {
		t.Errorf("%s", &log)
	}
}
