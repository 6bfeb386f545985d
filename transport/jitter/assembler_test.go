package jitter

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

func TestFramesComeOutWhole(t *testing.T) {
	pics := camera(300, 100)
	a := NewAssembler(AssemblerConfig{})
	if !a.NeedKeyFrame() {
		t.Error("no key frame asked for at the start")
	}
	if out := deliveries(t, a, post(film(pics, 65500)), pics); len(out) != 300 {
		t.Errorf("%d of 300 frames", len(out))
	}
	if s := a.Stats(); s.Frames != 300 || s.KeyFrames != 3 || s.Gaps+s.Dropped+s.Late+s.Reordered > 0 || s.Buffered != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReorderedAndRepairedFramesAreWhole(t *testing.T) {
	r := random(11)
	pics := camera(300, 1000)
	in := post(film(pics, 1))
	for i := range in {
		in[i].at += time.Duration(r.IntN(60)) * ms
		if r.IntN(20) == 0 {
			in[i].at += 100 * ms // a retransmission
		}
		if r.IntN(20) == 0 {
			in = append(in, in[i])
		}
	}
	a := NewAssembler(AssemblerConfig{})
	if out := deliveries(t, a, in, pics); len(out) != 300 {
		t.Errorf("%d of 300 frames, %+v", len(out), a.Stats())
	}
}

// After a packet that never comes nothing but the next key frame comes out, and
// the sender is asked for it once the wait is over.
func TestGapEndsAtTheNextKeyFrame(t *testing.T) {
	pics := camera(100, 50)
	packets := film(pics, 1)
	var in []mail
	var gap time.Duration
	for _, m := range post(packets) {
		if m.p.Timestamp == pics[20].ts && m.p.Marker {
			gap = m.at
			continue
		}
		in = append(in, m)
	}
	a := NewAssembler(AssemblerConfig{})
	var before, after []mail
	for _, m := range in {
		if m.at < gap+200*ms {
			before = append(before, m)
		} else {
			after = append(after, m)
		}
	}
	if out := deliveries(t, a, before, pics); len(out) != 20 || a.NeedKeyFrame() {
		t.Errorf("%d frames before the gap, key frame asked for: %v", len(out), a.NeedKeyFrame())
	}
	epoch := time.Unix(1_700_000_000, 0)
	a.Pop(epoch.Add(gap + 240*ms))
	if !a.NeedKeyFrame() {
		t.Error("no key frame asked for after the wait")
	}
	out := deliveries(t, a, after, pics)
	if len(out) != 50 || out[0] != 50 {
		t.Errorf("after the gap came %v", out)
	}
	if s := a.Stats(); s.Gaps != 1 {
		t.Errorf("%+v", s)
	}
}

// A whole key frame is not kept waiting behind a gap.
func TestWholeKeyFrameOvertakesAGap(t *testing.T) {
	pics := camera(20, 1000)
	pics[10].key = true
	var in []mail
	for _, m := range post(film(pics, 1)) {
		if m.p.Timestamp != pics[8].ts {
			in = append(in, m)
		}
	}
	a := NewAssembler(AssemblerConfig{Wait: time.Hour})
	out := deliveries(t, a, in, pics)
	if !slices.Equal(out[8:], []int{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}) {
		t.Errorf("%v", out)
	}
}

// The first packet of the first key frame may be overtaken or retransmitted.
func TestFirstKeyFrameMayArriveInAnyOrder(t *testing.T) {
	pics := camera(1, 1)
	pics[0].size = 3500
	packets := film(pics, 0)
	for i := range packets {
		in := []mail{}
		for j, p := range packets {
			at := time.Duration(j) * ms
			if i == j {
				at = 150 * ms
			}
			in = append(in, mail{at, p})
		}
		a := NewAssembler(AssemblerConfig{})
		if out := deliveries(t, a, in, pics); len(out) != 1 {
			t.Errorf("packet %d last: %d frames, %+v", i, len(out), a.Stats())
		}
	}
}

// Padding takes sequence numbers and leaves no gap.
func TestPaddingIsNoGap(t *testing.T) {
	pics := camera(50, 1000)
	var in []mail
	seq := uint16(9)
	for i := range pics {
		for _, p := range pics[i].packets(seq, 1000) {
			in = append(in, mail{time.Duration(i) * 33 * ms, p})
			seq++
		}
		for range i % 3 {
			in = append(in, mail{time.Duration(i) * 33 * ms, &rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Timestamp: pics[i].ts}}})
			seq++
		}
	}
	if out := deliveries(t, NewAssembler(AssemblerConfig{}), in, pics); len(out) != 50 {
		t.Errorf("%d of 50 frames", len(out))
	}
}

