package rtc

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"tutti/codec"
)

const (
	// maxPayload bounds an RTP payload: with RTP, SRTP, UDP and IPv6 headers the
	// datagram stays below the 1280 bytes that every path carries (RFC 8200,
	// section 5).
	maxPayload = 1200
	// vp8Descriptor is the size of the payload descriptor that cutVP8 writes.
	vp8Descriptor = 4
	// fanoutMemo is how many packets a fan-out remembers: subscribers that are
	// served from several loops are at most that far apart.
	fanoutMemo = 4
	// redMemo is how many payloads with redundancy a fan-out remembers: of a few
	// mixes, each in a few depths, for the time in which all peers send one tick.
	redMemo = 16
)

// fanout cuts a room's pictures into RTP payloads, once for all of its peers.
// It may be used from any goroutine.
type fanout struct {
	users int // guarded by the gateway's mutex

	mu        sync.Mutex
	pictureID uint16 // of the next picture, 15 bits
	memo      [fanoutMemo]cut
	oldest    int

	redMu     sync.Mutex
	redMemo   [redMemo]redundant
	redOldest int
}

// redundant is a run of packets and the payload that carries them, which nobody
// writes any more.
type redundant struct {
	run     run
	pt      uint8
	payload []byte
}

// cut is one packet and its payloads, which nobody writes any more.
type cut struct {
	packet   *codec.Packet
	payloads [][]byte
}

// newFanout begins at a random picture ID (RFC 7741, section 4.2).
func newFanout() *fanout { return &fanout{pictureID: uint16(rand.Uint32()) & 0x7fff} }

// payloads answers the RTP payloads of a picture.
func (f *fanout) payloads(p *codec.Packet) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.memo {
		if f.memo[i].packet == p {
			return f.memo[i].payloads
		}
	}
	c := cut{p, cutVP8(p.Data, f.pictureID)}
	f.pictureID = (f.pictureID + 1) & 0x7fff
	f.memo[f.oldest] = c
	f.oldest = (f.oldest + 1) % fanoutMemo
	return c.payloads
}

// redundancy answers the payload that carries a run, made once for all of the
// room's peers who were sent the same.
func (f *fanout) redundancy(r run, pt uint8) []byte {
	f.redMu.Lock()
	defer f.redMu.Unlock()
	for i := range f.redMemo {
		if m := &f.redMemo[i]; m.run == r && m.pt == pt {
			return m.payload
		}
	}
	m := redundant{r, pt, r.marshal(pt)}
	f.redMemo[f.redOldest] = m
	f.redOldest = (f.redOldest + 1) % redMemo
	return m.payload
}

// cutVP8 cuts a frame into payloads of one size, but for the last, which may be
// shorter, so that the kernel can cut a run of them; each is behind a payload
// descriptor with a picture ID of 15 bits (RFC 7741, section 4.2):
//
//	X=1 R=0 N=0 S R=0 PID=0 | I=1 L=0 T=0 K=0 | M=1 PictureID
func cutVP8(frame []byte, pictureID uint16) [][]byte {
	const room = maxPayload - vp8Descriptor
	if len(frame) == 0 {
		return nil
	}
	n := (len(frame) + room - 1) / room
	size := (len(frame) + n - 1) / n
	out := make([][]byte, 0, n)
	buf := make([]byte, 0, len(frame)+n*vp8Descriptor)
	for i := range n {
		start := len(buf)
		first := byte(0x80)
		if i == 0 {
			first |= 0x10 // start of the partition
		}
		buf = append(buf, first, 0x80)
		buf = binary.BigEndian.AppendUint16(buf, 0x8000|pictureID)
		buf = append(buf, frame[i*size:min(len(frame), (i+1)*size)]...)
		out = append(out, buf[start:len(buf):len(buf)])
	}
	return out
}

// join answers the fan-out of a room and counts its user.
func (g *Gateway) joinFanout(room string) *fanout {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.fans[room]
	if f == nil {
		f = newFanout()
		g.fans[room] = f
	}
	f.users++
	return f
}

// leaveFanout drops the fan-out with its last user.
func (g *Gateway) leaveFanout(room string, f *fanout) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.users--; f.users == 0 && g.fans[room] == f {
		delete(g.fans, room)
	}
}
