package jitter

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

// failer is what tests, fuzz targets and rapid have in common.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// checked drives a Buffer beside a slow model of what must be true of it
// whatever happens: the set of packets it took and has not given back.
type checked struct {
	t     failer
	b     *Buffer
	now   time.Time
	taken map[uint64]bool // by serial number, which the payload carries
	last  uint64          // serial of the next push
}

func newChecked(t failer, cfg Config) *checked {
	return &checked{t: t, b: NewBuffer(cfg), now: time.Unix(1_700_000_000, 0), taken: map[uint64]bool{}}
}

func (c *checked) push(seq uint16, ts uint32, samples, size int) bool {
	c.t.Helper()
	payload := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(payload, c.last)
	ok := c.b.Push(c.now, seq, ts, samples, payload)
	if ok {
		c.taken[c.last] = true
	}
	c.last++
	if b := c.b; ok && b.full() {
		c.t.Fatalf("the oldest packet lies %v behind the newest", span(b.line.highTS-b.first().media))
	}
	c.verify()
	return ok
}

// repair pushes a packet as one that another carried.
func (c *checked) repair(seq uint16, ts uint32, samples, size int) {
	c.t.Helper()
	payload := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(payload, c.last)
	before := c.b.stats
	if c.b.PushRepair(c.now, seq, ts, samples, payload) {
		c.taken[c.last] = true
		before.Received++
		before.Repaired++
	}
	before.Overflowed, before.Lost = c.b.stats.Overflowed, c.b.stats.Lost
	if c.b.stats != before {
		c.t.Fatalf("%+v became %+v", before, c.b.stats)
	}
	c.last++
	c.verify()
}

func (c *checked) pop() (Packet, Status) {
	c.t.Helper()
	held := c.b.held
	p, st := c.b.Pop(c.now)
	switch st {
	case Ready:
		serial := binary.BigEndian.Uint64(p.Payload)
		if !c.taken[serial] {
			c.t.Fatalf("packet %d was never taken or is played twice", serial)
		}
		delete(c.taken, serial)
	case Early:
		if held == 0 {
			c.t.Fatalf("early, and nothing is buffered")
		}
	case Empty:
		if c.b.held != 0 {
			c.t.Fatalf("empty, and %d packets are buffered", c.b.held)
		}
	}
	if sound := st == Ready || st == Lost; sound != (p.Samples > 0) || p.Samples > MaxSamples || (st == Ready) != (p.Payload != nil) {
		c.t.Fatalf("%v %+v", st, p)
	}
	if p.Next != nil && (st != Lost || !c.taken[binary.BigEndian.Uint64(p.Next)]) {
		c.t.Fatalf("%v with a following packet that is not there", st)
	}
	c.verify()
	return p, st
}

// verify compares the buffer's books with its ring.
func (c *checked) verify() {
	c.t.Helper()
	b, held, sum := c.b, 0, int64(0)
	for i := range b.ring {
		s := &b.ring[i]
		if s.held {
			held++
			sum += s.samples
			if s.seq < b.turn || s.seq >= b.turn+ringSize || s.seq&(ringSize-1) != int64(i) {
				c.t.Fatalf("packet %d in slot %d, turn %d", s.seq, i, b.turn)
			}
		}
	}
	if held != b.held || sum != b.sum || sum > b.limit() {
		c.t.Fatalf("%d packets of %d samples are held, booked are %d of %d", held, sum, b.held, b.sum)
	}
	if len(b.free)+held > ringSize+1 {
		c.t.Fatalf("%d payloads in memory", len(b.free)+held)
	}
	st := b.stats
	if st.Received != st.Played+st.Overflowed+uint64(held) {
		c.t.Fatalf("books do not balance: %d held, %+v", held, st)
	}
	if n := len(b.varies.sorted); !slices.IsSorted(b.varies.sorted) || n > windowPackets {
		c.t.Fatalf("window of %d", n)
	}
	if target := b.target(); target < 0 || target > b.cfg.Max {
		c.t.Fatalf("target %v", target)
	}
}

// silentFor answers how many ticks of steady packets pass until one is played
// that came within the time that may be buffered and 100 ms, to a caller who
// shortens all that is too much.
func (c *checked) silentFor(seq uint16, ts uint32) int {
	got, recent := 0, uint64(c.b.cfg.Max/(20*ms))+5
	for i := range 200 {
		c.now = c.now.Add(20 * ms)
		c.push(seq+uint16(i), ts+uint32(i)*960, 960, 20)
		for got < 960 {
			p, st := c.pop()
			if st == Empty || st == Early {
				got = 960
				break
			}
			if st == Ready && binary.BigEndian.Uint64(p.Payload)+recent > c.last {
				return i
			}
			excess := 0
			if st == Ready {
				excess = min(max(p.Excess(got), 0), p.Samples)
			}
			got += p.Samples - excess
		}
		got -= 960
	}
	return 200
}