// A forwarder that leaves out a frame and closes the gap in the sequence is seen
// through by the picture ID.
func TestLeftOutFrameIsAGap(t *testing.T) {
	pics := camera(60, 30)
	sent := slices.Delete(slices.Clone(pics), 10, 11)
	a := NewAssembler(AssemblerConfig{})
	out := deliveries(t, a, post(film(sent, 1)), pics)
	if len(out) != 40 || out[9] != 9 || out[10] != 30 {
		t.Errorf("%v", out)
	}
}

// layered gives the frames temporal layers 0 2 1 2, as libvpx does with three.
func layered(pics []picture) []picture {
	tl0 := uint8(250)
	for i := range pics {
		pics[i].layer = []int{0, 2, 1, 2}[i%4]
		pics[i].sync = i%8 == 1 || i%8 == 2
		if pics[i].layer == 0 {
			tl0++
		}
		pics[i].tl0 = tl0
	}
	return pics
}

// Upper temporal layers may be left out by a forwarder; the base layer goes on,
// and the layers come back with a frame that depends on the base alone.
func TestThinnedLayersGoOn(t *testing.T) {
	pics := layered(camera(200, 1000))
	sent := slices.DeleteFunc(slices.Clone(pics), func(p picture) bool {
		return p.index > 40 && p.index < 120 && p.layer > 0
	})
	a := NewAssembler(AssemblerConfig{})
	out := deliveries(t, a, post(film(sent, 1)), pics)
	if len(out) < len(sent)-8 || out[len(out)-1] != 199 || a.Stats().Gaps > 0 {
		t.Errorf("%d of %d frames: %v", len(out), len(sent), out)
	}
	last := -1
	for _, i := range out {
		if i > 120 && last < 120 && i%8 > 2 && pics[i].layer > 0 {
			t.Errorf("frame %d builds on one that was left out", i)
		}
		last = i
	}
	// Without a frame of the base layer only a key frame helps.
	sent = slices.DeleteFunc(slices.Clone(pics), func(p picture) bool { return p.index == 40 })
	if out := deliveries(t, NewAssembler(AssemblerConfig{}), post(film(sent, 1)), pics); len(out) != 40 {
		t.Errorf("%d frames, 40 expected", len(out))
	}
}

// Frames without end, of many bytes or under jumping timestamps hold no more
// memory than allowed and the next key frame is played.
func TestHostileStreamsAreBounded(t *testing.T) {
	begin := []byte{0x10, 0}
	more := []byte{0, 0}
	large := make([]byte, 1400)
	streams := map[string]func(i int) *rtp.Packet{
		"no marker": func(i int) *rtp.Packet {
			p := &rtp.Packet{Payload: more}
			if i == 0 {
				p.Payload = begin
			}
			return p
		},
		"too many bytes": func(i int) *rtp.Packet {
			p := &rtp.Packet{Payload: slices.Concat(more, large)}
			if i%900 == 0 {
				p.Payload = begin
			}
			p.Marker = i%900 == 899
			return p
		},
		"zig-zag": func(i int) *rtp.Packet {
			return &rtp.Packet{Header: rtp.Header{Timestamp: uint32(i%2) << 31, Marker: i%3 == 0}, Payload: begin}
		},
		"only beginnings": func(int) *rtp.Packet { return &rtp.Packet{Payload: begin} },
	}
	for name, stream := range streams {
		a := NewAssembler(AssemblerConfig{})
		now := time.Unix(1, 0)
		for i := range 5000 {
			p := stream(i)
			p.SequenceNumber = uint16(i)
			a.Push(now, p)
			for {
				f, ok := a.Pop(now)
				if !ok {
					break
				}
				if len(f.Data) > a.cfg.MaxFrameBytes {
					t.Fatalf("%s: frame of %d bytes", name, len(f.Data))
				}
			}
			if n := a.Stats().Buffered; n > 1024 || len(a.free)+n > 1025 {
				t.Fatalf("%s: %d packets held, %d free", name, n, len(a.free))
			}
			now = now.Add(ms)
		}
		good := picture{key: true, size: 2000, layer: -1, ts: 1 << 30}
		ok := false
		for _, p := range good.packets(5000, 1000) {
			a.Push(now, p)
			var f Frame
			for popped := true; popped; {
				if f, popped = a.Pop(now); popped && bytes.Equal(f.Data, good.data()) {
					ok = true
				}
			}
		}
		if !ok {
			t.Errorf("%s: the key frame after it did not come out: %+v", name, a.Stats())
		}
	}
}

