package plane

import (
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// allocRuns is how often an assertion does what it looks at, besides as often
// before, to warm up.
const (
	allocRuns  = 400
	allocTries = 3
)

// allocations answers how many there are in all of allocRuns runs, at least in
// the best of some tries: the runtime's own count as well.
// testing.AllocsPerRun alone would round one in two packets down to none.
func allocations(t *testing.T, f func()) float64 {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties pools
	least := math.Inf(1)
	for try := 0; try < allocTries && least > 0; try++ {
		least = min(least, testing.AllocsPerRun(1, func() {
			for range allocRuns {
				f()
			}
		}))
	}
	return least
}

// counter is a batchIO that counts alone.
type counter struct{ datagrams, bytes int }

func (c *counter) read([]inDatagram) (int, error) { return 0, net.ErrClosed }

func (c *counter) write(src []outDatagram) (int, error) {
	c.datagrams += len(src)
	for i := range src {
		c.bytes += len(src[i].data)
	}
	return 0, nil
}

// sealed are datagrams of the client, made beforehand; each may be taken once.
func sealed(t testing.TB, c *client, n int) [][]byte {
	var list [][]byte
	for i := range n {
		p := packet(voiceSSRC, opusPT, uint16(65000+i), "a payload of sixty bytes, so that it is as long as one of Opus")
		with(t, p, extIDs.AudioLevel, "\x8c")
		with(t, p, extIDs.TransportCC, string([]byte{byte(i >> 8), byte(i)}))
		with(t, p, extIDs.AbsSendTime, "\x01\x02\x03")
		with(t, p, extIDs.MID, "0")
		list = append(list, c.seal(p))
	}
	return list
}

// grow gives the memory of transport-wide feedback room for all that is sealed,
// as it has in the long run.
func (r *rig) grow() {
	for _, seq := range []uint16{0, 6000} {
		r.session.arrivals.Record(voiceSSRC, seq, time.Now().UnixMicro())
	}
}

// A packet is read, decrypted, parsed, accounted for and taken without an
// allocation.
func TestNoAllocationIn(t *testing.T) {
	for _, c := range profileCases {
		for _, cryptex := range []srtp.CryptexMode{srtp.CryptexModeDisabled, srtp.CryptexModeEnabled} {
			t.Run(fmt.Sprintf("%s cryptex %d", c.name, cryptex), func(t *testing.T) {
				var took, levels int
				r := newRig(t, rigConfig{profile: c.profile, terms: Terms{Inbound: []Inbound{voice(func(p *Packet) {
					took++
					if p.Ext.HasLevel && p.Ext.HasTransportSeq && string(p.Ext.MID) == "0" {
						levels++
					}
				})}}})
				list := sealed(t, newClient(t, c.profile, srtp.Cryptex(cryptex)), (2*allocTries+1)*allocRuns)
				at, i := time.Now(), 0
				d := &inDatagram{}
				one := func() {
					*d = inDatagram{data: list[i], from: clientAddr, at: at}
					r.socket.take(r.leg, d)
					i++
				}
				r.grow()
				if n := allocations(t, one); n != 0 {
					t.Errorf("%v allocations", n)
				}
				if took != i || levels != i {
					t.Errorf("%d packets: %d taken, %d with extensions", i, took, levels)
				}
			})
		}
	}
}

// What a feeder writes is marshalled, encrypted and sent without an allocation.
func TestNoAllocationOut(t *testing.T) {
	payload := make([]byte, 700)
	for _, c := range profileCases {
		for _, cryptex := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s cryptex %v", c.name, cryptex), func(t *testing.T) {
				var pts time.Duration
				out := picture()
				out.Ext.TransportCC = 3
				r := newRig(t, rigConfig{profile: c.profile, terms: Terms{Epoch: epoch, Cryptex: cryptex, Outbound: []Outbound{out}}})
				r.session.cfg.Feeder = feedFunc(func(w *Writer) time.Duration {
					pts += 20 * time.Millisecond
					w.Packet(0, payload, pts, true)
					w.Packet(0, payload, pts, false)
					return 0
				})
				count := &counter{}
				r.leg.out.io = count
				turns := 0
				turn := func() {
					turns++
					r.session.Ready()
					r.leg.out.serve()
				}
				turn()
				turn()
				before, begun := count.datagrams, turns
				if n := allocations(t, turn); n != 0 {
					t.Errorf("%v allocations", n)
				}
				if got := count.datagrams - before; got != 2*(turns-begun) {
					t.Errorf("%d packets sent", got)
				}
			})
		}
	}
}

// A packet that was asked for is sent again without an allocation, in a stream
// of its own or as it was. The request itself is parsed beforehand.
func TestNoAllocationAgain(t *testing.T) {
	payload := make([]byte, 100)
	for _, rtx := range []bool{true, false} {
		for _, c := range profileCases {
			t.Run(fmt.Sprintf("%s rtx %v", c.name, rtx), func(t *testing.T) {
				out := picture()
				if !rtx {
					out.RTXPT, out.RTXSSRC = 0, 0
				}
				r := newRig(t, rigConfig{profile: c.profile, terms: Terms{Epoch: epoch, Outbound: []Outbound{out}}})
				count := &counter{}
				r.leg.out.io = count
				var pts time.Duration
				feed := feedFunc(func(w *Writer) time.Duration {
					pts += 20 * time.Millisecond
					for range 8 { // so that a quarter of the bytes is two packets
						w.Packet(0, payload, pts, true)
					}
					return 0
				})
				r.session.cfg.Feeder = feed
				nack := &rtcp.TransportLayerNack{MediaSSRC: pictureSSRC, Nacks: make([]rtcp.NackPair, 1)}
				w := &r.leg.out.batch
				w.now = epoch
				turns := 0
				turn := func() {
					turns++
					w.now = w.now.Add(20 * time.Millisecond)
					nack.Nacks[0].PacketID = r.session.out[0].seq - 3
					r.session.post.nack(nack)
					r.session.flush(w)
					w.flush()
				}
				for range 4 {
					turn()
				}
				before, begun := r.counts().Resent, turns
				if n := allocations(t, turn); n != 0 {
					t.Errorf("%v allocations", n)
				}
				if got := r.counts().Resent - before; got != uint64(turns-begun) {
					t.Errorf("%d packets sent again", got)
				}
			})
		}
	}
}

// Extensions are parsed in place.
func TestNoAllocationForExtensions(t *testing.T) {
	var h rtp.Header
	var e Extensions
	p := with(t, with(t, packet(1, 2, 3, ""), 4, "video"), 14, "\x00\x10\x02")
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if n := allocations(t, func() {
		if _, err := h.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		e.parse(&h, &extIDs)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if string(e.MID) != "video" || e.MaxDelay != 20*time.Millisecond {
		t.Errorf("parsed %+v", e)
	}
}
