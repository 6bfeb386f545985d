package plane

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// fuzzTerms are streams of every kind, so that each branch has something to do.
func fuzzTerms(take func(*Packet)) Terms {
	p := picture()
	p.Ext.TransportCC = 3
	return Terms{CNAME: "x", Epoch: epoch, Inbound: append(layers(take, take), voice(take), cameraIn(take)), Outbound: []Outbound{sound(), p}}
}

// survived fails where the session was ended by a panic.
func survived(t *testing.T, r *rig, reason any) {
	t.Helper()
	if r.counts().Panics != 0 {
		t.Fatalf("panic: %v", reason)
	}
}

// FuzzDatagram: whatever comes from whomever, it is counted for one thing, and
// nothing is taken that the client did not encrypt.
func FuzzDatagram(f *testing.F) {
	c := newClient(f, srtp.ProtectionProfileAeadAes128Gcm)
	good := c.seal(packet(voiceSSRC, opusPT, 1, "x"))
	for _, b := range [][]byte{
		nil, binding(8), hello(60), []byte("garbage, garbage"), good[:20], append(good[:len(good)-1:len(good)-1], good[len(good)-1]^1),
		c.sealReports(&rtcp.ReceiverReport{SSRC: 1})[:12], bytes.Repeat([]byte{0x9f}, 200),
		{0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, known bool) {
		var k taken
		var reason any
		r := newRig(t, rigConfig{terms: fuzzTerms(k.take), cfg: Config{Events: Events{Panicked: func(x any) { reason = x }}}})
		from := otherAddr
		if known {
			from = clientAddr
		}
		r.from(from, epoch, data)
		survived(t, r, reason)
		s := r.counts()
		control := uint64(len(r.socket.control))
		if n := s.Garbage + s.Strangers + s.Forged + s.Replayed + s.Malformed + s.Undeclared + control; n != 1 || len(k.packets) != 0 {
			t.Fatalf("%d taken, counted %d times: %+v", len(k.packets), n, s)
		}
	})
}

// FuzzPacket: no RTP packet of the client itself, encrypted as it should be, does
// more than be taken as pion reads it, or refused.
func FuzzPacket(f *testing.F) {
	full := packet(voiceSSRC, opusPT, 1, "payload")
	full.CSRC = []uint32{1, 2}
	with(f, with(f, full, extIDs.AudioLevel, "\x85"), extIDs.MID, "0")
	two := packet(9, vp8PT, 2, "payload")
	two.Extension, two.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
	with(f, two, extIDs.RID, "h")
	other := packet(cameraSSRC, vp8PT, 3, "payload")
	other.Extension, other.ExtensionProfile = true, 0x1234
	other.Extensions = nil
	padded := packet(voiceSSRC, opusPT, 4, "payload")
	padded.Padding, padded.PaddingSize = true, 9
	probe := marshal(f, rtp.Header{Version: 2, Padding: true, SSRC: cameraRTX, PayloadType: rtxPT})
	for _, b := range [][]byte{
		marshal(f, full), marshal(f, two), marshal(f, padded), marshal(f, repairOf(cameraRTX, 5, 4, "x")), append(probe, 0, 0, 3),
		append(bytes.Clone(probe), 255), marshal(f, with(f, repairOf(70, 5, 4, "x"), extIDs.RepairedRID, "l")),
		append(marshal(f, rtp.Header{Version: 2, SSRC: voiceSSRC, PayloadType: 13}), 1),
		{0xbf, 0x6f, 0, 1},
		[]byte("\x9000000000000\xc0\xde\x00\x010000"),
	} {
		f.Add(b, false)
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, plain []byte, cryptex bool) {
		var k taken
		var reason any
		r := newRig(t, rigConfig{terms: fuzzTerms(k.take), cfg: Config{Events: Events{Panicked: func(x any) { reason = x }}}})
		if cryptex {
			r.client = newClient(t, srtp.ProtectionProfileAeadAes128Gcm, cryptexOn)
		}
		if len(plain) > maxPayload || len(plain) < 12 || plain[0]>>6 != 2 || plain[1] >= 192 && plain[1] <= 223 {
			return
		}
		data, err := r.client.out.EncryptRTP(nil, plain, nil)
		if err != nil {
			return
		}
		r.from(clientAddr, epoch, data)
		survived(t, r, reason)
		s := r.counts()
		if saysCryptex(plain) { // though it is not: it can't be authentic
			return
		}
		if s.Forged+s.Replayed != 0 || len(k.packets) > 1 {
			t.Fatalf("%d taken, counts %+v", len(k.packets), s)
		}
		if len(k.packets) == 1 {
			takenAsPionReads(t, plain, &k.packets[0])
		}
	})
}

// saysCryptex reports whether a header has the profile of encrypted extensions
// (RFC 9335, section 5.1).
func saysCryptex(plain []byte) bool {
	var h rtp.Header
	_, err := h.Unmarshal(plain)
	return err == nil && h.Extension && (h.ExtensionProfile == 0xc0de || h.ExtensionProfile == 0xc2de)
}

