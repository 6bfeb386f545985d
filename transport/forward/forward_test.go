package forward

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/srtp/v3"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
	"tutti/mixer"
)

func plainRTP(t testing.TB, b []byte) (p rtp.Packet) {
	t.Helper()
	if err := p.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	return p
}

// pace hands packets out so that none is dropped.
func pace(s *fakeSub, q *queue, packets []*codec.Packet) {
	for _, p := range packets {
		for {
			q.mu.Lock()
			full := q.audioN == queueAudio || q.videoN == queueVideo
			q.mu.Unlock()
			if !full {
				break
			}
			time.Sleep(time.Millisecond)
		}
		s.play(p)
	}
}

// What is forwarded decodes to what was mixed, at the times that it had.
func TestSoundAndPicture(t *testing.T) {
	audio, video := listen(t), listen(t)
	m, r := newManager(t, nil), newRoom("r")
	i, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port})
	if !sub.Continuous || !sub.Audio || !sub.Video || sub.Rendition != "hd" || i.State != Starting {
		t.Errorf("%+v subscribed as %+v", i, sub.SubscribeConfig)
	}
	packets := film()(t)
	go pace(sub, sub.Sink.(*queue), packets)
	hears(t, audio, of(codec.Audio, packets))
	sees(t, video, of(codec.Video, packets))
	i, err := m.Get("r", i.ID)
	if err != nil || i.State != Active || i.Packets < 60 || i.Bytes < 60*12 || i.Dropped+i.Refused+i.Stopped != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	m.HandOver("r") // so that the datagrams are all there are
	eventually(t, "the end", func() bool { n, _ := m.Totals(); return n == 0 })
	if n, all := m.Totals(); n != 0 || all != i.Counts {
		t.Errorf("%d, %+v, not %+v", n, all, i.Counts)
	}
}

func hears(t *testing.T, e *ear, want []*codec.Packet) {
	t.Helper()
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var before rtp.Packet
	loud, out := 0, make([]float32, opus.MaxSamples)
	for i, w := range want {
		b, _ := read(t, e.rtp)
		p := plainRTP(t, b)
		if !bytes.Equal(p.Payload, w.Data) || p.PayloadType != 111 || p.Marker != (i == 0) {
			t.Fatalf("packet %d: %v", i, p.Header)
		}
		if i > 0 && (p.SequenceNumber != before.SequenceNumber+1 || p.Timestamp != before.Timestamp+960 || p.SSRC != before.SSRC) {
			t.Fatalf("packet %d: %v after %v", i, p.Header, before.Header)
		}
		before = p
		n, err := d.Decode(p.Payload, out)
		if err != nil || n != pcm.Samples {
			t.Fatalf("packet %d: %d samples, %v", i, n, err)
		}
		sum := 0.0
		for _, s := range out[:n] {
			sum += float64(s) * float64(s)
		}
		if math.Sqrt(sum/float64(n)) > 0.2 {
			loud++
		}
	}
	if loud < 8 || loud > 12 { // a tone of 200 ms
		t.Errorf("%d blocks are loud", loud)
	}
}

func sees(t *testing.T, e *ear, want []*codec.Packet) {
	t.Helper()
	d, err := vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: 320, MaxHeight: 180, MaxFrameBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	picture := i420.New(320, 180)
	defer picture.Release()
	first := uint32(0)
	for i, w := range want {
		frame, ts := nextFrame(t, e)
		if i == 0 {
			first = ts
		}
		if ticks := uint32(math.Round((w.PTS - want[0].PTS).Seconds() * 90000)); !bytes.Equal(frame, w.Data) || ts-first-ticks+1 > 2 {
			t.Fatalf("frame %d: %d bytes at %d, want %d at %d", i, len(frame), ts-first, len(w.Data), ticks)
		}
		if err := d.DecodeInto(frame, picture, i420.Fill); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if bright := picture.Y[0] > 200; bright != (w.PTS < 200*time.Millisecond) {
			t.Errorf("frame %d at %v has luma %d", i, w.PTS, picture.Y[0])
		}
	}
}

// nextFrame puts the packets of one picture together again.
func nextFrame(t *testing.T, e *ear) (frame []byte, ts uint32) {
	t.Helper()
	for {
		b, _ := read(t, e.rtp)
		p := plainRTP(t, b)
		var v codecs.VP8Packet
		part, err := v.Unmarshal(p.Payload)
		if err != nil || p.PayloadType != 96 || len(p.Payload) > maxPayload || v.I != 1 {
			t.Fatalf("%v, %+v, %v", p.Header, v, err)
		}
		if start := len(frame) == 0; (v.S == 1) != start || !start && p.Timestamp != ts {
			t.Fatalf("%v, %+v inside a picture", p.Header, v)
		}
		frame, ts = append(frame, part...), p.Timestamp
		if p.Marker {
			return frame, ts
		}
	}
}

