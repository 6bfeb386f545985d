package rtc

import (
	"bytes"
	"testing"

	"github.com/pion/rtp/codecs"

	"tutti/codec"
)

func noCut(*codec.Packet) [][]byte { return nil }

// TestRingDropsPictures fills a ring that nobody empties.
func TestRingDropsPictures(t *testing.T) {
	r := newRing(func() {})
	r.pushVideo(videoPacket(0, false, nil), noCut)
	if _, ok := r.pop(); ok {
		t.Error("a joiner did not begin with a key frame")
	}
	for i := range ringVideo + 1 {
		r.pushVideo(videoPacket(i, i == 0, nil), noCut)
	}
	if r.wantsKeyFrame() {
		t.Error("a key frame is wanted while there is no room for it")
	}
	for i := range ringVideo {
		it, ok := r.pop()
		if !ok || it.packet.PTS != videoPacket(i, false, nil).PTS {
			t.Fatalf("%d: %v", i, it.packet)
		}
	}
	if !r.wantsKeyFrame() || r.wantsKeyFrame() {
		t.Error("a key frame is wanted not at all or twice")
	}
	r.pushVideo(videoPacket(20, false, nil), noCut)
	if _, ok := r.pop(); ok {
		t.Error("a picture passed that refers to a dropped one")
	}
	r.pushVideo(videoPacket(21, true, nil), noCut)
	if it, ok := r.pop(); !ok || !it.packet.KeyFrame {
		t.Error("the key frame after the gap did not pass")
	}
	if r.droppedVideo != 3 {
		t.Errorf("%d dropped pictures counted, not 3", r.droppedVideo)
	}
}

func TestRingDropsOldSound(t *testing.T) {
	r := newRing(func() {})
	r.pushVideo(videoPacket(0, true, nil), noCut)
	for i := range ringAudio + 5 {
		r.pushAudio(audioPacket(i, 1))
	}
	it, _ := r.pop()
	if it.packet.PTS != audioPacket(5).PTS || r.droppedAudio != 5 {
		t.Errorf("first is %v, %d dropped", it.packet.PTS, r.droppedAudio)
	}
	r.close()
	r.pushAudio(audioPacket(1, 1))
	r.pushVideo(videoPacket(0, true, nil), noCut)
	if _, ok := r.pop(); ok || !r.closed {
		t.Error("a closed ring holds something")
	}
}

func TestSoundAllocatesNothingInTheRing(t *testing.T) {
	r, p := newRing(func() {}), audioPacket(1, 1)
	if n := testing.AllocsPerRun(100, func() { r.pushAudio(p); r.pop() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCutVP8 joins what was cut with pion's depacketiser.
func TestCutVP8(t *testing.T) {
	for _, size := range []int{1, 100, maxPayload - vp8Descriptor, maxPayload - vp8Descriptor + 1, 5000, 100_000} {
		frame := make([]byte, size)
		for i := range frame {
			frame[i] = byte(i * 7)
		}
		var joined []byte
		for i, payload := range cutVP8(frame, 0x1234) {
			if len(payload) > maxPayload {
				t.Errorf("%d bytes: a payload of %d", size, len(payload))
			}
			var p codecs.VP8Packet
			part, err := p.Unmarshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			if (p.S == 1) != (i == 0) || p.PID != 0 || p.I != 1 || p.PictureID != 0x1234 || p.N != 0 {
				t.Errorf("%d bytes, part %d: %+v", size, i, p)
			}
			joined = append(joined, part...)
		}
		if !bytes.Equal(joined, frame) {
			t.Errorf("%d bytes did not come back", size)
		}
	}
	if cutVP8(nil, 1) != nil {
		t.Error("nothing was cut to something")
	}
}

// TestFanoutCutsOnce gives one packet to many peers.
func TestFanoutCutsOnce(t *testing.T) {
	f := newFanout()
	f.pictureID = 0x7fff
	p, q := videoPacket(0, true, make([]byte, 3000)), videoPacket(1, false, make([]byte, 10))
	first := f.payloads(p)
	second := f.payloads(q)
	if &f.payloads(p)[0][0] != &first[0][0] || &f.payloads(q)[0][0] != &second[0][0] {
		t.Error("a packet was cut twice")
	}
	if first[0][2] != 0xff || first[0][3] != 0xff || second[0][2] != 0x80 || second[0][3] != 0 {
		t.Errorf("picture IDs %x, %x", first[0][2:4], second[0][2:4])
	}
	f.pictureID = 0x80
	f.payloads(videoPacket(2, false, make([]byte, 10)))
	if f.pictureID != 0x81 {
		t.Errorf("after picture 128 comes %d", f.pictureID)
	}
	if n := testing.AllocsPerRun(100, func() { f.payloads(p) }); n != 0 {
		t.Errorf("%v allocations for a packet that is cut already", n)
	}
}
