package rtc

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/transporttest"
)

// TestMediaFlowsBothWays joins one client over a path that loses 5 % and holds
// what arrives on either side against what was sent.
func TestMediaFlowsBothWays(t *testing.T) {
	t.Run("plane", func(t *testing.T) { testMediaFlows(t, New, 225) })
	// pion asks for what is missing every 50 ms, where the plane asks at once.
	t.Run("pion", func(t *testing.T) { testMediaFlows(t, newReference, 175) })
}

// testMediaFlows wants at least so many of 250 pictures decoded.
func testMediaFlows(t *testing.T, build func(Config) (*Gateway, error), least int32) {
	synctest.Test(t, func(t *testing.T) {
		eye := &fakeVideo{}
		s := newStageOn(t, build, transporttest.Lossy, func(cfg *Config) {
			cfg.Codecs.NewVideoDecoder = func(int, int) (VideoDecoder, error) { return eye, nil }
		})
		defer s.close()
		var marker, wrongTS atomic.Int32
		var lastAudio atomic.Uint32
		var frames atomic.Int32
		frame := bytes.Repeat(keyFrame(7), 400) // 4 packets
		c := s.client(transporttest.ClientConfig{
			Audio: sendRecv, Video: sendRecv,
			OnAudio: func(_ time.Time, p *rtp.Packet) {
				if last := lastAudio.Swap(p.Timestamp); last != 0 && (p.Timestamp-last)%960 != 0 {
					wrongTS.Add(1)
				}
			},
			OnVideo: func(_ time.Time, p *rtp.Packet) {
				if p.Marker {
					marker.Add(1)
				}
				if len(p.Payload) > maxPayload {
					t.Errorf("a payload of %d bytes", len(p.Payload))
				}
			},
			OnFrame: func(_ time.Time, _ uint32, f []byte) {
				if !bytes.Equal(f, frame) {
					t.Error("a frame is not what was sent")
				}
				frames.Add(1)
			},
		})
		s.join(c, "p1", mixer.Both)
		defer c.Close()
		s.eventually("the participant is active and subscribed", func() bool {
			return s.room.seat(0).active.Load() && s.room.sub(0) != nil
		})
		sub, in := s.room.sub(0), s.room.seat(0).cfg
		if sub.cfg.Without != "p1" || !sub.cfg.Audio || !sub.cfg.Video {
			t.Errorf("subscribed to %+v", sub.cfg)
		}
		in.Video.Show(32, 24, i420.Cover)

		var origins [mixer.Origins]int
		var pictures int
		var block pcm.Block
		var wanted uint64
		var rates []float64  // pictures a second, once a second: losses bunch some seconds' pictures
		for i := range 500 { // 10 s
			if err := c.SendAudio([]byte{20, 50, 0, 0}, 960, -30); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				data := deltaFrame(byte(i))
				// What is lost twice is asked for as a key frame, which a camera sends.
				if w := c.Counts().KeyFramesWanted; i%100 == 0 || w != wanted {
					data, wanted = keyFrame(byte(i)), w
				}
				if err := c.SendVideo(data, 40*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				sub.cfg.Sink.WriteVideo(videoPacket(i, true, frame))
			}
			sub.cfg.Sink.WriteAudio(audioPacket(i, 20, byte(i)))
			origins[in.Audio.ReadAudio(time.Now(), &block)]++
			if f := in.Video.Latest(time.Now()); f != nil {
				if f.Width != 32 || f.Height != 24 {
					t.Errorf("a picture of %dx%d", f.Width, f.Height)
				}
				pictures++
				f.Release()
			}
			if i%50 == 49 && i > 50 { // the first second has not been whole before 1.1 s
				rates = append(rates, in.Video.Info().FPS)
			}
			time.Sleep(20 * time.Millisecond)
		}
		// 5 % are lost; the rest arrives, and what is lost of the pictures is sent again.
		got := c.Counts()
		if got.AudioPackets < 450 {
			t.Errorf("%d of 500 packets of sound arrived at the client", got.AudioPackets)
		}
		if wrongTS.Load() > 0 {
			t.Errorf("%d timestamps are not a multiple of 20 ms apart", wrongTS.Load())
		}
		if got.SenderReports < 10 {
			t.Errorf("%d sender reports in 10 s for two tracks", got.SenderReports)
		}
		if marker.Load() < 230 {
			t.Errorf("%d of 250 pictures ended at the client", marker.Load())
		}
		// What is lost, one packet in twenty, touches two blocks where these are not in
		// step with the packets any more.
		if n := origins[mixer.Voice] + origins[mixer.Stretched]; n < 430 || n+origins[mixer.Recovered] < 460 {
			t.Errorf("blocks by origin: %v", origins)
		}
		// What was sent again comes in one go, of which the mailbox keeps the newest:
		// so what arrived is what was decoded.
		if n := eye.drawn.Load(); n < least || pictures == 0 {
			t.Errorf("%d of 250 pictures arrived in the room, which took %d", n, pictures)
		}
		if dbov, ok := in.Audio.Level(time.Now()); !ok || dbov != -30 || !in.Audio.Announces() {
			t.Errorf("the level is %v, %v", dbov, ok)
		}
		info := in.Video.Info()
		slices.Sort(rates)
		if fps := rates[len(rates)/2]; info.Width != 64 || info.Height != 48 || fps < 22 || fps > 28 {
			t.Errorf("the camera is %+v, pictures a second %v", info, rates)
		}
		stats := in.Link()
		if stats.SentBPS < 500_000 || stats.ReceivedBPS < 10_000 || stats.RTT < 15*time.Millisecond || stats.RTT > 60*time.Millisecond {
			t.Errorf("the link is %+v", stats)
		}
		if stats.Rendition != "hd" || stats.Codec != "vp8" {
			t.Errorf("receiving %q in %q", stats.Rendition, stats.Codec)
		}
		if stats.PacketsReceived < 450 || stats.PacketsLost == 0 || stats.JitterMS < 0 {
			t.Errorf("the link is %+v", stats)
		}
	})
}

