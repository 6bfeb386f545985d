package plane

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// viewer is a session that has been sent n packets of size bytes at the epoch.
func viewer(t *testing.T, out Outbound, n, size int) *rig {
	t.Helper()
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{out}}})
	for _, b := range r.feed(epoch, func(w *Writer) {
		for i := range n {
			w.Packet(0, bytes.Repeat([]byte{byte(i)}, size), 0, false)
		}
	}) {
		r.client.open(b)
	}
	return r
}

// asks has the client ask for packets, and answers which it is sent again, by
// their place among those that were sent.
func (r *rig) asks(at time.Time, places ...int) (again []int) {
	r.t.Helper()
	var list []uint16
	out := r.session.out[0]
	for _, i := range places {
		list = append(list, out.Sequence+uint16(i))
	}
	r.report(at, &rtcp.TransportLayerNack{MediaSSRC: out.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(list)})
	for _, b := range r.turn(at) {
		p := r.client.open(b)
		if out.RTXPT != 0 {
			if p.SSRC != out.RTXSSRC || p.PayloadType != out.RTXPT {
				r.t.Fatalf("sent again as %v", p)
			}
			p.SequenceNumber = uint16(p.Payload[0])<<8 | uint16(p.Payload[1])
		}
		again = append(again, int(p.SequenceNumber-out.Sequence))
	}
	return again
}

// A packet is sent again when it was asked for, but not twice within a round
// trip, and not when it is forgotten or was never sent.
func TestResend(t *testing.T) {
	for _, rtx := range []bool{true, false} {
		out := picture()
		if !rtx {
			out.RTXPT, out.RTXSSRC = 0, 0
		}
		r := viewer(t, out, 300, 100)
		if got := r.asks(epoch, 290, 299, 300, 40, 44, 2); !slices.Equal(got, []int{290, 299, 44}) {
			t.Errorf("rtx %v: sent again %v", rtx, got)
		}
		if s := r.counts(); s.Resent != 3 || s.ResendsRefused != 3 {
			t.Errorf("rtx %v: counts %+v", rtx, s)
		}
		if got := r.asks(epoch.Add(resendAgain-1), 290); got != nil {
			t.Errorf("rtx %v: sent again at once: %v", rtx, got)
		}
		if got := r.asks(epoch.Add(resendAgain), 290, 290); !slices.Equal(got, []int{290}) {
			t.Errorf("rtx %v: after the least time: %v", rtx, got)
		}
		r.session.roundTrip.Store(int64(200 * time.Millisecond))
		if got := r.asks(epoch.Add(resendAgain+199*time.Millisecond), 290, 299); !slices.Equal(got, []int{299}) {
			t.Errorf("rtx %v: within a round trip: %v", rtx, got)
		}
		if got := r.asks(epoch.Add(resendAgain+200*time.Millisecond), 290); !slices.Equal(got, []int{290}) {
			t.Errorf("rtx %v: after a round trip: %v", rtx, got)
		}
	}
}

// What is sent again in a stream of its own has a transport-wide number of its
// own; what is sent again as it was is the same to the byte.
func TestResendInTransport(t *testing.T) {
	out := picture()
	out.Ext.TransportCC = 3
	for _, rtx := range []bool{true, false} {
		if !rtx {
			out.RTXPT, out.RTXSSRC = 0, 0
		}
		r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{out}}})
		sent := r.feed(epoch, func(w *Writer) {
			for range 3 {
				w.Packet(0, []byte("x"), 0, true)
			}
		})
		r.report(epoch, &rtcp.TransportLayerNack{MediaSSRC: out.SSRC, Nacks: []rtcp.NackPair{{PacketID: out.Sequence + 1}}})
		again := r.turn(epoch)
		if len(again) != 1 {
			t.Fatalf("rtx %v: %d sent again", rtx, len(again))
		}
		if !rtx && !bytes.Equal(again[0], sent[1]) {
			t.Errorf("sent %x again as %x", sent[1], again[0])
		}
		if p := r.client.open(again[0]); rtx && !bytes.Equal(p.GetExtension(3), []byte{0, 3}) {
			t.Errorf("the repair has the transport-wide number %x", p.GetExtension(3))
		}
	}
}