// bare answers a packet with the shortest descriptor.
func bare(seq int, ts uint32, begins, key, marker bool) *rtp.Packet {
	p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(seq), Timestamp: ts, Marker: marker}, Payload: []byte{0, 1, byte(seq)}}
	if begins {
		p.Payload[0] = 0x10
	}
	if key {
		p.Payload[1] = 0
	}
	return p
}

// count pushes packets at one moment and answers how many frames come out.
func count(a *Assembler, packets ...*rtp.Packet) (n int) {
	now := time.Unix(1, 0)
	for _, p := range packets {
		a.Push(now, p)
		for _, ok := a.Pop(now); ok; _, ok = a.Pop(now) {
			n++
		}
	}
	return n
}

func TestAssemblerWithoutPictureIDs(t *testing.T) {
	for _, c := range []struct {
		name    string
		packets []*rtp.Packet
		frames  int
	}{
		{"plain", []*rtp.Packet{bare(1, 1, true, true, true), bare(2, 2, true, false, true), bare(3, 3, true, false, true)}, 3},
		{"no marker", []*rtp.Packet{bare(1, 1, true, true, false), bare(2, 2, true, false, false), bare(3, 3, true, false, false)}, 2},
		{"timestamp goes back", []*rtp.Packet{bare(1, 9, true, true, true), bare(2, 8, true, false, true), bare(3, 10, true, false, true)}, 1},
		{"key frame goes back", []*rtp.Packet{bare(1, 9, true, true, true), bare(2, 8, true, true, true), bare(3, 9, true, false, true)}, 3},
		{"two frames under one timestamp", []*rtp.Packet{bare(1, 1, true, true, false), bare(2, 1, true, true, false), bare(3, 1, false, false, true)}, 1},
		{"two beginnings, no key frame", []*rtp.Packet{bare(1, 1, true, true, false), bare(2, 1, true, false, true), bare(3, 2, true, false, true)}, 0},
		{"timestamp changes within", []*rtp.Packet{bare(1, 1, true, true, false), bare(2, 2, false, false, true)}, 0},
	} {
		if n := count(NewAssembler(AssemblerConfig{}), c.packets...); n != c.frames {
			t.Errorf("%s: %d frames, %d expected", c.name, n, c.frames)
		}
	}
}

func TestKeyFrameOnItsWayIsNotAskedFor(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	for i, c := range []struct {
		p    *rtp.Packet
		need bool
	}{
		{bare(1, 1, true, false, true), true},
		{bare(2, 2, true, true, false), false},
		{bare(3, 2, false, false, true), false},
		{bare(4, 3, false, false, true), true},
	} {
		count(a, c.p)
		if a.NeedKeyFrame() != c.need {
			t.Errorf("packet %d: key frame asked for: %v", i, !c.need)
		}
	}
}

