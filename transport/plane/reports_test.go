package plane

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"tutti/transport/rtptime"
)

// Sender reports of all streams name one moment in each stream's own time, and
// count what was sent.
func TestSenderReports(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, CNAME: "tutti", Outbound: []Outbound{sound(), picture()}}})
	now := epoch.Add(90*time.Minute + 123456789)
	got := r.feed(now, func(w *Writer) {
		w.Packet(0, make([]byte, 60), now.Sub(epoch), false)
		w.Packet(1, make([]byte, 1000), now.Sub(epoch), true)
		w.Packet(1, make([]byte, 500), now.Sub(epoch), true)
		w.Report()
	})
	if len(got) != 4 {
		t.Fatalf("%d datagrams", len(got))
	}
	list := r.client.openReports(got[3])
	if len(list) != 3 {
		t.Fatalf("sent %v", list)
	}
	for i, out := range []Outbound{sound(), picture()} {
		sr := list[i].(*rtcp.SenderReport)
		p := r.client.open(got[i])
		if sr.SSRC != out.SSRC || sr.NTPTime != rtptime.NTP(now) || sr.RTPTime != p.Timestamp {
			t.Errorf("report %+v of a packet at %d", sr, p.Timestamp)
		}
		if want := out.Base + uint32(math.Round(now.Sub(epoch).Seconds()*float64(out.Clock))); p.Timestamp != want {
			t.Errorf("timestamp %d, want %d", p.Timestamp, want)
		}
		if n := uint32(1 + i); sr.PacketCount != n || sr.OctetCount != []uint32{60, 1500}[i] {
			t.Errorf("%d packets, %d octets", sr.PacketCount, sr.OctetCount)
		}
	}
	sdes := list[2].(*rtcp.SourceDescription)
	if len(sdes.Chunks) != 2 || sdes.Chunks[1].Source != pictureSSRC || sdes.Chunks[1].Items[0].Text != "tutti" {
		t.Errorf("description %v", sdes)
	}
}

// Who sends nothing yet reports all the same, with a source of its own.
func TestReceiverReports(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{CNAME: "tutti", Inbound: []Inbound{voice(nil)}, Outbound: []Outbound{sound()}}})
	r.session.report, r.session.skipped = epoch, quietReports
	r.session.tick(epoch)
	list := r.control(epoch)
	if len(list) != 2 || list[0].(*rtcp.ReceiverReport).SSRC != r.session.ssrc || len(list[0].(*rtcp.ReceiverReport).Reports) != 0 {
		t.Errorf("sent %v", list)
	}
	r.session.tick(epoch.Add(reportEvery - 1))
	if list := r.control(epoch); len(list) != 0 {
		t.Errorf("sent %v before the next is due", list)
	}
	for i := 1; i <= 2*quietReports; i++ { // all is quiet
		r.session.tick(epoch.Add(time.Duration(i) * reportEvery))
		want := 0
		if i%quietReports == 0 {
			want = 2
		}
		if list := r.control(epoch); len(list) != want {
			t.Errorf("sent %v after %d", list, i)
		}
	}
	r.session.flowed.Add(quietPackets)
	r.session.tick(epoch.Add((2*quietReports + 1) * reportEvery))
	if list := r.control(epoch); len(list) != 2 {
		t.Errorf("sent %v when there is something to tell", list)
	}
}

// Feedback of a few packets waits for more, but not for long.
func TestFeedbackWaits(t *testing.T) {
	in := voice(nil)
	in.NACK = false
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
	seq := uint16(0)
	arrive := func(at time.Time, n int) {
		for range n {
			r.send(at, with(t, packet(voiceSSRC, opusPT, seq, "x"), extIDs.TransportCC, string(binary.BigEndian.AppendUint16(nil, seq))))
			seq++
		}
	}
	r.session.report, r.session.feedback = epoch.Add(time.Hour), time.Time{}
	sent := func(after time.Duration) int {
		r.session.tick(epoch.Add(after))
		return len(r.control(epoch.Add(after)))
	}
	arrive(epoch, feedbackAfter)
	if n := sent(feedbackEvery + 1); n != 1 {
		t.Errorf("%d feedbacks of many", n)
	}
	arrive(epoch.Add(time.Second), feedbackAfter-1)
	if n := sent(time.Second + feedbackEvery + 1); n != 0 {
		t.Errorf("%d feedbacks of a few at once", n)
	}
	if n := sent(time.Second + feedbackAtLast); n != 1 {
		t.Errorf("%d feedbacks of a few at last", n)
	}
	if n := sent(time.Hour / 2); n != 0 {
		t.Errorf("%d feedbacks of none", n)
	}
}

