package plane

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"tutti/codec"
)

// layers are two layers of one camera, of which the offer declares no SSRC.
func layers(high, low func(*Packet)) []Inbound {
	h, l := cameraIn(high), cameraIn(low)
	h.RID, l.RID = "h", "l"
	h.SSRC, h.RTXSSRC, l.SSRC, l.RTXSSRC = 0, 0, 0, 0
	return []Inbound{h, l}
}

// A packet finds its stream by SSRC where it was declared, else by MID and RID,
// else by payload type; what it finds holds for the SSRC from then on.
func TestBinding(t *testing.T) {
	undeclared := func(in Inbound) Inbound {
		in.SSRC, in.RTXSSRC = 0, 0
		return in
	}
	plain := func(ssrc uint32, pt uint8, seq uint16) *rtp.Packet { return packet(ssrc, pt, seq, "x") }
	cases := []struct {
		name   string
		terms  func(a, b func(*Packet)) []Inbound // a is the first stream's taker
		sends  []*rtp.Packet
		first  []uint16 // sequence numbers that its taker is given
		second []uint16
		lost   uint64 // counted as undeclared
	}{
		{
			"declared", func(a, b func(*Packet)) []Inbound { return []Inbound{voice(a), cameraIn(b)} },
			[]*rtp.Packet{plain(cameraSSRC, vp8PT, 1), plain(voiceSSRC, opusPT, 2)},
			[]uint16{2},
			[]uint16{1},
			0,
		},
		{
			"by payload type", func(a, b func(*Packet)) []Inbound { return []Inbound{undeclared(voice(a)), undeclared(cameraIn(b))} },
			[]*rtp.Packet{plain(7, vp8PT, 1), plain(8, opusPT, 2), plain(7, vp8PT, 3)},
			[]uint16{2},
			[]uint16{1, 3},
			0,
		},
		{"by MID", func(a, b func(*Packet)) []Inbound {
			x, y := undeclared(cameraIn(a)), undeclared(cameraIn(b))
			x.MID = "screen"
			return []Inbound{x, y}
		}, []*rtp.Packet{
			with(t, plain(7, vp8PT, 1), extIDs.MID, "1"), with(t, plain(8, vp8PT, 2), extIDs.MID, "screen"), plain(7, vp8PT, 3),
		}, []uint16{2}, []uint16{1, 3}, 0},
		{
			"another MID", func(a, b func(*Packet)) []Inbound { return []Inbound{undeclared(voice(a)), undeclared(cameraIn(b))} },
			[]*rtp.Packet{with(t, plain(7, vp8PT, 1), extIDs.MID, "9"), with(t, plain(8, opusPT, 2), extIDs.MID, "1")},
			nil, nil, 2,
		},
		{"by RID", layers, []*rtp.Packet{
			with(t, plain(7, vp8PT, 1), extIDs.RID, "l"), with(t, plain(8, vp8PT, 2), extIDs.RID, "h"), plain(7, vp8PT, 3), plain(8, vp8PT, 4),
			with(t, plain(9, vp8PT, 5), extIDs.RID, "m"),
		}, []uint16{2, 4}, []uint16{1, 3}, 1},
		{"repaired RID", layers, []*rtp.Packet{
			with(t, plain(8, vp8PT, 2), extIDs.RID, "h"), with(t, plain(7, vp8PT, 1), extIDs.RID, "l"),
			with(t, repairOf(70, 900, 9, "y"), extIDs.RepairedRID, "l"), repairOf(70, 901, 10, "z"),
			with(t, repairOf(71, 900, 9, "y"), extIDs.RepairedRID, "m"),
		}, []uint16{2}, []uint16{1, 9, 10}, 1},
		{
			"repair by payload type", func(a, b func(*Packet)) []Inbound { return []Inbound{voice(a), undeclared(cameraIn(b))} },
			[]*rtp.Packet{plain(7, vp8PT, 1), repairOf(70, 900, 2, "y")},
			nil,
			[]uint16{1, 2},
			0,
		},
		{
			"another payload type", func(a, b func(*Packet)) []Inbound { return []Inbound{voice(a), cameraIn(b)} },
			[]*rtp.Packet{plain(voiceSSRC, 13, 1), plain(9, 13, 1), plain(cameraRTX, vp8PT, 2), plain(cameraSSRC, vp8PT, 3)},
			nil,
			[]uint16{3},
			3,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var a, b taken
			r := newRig(t, rigConfig{terms: Terms{Inbound: c.terms(a.take, b.take)}})
			for _, p := range c.sends {
				r.send(epoch, p)
			}
			if !slices.Equal(a.sequences(), c.first) || !slices.Equal(b.sequences(), c.second) {
				t.Errorf("taken %v and %v, want %v and %v", a.sequences(), b.sequences(), c.first, c.second)
			}
			if s := r.counts(); s.Undeclared != c.lost {
				t.Errorf("%d undeclared, want %d", s.Undeclared, c.lost)
			}
		})
	}
}