// Pictures of all sizes come whole in payloads of about one size, under an ID that
// rises with each.
func TestPicturesAreCut(t *testing.T) {
	o := &output{kind: codec.Video, clock: 90000, header: rtp.Header{Version: 2, SequenceNumber: 65535}, pictureID: 0x7fff}
	id, sequence := uint16(0x7fff), uint16(65535)
	for _, size := range []int{1, 1195, 1196, 1197, 2392, 2393, 100_000} {
		frame := bytes.Repeat([]byte{0, 1, 2, 3, 4, 5, 6}, size/7+1)[:size]
		var got []byte
		var sizes []int
		if err := o.write(&codec.Packet{Kind: codec.Video, Data: frame}, func(b []byte) {
			p := plainRTP(t, b)
			var v codecs.VP8Packet
			part, err := v.Unmarshal(p.Payload)
			if err != nil || v.PictureID != id || (v.S == 1) != (len(got) == 0) || p.Marker != (len(got)+len(part) == size) || p.SequenceNumber != sequence {
				t.Errorf("%d: %v %+v, %v", size, p.Header, v, err)
			}
			sequence++
			got, sizes = append(got, part...), append(sizes, len(p.Payload))
		}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, frame) || slices.Max(sizes) > maxPayload || len(sizes) != (size+1195)/1196 {
			t.Errorf("%d: %d bytes in %v", size, len(got), sizes)
		}
		id = (id + 1) & 0x7fff
	}
}

// The marker is that of the first packet after a pause.
func TestTalkSpurts(t *testing.T) {
	o := &output{kind: codec.Audio, clock: 48000, header: rtp.Header{Version: 2}}
	var marks []bool
	for _, at := range []time.Duration{0, 20, 40, 440, 460} {
		if err := o.write(&codec.Packet{Kind: codec.Audio, Data: []byte{1}, PTS: at * time.Millisecond, Duration: 20 * time.Millisecond}, func(b []byte) {
			marks = append(marks, plainRTP(t, b).Marker)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(marks, []bool{true, false, false, true, false}) {
		t.Errorf("%v", marks)
	}
}

func compound(t testing.TB, b []byte) []rtcp.Packet {
	t.Helper()
	list, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := rtcp.CompoundPacket(list).Validate(); err != nil {
		t.Fatal(err)
	}
	return list
}

// Sender reports relate both streams to one clock, on the port above or with the
// media; the last says goodbye, but not where the room goes on elsewhere.
func TestReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		t.Run(fmt.Sprintf("mux %v", mux), func(t *testing.T) {
			audio, video := listen(t), listen(t)
			m, r := newManager(t, nil), newRoom("r")
			r.created = r.created.Add(-time.Minute)
			i, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port, RTCPMux: mux})
			packets := film()(t)
			sub.play(of(codec.Audio, packets)[3], of(codec.Video, packets)[0])
			names := map[string]bool{}
			for _, e := range []*ear{audio, video} {
				b, from := read(t, e.rtp)
				media := plainRTP(t, b)
				if e == video {
					for !media.Marker {
						b, _ = read(t, e.rtp)
						media = plainRTP(t, b)
					}
				}
				control := e.rtcp
				if mux {
					control = e.rtp
				}
				b, from2 := read(t, control)
				if (from == from2) != mux {
					t.Errorf("media from %v, RTCP from %v", from, from2)
				}
				list := compound(t, b)
				sr := list[0].(*rtcp.SenderReport)
				names[list[1].(*rtcp.SourceDescription).Chunks[0].Items[0].Text] = true
				clock, pts := uint32(48000), 60*time.Millisecond
				if e == video {
					clock, pts = 90000, 0
				}
				since := time.Since(r.created) - pts // about what the report's time lies after the packet's
				ahead := time.Duration(sr.RTPTime-media.Timestamp) * time.Second / time.Duration(clock)
				if sr.SSRC != media.SSRC || sr.PacketCount == 0 || sr.OctetCount == 0 || ahead > since || ahead < since-time.Second {
					t.Errorf("%v: %v, %v ahead of %v", since, sr, ahead, media.Timestamp)
				}
				silent(t, e.rtp)
			}
			if len(names) != 1 {
				t.Errorf("names %v", names)
			}
			if err := m.Stop("r", i.ID); err != nil {
				t.Fatal(err)
			}
			control := audio.rtcp
			if mux {
				control = audio.rtp
			}
			b, _ := read(t, control)
			if bye, ok := compound(t, b)[2].(*rtcp.Goodbye); !ok || len(bye.Sources) != 1 {
				t.Errorf("ended with %v", compound(t, b))
			}
			<-sub.closed
			if _, err := m.Get("r", i.ID); !errors.Is(err, ErrNotFound) || !errors.Is(m.Stop("r", i.ID), ErrNotFound) {
				t.Error(err)
			}
		})
	}
}

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

