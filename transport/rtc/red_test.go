package rtc

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tutti/codec"
	"tutti/codec/pcm"
	"tutti/transport/plane"
)

// spoken is a run that ends with the packets of these numbers, each of so many
// bytes, and what add answered for the last of them.
func spoken(size int, numbers ...int) (r run, continues bool) {
	for _, n := range numbers {
		continues = r.add(audioPacket(n, bytes.Repeat([]byte{byte(n)}, size)...))
	}
	return r, continues
}

// The payload of three packets, byte by byte (RFC 2198, section 3): blocks of 40
// and 20 ms before, 1920 and 960 ticks, of 2 bytes each.
func TestREDGolden(t *testing.T) {
	r, _ := spoken(2, 1, 2, 3)
	got := r.marshal(111)
	want := []byte{
		0x80 | 111, 1920 >> 6, 1920 & 0x3f << 2, 2,
		0x80 | 111, 960 >> 6, 960 & 0x3f << 2, 2,
		111,
		1, 1, 2, 2, 3, 3,
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("% x, want % x", got, want)
	}
	var memory [redBlocks]redBlock
	blocks, err := splitRED(got, &memory)
	if err != nil || len(blocks) != 3 {
		t.Fatalf("%+v, %v", blocks, err)
	}
	for i, b := range blocks {
		if b.pt != 111 || b.offset != uint32(960*(2-i)) || !bytes.Equal(b.payload, []byte{byte(i + 1), byte(i + 1)}) {
			t.Errorf("block %d: %+v", i, b)
		}
	}
}

// numbers answers which packets a run holds, the newest first.
func (r run) numbers() (list []int) {
	for _, p := range r {
		if p != nil {
			list = append(list, int(p.PTS/pcm.Duration))
		}
	}
	return list
}

func TestRunCarriesOnlyItsOwnSpurt(t *testing.T) {
	for _, c := range []struct {
		said      []int
		continues bool
		depth     int
		want      []int
	}{
		{[]int{1}, false, 3, []int{1}},
		{[]int{1, 2}, true, 3, []int{2, 1}},
		{[]int{1, 2, 3, 4, 5, 6}, true, 3, []int{6, 5, 4, 3}},
		{[]int{1, 2, 3, 4, 5, 6}, true, 1, []int{6, 5}},
		{[]int{1, 2, 3}, true, 0, []int{3}},
		{[]int{1, 2, 4}, false, 3, []int{4}},       // a pause of one packet
		{[]int{1, 2, 1000}, false, 3, []int{1000}}, // of 20 s
		{[]int{1, 2, 30, 31}, true, 3, []int{31, 30}},
		{[]int{5, 6, 6}, false, 3, []int{6}}, // the room's clock went back
		{[]int{5, 6, 2}, false, 3, []int{2}},
	} {
		r, continues := spoken(10, c.said...)
		if got := r.last(c.depth).numbers(); continues != c.continues || !slices.Equal(got, c.want) {
			t.Errorf("%v with depth %d: %v, continues %v", c.said, c.depth, got, continues)
		}
	}
}

// What does not fit into a packet or the fields of a header is left out, the
// oldest first.
func TestRunFits(t *testing.T) {
	for size, want := range map[int]int{80: 4, 296: 4, 297: 3, 397: 3, 398: 2, 590: 2, 597: 2, 598: 1, 1100: 1} {
		r, _ := spoken(size, 1, 2, 3, 4)
		got := r.last(maxRedundancy)
		if n := len(got.numbers()); n != want {
			t.Errorf("%d bytes: %d packets in one, not %d", size, n, want)
		}
		if n := len(got.marshal(111)); n > maxPayload {
			t.Errorf("%d bytes: a payload of %d", size, n)
		}
	}
	var r run
	r.add(&codec.Packet{Data: make([]byte, maxRedLength+1), Duration: 20 * time.Millisecond})
	r.add(&codec.Packet{Data: []byte{1}, PTS: 20 * time.Millisecond, Duration: 20 * time.Millisecond})
	if n := len(r.last(1).numbers()); n != 1 {
		t.Error("a block is longer than its header can say")
	}
	r = run{}
	r.add(&codec.Packet{Data: []byte{1}, Duration: 400 * time.Millisecond})
	r.add(&codec.Packet{Data: []byte{1}, PTS: 400 * time.Millisecond, Duration: 20 * time.Millisecond})
	if n := len(r.last(1).numbers()); n != 1 {
		t.Error("a block is further back than its header can say")
	}
}