// FuzzBuffer runs any sequence of pushes, pops and passing time, and then steady
// sound, which must be heard soon whatever was before.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 1, 20, 0, 1, 1, 20, 3, 0, 0, 20, 0, 1, 1, 0, 3, 0, 0, 20})
	f.Add([]byte{0, 1, 1, 20, 0, 3, 3, 0, 0, 255, 255, 0, 3, 0, 0, 20, 3, 0, 0, 20, 3, 0, 0, 20})
	f.Add([]byte{1, 200, 1, 20, 1, 1, 1, 20, 1, 128, 1, 20, 2, 1, 128, 20, 4, 0, 0, 0, 3, 0, 0, 255})
	f.Add(bytes.Repeat([]byte{0, 1, 1, 0}, 300))
	f.Add(bytes.Repeat([]byte{2, 1, 100, 20, 3, 0, 0, 0}, 50))
	f.Fuzz(func(t *testing.T, ops []byte) {
		c := newChecked(t, Config{})
		var seq uint16
		var ts uint32
		for ; len(ops) >= 4; ops = ops[4:] {
			c.now = c.now.Add(time.Duration(ops[3]) * ms)
			switch ops[0] % 7 {
			case 0: // small steps
				seq, ts = seq+uint16(int8(ops[1])), ts+uint32(int8(ops[2]))*960
				c.push(seq, ts, 960, int(ops[3]))
			case 1: // large steps of the sequence
				seq += uint16(ops[1]) << 8
				c.push(seq, ts, 960, 20)
			case 2: // large steps of the timestamp, any duration
				seq++
				ts += uint32(ops[2]) << 24
				c.push(seq, ts, int(ops[1])*48, 20)
			case 3:
				c.pop()
			case 4:
				c.b.Reset()
				c.taken = map[uint64]bool{}
				c.verify()
			case 5:
				seq++
				ts += 960
				c.repair(seq-uint16(ops[1]), ts-uint32(ops[1])*960, 960, int(ops[3]))
			case 6:
				c.b.SetBounds(time.Duration(ops[1])*ms, time.Duration(ops[2])*5*ms)
				c.verify()
			}
		}
		// 200 ms of lateness before a restart is believed, 100 ms of concealment,
		// and at most Max of delay.
		if n := c.silentFor(seq+1, ts+960); n > 40+int(c.b.cfg.Max/(20*ms)) {
			t.Fatalf("steady sound is not heard for %d ticks: %+v", n, c.b.Stats())
		}
	})
}

// Whatever the network does, packets come out in order, once, and the numbers
// that were passed are all accounted for.
func TestPropertyBufferKeepsItsBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChecked(t, Config{Floor: time.Duration(rapid.IntRange(0, 100).Draw(t, "floor ms")) * ms})
		n := rapid.IntRange(1, 300).Draw(t, "packets")
		loss := rapid.IntRange(0, 500).Draw(t, "loss per mille")
		jitter := rapid.IntRange(1, 700).Draw(t, "jitter ms")
		length := rapid.SampledFrom([]time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms}).Draw(t, "length")
		r := random(rapid.Uint64().Draw(t, "seed"))
		in := network(speech(n, length, 0), func(p *sound) bool {
			p.arrives += time.Duration(r.IntN(jitter)) * ms
			return r.IntN(1000) >= loss
		})
		start := c.now
		var first, last, i, rest int
		played := false
		for now := time.Duration(0); now < time.Duration(n)*length+2*time.Second; now += 20 * ms {
			for ; i < len(in) && in[i].arrives <= now; i++ {
				c.now = start.Add(in[i].arrives)
				c.push(in[i].seq, in[i].ts, in[i].samples, 20)
			}
			c.now = start.Add(now)
			for rest < 960 {
				p, st := c.pop()
				if st == Empty || st == Early {
					rest = 960
					break
				}
				rest += p.Samples
				if st != Ready {
					continue
				}
				index := int(p.Seq - 65000)
				if !played {
					played, first = true, index
				} else if index <= last {
					t.Fatalf("packet %d after %d", index, last)
				}
				last = index
			}
			rest -= 960
		}
		st := c.b.Stats()
		if !played || st.Resyncs > 0 {
			return
		}
		passed := uint64(last - first + 1)
		if sum := st.Played + st.Lost + st.Overflowed; sum < passed {
			t.Fatalf("%d numbers passed, %+v", passed, st)
		}
		if len(c.taken) != int(st.Overflowed) {
			t.Fatalf("%d packets vanished, %+v", len(c.taken), st)
		}
	})
}