func takenAsPionReads(t *testing.T, plain []byte, got *Packet) {
	t.Helper()
	var want rtp.Packet
	if err := want.Unmarshal(plain); err != nil {
		t.Fatalf("taken although pion says %v", err)
	}
	payload := want.Payload
	if got.Again {
		payload = payload[2:]
	} else if got.SSRC != want.SSRC || got.SequenceNumber != want.SequenceNumber || got.PayloadType != want.PayloadType {
		t.Fatalf("taken %v of %v", got.Packet, want)
	}
	if !bytes.Equal(got.Payload, payload) || got.Timestamp != want.Timestamp || got.Marker != want.Marker {
		t.Fatalf("taken %v of %v", got.Packet, want)
	}
	if e := got.Ext; e.Level > 0 || e.Rotation%90 != 0 || e.MaxDelay > 41*time.Second || e.AbsSendTime >= 1<<24 {
		t.Fatalf("extensions %+v", e)
	}
}

// FuzzReports: no compound of the client does more than be answered within
// bounds.
func FuzzReports(f *testing.F) {
	feedback := &rtcp.TransportLayerCC{
		Header:            rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5},
		PacketStatusCount: 2, RecvDeltas: []*rtcp.RecvDelta{{Type: 1, Delta: 250}, {Type: 1, Delta: 250}},
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: 1, RunLength: 2}},
	}
	for _, list := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: voiceSSRC, NTPTime: math.MaxUint64, Reports: []rtcp.ReceptionReport{{SSRC: soundSSRC, LastSenderReport: 5, Delay: 1 << 31}}}},
		{&rtcp.ReceiverReport{SSRC: 1}, &rtcp.SourceDescription{}, &rtcp.Goodbye{Sources: []uint32{voiceSSRC}}},
		{&rtcp.TransportLayerNack{MediaSSRC: pictureSSRC, Nacks: []rtcp.NackPair{{PacketID: 65500, LostPackets: 0xffff}}}},
		{&rtcp.PictureLossIndication{MediaSSRC: pictureSSRC}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: pictureSSRC}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e9, SSRCs: []uint32{1}}},
		{feedback},
		{&rtcp.ExtendedReport{SenderSSRC: 1}},
	} {
		b, err := rtcp.Marshal(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x8f, 205, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		var reason any
		acknowledged := 0
		r := newRig(t, rigConfig{terms: fuzzTerms(nil), cfg: Config{Events: Events{
			Panicked: func(x any) { reason = x }, Acknowledged: func(l []Acknowledgement) { acknowledged += len(l) },
		}}})
		for _, b := range r.feed(epoch, func(w *Writer) {
			for range 40 {
				w.Packet(1, []byte("x"), 0, false)
			}
		}) {
			r.client.open(b)
		}
		if len(plain) > maxPayload || len(plain) < 8 || plain[0]>>6 != 2 || plain[1] < 192 || plain[1] > 223 {
			return
		}
		data, err := r.client.out.EncryptRTCP(nil, plain, nil)
		if err != nil {
			return
		}
		r.from(clientAddr, epoch, data)
		for _, b := range r.turn(epoch) {
			if p := r.client.open(b); p.SSRC != pictureRTX {
				t.Fatalf("answered with %v", p)
			}
		}
		survived(t, r, reason)
		if s := r.counts(); s.Resent > 40 || acknowledged > 40*len(plain) || s.Forged+s.Replayed != 0 {
			t.Fatalf("%d acknowledged, counts %+v", acknowledged, s)
		}
	})
}

// FuzzExtensions: what is no header extension counts as absent.
func FuzzExtensions(f *testing.F) {
	for _, p := range []*rtp.Packet{
		with(f, with(f, packet(1, 2, 3, ""), 1, "\x85"), 4, "mid"), with(f, packet(1, 2, 3, ""), 13, "\x07"), with(f, packet(1, 2, 3, ""), 14, "\xff\xff\xff"),
	} {
		f.Add(marshal(f, p), []byte{1, 2, 3, 4, 10, 11, 13, 14})
	}
	f.Fuzz(func(t *testing.T, data, ids []byte) {
		var h rtp.Header
		if _, err := h.Unmarshal(data); err != nil || len(ids) < 8 {
			return
		}
		e := Extensions{MID: []byte("of another packet"), Rotation: 1, HasPlayoutDelay: true}
		e.parse(&h, &ExtensionIDs{ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6], ids[7]})
		if e.Level > 0 || e.Rotation%90 != 0 || e.Rotation > 270 || e.AbsSendTime >= 1<<24 || e.MinDelay > 40950*time.Millisecond ||
			e.MaxDelay > 40950*time.Millisecond || string(e.MID) == "of another packet" {
			t.Fatalf("parsed %+v", e)
		}
	})
}

// FuzzFrames: what ICE reads from a TCP connection are whole frames of its own,
// the same however the stream is cut.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(binding(8)), frame(hello(30))...))
	f.Add(append(frame([]byte("garbage")), frame(bytes.Repeat([]byte{0x80}, 50))...))
	f.Add([]byte{0xff, 0xff, 22})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var before []byte
		for i, read := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			conn, err := New().newTCPConn(sink{Reader: read})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(conn)
			_ = conn.Close()
			if i > 0 && !bytes.Equal(got, before) {
				t.Fatalf("read %x, and %x by one byte", before, got)
			}
			before = got
			for len(got) > 0 {
				n := 2 + int(binary.BigEndian.Uint16(got))
				if classify(got[2:n]) != control {
					t.Fatalf("ICE reads %x", got[:n])
				}
				got = got[n:]
			}
		}
	})
}