// A payload is built once for all who were sent the same, and not at all for
// those who lose nothing.
func TestRedundancyIsShared(t *testing.T) {
	f := newFanout()
	one, _ := spoken(10, 1, 2, 3)
	first := f.redundancy(one.last(2), 111)
	for range 3 {
		if got := f.redundancy(one.last(2), 111); &got[0] != &first[0] {
			t.Fatal("built again")
		}
	}
	if got := f.redundancy(one.last(1), 111); len(got) >= len(first) {
		t.Error("another depth has the same payload")
	}
	if got := f.redundancy(one.last(2), 109); got[0] != 0x80|109 {
		t.Error("another payload type has the same payload")
	}
	other, _ := spoken(10, 1, 2, 3) // from another encoder
	if got := f.redundancy(other.last(2), 111); &got[0] == &first[0] {
		t.Error("packets of another encoder have the same payload")
	}
	last := one.last(2)
	if n := testing.AllocsPerRun(100, func() { f.redundancy(last, 111) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// page records what a peer writes.
type page struct {
	begun bool
	sent  []sentSound
}

type sentSound struct {
	payload   []byte
	pts       time.Duration
	marker    bool
	redundant bool
}

func (w *page) Packet(_ int, payload []byte, pts time.Duration, marker bool) {
	w.begun, w.sent = true, append(w.sent, sentSound{payload, pts, marker, false})
}

func (w *page) Redundant(_ int, payload []byte, pts time.Duration, marker bool) {
	w.begun, w.sent = true, append(w.sent, sentSound{payload, pts, marker, true})
}

func (w *page) Begun(int) bool { return w.begun }
func (w *page) Report()        {}

// TestSoundAfterAPause sends two talk spurts: the first packet of each is marked
// and carries nothing of the spurt before, and while nothing is lost all is
// plain Opus.
func TestSoundAfterAPause(t *testing.T) {
	p := &Peer{outAudio: 0, outVideo: -1, fan: newFanout(), soundPT: 111, takesRED: true}
	p.ring = newRing(func() {})
	w := &page{}
	say := func(numbers ...int) []sentSound {
		w.sent = nil
		for _, n := range numbers {
			p.WriteAudio(audioPacket(n, byte(n), byte(n)))
			p.drain(w)
		}
		return w.sent
	}
	for i, s := range say(0, 1, 2, 10, 11) {
		if s.redundant || s.marker != (i == 0 || i == 3) || len(s.payload) != 2 {
			t.Errorf("packet %d: %+v", i, s)
		}
	}
	for range 5 {
		p.heardOf(plane.Reception{Stream: 0, At: time.Unix(100, 0), Expected: 100, Lost: 0.1})
	}
	for i, s := range say(12, 13, 100, 101, 102) {
		carried := []int{2, 2, 0, 1, 2}[i]
		if s.redundant != (carried > 0) || s.marker != (i == 2) || len(s.payload) != 2+carried*6+min(carried, 1) {
			t.Errorf("packet %d: %+v", i, s)
		}
	}
	packets := make([]*codec.Packet, 200)
	for i := range packets {
		packets[i] = audioPacket(200+i, 1, 2, 3)
	}
	p.redundancy.Store(0)
	w.sent = make([]sentSound, 0, 1000)
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		p.WriteAudio(packets[i])
		p.drain(w)
		i++
	}); n != 0 {
		t.Errorf("plain sound allocates %v", n)
	}
}

// pops answers the payloads that a buffer plays and how many losses.
func pops(a *audioIn, now time.Time, blocks int) (origins []uint8) {
	var block pcm.Block
	for range blocks {
		origins = append(origins, uint8(a.ReadAudio(now, &block)))
		now = now.Add(pcm.Duration)
	}
	return origins
}

// TestInboundRedundancy sends packets with redundancy of which every other is
// lost: nothing is missing in what is played, and nothing is played twice.
func TestInboundRedundancy(t *testing.T) {
	dec := &countingDecoder{}
	codecs := fakeCodecs()
	codecs.NewAudioDecoder = func(int) (AudioDecoder, error) { return dec, nil }
	a, err := newAudioIn(codecs)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 0)
	var r run
	const packets = 50
	for n := range packets {
		r.add(audioPacket(n, 20, byte(n)))
		at = at.Add(pcm.Duration)
		last := r.last(1)
		p := &plane.Packet{At: at, Packet: rtp.Packet{
			Header:  rtp.Header{SequenceNumber: 65530 + uint16(n), Timestamp: 1<<32 - 9600 + uint32(n)*pcm.Samples, PayloadType: 63},
			Payload: last.marshal(111),
		}}
		if n%2 == 0 {
			a.pushRedundant(p, 111)
		}
		if n >= 8 {
			pops(a, at, 1)
		}
	}
	if s := a.buf.Stats(); s.Lost > 0 || s.Received < packets-2 {
		t.Errorf("%+v", s)
	}
	if dec.concealed > 0 || dec.recovered > 0 || dec.decoded < packets-15 {
		t.Errorf("%d decoded, %d recovered, %d concealed", dec.decoded, dec.recovered, dec.concealed)
	}
}