func readOne(t *testing.T, e *ear) []byte {
	t.Helper()
	b, _ := read(t, e.rtp)
	return b
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

var theKeys = map[string]SRTP{
	"AES_CM_128_HMAC_SHA1_80": {"AES_CM_128_HMAC_SHA1_80", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"},
	"AEAD_AES_128_GCM":        {"AEAD_AES_128_GCM", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=="},
}

// Who has the key hears what is forwarded, and nobody else.
func TestSRTP(t *testing.T) {
	for name, keys := range theKeys {
		t.Run(name, func(t *testing.T) {
			audio, video := listen(t), listen(t)
			m, r := newManager(t, nil), newRoom("r")
			_, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port, SRTP: keys})
			c, err := keys.parse()
			if err != nil {
				t.Fatal(err)
			}
			open, err := c.context()
			if err != nil {
				t.Fatal(err)
			}
			packets := film()(t)
			sub.play(of(codec.Audio, packets)[0], of(codec.Video, packets)[0])
			b := readOne(t, audio)
			if bytes.Contains(b, of(codec.Audio, packets)[0].Data) {
				t.Error("the sound is plain")
			}
			damaged := bytes.Clone(b)
			damaged[20] ^= 1
			if _, err := open.DecryptRTP(nil, damaged, nil); err == nil {
				t.Error("a damaged packet is taken")
			}
			plain, err := open.DecryptRTP(nil, b, nil)
			if err != nil || !bytes.Equal(plainRTP(t, plain).Payload, of(codec.Audio, packets)[0].Data) {
				t.Errorf("%v", err)
			}
			sealed, _ := read(t, audio.rtcp)
			report, err := open.DecryptRTCP(nil, sealed, nil)
			if err != nil || compound(t, report)[0].(*rtcp.SenderReport).SSRC != plainRTP(t, plain).SSRC {
				t.Errorf("%v", err)
			}
			picture, from := read(t, video.rtp)
			if plain, err = open.DecryptRTP(nil, picture, nil); err != nil {
				t.Fatal(err)
			}
			ssrc := plainRTP(t, plain).SSRC
			_, to := read(t, video.rtcp)
			for range 3 { // a plain request is nobody's; what has the key is heard on both ports
				write(t, video.rtcp, to, marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
			}
			write(t, video.rtp, from, sealRTCP(t, c, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
			<-sub.asked
			if got := m.List("r")[0].KeyFrameRequests; got != 1 {
				t.Errorf("%d requests were heard", got)
			}
		})
	}
}

func sealRTCP(t *testing.T, c cipher, p rtcp.Packet) []byte {
	t.Helper()
	var ctx *srtp.Context
	ctx, err := c.context()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ctx.EncryptRTCP(nil, marshal(t, p), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func marshal(t *testing.T, p ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, c *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// The receiver asks for key frames, as often as it likes; they are made twice a
// second at most. Nobody else is heard.
func TestKeyFrameRequests(t *testing.T) {
	video := listen(t)
	m, r := newManager(t, nil), newRoom("r")
	_, sub := start(t, m, r, Options{Host: "127.0.0.1", VideoPort: video.port})
	sub.play(of(codec.Video, film()(t))[0])
	ssrc := plainRTP(t, readOne(t, video)).SSRC
	_, to := read(t, video.rtcp)
	write(t, listen(t).rtp, to, marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
	for _, junk := range [][]byte{
		nil,
		{0x80},
		{0x81, 206, 0, 2},
		{0x81, 206, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3, 4},
		marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc + 1}),
		marshal(t, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: ssrc + 1}}}), marshal(t, &rtcp.ReceiverReport{SSRC: 3}),
	} {
		write(t, video.rtcp, to, junk)
	}
	ask := func(p rtcp.Packet) { write(t, video.rtcp, to, marshal(t, &rtcp.ReceiverReport{SSRC: 3}, p)) }
	ask(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	first := <-sub.asked
	if got := m.List("r")[0].KeyFrameRequests; got != 1 {
		t.Errorf("%d requests, of which one was asked", got)
	}
	ask(&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc + 1}, {SSRC: ssrc}}})
	ask(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	second := <-sub.asked // served late, not lost
	if gap := second.Sub(first); gap < keyFrameEvery {
		t.Errorf("asked again after %v", gap)
	}
	eventually(t, "all requests", func() bool { return m.List("r")[0].KeyFrameRequests == 3 })
	if len(sub.asked) != 0 {
		t.Error("asked once more")
	}
}

// A receiver that never asks gets a key frame every now and then; one of sound alone
// needs none.
func TestKeyFramesUnasked(t *testing.T) {
	m, r := newManager(t, nil), newRoom("r")
	_, deaf := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: listen(t).port})
	began := time.Now()
	_, sub := start(t, m, r, Options{Host: "127.0.0.1", VideoPort: listen(t).port})
	if took := (<-sub.asked).Sub(began); took < keyFrameUnasked || took > 2*keyFrameUnasked {
		t.Errorf("asked after %v", took)
	}
	if len(deaf.asked) != 0 {
		t.Error("a key frame was asked for without pictures")
	}
}