// A payload that no datagram holds is refused, and nothing else changes.
func TestPayloadIsTooLong(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Epoch: epoch, Outbound: []Outbound{picture()}}})
	got := r.feed(epoch, func(w *Writer) {
		for _, n := range []int{maxPayload, maxPayload + 1, 3} {
			w.Packet(0, make([]byte, n), 0, true)
		}
	})
	if len(got) != 2 || r.counts().Refused != 1 {
		t.Fatalf("%d sent, %d refused", len(got), r.counts().Refused)
	}
	first, second := r.client.open(got[0]), r.client.open(got[1])
	if len(first.Payload) != maxPayload || second.SequenceNumber != first.SequenceNumber+1 || len(got[0]) > maxDatagram {
		t.Errorf("sent %d bytes of payload, then %v", len(first.Payload), second)
	}
}

// One that is asked for again and again is sent again resendTimes.
func TestResendGivesUp(t *testing.T) {
	r := viewer(t, picture(), 10, 10)
	sent := 0
	for i := range 20 {
		sent += len(r.asks(epoch.Add(time.Duration(i)*time.Second), 3))
	}
	if sent != resendTimes {
		t.Errorf("sent again %d times", sent)
	}
}

// Where resending was not agreed on, or for a source that is none of ours,
// nothing is sent again.
func TestResendWasNotAgreedOn(t *testing.T) {
	out := picture()
	out.NACK = false
	r := viewer(t, out, 10, 10)
	if got := r.asks(epoch, 1, 2); got != nil {
		t.Errorf("sent again %v", got)
	}
	r = viewer(t, picture(), 10, 10)
	r.report(epoch, &rtcp.TransportLayerNack{MediaSSRC: pictureRTX, Nacks: []rtcp.NackPair{{PacketID: picture().Sequence}}})
	if got := r.turn(epoch); len(got) != 0 {
		t.Errorf("%d sent for another source", len(got))
	}
}

// No more than resendBurst at once, and a share of what is sent in the long run,
// is sent again, however much a client asks for.
func TestResendBudget(t *testing.T) {
	const size = 1000
	r := viewer(t, picture(), 200, size)
	all := make([]int, 200)
	for i := range all {
		all[i] = i
	}
	at := epoch
	if got := len(r.asks(at, all...)); got != resendBurst/size {
		t.Errorf("%d sent again at once", got)
	}
	spent := 0
	for range 10 {
		at = at.Add(time.Second)
		r.feed(at, func(w *Writer) {
			for range 40 {
				w.Packet(0, make([]byte, size), 0, false)
			}
		})
		var recent []int
		for i := range 200 {
			recent = append(recent, int(r.session.out[0].seq-r.session.out[0].Sequence)-1-i)
		}
		spent += len(r.asks(at, recent...))
	}
	if want := 10 * 40 / resendShare; spent > want+1 || spent < want-1 {
		t.Errorf("%d sent again of 400, want %d", spent, want)
	}
}

// What waits to be sent again is bounded.
func TestWantedIsBounded(t *testing.T) {
	r := viewer(t, picture(), 10, 10)
	for range 3 * maxLetters {
		pairs := make([]rtcp.NackPair, 50)
		for i := range pairs {
			pairs[i] = rtcp.NackPair{PacketID: uint16(i * 17), LostPackets: 0xffff}
		}
		r.report(epoch, &rtcp.TransportLayerNack{MediaSSRC: pictureSSRC, Nacks: pairs})
	}
	if n := len(r.session.post.waiting.nacks); n != maxLetters {
		t.Errorf("%d requests wait", n)
	}
	r.turn(epoch)
	if n := cap(r.session.out[0].wanted); n > 2*maxWanted {
		t.Errorf("room for %d was made", n)
	}
	if s := r.counts(); s.Resent+s.ResendsRefused > maxWanted {
		t.Errorf("counts %+v", s)
	}
}

// Keeping what was sent shares the payload with all other subscribers.
func TestHistorySharesThePayload(t *testing.T) {
	payload := []byte("for all")
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{picture()}}})
	r.feed(epoch, func(w *Writer) { w.Packet(0, payload, 0, false) })
	kept := r.session.out[0].history[picture().Sequence&(historySize-1)].payload
	if &kept[0] != &payload[0] || string(payload) != "for all" {
		t.Error("the payload was copied or written")
	}
}
