package jitter

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtp"
)

// picture is one frame of a simulated camera.
type picture struct {
	index int
	key   bool
	size  int
	layer int // temporal layer, -1 for a stream without
	sync  bool
	tl0   uint8
	pid   uint16
	ts    uint32
}

// data is the frame's content: the key frame flag, its index and a filling.
func (p *picture) data() []byte {
	b := bytes.Repeat([]byte{byte(p.index * 7)}, max(p.size, 9))
	b[0] = 1
	if p.key {
		b[0] = 0
	}
	binary.BigEndian.PutUint64(b[1:], uint64(p.index))
	return b
}

// packets cuts the frame into packets of at most mtu bytes from seq on.
func (p *picture) packets(seq uint16, mtu int) []*rtp.Packet {
	var out []*rtp.Packet
	rest := p.data()
	for first := true; len(rest) > 0; first = false {
		n := min(mtu, len(rest))
		d := []byte{0x80, 0x80, 0x80 | byte(p.pid>>8)&0x7f, byte(p.pid)}
		if p.layer >= 0 {
			d[1] |= 0x60
			y := byte(0)
			if p.sync {
				y = 0x20
			}
			d = append(d, p.tl0, byte(p.layer)<<6|y)
		}
		if first {
			d[0] |= 0x10
		}
		out = append(out, &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: p.ts, Marker: n == len(rest)},
			Payload: append(d, rest[:n]...),
		})
		rest = rest[n:]
		seq++
	}
	return out
}

// camera answers n frames with a key frame every so many.
func camera(n, every int) []picture {
	out := make([]picture, n)
	for i := range out {
		out[i] = picture{
			index: i, key: i%every == 0, size: 500 + i*911%4000, layer: -1,
			pid: uint16(32760+i) & 0x7fff, ts: uint32(1<<32-30000) + uint32(i*3000),
		}
	}
	return out
}

// film answers the packets of all frames, numbered from seq on.
func film(pics []picture, seq uint16) []*rtp.Packet {
	var out []*rtp.Packet
	for i := range pics {
		out = append(out, pics[i].packets(seq+uint16(len(out)), 1000)...)
	}
	return out
}

// mail is a packet and when it arrives.
type mail struct {
	at time.Duration
	p  *rtp.Packet
}

// deliveries runs the packets through an assembler and checks every frame: its
// content, and that all it builds on came out before.
func deliveries(t failer, a *Assembler, in []mail, pics []picture) []int {
	t.Helper()
	epoch := time.Unix(1_700_000_000, 0)
	slices.SortStableFunc(in, func(x, y mail) int { return int(x.at - y.at) })
	var out []int
	var last Frame
	for _, m := range in {
		now := epoch.Add(m.at)
		lent := *m.p
		lent.Payload = slices.Clone(m.p.Payload)
		a.Push(now, &lent)
		clear(lent.Payload) // it is the caller's again
		for {
			f, ok := a.Pop(now)
			if !ok {
				break
			}
			i := int(binary.BigEndian.Uint64(f.Data[1:]))
			switch {
			case !bytes.Equal(f.Data, pics[i].data()):
				t.Fatalf("frame %d: wrong content", i)
			case f.KeyFrame != pics[i].key || f.PictureID != int(pics[i].pid) || uint32(f.Timestamp) != pics[i].ts:
				t.Fatalf("frame %d: %+v", i, f)
			case len(out) == 0 && !f.KeyFrame:
				t.Fatalf("began with frame %d, which is no key frame", i)
			case len(out) > 0 && i <= out[len(out)-1]:
				t.Fatalf("frame %d after %d", i, out[len(out)-1])
			case len(out) > 0 && f.Timestamp <= last.Timestamp:
				t.Fatalf("frame %d: timestamp %d after %d", i, f.Timestamp, last.Timestamp)
			case len(out) > 0 && !f.KeyFrame && pics[i].layer < 0 && i != out[len(out)-1]+1:
				t.Fatalf("frame %d after %d", i, out[len(out)-1])
			case a.NeedKeyFrame():
				t.Fatalf("frame %d came out and a key frame is asked for", i)
			}
			out, last = append(out, i), f
		}
		if s := a.Stats(); s.Buffered > len(a.ring) || s.Buffered < 0 {
			t.Fatalf("%d packets held", s.Buffered)
		}
	}
	return out
}

// post lets the packets arrive at the pace of their timestamps.
func post(packets []*rtp.Packet) []mail {
	out := make([]mail, len(packets))
	first := packets[0].Timestamp
	for i, p := range packets {
		out[i] = mail{time.Duration(p.Timestamp-first) * time.Second / 90000, p}
	}
	return out
}