// FuzzAssembler runs any sequence of packets, and then a good key frame in steady
// pictures, which must come out.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1, 3, 0x10, 0, 1, 0x80, 1, 3, 0x00, 9})
	f.Add([]byte{1, 0, 0, 4, 0x90, 0x80, 1, 0, 3, 0x81, 0, 4, 0x10, 1, 2, 3, 255, 0x81, 3, 2, 0x10, 0})
	f.Add([]byte{200, 0x81, 9, 6, 0x90, 0xe0, 0x81, 2, 3, 0x40, 1, 0, 1, 0})
	f.Add(bytes.Repeat([]byte{1, 0, 0, 2, 0x10, 0}, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := NewAssembler(AssemblerConfig{MaxPackets: 32, MaxFrameBytes: 2000})
		now := time.Unix(1_700_000_000, 0)
		p := &rtp.Packet{}
		pops := func() (last Frame, data []byte) {
			for {
				f, ok := a.Pop(now)
				if !ok {
					return last, data
				}
				if len(f.Data) == 0 || len(f.Data) > 2000 || f.KeyFrame != (f.Data[0]&1 == 0) || a.Stats().Frames == 1 && !f.KeyFrame {
					t.Fatalf("%+v", f)
				}
				last, data = f, f.Data
			}
		}
		for len(b) >= 4 {
			p.SequenceNumber += uint16(int16(int8(b[0]))) * (1 + uint16(b[1]&0x70))
			p.Marker = b[1]&0x80 != 0
			p.Timestamp += uint32(b[2]) << (b[1] & 0x0f * 2)
			now = now.Add(time.Duration(b[2]) * ms)
			n := min(int(b[3]), len(b)-4)
			p.Payload = b[4 : 4+n]
			b = b[4+n:]
			a.Push(now, p)
			pops()
			books(t, a)
		}
		good := picture{key: true, size: 900, layer: -1, ts: p.Timestamp}
		for i := range 80 {
			good.index, good.ts = i, good.ts+3000
			now = now.Add(33 * ms)
			a.Push(now, good.packets(p.SequenceNumber+1+uint16(i), 1000)[0])
			if _, data := pops(); bytes.Equal(data, good.data()) {
				return
			}
			books(t, a)
		}
		t.Fatalf("no key frame came out: %+v", a.Stats())
	})
}

// books compares an assembler's counts with its ring.
func books(t failer, a *Assembler) {
	t.Helper()
	held, memory := 0, len(a.free)
	for i := range a.ring {
		if p := &a.ring[i]; p.held {
			held++
			if p.seq < a.turn || p.seq >= a.turn+int64(len(a.ring)) || p.seq > a.high {
				t.Fatalf("packet %d held, turn %d", p.seq, a.turn)
			}
			if p.data != nil {
				memory++
			}
		}
	}
	if held != a.stats.Buffered || memory > len(a.ring) || a.scan < a.turn || a.scan > a.high+1 && a.started {
		t.Fatalf("%d held, %d booked, %d payloads, turn %d, scan %d, high %d", held, a.stats.Buffered, memory, a.turn, a.scan, a.high)
	}
}

// FuzzDescriptor compares the parser with pion's.
func FuzzDescriptor(f *testing.F) {
	f.Add([]byte{0x10, 0})
	f.Add([]byte{0x90, 0x80, 0x81, 0x02, 1})
	f.Add([]byte{0x90, 0xf0, 0x81, 0x02, 3, 0x60, 1})
	f.Add([]byte{0x80, 0x10, 0xff})
	f.Add([]byte{0x80, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var want codecs.VP8Packet
		rest, wantErr := want.Unmarshal(b)
		d, data, err := parseDescriptor(b)
		if len(b) == 0 {
			if err == nil {
				t.Fatal("nothing was parsed without an error")
			}
			return
		}
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("error %v, pion %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(data, rest) || d.start != (want.S == 1) || d.partition != want.PID ||
			d.hasPicture != (want.I == 1) || d.picture != want.PictureID || d.hasTL0 != (want.L == 1) || d.tl0 != want.TL0PICIDX ||
			d.hasLayer != (want.T == 1) || d.layer != want.TID || d.sync != (want.T == 1 && want.Y == 1) {
			t.Fatalf("%+v, pion %+v", d, want)
		}
	})
}
