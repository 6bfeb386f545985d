package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/api"
	"tutti/api/cluster"
	"tutti/mixer"
	"tutti/mixer/mixertest"
	"tutti/transport/forward"
)

func TestRanges(t *testing.T) {
	for text, good := range map[string]bool{
		"10.1.0.0/16": true, "127.0.0.1/32": true, "fd00:1::/32": true, "0.0.0.0/0": true, "10.1.2.3/8": false, "10.1.2.3": false, "": false,
		"::ffff:10.0.0.0/104": false, "fe80::%lo/64": false, "10.0.0.0/33": false, "example.org": false,
	} {
		if isPrefix(text) != good {
			t.Errorf("%q: %v", text, !good)
		}
	}
}

// Under dev this host's loopback may be forwarded to, unless something else is
// said; else nothing that is not public.
func TestWhereToForward(t *testing.T) {
	for _, c := range []struct {
		flags map[string]any
		want  []string
	}{
		{map[string]any{"dev": true}, loopback},
		{map[string]any{"dev": true, "forward.allow": "10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{nil, []string{}},
	} {
		got, err := load("", nil, c.flags)
		if err != nil || len(got.Forward.prefixes()) != len(c.want) || len(c.want) > 0 && !reflect.DeepEqual(got.Forward.Allow, c.want) {
			t.Errorf("%v: %v, %v", c.flags, got.Forward.Allow, err)
		}
	}
}

// A forwarder comes through the store as it was, field by field.
func TestForwarderGoesOn(t *testing.T) {
	rooms, err := mixer.NewRooms(mixer.Config{Codecs: &mixertest.Codecs{}})
	if err != nil {
		t.Fatal(err)
	}
	room, err := rooms.Create("r1", mixer.DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	defer room.Close("test")
	make := func() *forward.Manager {
		m := forward.New(forward.Config{Allow: ForwardConfig{loopback}.prefixes(), Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { _ = m.Close(t.Context()) })
		return m
	}
	here, there := make(), make()
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
	f, err := forwarders{here}.Start(t.Context(), room, api.ForwarderOptions{
		Host: "127.0.0.1", AudioPort: 5004, VideoPort: 5006, RTCPMux: true, Profile: "AES_CM_128_HMAC_SHA1_80", Key: key, Starter: "00ff",
	})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(forwarding{here}.Running("r1")[0])
	if err != nil {
		t.Fatal(err)
	}
	var was cluster.Forwarder
	if err := json.Unmarshal(stored, &was); err != nil {
		t.Fatal(err)
	}
	for i, v := 0, reflect.ValueOf(was); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not stored: %s", v.Type().Field(i).Name, stored)
		}
	}
	if err := (forwarding{there}).Continue(room, was, 0); err != nil {
		t.Fatal(err)
	}
	list := forwarders{there}.List("r1")
	if len(list) != 1 || list[0].ID != f.ID || !list[0].StartedAt.Equal(f.StartedAt) || list[0].Address != "127.0.0.1" || list[0].Rendition != "hd" {
		t.Errorf("%+v, not %+v", list, f)
	}
	if text, err := there.SDP("r1", f.ID, "00ff"); err != nil || !strings.Contains(text, key) {
		t.Errorf("%v:\n%s", err, text)
	}
	if again := (forwarding{there}).Running("r1")[0]; again != was {
		t.Errorf("%+v, not %+v", again, was)
	}
	was.ID, was.Address = "other", "nowhere"
	var field *mixer.FieldError
	if err := (forwarding{there}).Continue(room, was, 0); !errors.As(err, &field) {
		t.Errorf("it went on to %s: %v", was.Address, err)
	}
}

// The program forwards on request, says goodbye when it ends, and counts.
func TestServeForwards(t *testing.T) {
	s := start(t, nil, "--dev")
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	send := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.http+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, res.Header.Get("Location")
	}
	if code, _ := send("PUT", "/v1/rooms/r1", "{}"); code != 201 {
		t.Fatal(code)
	}
	if code, _ := send("POST", "/v1/rooms/r1/forwarders", `{"host":"10.0.0.1","audio_port":5004}`); code != 400 {
		t.Errorf("sends to a private address: %d", code)
	}
	code, at := send("POST", "/v1/rooms/r1/forwarders", `{"host":"127.0.0.1","rtcp_mux":true,"audio_port":`+strconv.Itoa(port)+`}`)
	if code != 201 {
		t.Fatal(code)
	}
	buf := make([]byte, 2048)
	next := func() (pt byte) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(buf); err != nil || n < 12 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		return buf[1] & 0x7f
	}
	for next() != 111 {
	}
	if code, text := get(t, "http://"+s.http+at+"/sdp"); code != 200 || !strings.Contains(text, "m=audio "+strconv.Itoa(port)+" ") {
		t.Errorf("%d: %s", code, text)
	}
	counted := func() bool { // the packet may be here before its sender counts it
		_, text := get(t, "http://"+s.http+"/metrics")
		return strings.Contains(text, "\ntutti_forwarders 1\n") && !strings.Contains(text, "\ntutti_forwarded_packets_total 0\n")
	}
	for end := time.Now().Add(10 * time.Second); !counted(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the metrics do not know")
		}
	}
	if err := s.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for last := byte(0); last != 203; { // BYE, the last packet of a compound of 28 bytes of SR and an SDES
		next()
		if buf[1] == 200 {
			sdes := 28
			bye := sdes + 4*(int(buf[sdes+3])+1)
			last = buf[bye+1]
			clear(buf)
		}
	}
	if code := s.end(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.output)
	}
}
