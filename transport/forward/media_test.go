package forward

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
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

// Sending allocates nothing, plain or not.
func TestSendingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
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
