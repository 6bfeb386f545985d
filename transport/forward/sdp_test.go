package forward

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/sdp/v3"

	"tutti/mixer"
	"tutti/transport/webm/webmtest"
)

func TestSDP(t *testing.T) {
	m, r := newManager(t, nil), newRoom("r")
	r.settings.Audio.Stereo = true
	keys := theKeys["AES_CM_128_HMAC_SHA1_80"]
	for _, c := range []struct {
		o     Options
		asker string
		lines []string
		never string
	}{
		{
			Options{Host: "127.0.0.1", AudioPort: 4000, VideoPort: 4002},
			"",
			[]string{
				"c=IN IP4 127.0.0.1", "m=audio 4000 RTP/AVPF 111", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 sprop-stereo=1",
				"m=video 4002 RTP/AVPF 96", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 ccm fir", "a=sendonly",
			},
			"mux",
		},
		{Options{Host: "::1", VideoPort: 4002, RTCPMux: true}, "", []string{"c=IN IP6 ::1", "a=rtcp-mux"}, "audio"},
		{
			Options{Host: "127.0.0.1", AudioPort: 4000, SRTP: keys, Starter: "me"},
			"me",
			[]string{"m=audio 4000 RTP/SAVPF 111", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + string(keys.Key)},
			"video",
		},
		{Options{Host: "127.0.0.1", AudioPort: 4000, SRTP: keys, Starter: "me"}, "you", []string{"m=audio 4000 RTP/SAVPF 111"}, "crypto"},
		{Options{Host: "127.0.0.1", AudioPort: 4000, SRTP: keys, Starter: "me"}, "", []string{"m=audio 4000 RTP/SAVPF 111"}, "crypto"},
	} {
		i, _ := start(t, m, r, c.o)
		text, err := m.SDP("r", i.ID, c.asker)
		if err != nil {
			t.Fatal(err)
		}
		var parsed sdp.SessionDescription
		if err := parsed.UnmarshalString(text); err != nil {
			t.Errorf("%v:\n%s", err, text)
		}
		for _, l := range c.lines {
			if !strings.Contains(text, "\r\n"+l+"\r\n") {
				t.Errorf("%+v: no line %s in\n%s", c.o, l, text)
			}
		}
		if strings.Contains(text, c.never) || c.o.SRTP == (SRTP{}) && strings.Contains(text, "crypto") {
			t.Errorf("%+v: %s in\n%s", c.o, c.never, text)
		}
		f, err := m.get("r", i.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range f.outputs {
			if !strings.Contains(text, fmt.Sprintf("a=ssrc:%d cname:%s\r\n", o.ssrc, o.cname)) {
				t.Errorf("no SSRC in\n%s", text)
			}
		}
		if err := m.Stop("r", i.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.SDP("r", "none", ""); err == nil {
		t.Error("what is not there is described")
	}
}

// TestRealReceiver lets ffmpeg read what a mixer's room forwards, plain and
// protected, by the SDP alone. The room has a real clock.
func TestRealReceiver(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not there")
	}
	for _, keys := range []SRTP{{}, theKeys["AES_CM_128_HMAC_SHA1_80"]} {
		t.Run("srtp "+keys.Profile, func(t *testing.T) {
			t.Parallel()
			s := mixer.DefaultSettings()
			s.Canvas.Width, s.Canvas.Height, s.Canvas.FPS = 320, 180, 15
			s.Renditions[0] = mixer.Rendition{Name: "hd", Width: 320, Height: 180, FPS: 15, BitrateBPS: 300_000}
			rooms, err := mixer.NewRooms(mixer.Config{Codecs: webmtest.Codecs{}})
			if err != nil {
				t.Fatal(err)
			}
			room, err := rooms.Create("real", s)
			if err != nil {
				t.Fatal(err)
			}
			defer room.Close("test")
			audio, video := listen(t), listen(t)
			audio.close()
			video.close() // the ports are ffmpeg's
			m := newManager(t, nil)
			i, err := m.Start(t.Context(), room, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port, SRTP: keys})
			if err != nil {
				t.Fatal(err)
			}
			packets, size := receive(t, m, i.ID)
			if packets["audio"] < 20 || packets["video"] < 2 || size != "320,180" {
				t.Errorf("ffmpeg had %v of %s", packets, size)
			}
		})
	}
}

// receive has ffmpeg keep what comes for some seconds, and answers how many frames
// of each kind can be decoded of it, and the picture's size.
func receive(t *testing.T, m *Manager, id string) (frames map[string]int, size string) {
	t.Helper()
	text, err := m.SDP("real", id, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, kept := filepath.Join(dir, "forward.sdp"), filepath.Join(dir, "kept.mkv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ffmpeg", "-loglevel", "warning", "-protocol_whitelist", "file,udp,rtp,srtp",
		"-i", file, "-t", "3", "-c", "copy", kept).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	frames = map[string]int{}
	for _, kind := range []string{"audio", "video"} {
		out, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-select_streams", kind[:1], "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", kept).Output()
		if err != nil {
			t.Fatalf("ffprobe: %v", err)
		}
		if frames[kind], err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
			t.Fatalf("%s: %q", kind, out)
		}
	}
	out, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0", kept).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	return frames, string(bytes.TrimSpace(out))
}
