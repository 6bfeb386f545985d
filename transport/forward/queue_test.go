package forward

import (
	"bytes"
	"net"
	"testing"

	"github.com/pion/rtp"

	"tutti/codec"
)

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
