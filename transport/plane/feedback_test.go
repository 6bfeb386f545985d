package plane

import (
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// TestFeedbackIsResolved lets pion's recorder report what came of 400 packets,
// around the wrap of their numbers, and holds what is read of it against what
// happened.
func TestFeedbackIsResolved(t *testing.T) {
	var log sentLog
	begin := time.Unix(5000, 0)
	recorder := twcc.NewRecorder(1)
	lost := func(i int) bool { return i%7 == 3 || i > 200 && i < 240 }
	var got []Acknowledgement
	for i := range 400 {
		seq := uint16(65400 + i)
		sent := begin.Add(time.Duration(i) * 5 * time.Millisecond)
		log.add(seq, sent, 100+i)
		if !lost(i) {
			// 30 ms on the way, and a millisecond more for every tenth.
			recorder.Record(2, seq, sent.Add(30*time.Millisecond+time.Duration(i%10/9)*time.Millisecond).UnixMicro())
		}
		if i%20 != 19 {
			continue
		}
		for _, p := range recorder.BuildFeedbackPacket() {
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			f := &rtcp.TransportLayerCC{}
			if err := f.Unmarshal(raw); err != nil {
				t.Fatal(err)
			}
			got = append(got, log.resolve(f)...)
		}
	}
	if len(got) < 380 {
		t.Fatalf("%d packets were told of", len(got))
	}
	first := -1
	for _, a := range got {
		i := a.Size - 100
		if !a.Sent.Equal(begin.Add(time.Duration(i) * 5 * time.Millisecond)) {
			t.Fatalf("packet %d was sent at %v", i, a.Sent.Sub(begin))
		}
		if a.Arrived == lost(i) {
			t.Errorf("packet %d arrived: %v", i, a.Arrived)
		}
		if !a.Arrived {
			continue
		}
		if first < 0 {
			first = i
		}
		// The delay of each is that of the first and a millisecond more for every
		// tenth, to the 250 us of the format.
		d := a.At - got[0].At - a.Sent.Sub(got[0].Sent) - time.Duration(i%10/9)*time.Millisecond
		if d < -250*time.Microsecond || d > 250*time.Microsecond {
			t.Errorf("packet %d came %v off", i, d)
		}
	}
}

// TestFeedbackThatLies promises more than it holds, or speaks of what was never
// sent.
func TestFeedbackThatLies(t *testing.T) {
	var log sentLog
	f := &rtcp.TransportLayerCC{
		PacketStatusCount: 1000,
		PacketChunks:      []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 8191}},
	}
	if log.resolve(f) != nil {
		t.Error("something was acknowledged before anything was sent")
	}
	log.add(0, time.Unix(1, 0), 10)
	if got := log.resolve(f); len(got) != 0 {
		t.Errorf("acknowledged without a time of arrival: %v", got)
	}
	f.RecvDeltas = []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250}}
	if got := log.resolve(f); len(got) != 1 || !got[0].Arrived || got[0].At != 250*time.Microsecond {
		t.Errorf("got %v", got)
	}
	f.BaseSequenceNumber = sentLogSize // another packet in the same place
	if got := log.resolve(f); len(got) != 0 {
		t.Errorf("a packet that was never sent was acknowledged: %v", got)
	}
}
