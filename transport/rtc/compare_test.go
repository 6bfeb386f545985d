package rtc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/plane"
	"tutti/transport/transporttest"
)

// transcript is what came of one script, as text that can be compared.
type transcript struct {
	mu sync.Mutex
	// To the room: the packets of sound and of pictures, the blocks that the mixer
	// pulls, by origin, and how many pictures were drawn.
	sound, pictures []string
	origins         []mixer.Origin
	drawn           int
	// To the client: its packets, as differences from the first.
	heard, seen []string
}

func (r *transcript) add(list *[]string, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

// listen records what the takers of a session are given.
func (r *transcript) listen(t *plane.Terms) {
	for i := range t.Inbound {
		in := &t.Inbound[i]
		take, list := in.Take, &r.sound
		if in.Kind == codec.Video {
			list = &r.pictures
		}
		in.Take = func(p *plane.Packet) {
			r.add(list, "%d %d %v %d %v %v %x", p.SequenceNumber, p.Timestamp, p.Marker, p.Ext.Level, p.Ext.Voice, p.Ext.HasLevel, p.Payload)
			take(p)
		}
	}
	for i := range t.Outbound { // random otherwise; near the wrap
		t.Outbound[i].Sequence, t.Outbound[i].Base = 65400, 1<<32-5000
	}
}

// received answers an OnAudio or OnVideo that records.
func (r *transcript) received(list *[]string) func(time.Time, *rtp.Packet) {
	return func(_ time.Time, p *rtp.Packet) {
		r.add(list, "%d %d %v %v %x", p.SequenceNumber, p.Timestamp, p.Marker, p.Extension, p.Payload)
	}
}

// cameraFrame is frame n of the script's camera: a key frame every two seconds,
// of one to four packets.
func cameraFrame(luck *rand.Rand, n int) []byte {
	frame := deltaFrame(byte(n))
	if n%50 == 0 {
		frame = keyFrame(byte(n))
	}
	for range luck.IntN(3500) {
		frame = append(frame, byte(luck.Uint32()))
	}
	return frame
}

// perform plays one script of ten seconds over a path: a voice with pauses,
// losses of its own and changing levels, a camera, and a mix. It is the same
// each time and does not react.
func perform(t *testing.T, build func(Config) (*Gateway, error), link transporttest.Link) *transcript {
	r := &transcript{}
	synctest.Test(t, func(t *testing.T) {
		eye := &fakeVideo{}
		s := newStageOn(t, build, link, func(c *Config) {
			c.Codecs.NewVideoDecoder = func(int, int) (VideoDecoder, error) { return eye, nil }
		})
		defer s.close()
		s.tap(r.listen)
		c := s.client(transporttest.ClientConfig{
			Audio: sendRecv, Video: sendRecv, OnAudio: r.received(&r.heard), OnVideo: r.received(&r.seen),
		})
		defer c.Close()
		p := s.join(c, "p1", mixer.Both)
		s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
		p.fan.mu.Lock()
		p.fan.pictureID = 0x7f80 // random otherwise; near its wrap
		p.fan.mu.Unlock()
		sink, in := s.room.sub(0).cfg.Sink, s.room.seat(0).cfg
		in.Video.Show(32, 24, i420.Cover)
		luck := rand.New(rand.NewPCG(1, 2))
		var block pcm.Block
		for i := range 500 {
			r.speak(t, c, luck, i)
			mixed := make([]byte, 3+luck.IntN(200))
			mixed[0], mixed[1] = 20, byte(i)
			sink.WriteAudio(audioPacket(i, mixed...))
			if i%2 == 0 {
				if err := c.SendVideo(cameraFrame(luck, i/2), 40*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				frame := cameraFrame(luck, i/2)
				sink.WriteVideo(videoPacket(i, i/2%50 == 0, frame))
			}
			r.origins = append(r.origins, in.Audio.ReadAudio(time.Now(), &block))
			if f := in.Video.Latest(time.Now()); f != nil {
				f.Release()
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		r.drawn = int(eye.drawn.Load())
	})
	return r
}

// speak sends the voice of tick i.
func (r *transcript) speak(t *testing.T, c *transporttest.Client, luck *rand.Rand, i int) {
	payload := []byte{20, byte(i), byte(luck.Uint32()), byte(luck.Uint32())}
	level := -luck.IntN(128)
	switch {
	case i%100 >= 80: // a pause
		c.SkipAudio(960)
	case i%37 == 5:
		c.DropAudio(960)
	default:
		if err := c.SendAudio(payload, 960, level); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPathsAgree holds the media plane against pion's own path on a clean link:
// the room and the client must be given exactly the same.
func TestPathsAgree(t *testing.T) {
	ours, pions := perform(t, New, transporttest.Clean), perform(t, newReference, transporttest.Clean)
	same := func(what string, a, b []string, least int) {
		if len(a) < least {
			t.Errorf("%s: only %d packets", what, len(a))
		}
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("%s: packet %d is\n%.120s\nand on pion's path\n%.120s", what, i, a[i], b[i])
			}
		}
		if len(a) != len(b) {
			t.Errorf("%s: %d packets, on pion's path %d", what, len(a), len(b))
		}
	}
	same("sound to the room", ours.sound, pions.sound, 380)
	same("pictures to the room", ours.pictures, pions.pictures, 500)
	same("sound to the client", ours.heard, pions.heard, 500)
	same("pictures to the client", ours.seen, pions.seen, 500)
	if !slices.Equal(ours.origins, pions.origins) {
		t.Errorf("the blocks are of\n%v\nand on pion's path of\n%v", ours.origins, pions.origins)
	}
	if ours.drawn != pions.drawn || ours.drawn != 250 {
		t.Errorf("%d pictures drawn, on pion's path %d, of 250", ours.drawn, pions.drawn)
	}
}

// TestPathsOnALossyLink holds the plane against pion's path where 5 % are lost,
// by the packets of a clean run: nothing else may arrive on either path, of the
// sound 92 to 98 %, of the pictures all but one in a hundred in the end, and the
// plane may leave no more missing than pion's path and five in a thousand.
//
// pion as a client asks for ever for what came to it as a retransmission: the
// plane sends it no more than four times, pion's path always, by one index, so
// that the client drops it.
func TestPathsOnALossyLink(t *testing.T) {
	clean := perform(t, New, transporttest.Clean)
	ours, pions := perform(t, New, transporttest.Lossy), perform(t, newReference, transporttest.Lossy)
	for _, x := range []struct {
		what               string
		sent, ours, pions  []string
		least, most, worse float64
		copies             int
	}{
		{"sound to the room", clean.sound, ours.sound, pions.sound, 0.92, 0.98, 0.05, 1},
		{"sound to the client", clean.heard, ours.heard, pions.heard, 0.92, 0.98, 0.05, 1},
		{"pictures to the room", clean.pictures, ours.pictures, pions.pictures, 0.99, 1, 0.005, 1},
		{"pictures to the client", clean.seen, ours.seen, pions.seen, 0.99, 1, 0.005, 4},
	} {
		a, b := arrived(t, x.what, x.sent, x.ours, x.copies), arrived(t, x.what+" on pion's path", x.sent, x.pions, 1)
		t.Logf("%s: %.4f, on pion's path %.4f", x.what, a, b)
		if a < x.least || a > x.most || a < b-x.worse {
			t.Errorf("%s: %.4f arrived, on pion's path %.4f", x.what, a, b)
		}
	}
	t.Logf("%d pictures drawn, on pion's path %d", ours.drawn, pions.drawn)
	if ours.drawn < pions.drawn-10 {
		t.Errorf("%d pictures drawn, on pion's path %d", ours.drawn, pions.drawn)
	}
}

// arrived answers which share of what was sent arrived, and holds that nothing
// else did, nor anything more often than that.
func arrived(t *testing.T, what string, sent, got []string, most int) float64 {
	t.Helper()
	copies := map[string]int{}
	for _, p := range sent {
		copies[p] = 0
	}
	for _, p := range got {
		if _, ok := copies[p]; !ok {
			t.Errorf("%s: a packet that was not sent: %.120s", what, p)
			continue
		}
		copies[p]++
	}
	n := 0
	for p, c := range copies {
		if c > 0 {
			n++
		}
		if c > most {
			t.Errorf("%s: %d times %.120s", what, c, p)
		}
	}
	return float64(n) / float64(len(sent))
}

// TestPictureIDs holds the picture IDs of a session over their wrap: 15 bits,
// one more for each picture, the same in all packets of one (RFC 7741, section
// 4.2).
func TestPictureIDs(t *testing.T) {
	onBothPaths(t, func(t *testing.T, build func(Config) (*Gateway, error)) {
		r := perform(t, build, transporttest.Clean)
		want, first := uint16(0x7f80), true
		for _, line := range r.seen {
			var seq, ts uint32
			var marker, ext bool
			var payload []byte
			if _, err := fmt.Sscanf(line, "%d %d %t %t %x", &seq, &ts, &marker, &ext, &payload); err != nil {
				t.Fatal(err)
			}
			if id := binary.BigEndian.Uint16(payload[2:]) & 0x7fff; id != want || payload[0]&0x10 != 0 != first {
				t.Fatalf("picture %#x, begins %v; not %#x, %v", id, payload[0]&0x10 != 0, want, first)
			}
			first = marker
			if marker {
				want = (want + 1) & 0x7fff
			}
		}
		if want >= 0x7f80 || want < 100 || !bytes.Contains([]byte(r.seen[0]), []byte("65400")) {
			t.Errorf("the IDs ended with %#x", want)
		}
	})
}