// TestAnswers holds the answer for each role against its rules.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name         string
		role         mixer.Role
		client       transporttest.ClientConfig
		lines        []string
		audio, video bool // the participant has
	}{
		{"participant", mixer.Both, transporttest.ClientConfig{Audio: sendRecv, Video: sendRecv}, []string{"a=sendrecv", "a=sendrecv"}, true, true},
		{"listens with camera off", mixer.Both, transporttest.ClientConfig{Audio: sendRecv, Video: recvOnly}, []string{"a=sendrecv", "a=sendonly"}, true, false},
		{"publisher", mixer.Publisher, transporttest.ClientConfig{Audio: sendOnly, Video: sendOnly}, []string{"a=recvonly", "a=recvonly"}, true, true},
		{"publisher who could receive", mixer.Publisher, transporttest.ClientConfig{Audio: sendRecv, Video: sendRecv}, []string{"a=recvonly", "a=recvonly"}, true, true},
		{"viewer", mixer.Viewer, transporttest.ClientConfig{Audio: recvOnly, Video: recvOnly}, []string{"a=sendonly", "a=sendonly"}, false, false},
		{"viewer who could send", mixer.Viewer, transporttest.ClientConfig{Audio: sendRecv, Video: sendRecv}, []string{"a=sendonly", "a=sendonly"}, false, false},
		{"sound alone", mixer.Both, transporttest.ClientConfig{Audio: sendRecv}, []string{"a=sendrecv"}, true, false},
		{"picture alone", mixer.Viewer, transporttest.ClientConfig{Video: recvOnly}, []string{"a=sendonly"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, transporttest.Clean, nil)
				defer s.close()
				c := s.client(tt.client)
				defer c.Close()
				p := s.join(c, "p1", tt.role)
				var directions []string
				for line := range strings.SplitSeq(p.Answer(), "\r\n") {
					switch line {
					case "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive":
						directions = append(directions, line)
					}
				}
				if strings.Join(directions, " ") != strings.Join(tt.lines, " ") {
					t.Errorf("directions %v, not %v", directions, tt.lines)
				}
				for _, want := range []string{"a=candidate:", "a=rtcp-mux", "a=group:BUNDLE", "a=end-of-candidates"} {
					if !strings.Contains(p.Answer(), want) {
						t.Errorf("the answer lacks %s", want)
					}
				}
				cfg := s.room.seat(0).cfg
				if (cfg.Audio != nil) != tt.audio || (cfg.Video != nil) != tt.video {
					t.Errorf("sound %v, picture %v", cfg.Audio, cfg.Video)
				}
				if tt.role == mixer.Publisher {
					time.Sleep(time.Second)
					if s.room.sub(0) != nil {
						t.Error("a publisher was subscribed")
					}
				}
			})
		})
	}
}

// TestEndings ends a session in every way there is.
func TestEndings(t *testing.T) { onBothPaths(t, testEndings) }

func testEndings(t *testing.T, build func(Config) (*Gateway, error)) {
	tests := []struct {
		name   string
		end    func(s *stage, c *transporttest.Client)
		reason string
		within time.Duration
	}{
		{"the client closes", func(_ *stage, c *transporttest.Client) { c.Close() }, "disconnected", 500 * time.Millisecond},
		{"the client dies without a word", func(s *stage, _ *transporttest.Client) { s.net.Cut("10.0.0.2") }, "connection_lost", 10 * time.Second},
		{"the API removes it", func(s *stage, _ *transporttest.Client) { s.room.seat(0).Leave("removed") }, "removed", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStageOn(t, build, transporttest.Clean, nil)
				defer s.close()
				c := s.client(transporttest.ClientConfig{Audio: sendRecv, Video: sendRecv})
				defer c.Close()
				p := s.join(c, "p1", mixer.Both)
				s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
				begin := time.Now()
				tt.end(s, c)
				if reason := <-s.room.seat(0).left; reason != tt.reason {
					t.Errorf("left for %q, not %q", reason, tt.reason)
				}
				if d := time.Since(begin); d > tt.within {
					t.Errorf("left after %v, later than %v", d, tt.within)
				}
				<-p.Done()
				if !s.room.sub(0).closed.Load() {
					t.Error("the subscription is open")
				}
				if _, ok := s.gateway.Session("r1", "p1"); ok || s.gateway.Sessions() != 0 {
					t.Error("the session is still known")
				}
				if tt.name == "the API removes it" {
					select {
					case <-c.Ended():
					case <-time.After(time.Second):
						t.Error("the client was not told")
					}
				}
			})
		})
	}
}

