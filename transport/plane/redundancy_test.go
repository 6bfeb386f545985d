package plane

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// Packets with redundancy go under a payload type of their own within the one
// stream, and are sent again as they were, under the same one.
func TestRedundantPackets(t *testing.T) {
	out := sound()
	out.REDPT, out.NACK = 63, true
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{out}}})
	send := func(w *Writer) {
		w.Packet(0, []byte("plain"), 0, true)
		w.Redundant(0, []byte("redundant"), 20*time.Millisecond, false)
		w.Packet(0, []byte("plain"), 40*time.Millisecond, false)
	}
	var types []uint8
	for i, b := range r.feed(epoch, send) {
		p := r.client.open(b)
		types = append(types, p.PayloadType)
		if p.SSRC != out.SSRC || p.SequenceNumber != out.Sequence+uint16(i) || p.Timestamp != out.Base+uint32(i)*960 || p.Marker != (i == 0) {
			t.Errorf("packet %d is %v", i, p)
		}
	}
	if !slices.Equal(types, []uint8{opusPT, 63, opusPT}) {
		t.Errorf("payload types %v", types)
	}
	r.report(epoch, &rtcp.TransportLayerNack{MediaSSRC: out.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{out.Sequence, out.Sequence + 1})})
	types = nil
	for _, b := range r.turn(epoch) {
		types = append(types, r.client.open(b).PayloadType)
	}
	if !slices.Equal(types, []uint8{opusPT, 63}) {
		t.Errorf("sent again under payload types %v", types)
	}
}

// A stream's packets with redundancy come to its taker, whether its source was
// declared or not; without an agreement they do not.
func TestRedundantPacketsComeIn(t *testing.T) {
	for _, declared := range []bool{true, false} {
		for _, agreed := range []bool{true, false} {
			var got []uint8
			in := voice(func(p *Packet) { got = append(got, p.PayloadType) })
			if agreed {
				in.REDPT = 63
			}
			if !declared {
				in.SSRC = 0
			}
			r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
			r.send(epoch, packet(voiceSSRC, 63, 1, "x"))
			r.send(epoch, packet(voiceSSRC, opusPT, 2, "x"))
			r.send(epoch, packet(voiceSSRC, 0, 3, "x"))
			want := []uint8{63, opusPT}
			if !agreed {
				want = want[1:]
			}
			if !slices.Equal(got, want) {
				t.Errorf("declared %v, agreed %v: took %v", declared, agreed, got)
			}
		}
	}
}

// What a client reports of a stream that it is sent is told with how many
// packets it is about; nothing is told of a pause, of other sources, or when it
// has begun anew.
func TestReceptionIsTold(t *testing.T) {
	var got []Reception
	pic, snd := picture(), sound()
	r := newRig(t, rigConfig{
		terms: Terms{Epoch: epoch, Outbound: []Outbound{snd, pic}},
		cfg:   Config{Events: Events{Received: func(r Reception) { got = append(got, r) }}},
	})
	first := uint32(snd.Sequence) // 65530
	report := func(after time.Duration, blocks ...rtcp.ReceptionReport) {
		r.report(epoch.Add(after), &rtcp.ReceiverReport{SSRC: 99, Reports: blocks})
	}
	report(1*time.Second, rtcp.ReceptionReport{SSRC: snd.SSRC, LastSequenceNumber: first + 99, FractionLost: 64})
	report(2*time.Second, rtcp.ReceptionReport{SSRC: snd.SSRC, LastSequenceNumber: first + 99, FractionLost: 64}) // a pause
	report(3*time.Second,
		rtcp.ReceptionReport{SSRC: pic.SSRC, LastSequenceNumber: uint32(pic.Sequence) + 9},
		rtcp.ReceptionReport{SSRC: 12345, LastSequenceNumber: 7, FractionLost: 255},
		rtcp.ReceptionReport{SSRC: snd.SSRC, LastSequenceNumber: first + 149, FractionLost: 128})
	report(4*time.Second, rtcp.ReceptionReport{SSRC: snd.SSRC, LastSequenceNumber: first + 20, FractionLost: 128}) // anew
	report(5*time.Second, rtcp.ReceptionReport{SSRC: snd.SSRC, LastSequenceNumber: first + 30})
	want := []Reception{
		{Stream: 0, At: epoch.Add(1 * time.Second), Expected: 100, Lost: 0.25},
		{Stream: 1, At: epoch.Add(3 * time.Second), Expected: 10},
		{Stream: 0, At: epoch.Add(3 * time.Second), Expected: 50, Lost: 0.5},
		{Stream: 0, At: epoch.Add(5 * time.Second), Expected: 10},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("told\n%+v, want\n%+v", got, want)
	}
}

// Reports go on in a pause, and name the moment at which they are sent: sound
// that goes on after it is in step at once.
func TestReportsInAPause(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{sound()}}})
	r.feed(epoch, func(w *Writer) { w.Packet(0, []byte("x"), 0, true) })
	for _, pause := range []time.Duration{time.Second, time.Minute, 30 * time.Hour} {
		got := r.feed(epoch.Add(pause), func(w *Writer) { w.Report() })
		if len(got) != 1 {
			t.Fatalf("%d datagrams", len(got))
		}
		sr := r.client.openReports(got[0])[0].(*rtcp.SenderReport)
		if want := sound().Base + uint32(pause.Milliseconds()*48); sr.RTPTime != want || sr.PacketCount != 1 {
			t.Errorf("after %v: %+v, want the time %d", pause, sr, want)
		}
	}
}