// What a stream carries of another payload type is not taken, but has come: it
// is not asked for.
func TestAnotherPayloadTypeIsNotMissing(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}}})
	for seq, pt := range []uint8{opusPT, 13, opusPT} {
		r.send(epoch, packet(voiceSSRC, pt, uint16(seq), "x"))
	}
	if got := r.control(epoch); len(got) != 0 || r.counts().Undeclared != 1 {
		t.Errorf("sent %v, counts %+v", got, r.counts())
	}
}

// A client may give a stream another SSRC in mid-call, which begins anew: no
// packet between the two counts as lost, and key frames are asked of the new one.
func TestAnotherSSRCInMidCall(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(k.take)}}})
	r.send(epoch, packet(cameraSSRC, vp8PT, 500, "x"))
	r.session.RequestKeyFrame()
	r.control(epoch)
	r.send(epoch, packet(0xabc, vp8PT, 504, "x"))
	r.send(epoch, packet(0xabc, vp8PT, 505, "x"))
	if !slices.Equal(k.sequences(), []uint16{500, 504, 505}) {
		t.Errorf("taken %v", k.sequences())
	}
	r.session.RequestKeyFrame()
	got := r.control(epoch.Add(time.Millisecond))
	if len(got) != 1 || !reflect.DeepEqual(got[0].DestinationSSRC(), []uint32{0xabc}) {
		t.Errorf("sent %v", got)
	}
	r.session.report = epoch
	r.session.tick(epoch)
	for _, p := range r.control(epoch) {
		if rr, ok := p.(*rtcp.ReceiverReport); ok {
			if len(rr.Reports) != 1 || rr.Reports[0].SSRC != 0xabc || rr.Reports[0].TotalLost != 0 || rr.Reports[0].LastSequenceNumber != 505 {
				t.Errorf("report %+v", rr)
			}
		}
	}
}

// A client that keeps changing its SSRC is heard for so long.
func TestRebindsAreBounded(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(k.take)}}})
	for i := range uint32(maxSources) {
		r.send(epoch, packet(1000+i, vp8PT, 1, "x"))
	}
	if len(k.packets) != maxRebinds {
		t.Errorf("%d taken, want %d", len(k.packets), maxRebinds)
	}
}

// A client that keeps changing its SSRC, or sends what was not agreed on under
// ever new ones, is heard for so long and costs so much memory, and no more.
func TestUndeclaredSourcesAreBounded(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(k.take)}}})
	const many = 3000
	for i := range uint32(many) {
		r.send(epoch, packet(1000+i, vp8PT, 1, "x"))
		r.send(epoch, packet(1<<20+i, 13, 1, "x"))
		r.report(epoch, &rtcp.ReceiverReport{SSRC: 1<<21 + i})
	}
	if len(k.packets) != maxRebinds {
		t.Errorf("%d taken, want %d", len(k.packets), maxRebinds)
	}
	if s, want := r.counts(), uint64(3*many-maxRebinds-maxSources); s.Undeclared != want {
		t.Errorf("%d undeclared, want %d", s.Undeclared, want)
	}
	for _, states := range []string{"srtpSSRCStates", "srtcpSSRCStates"} {
		if n := reflect.ValueOf(r.session.rx).Elem().FieldByName(states).Len(); n > maxSources {
			t.Errorf("%s: %d are kept", states, n)
		}
	}
}

// Padding is cut off; what pads more than there is was made to hurt.
func TestPadding(t *testing.T) {
	raw := func(ssrc uint32, pt uint8, seq uint16, tail ...byte) []byte {
		h := rtp.Header{Version: 2, Padding: true, SSRC: ssrc, PayloadType: pt, SequenceNumber: seq, Timestamp: 1}
		return append(marshal(t, h), tail...)
	}
	cases := []struct {
		name      string
		plain     []byte
		payload   string
		taken     bool
		malformed uint64
	}{
		{"padded", raw(cameraSSRC, vp8PT, 1, 'a', 'b', 0, 0, 3), "ab", true, 0},
		{"padding alone", raw(cameraSSRC, vp8PT, 1, 0, 0, 0, 4), "", true, 0},
		{"no byte at all", raw(cameraSSRC, vp8PT, 1), "", false, 1},
		{"of length 0", raw(cameraSSRC, vp8PT, 1, 'a', 'b', 0), "", false, 1},
		{"longer than the packet", raw(cameraSSRC, vp8PT, 1, 'a', 'b', 4), "", false, 1},
		{"of length 255", raw(cameraSSRC, vp8PT, 1, 255), "", false, 1},
		{"a probe on RTX", raw(cameraRTX, rtxPT, 1, 0, 0, 3), "", false, 0},
		{"a repair, padded", raw(cameraRTX, rtxPT, 1, 0, 7, 'q', 0, 2), "q", true, 0},
		{"half a repair", raw(cameraRTX, rtxPT, 1, 7, 0, 2), "", false, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var k taken
			r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(k.take)}}})
			r.from(clientAddr, epoch, r.client.sealBytes(c.plain))
			if (len(k.packets) == 1) != c.taken || c.taken && string(k.packets[0].Payload) != c.payload {
				t.Errorf("taken %v", k.packets)
			}
			if s := r.counts(); s.Malformed != c.malformed || s.Forged+s.Undeclared != 0 {
				t.Errorf("counts %+v", s)
			}
		})
	}
}

