package plane

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

// Whatever a session sends in its life, no index of SRTP or SRTCP has two
// plaintexts: the key stream would give both away (RFC 3711, section 9.1).
func TestPropertyNoIndexTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(profileCases).Draw(rt, "profile")
		plain := picture() // sent again as it was
		plain.RTXPT, plain.RTXSSRC = 0, 0
		repaired := sound() // sent again in a stream of its own
		repaired.NACK, repaired.RTXSSRC, repaired.RTXPT = true, 0x99, 112
		plain.Ext.TransportCC = rapid.SampledFrom([]uint8{0, 3}).Draw(rt, "transport-wide")
		repaired.Ext = plain.Ext
		r := newRig(t, rigConfig{profile: c.profile, terms: Terms{
			Epoch: epoch, CNAME: "x", Outbound: []Outbound{plain, repaired}, Inbound: []Inbound{cameraIn(nil)},
		}})
		x := newIndexes(r.client, c.profile)
		now, pts, seq := epoch, time.Duration(0), uint16(0)
		check := func(sent [][]byte) {
			for _, b := range sent {
				if err := x.add(b); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1:
				n, size := rapid.IntRange(1, 100).Draw(rt, "packets"), rapid.IntRange(1, 1700).Draw(rt, "size")
				check(r.feed(now, func(w *Writer) {
					for range n {
						pts += time.Millisecond
						body := make([]byte, size)
						body[0], body[size-1] = byte(n), byte(size)
						w.Packet(n%2, body, pts, size%2 == 0)
					}
				}))
			case 2:
				stream := rapid.IntRange(0, 1).Draw(rt, "stream")
				out := r.session.out[stream]
				r.report(now, &rtcp.TransportLayerNack{MediaSSRC: out.SSRC, Nacks: []rtcp.NackPair{{
					PacketID: out.seq - uint16(rapid.IntRange(0, 300).Draw(rt, "ago")), LostPackets: rtcp.PacketBitmap(rapid.Uint16().Draw(rt, "more")),
				}}})
				check(r.turn(now))
			case 3:
				seq += uint16(rapid.IntRange(1, 40).Draw(rt, "gap"))
				r.send(now, packet(cameraSSRC, vp8PT, seq, "x"))
				r.session.RequestKeyFrame()
				check(r.turn(now))
			case 4:
				check(r.feed(now, (*Writer).Report))
			case 5:
				r.session.report, r.session.feedback = now, now
				r.session.tick(now)
				check(r.turn(now))
			}
		}
		r.session.Close()
		check(r.wire.take())
		if s := r.counts(); s.Forged+s.Malformed != 0 {
			rt.Fatalf("counts %+v", s)
		}
	})
}