func TestReferencesOfLayers(t *testing.T) {
	key := descriptor{hasPicture: true, hasTL0: true, hasLayer: true}
	frame := func(pid uint16, tl0, layer uint8, sync bool) descriptor {
		d := key
		d.picture, d.tl0, d.layer, d.sync = pid, tl0, layer, sync
		return d
	}
	for _, c := range []struct {
		name   string
		frames []descriptor
		fates  []fate
	}{
		{
			"all there",
			[]descriptor{frame(1, 0, 2, false), frame(2, 0, 1, false), frame(3, 0, 2, false), frame(4, 1, 0, false)},
			[]fate{decodable, decodable, decodable, decodable},
		},
		{
			"a middle frame missing bars the layers above until their own sync",
			[]descriptor{frame(1, 0, 2, false), frame(3, 0, 2, false), frame(4, 1, 0, false), frame(5, 1, 2, false), frame(6, 1, 1, true), frame(7, 1, 2, false), frame(8, 2, 0, false), frame(9, 2, 2, true), frame(10, 2, 1, false), frame(11, 2, 2, false)},
			[]fate{decodable, leftOut, decodable, leftOut, decodable, leftOut, decodable, decodable, decodable, decodable},
		},
		{
			"upper frames missing before a base frame",
			[]descriptor{frame(3, 1, 0, false), frame(4, 1, 2, false)},
			[]fate{decodable, leftOut},
		},
		{
			"upper frame missing before a sync frame",
			[]descriptor{frame(2, 0, 1, true), frame(3, 0, 2, false)},
			[]fate{decodable, leftOut},
		},
		{
			"sync of another base frame",
			[]descriptor{frame(1, 1, 1, true)},
			[]fate{leftOut},
		},
		{"base frame missing", []descriptor{frame(8, 2, 0, false)}, []fate{severed}},
	} {
		var r references
		r.follow(&key, true)
		for i, d := range c.frames {
			if got := r.follow(&d, false); got != c.fates[i] {
				t.Errorf("%s: frame %d: %v, %v expected", c.name, i, got, c.fates[i])
			}
		}
	}
}

func TestAssemblerFollowsRestarts(t *testing.T) {
	for _, to := range []int{30000, -30000, -700, 3000, -20} {
		pics := camera(300, 100)
		var in []mail
		for _, m := range post(film(pics, 20000)) {
			if i := (m.p.Timestamp - pics[0].ts) / 3000; i >= 100 {
				m.p.SequenceNumber += uint16(to)
			}
			in = append(in, m)
		}
		a := NewAssembler(AssemblerConfig{})
		out := deliveries(t, a, in, pics)
		if len(out) < 200 || out[len(out)-1] != 299 {
			t.Errorf("jump of %d: %d frames, %+v", to, len(out), a.Stats())
		}
	}
}

func TestAssemblerAllocatesNothing(t *testing.T) {
	pics := camera(400, 1<<30)
	packets := film(pics, 1)
	now := time.Unix(1, 0)
	a := NewAssembler(AssemblerConfig{})
	i := 0
	one := func() {
		p := *packets[i%len(packets)]
		p.SequenceNumber = uint16(i)
		p.Timestamp = packets[i%len(packets)].Timestamp + uint32(i/len(packets)*400*3000)
		if i%40 != 39 || i < 100 {
			a.Push(now, &p)
		}
		for _, ok := a.Pop(now); ok; _, ok = a.Pop(now) {
		}
		now = now.Add(5 * ms)
		i++
	}
	for range 4 * len(packets) {
		one()
	}
	if n := testing.AllocsPerRun(2000, one); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if a.Stats().Frames == 0 {
		t.Error("nothing came out")
	}
}

// Whatever a network does to a stream, what comes out can be decoded.
func TestPropertyFramesAreDecodable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pics := camera(rapid.IntRange(1, 80).Draw(t, "frames"), rapid.IntRange(1, 40).Draw(t, "key frame every"))
		loss := rapid.IntRange(0, 300).Draw(t, "loss per mille")
		jitter := rapid.IntRange(1, 400).Draw(t, "jitter ms")
		r := random(rapid.Uint64().Draw(t, "seed"))
		in := post(film(pics, uint16(r.Uint32())))
		in = slices.DeleteFunc(in, func(mail) bool { return r.IntN(1000) < loss })
		for i := range in {
			in[i].at += time.Duration(r.IntN(jitter)) * ms
		}
		a := NewAssembler(AssemblerConfig{MaxPackets: 1 << rapid.IntRange(4, 10).Draw(t, "packets")})
		out := deliveries(t, a, in, pics)
		if loss == 0 && jitter <= int(overtaken/ms) && len(a.ring) == 1024 && len(out) != len(pics) {
			t.Fatalf("%d of %d frames without a loss: %+v", len(out), len(pics), a.Stats())
		}
	})
}