// TestHalfOpenSessionIsReaped opens a session whose client never comes: ICE by
// itself would wait for ever.
func TestHalfOpenSessionIsReaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		c := s.client(transporttest.ClientConfig{Audio: sendRecv})
		defer c.Close()
		s.net.Cut("10.0.0.2")
		p := s.open(c, "p1", mixer.Both)
		begin := time.Now()
		got := <-s.room.seat(0).left
		<-p.Done()
		if d := time.Since(begin); d != 15*time.Second || got != "join_timeout" {
			t.Errorf("%s after %v", got, d)
		}
	})
}

// TestGatewayCloses ends sessions in any state and refuses new ones.
func TestGatewayCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		c := s.client(transporttest.ClientConfig{Audio: sendRecv})
		defer c.Close()
		s.join(c, "p1", mixer.Both)
		defer s.close()
		if err := s.gateway.Close(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case <-c.Ended():
		case <-time.After(time.Second):
			t.Error("the client was not told")
		}
		if _, err := s.gateway.open(t.Context(), s.room, Request{ID: "p2", Role: mixer.Both, Offer: sampleOffer}); err == nil {
			t.Error("a closed gateway took a session")
		}
	})
}

// TestRestart moves a running session to new ICE credentials.
func TestRestart(t *testing.T) { onBothPaths(t, testRestart) }

func testRestart(t *testing.T, build func(Config) (*Gateway, error)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStageOn(t, build, transporttest.Clean, nil)
		defer s.close()
		c := s.client(transporttest.ClientConfig{Audio: sendRecv})
		defer c.Close()
		p := s.join(c, "p1", mixer.Both)
		s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
		before, answer := p.ETag(), p.Answer()
		if _, err := p.Restart("a=ice-ufrag:short\r\na=ice-pwd:short\r\n"); err == nil || p.ETag() != before {
			t.Errorf("a bad restart: %v, tag %s then %s", err, before, p.ETag())
		}
		offer, err := c.RestartOffer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fragment, err := p.Restart(transporttest.Fragment(offer))
		if err != nil {
			t.Fatal(err)
		}
		if p.ETag() == before || len(p.ETag()) != 34 {
			t.Errorf("the tag was %s and is %s", before, p.ETag())
		}
		if !strings.Contains(fragment, "a=candidate:") || !strings.Contains(fragment, "a=ice-pwd:") {
			t.Errorf("the fragment is\n%s", fragment)
		}
		next, err := transporttest.Restarted(answer, fragment)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Answer(next); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		n := c.Counts().AudioPackets
		for i := range 50 {
			s.room.sub(0).cfg.Sink.WriteAudio(audioPacket(i, 20, 1))
			time.Sleep(20 * time.Millisecond)
		}
		if got := c.Counts().AudioPackets - n; got < 45 {
			t.Errorf("%d of 50 packets arrived after the restart", got)
		}
		if len(s.room.subs) != 1 {
			t.Errorf("%d subscriptions after a restart", len(s.room.subs))
		}
	})
}

// TestTrickle connects a client whose candidates come after the offer.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, func(c *Config) { c.Lite = false })
		defer s.close()
		c := s.client(transporttest.ClientConfig{Audio: sendRecv})
		defer c.Close()
		offer, err := c.Offer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var bare []string
		for line := range strings.SplitSeq(offer, "\r\n") {
			if !strings.HasPrefix(line, "a=candidate") && line != "a=end-of-candidates" {
				bare = append(bare, line)
			}
		}
		p, err := s.gateway.open(t.Context(), s.room, Request{ID: "p1", Role: mixer.Both, Offer: strings.Join(bare, "\r\n")})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Trickle(transporttest.Fragment(offer)); err != nil {
			t.Error(err)
		}
		if p.offer.candidates == 0 {
			t.Error("no candidate was taken")
		}
		for _, bad := range []string{"", "hello", "a=ice-ufrag:other\r\na=ice-pwd:0123456789012345678901\r\n"} {
			if err := p.Trickle(bad); err == nil {
				t.Errorf("took %q", bad)
			}
		}
		if err := c.Answer(p.Answer()); err != nil {
			t.Fatal(err)
		}
		<-c.Connected()
	})
}
