package plane

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// A client that says goodbye to its camera is asked for nothing of it any more,
// and may go on with another source, or the same.
func TestGoodbyeEndsAStream(t *testing.T) {
	var k taken
	in := cameraIn(k.take)
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{in}}})
	r.send(epoch, packet(in.SSRC, in.PT, 1, "x"))
	r.send(epoch, packet(in.SSRC, in.PT, 5, "x"))
	if n := r.counts().Asked; n != 3 {
		t.Fatalf("%d packets were asked for", n)
	}
	r.report(epoch, &rtcp.ReceiverReport{SSRC: in.SSRC}, &rtcp.Goodbye{Sources: []uint32{in.SSRC, 99}})
	r.session.tick(epoch.Add(100 * time.Millisecond))
	if n := r.counts().Asked; n != 3 {
		t.Errorf("%d packets were asked for after the goodbye", n-3)
	}
	r.send(epoch.Add(time.Second), packet(in.SSRC+1000, in.PT, 70, "y"))
	r.send(epoch.Add(time.Second), packet(in.SSRC+1000, in.PT, 71, "y"))
	if len(k.packets) != 4 || r.counts().Asked != 3 {
		t.Errorf("%d packets of both sources were taken, %d asked for", len(k.packets), r.counts().Asked)
	}
	r.report(epoch.Add(2*time.Second), &rtcp.ReceiverReport{SSRC: in.SSRC}, &rtcp.Goodbye{Sources: []uint32{in.SSRC + 1000}})
	r.send(epoch.Add(3*time.Second), packet(in.SSRC+1000, in.PT, 72, "y"))
	if len(k.packets) != 5 {
		t.Error("a source that came back was not taken")
	}
}