// A packet that was sent again is what it was before, told by Again, and its own
// stream is reported on.
func TestRepairIsUnwrapped(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{cameraIn(k.take)}}})
	r.send(epoch, packet(cameraSSRC, vp8PT, 65534, "a"))
	r.send(epoch, packet(cameraSSRC, vp8PT, 1, "d"))
	p := repairOf(cameraRTX, 30000, 65535, "b")
	p.Marker, p.Timestamp = true, 99
	r.send(epoch, p)
	got := k.packets[2]
	if got.SSRC != cameraSSRC || got.PayloadType != vp8PT || got.SequenceNumber != 65535 || !got.Marker || got.Timestamp != 99 ||
		string(got.Payload) != "b" || !got.Again {
		t.Errorf("taken %+v", got)
	}
	if k.packets[0].Again || k.packets[1].Again {
		t.Error("what came the first time was taken for a repair")
	}
	r.session.report, r.session.skipped = epoch, quietReports
	r.session.tick(epoch)
	var blocks []rtcp.ReceptionReport
	for _, p := range r.control(epoch) {
		if rr, ok := p.(*rtcp.ReceiverReport); ok {
			blocks = rr.Reports
		}
	}
	if len(blocks) != 2 || blocks[0].SSRC != cameraSSRC || blocks[0].TotalLost != 2 || blocks[1].SSRC != cameraRTX || blocks[1].LastSequenceNumber != 30000 {
		t.Errorf("reports %+v", blocks)
	}
}

// All extensions are parsed, in both header forms, in the clear or encrypted.
func TestExtensionsAreParsed(t *testing.T) {
	for _, cryptex := range []bool{false, true} {
		for _, profile := range []uint16{rtp.ExtensionProfileOneByte, rtp.ExtensionProfileTwoByte} {
			t.Run(fmt.Sprintf("%x cryptex %v", profile, cryptex), func(t *testing.T) {
				var k taken
				r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{{Kind: codec.Video, PT: vp8PT, Clock: 90000, Ext: extIDs, Take: func(p *Packet) {
					p.Ext.MID = []byte(string(p.Ext.MID))
					k.take(p)
				}}}}})
				if cryptex {
					r.client = newClient(t, profileCases[0].profile, cryptexOn)
				}
				p := packet(5, vp8PT, 1, "x")
				p.CSRC = []uint32{1, 2}
				p.Extension, p.ExtensionProfile = true, profile
				for _, e := range []struct {
					id    uint8
					value string
				}{
					{extIDs.AudioLevel, "\x85"},
					{extIDs.AbsSendTime, "\x01\x02\x03"},
					{extIDs.TransportCC, "\xab\xcd"},
					{extIDs.Orientation, "\x06"},
					{extIDs.PlayoutDelay, "\x00\x10\x64"},
					{9, "unknown"},
				} {
					with(t, p, e.id, e.value)
				}
				r.send(epoch, p)
				if len(k.packets) != 1 {
					t.Fatalf("%d taken; %+v", len(k.packets), r.counts())
				}
				want := Extensions{
					Level: -5, Voice: true, HasLevel: true, AbsSendTime: 0x10203, HasAbsSendTime: true, TransportSeq: 0xabcd, HasTransportSeq: true,
					Rotation: 180, Flip: true, HasOrientation: true, MinDelay: 10 * time.Millisecond, MaxDelay: time.Second, HasPlayoutDelay: true,
				}
				got := k.packets[0].Ext
				got.MID = nil
				if !reflect.DeepEqual(got, want) {
					t.Errorf("parsed %+v", got)
				}
				if string(k.packets[0].Payload) != "x" || !slices.Equal(k.packets[0].CSRC, []uint32{1, 2}) {
					t.Errorf("taken %v", k.packets[0].Packet)
				}
			})
		}
	}
}

// An extension of a size that it can't have counts as absent.
func TestExtensionsOfAWrongSize(t *testing.T) {
	p := packet(1, 2, 3, "")
	for _, id := range []uint8{extIDs.AudioLevel, extIDs.AbsSendTime, extIDs.Orientation, extIDs.PlayoutDelay} {
		with(t, p, id, "ab")
	}
	with(t, p, extIDs.TransportCC, "a")
	var e Extensions
	e.parse(&p.Header, &extIDs)
	if !reflect.DeepEqual(e, Extensions{}) {
		t.Errorf("parsed %+v", e)
	}
}