// Loss by RFC 3550, appendix A.3, also where pion differs: a packet that comes
// after a report is not lost any more, and duplicates make up for losses.
func TestReception(t *testing.T) {
	type step struct {
		seqs     []uint16
		high     uint32
		lost     uint32
		fraction uint8
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"none", []step{{[]uint16{5, 6, 7, 8}, 8, 0, 0}, {nil, 8, 0, 0}}},
		{"half", []step{{[]uint16{1, 3, 5, 8}, 8, 4, 128}, {[]uint16{9, 10}, 10, 4, 0}}},
		{"late", []step{{[]uint16{1, 4}, 4, 2, 128}, {[]uint16{2, 3, 5}, 5, 0, 0}}},
		{"twice", []step{{[]uint16{1, 1, 1, 4}, 4, 0, 0}, {[]uint16{6}, 6, 1, 128}}},
		{"before the first", []step{{[]uint16{10, 9, 11}, 11, 0, 0}}},
		{"around the wrap", []step{{[]uint16{65534, 65535, 1}, 65536 + 1, 1, 64}, {[]uint16{0, 2}, 65536 + 2, 0, 0}}},
		{"all but one", []step{{[]uint16{1}, 1, 0, 0}, {[]uint16{1001}, 1001, 999, 255}}},
	} {
		rec := reception{clock: 48000}
		for i, s := range c.steps {
			for _, n := range s.seqs {
				rec.take(epoch, n, 0)
			}
			got := rec.block(epoch, 7)
			want := rtcp.ReceptionReport{SSRC: 7, LastSequenceNumber: s.high, TotalLost: s.lost, FractionLost: s.fraction}
			if got != want {
				t.Errorf("%s, report %d: %+v, want %+v", c.name, i, got, want)
			}
		}
	}
}

// The jitter does not mind the wrap of timestamps, the hour, or a jump.
func TestJitter(t *testing.T) {
	for _, base := range []uint32{0, 1 << 31, 1<<31 - 500, math.MaxUint32 - 2000} {
		rec := reception{clock: 48000}
		at := time.Unix(0, int64(time.Hour)*500000).Add(-100 * time.Millisecond)
		for i := range 400 {
			late := time.Duration(i%2) * 5 * time.Millisecond
			rec.take(at.Add(time.Duration(i)*20*time.Millisecond+late), uint16(i), base+uint32(i)*960)
		}
		if got := rtptime.Duration(rec.jitter>>4, rec.clock); got < 4900*time.Microsecond || got > 5100*time.Microsecond {
			t.Errorf("base %d: jitter %v", base, got)
		}
		before := rec.jitter
		rec.take(at.Add(8*time.Second), 400, base+1<<30)
		if rec.jitter > before {
			t.Errorf("base %d: a jump of the timestamps is jitter", base)
		}
	}
}

// The round trip is what is left of the time since our report when its stay with
// the client is taken off.
func TestRoundTrip(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{sound()}}})
	sent := epoch.Add(3 * time.Second)
	block := rtcp.ReceptionReport{
		SSRC: soundSSRC, LastSenderReport: rtptime.MiddleNTP(rtptime.NTP(sent)), Delay: rtptime.ToMiddle(500 * time.Millisecond),
	}
	near := func(want time.Duration) bool { return (r.session.Link().RoundTrip - want).Abs() < 100*time.Microsecond }
	r.report(sent.Add(580*time.Millisecond), &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{block}})
	if !near(80 * time.Millisecond) {
		t.Errorf("round trip %v", r.session.Link().RoundTrip)
	}
	r.report(sent.Add(620*time.Millisecond), &rtcp.SenderReport{Reports: []rtcp.ReceptionReport{block}})
	if !near(120 * time.Millisecond) {
		t.Errorf("round trip %v", r.session.Link().RoundTrip)
	}
	block.LastSenderReport = 0
	r.report(sent, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{block}})
	block.LastSenderReport, block.Delay = rtptime.MiddleNTP(rtptime.NTP(sent)), 1<<17
	r.report(sent, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{block}}) // from the future
	if !near(120 * time.Millisecond) {
		t.Errorf("round trip %v after reports that tell none", r.session.Link().RoundTrip)
	}
}

// What a client asks for and says reaches who is to know.
func TestFeedbackIn(t *testing.T) {
	keyFrames := 0
	r := newRig(t, rigConfig{cfg: Config{Events: Events{KeyFrameRequested: func() { keyFrames++ }}}, terms: Terms{Outbound: []Outbound{picture()}}})
	r.report(epoch, &rtcp.PictureLossIndication{MediaSSRC: pictureSSRC})
	r.report(epoch, &rtcp.FullIntraRequest{MediaSSRC: pictureSSRC, FIR: []rtcp.FIREntry{{SSRC: pictureSSRC}}})
	r.report(epoch, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1.5e6, SSRCs: []uint32{pictureSSRC}})
	if keyFrames != 2 {
		t.Errorf("%d key frames requested", keyFrames)
	}
	if l := r.session.Link(); l.MaxBitrate != 1500000 || r.counts().ReceivedBytes == 0 {
		t.Errorf("link %+v", l)
	}
}