// Nobody there is counted, and when somebody comes they are sent to.
func TestRefused(t *testing.T) {
	e := listen(t)
	e.close()
	m, r := newManager(t, nil), newRoom("r")
	i, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: e.port, VideoPort: e.port + 2})
	sound := of(codec.Audio, film()(t))
	eventually(t, "refusals", func() bool {
		sub.play(sound[0])
		i, _ = m.Get("r", i.ID)
		return i.Refused > 5 && i.State == Unreachable
	})
	back, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.port})
	if err != nil {
		t.Skip("somebody else has the port now")
	}
	defer back.Close()
	sub.play(sound[1])
	for p := (rtp.Packet{}); !bytes.Equal(p.Payload, sound[1].Data); {
		b, _ := read(t, back)
		p = plainRTP(t, b)
	}
}

// What the network does not take in time is dropped, the oldest sound first, and
// pictures up to the next key frame, which is asked for when there is room.
func TestQueue(t *testing.T) {
	q := newQueue()
	sound := make([]*codec.Packet, queueAudio+3)
	for i := range sound {
		sound[i] = &codec.Packet{Kind: codec.Audio}
		q.WriteAudio(sound[i])
	}
	picture := func(key bool) *codec.Packet { return &codec.Packet{Kind: codec.Video, KeyFrame: key} }
	early, key := picture(false), picture(true)
	q.WriteVideo(early)
	if !q.wantsKeyFrame() || q.wantsKeyFrame() {
		t.Error("a key frame to begin with is not asked for, or twice")
	}
	q.WriteVideo(key)
	for range queueVideo {
		q.WriteVideo(picture(false)) // the last is one too many
	}
	if q.wantsKeyFrame() || q.droppedSoFar() != 3+2 {
		t.Errorf("a key frame is asked for where none has room, or dropped %d", q.droppedSoFar())
	}
	for i := 3; i < len(sound); i++ {
		if q.pop() != sound[i] {
			t.Fatalf("sound %d is missing", i)
		}
	}
	if q.pop() != key || !q.wantsKeyFrame() {
		t.Error("the key frame is gone, or no other is asked for")
	}
	q.WriteVideo(picture(false))
	again := picture(true)
	q.WriteVideo(again)
	for range queueVideo - 1 {
		q.pop()
	}
	if q.wantsKeyFrame() || q.pop() != again || q.pop() != nil || q.droppedSoFar() != 6 {
		t.Errorf("after a gap comes something else than a key frame; dropped %d", q.droppedSoFar())
	}
}

// While the gate is shut nothing goes out.
func TestGate(t *testing.T) {
	e := listen(t)
	m, r := newManager(t, func(c *Config) { c.Gate = func() bool { return false } }), newRoom("r")
	i, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: e.port})
	sub.play(of(codec.Audio, film()(t))[0])
	eventually(t, "an attempt", func() bool { i, _ = m.Get("r", i.ID); return i.Stopped == 2 }) // with a report
	silent(t, e.rtp)
	if err := m.Stop("r", i.ID); err != nil || i.Packets != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	silent(t, e.rtcp)
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

// Sending allocates nothing, plain or not.
func TestSendingAllocatesNothing(t *testing.T) {
	for _, keys := range []SRTP{{}, theKeys["AES_CM_128_HMAC_SHA1_80"], theKeys["AEAD_AES_128_GCM"]} {
		audio, video := listen(t), listen(t)
		m, r := newManager(t, nil), newRoom("r")
		f := newForwarder(m, r, Running{Options: Options{AudioPort: audio.port, VideoPort: video.port, SRTP: keys}, Address: netip.MustParseAddr("127.0.0.1")})
		if err := f.open(); err != nil {
			t.Fatal(err)
		}
		packets := film()(t)
		sound, picture := of(codec.Audio, packets)[0], of(codec.Video, packets)[0]
		turn := func() { f.queue.WriteAudio(sound); f.queue.WriteVideo(picture); f.drain() }
		turn() // the first reports
		if n := testing.AllocsPerRun(100, turn); n != 0 {
			t.Errorf("%s: %v allocations", keys.Profile, n)
		}
		f.closeSockets()
	}
}