// Blocks of another payload type and what is no redundancy are passed over.
func TestInboundRedundancyRefused(t *testing.T) {
	for name, c := range map[string]struct {
		payload  []byte
		received uint64
		bad      uint64
	}{
		"nothing":               {nil, 0, 1},
		"cut header":            {[]byte{0x80 | 111, 0, 0}, 0, 1},
		"no primary header":     {[]byte{0x80 | 111, 15, 0, 0}, 0, 1},
		"blocks beyond the end": {[]byte{0x80 | 111, 15, 0, 9, 111, 20, 1, 20, 1}, 0, 1},
		"another primary":       {[]byte{13, 20, 1}, 0, 1},
		"another redundancy":    {[]byte{0x80 | 13, 15, 0, 2, 111, 20, 1, 20, 1}, 1, 0},
		"of no time ago":        {[]byte{0x80 | 111, 0, 0, 2, 111, 20, 1, 20, 1}, 1, 0},
		"an empty block":        {[]byte{0x80 | 111, 15, 0, 0, 111, 20, 1}, 1, 0},
		"the primary alone":     {[]byte{111, 20, 1}, 1, 0},
		"one and the primary":   {[]byte{0x80 | 111, 15, 0, 2, 111, 20, 1, 20, 1}, 2, 0},
		"too many":              {append(bytes.Repeat([]byte{0x80 | 111, 15, 0, 0}, redBlocks), 111, 20, 1), 0, 1},
	} {
		a, err := newAudioIn(fakeCodecs())
		if err != nil {
			t.Fatal(err)
		}
		send := func(seq uint16, payload []byte) *plane.Packet {
			h := rtp.Header{SequenceNumber: seq, Timestamp: 960 * uint32(seq)}
			return &plane.Packet{At: time.Unix(1000, 0), Packet: rtp.Packet{Header: h, Payload: payload}}
		}
		a.push(send(5, []byte{20, 1})) // and 6 is lost
		a.pushRedundant(send(7, c.payload), 111)
		if s := a.buf.Stats(); s.Received != 1+c.received || a.badCount.Load() != c.bad {
			t.Errorf("%s: %d received, %d refused", name, s.Received, a.badCount.Load())
		}
	}
}

// FuzzRED: no payload makes blocks beyond it, and what was marshalled is split
// into the same.
func FuzzRED(f *testing.F) {
	r, _ := spoken(20, 1, 2, 3, 4)
	f.Add(r.marshal(111), uint64(1))
	f.Add([]byte{0x80 | 111, 15, 0, 2, 111, 20, 1, 20, 1}, uint64(2))
	f.Fuzz(func(t *testing.T, payload []byte, seed uint64) {
		var memory [redBlocks]redBlock
		if blocks, err := splitRED(payload, &memory); err == nil {
			sum := redHeader*(len(blocks)-1) + redLast
			for _, b := range blocks {
				sum += len(b.payload)
			}
			if sum != len(payload) || blocks[len(blocks)-1].offset != 0 {
				t.Fatalf("%d bytes of %d in %+v", sum, len(payload), blocks)
			}
			a, err := newAudioIn(fakeCodecs())
			if err != nil {
				t.Fatal(err)
			}
			a.pushRedundant(&plane.Packet{At: time.Unix(1000, 0), Packet: rtp.Packet{Payload: payload}}, 111)
		}
		luck := rand.New(rand.NewPCG(seed, 0))
		var r run
		for n := range 1 + luck.IntN(5) {
			r.add(audioPacket(n, bytes.Repeat([]byte{byte(n)}, luck.IntN(1500))...))
		}
		r = r.last(maxRedundancy)
		blocks, err := splitRED(r.marshal(111), &memory)
		if err != nil || len(blocks) != len(r.numbers()) {
			t.Fatalf("%d blocks of %d, %v", len(blocks), len(r.numbers()), err)
		}
		for i, b := range blocks {
			if p := r[len(blocks)-1-i]; !bytes.Equal(b.payload, p.Data) || b.offset != uint32((r[0].PTS-p.PTS)/pcm.Duration)*pcm.Samples {
				t.Fatalf("block %d: %+v", i, b)
			}
		}
	})
}