// A camera is asked for a key frame by what it takes, once in askKeyEvery.
func TestKeyFrameRequests(t *testing.T) {
	pli, fir, none := cameraIn(nil), cameraIn(nil), cameraIn(nil)
	pli.SSRC, fir.SSRC, fir.PLI, none.SSRC, none.PLI, none.FIR = 1, 2, false, 3, false, false
	unknown := cameraIn(nil)
	unknown.SSRC = 0
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil), pli, fir, none, unknown}}})
	for i, at := range []time.Duration{0, askKeyEvery - 1, askKeyEvery} {
		r.session.RequestKeyFrame()
		r.session.RequestKeyFrame()
		got := r.control(epoch.Add(at))
		want := []rtcp.Packet{
			&rtcp.PictureLossIndication{SenderSSRC: r.session.ssrc, MediaSSRC: 1},
			&rtcp.FullIntraRequest{SenderSSRC: r.session.ssrc, MediaSSRC: 2, FIR: []rtcp.FIREntry{{SSRC: 2, SequenceNumber: uint8(1 + i/2)}}},
		}
		if i == 1 {
			want = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after %v: sent %v", at, got)
		}
	}
}

// Feedback tells of each packet that was sent whether and when it came.
func TestAcknowledged(t *testing.T) {
	var got []Acknowledgement
	out := picture()
	out.Ext.TransportCC = 3
	r := newRig(t, rigConfig{
		cfg:   Config{Events: Events{Acknowledged: func(l []Acknowledgement) { got = append([]Acknowledgement(nil), l...) }}},
		terms: Terms{Epoch: epoch, Outbound: []Outbound{out}},
	})
	r.session.transport = 65533
	var sizes []int
	for i := range 5 {
		for _, b := range r.feed(epoch.Add(time.Duration(i)*time.Second), func(w *Writer) { w.Packet(0, make([]byte, 100+i), 0, false) }) {
			sizes = append(sizes, len(b))
		}
	}
	r.report(epoch, &rtcp.TransportLayerCC{
		Header:             rtcp.Header{Padding: true, Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 6},
		BaseSequenceNumber: 65532, PacketStatusCount: 5, ReferenceTime: 1<<24 - 2,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.StatusVectorChunk{
			Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit,
			SymbolList: []uint16{1, 1, 0, 2, 1, 0, 0},
		}},
		RecvDeltas: []*rtcp.RecvDelta{{Type: 1, Delta: 250}, {Type: 1, Delta: 1000}, {Type: 2, Delta: -500}, {Type: 1, Delta: 750}},
	})
	r.turn(epoch)
	const base = -128 * time.Millisecond
	want := []Acknowledgement{
		{Sent: epoch, Size: sizes[0], Arrived: true, At: base + 1250*time.Microsecond},
		{Sent: epoch.Add(time.Second), Size: sizes[1], At: base + 1250*time.Microsecond},
		{Sent: epoch.Add(2 * time.Second), Size: sizes[2], Arrived: true, At: base + 750*time.Microsecond},
		{Sent: epoch.Add(3 * time.Second), Size: sizes[3], Arrived: true, At: base + 1500*time.Microsecond},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("acknowledged\n got %v\nwant %v", got, want)
	}
}

// Several reports go out in as many datagrams as they need, each of a size that
// any path takes.
func TestReportsFitDatagrams(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}}})
	for i := range 10 {
		nacks := make([]rtcp.NackPair, 100)
		r.session.post.send(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: uint32(i), Nacks: nacks})
	}
	seen := 0
	for _, b := range r.turn(epoch) {
		if len(b) > 1200+overhead {
			t.Errorf("a datagram of %d bytes", len(b))
		}
		for _, p := range r.client.openReports(b) {
			if n := p.(*rtcp.TransportLayerNack); n.MediaSSRC != uint32(seen) || len(n.Nacks) != 100 {
				t.Errorf("report %d is of %d", seen, n.MediaSSRC)
			}
			seen++
		}
	}
	if seen != 10 {
		t.Errorf("%d sent", seen)
	}
}

func TestQuantile(t *testing.T) {
	var c counters
	for range 98 {
		c.observe(40 * time.Microsecond)
	}
	c.observe(time.Millisecond)
	c.observe(time.Second)
	h := c.stats().HandOver
	for q, want := range map[float64]time.Duration{0.5: delays[0], 0.98: delays[0], 0.99: time.Millisecond, 1: 2 * delays[len(delays)-1]} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := (Histogram{}).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
