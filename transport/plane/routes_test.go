package plane

import (
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// A check for a session from an address that is another live session's does not
// take it away; when that has been silent for routeQuiet, it does, and the first
// gets it back in the same way.
func TestRouteOfAnother(t *testing.T) {
	var first, second taken
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(first.take)}}})
	now := time.Now()
	r.send(now, packet(voiceSSRC, opusPT, 1, "x"))
	other, client := r.addSession(otherAddr, rigConfig{terms: Terms{Inbound: []Inbound{voice(second.take)}}})

	other.Select(clientAddr, false)
	if s := r.counts(); s.Conflicts != 1 || other.Path() != otherAddr {
		t.Fatalf("path %v, counts %+v", other.Path(), s)
	}
	r.send(now, packet(voiceSSRC, opusPT, 2, "x"))
	if len(first.packets) != 2 {
		t.Fatalf("%d taken", len(first.packets))
	}

	quiet := now.Add(-routeQuiet - time.Second).UnixNano()
	r.plane.route(clientAddr).heard.Store(quiet)
	other.Select(clientAddr, false)
	if other.Path() != clientAddr {
		t.Fatal("a quiet address is not given away")
	}
	r.from(clientAddr, now, client.seal(packet(voiceSSRC, opusPT, 1, "x")))
	if len(second.packets) != 1 {
		t.Fatalf("the new owner took %d; %+v", len(second.packets), r.counts())
	}

	r.session.Select(clientAddr, false)
	if s := r.counts(); s.Conflicts != 2 {
		t.Errorf("%d conflicts", s.Conflicts)
	}
	r.plane.route(clientAddr).heard.Store(quiet)
	r.session.Select(clientAddr, false)
	r.send(now, packet(voiceSSRC, opusPT, 3, "x"))
	if len(first.packets) != 3 {
		t.Errorf("the first owner has its address back and took %d", len(first.packets))
	}
	if n := len(r.session.routes); n != 1 {
		t.Errorf("it keeps %d routes", n)
	}
	other.Close()
	r.send(now, packet(voiceSSRC, opusPT, 4, "x"))
	if len(first.packets) != 4 {
		t.Error("the other's end took the address along")
	}
	r.session.Close()
	if n := len(r.plane.routes); n != 0 {
		t.Errorf("%d routes are left", n)
	}
}

// Authentic media from another checked address, while the present one is silent,
// is followed after switchAfter.
func TestFollowMedia(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}, Outbound: []Outbound{sound()}}})
	r.session.admitRoute(otherAddr, false)
	r.plane.route(otherAddr).leg.Store(r.leg)
	seq := uint16(0)
	send := func(after time.Duration, from bool) {
		seq++
		addr := clientAddr
		if from {
			addr = otherAddr
		}
		r.from(addr, epoch.Add(after), r.client.seal(packet(voiceSSRC, opusPT, seq, "x")))
	}
	send(0, false)
	send(switchAfter, true)
	if r.session.Path() != clientAddr {
		t.Fatal("switched too early")
	}
	send(switchAfter+time.Millisecond, true)
	if r.session.Path() != otherAddr {
		t.Fatal("not switched")
	}
	send(switchAfter+10*time.Millisecond, false) // a straggler
	if r.session.Path() != otherAddr {
		t.Fatal("switched back by a straggler")
	}
	r.feed(epoch, func(w *Writer) { w.Packet(0, []byte("x"), 0, false) })
	r.feed(epoch, func(w *Writer) {})
	r.wire.take()
	r.feed(epoch, func(w *Writer) {
		w.Packet(0, []byte("x"), 0, false)
		w.flush()
		if n := len(r.wire.to); n == 0 || r.wire.to[n-1] != otherAddr {
			t.Errorf("sent to %v", r.wire.to)
		}
	})
}

// A session whose present path can't send any more, an ICE-TCP connection that
// has ended, goes on as soon as it has another, although it was waiting for its
// turn there.
func TestAnotherPathAfterADeadOne(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Outbound: []Outbound{sound()}}})
	r.session.Ready() // on the list of a sender that will not serve it
	_, l := r.addSocket(&wire{})
	route := r.session.admitRoute(otherAddr, false)
	route.leg.Store(l)
	r.session.follow(route)
	if n := len(l.out.ready); n != 1 {
		t.Fatalf("%d wait for the new sender", n)
	}
	fed := 0
	r.session.cfg.Feeder = feedFunc(func(*Writer) time.Duration { fed++; return 0 })
	l.out.serve()
	if fed != 1 {
		t.Errorf("fed %d times", fed)
	}
}

// Datagrams of a session that come by another socket of the same address move it
// there.
func TestAnotherLeg(t *testing.T) {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(nil)}, Outbound: []Outbound{sound()}}})
	_, l := r.addSocket(&wire{})
	b := r.client.seal(packet(voiceSSRC, opusPT, 1, "x"))
	r.socket.take(l, &inDatagram{data: b, from: clientAddr, at: epoch})
	r.session.cfg.Feeder = feedFunc(func(w *Writer) time.Duration { w.Packet(0, []byte("x"), 0, false); return 0 })
	r.leg.out.serve()
	l.out.serve()
	if n, m := len(r.wire.take()), len(l.io.(*wire).take()); n != 0 || m != 1 {
		t.Errorf("%d sent by the old socket, %d by the new", n, m)
	}
}

// check is a connectivity check that has passed, from an address.
func check(t *testing.T, r *rig, from string, port int, nominate bool) bool {
	t.Helper()
	candidate := func(ip string, port int) ice.Candidate {
		c, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: ip, Port: port, Component: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	m, err := stun.Build(stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}
	if nominate {
		m.Add(stun.AttrUseCandidate, nil)
	}
	return r.session.checked(m, candidate("192.0.2.1", 5000), candidate(from, port), nil)
}

// The first address that passes a check is sent to; a later one only where the
// client nominates it while the present one is silent.
func TestChecks(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.session, r.client = r.addSession(otherAddr, rigConfig{})
	r.session.path.Store(nil)
	if check(t, r, "198.51.100.1", 1000, true) {
		t.Error("ICE was told to switch to its first pair")
	}
	if got := r.session.Path().String(); got != "198.51.100.1:1000" {
		t.Fatalf("path %v", got)
	}
	heard := func(ago time.Duration) { r.session.path.Load().heard.Store(time.Now().Add(-ago).UnixNano()) }
	heard(0)
	if check(t, r, "198.51.100.2", 1000, true) || check(t, r, "198.51.100.2", 1000, false) {
		t.Error("switched from a live address")
	}
	heard(2 * switchAfter)
	if check(t, r, "198.51.100.2", 1000, false) {
		t.Error("switched without a nomination")
	}
	if !check(t, r, "198.51.100.2", 1000, true) || r.session.Path().String() != "198.51.100.2:1000" {
		t.Errorf("path %v", r.session.Path())
	}
	if check(t, r, "198.51.100.2", 1000, true) {
		t.Error("switched to where it is")
	}
	r.session.Close()
	if check(t, r, "198.51.100.3", 1000, true) || len(r.plane.routes) != 1 {
		t.Error("a closed session has a route")
	}
}
