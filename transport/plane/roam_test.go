package plane

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

const remotePwd = "the-password-of-the-client"

// roaming is a rig whose session may check addresses.
func roaming(t *testing.T, k *taken) *rig {
	r := newRig(t, rigConfig{terms: Terms{Inbound: []Inbound{voice(k.take)}, Outbound: []Outbound{sound()}}})
	r.session.SetCredentials(Credentials{LocalUfrag: "here", RemoteUfrag: "there", RemotePwd: remotePwd})
	return r
}

// sentTo answers what was written and where to.
func (w *wire) sentTo() (sent [][]byte, to []netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent, to = w.sent, w.to
	w.sent, w.to, w.batches = nil, nil, nil
	return sent, to
}

// answerTo is the client's answer to a check.
func answerTo(t *testing.T, request []byte, pwd string) []byte {
	t.Helper()
	m := &stun.Message{Raw: slices.Clone(request)}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	a, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess, stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return a.Raw
}

// A client that comes by another address is heard at once, checked, and only
// then sent to.
func TestClientIsFollowedOnceItAnswers(t *testing.T) {
	var k taken
	r := roaming(t, &k)
	away := netip.MustParseAddrPort("203.0.113.9:999")
	r.send(epoch, packet(voiceSSRC, opusPT, 1, "a"))
	r.from(away, epoch.Add(20*time.Millisecond), r.client.seal(packet(voiceSSRC, opusPT, 2, "b")))
	if len(k.packets) != 2 || r.session.heard.Load() != epoch.Add(20*time.Millisecond).UnixNano() {
		t.Fatalf("%d packets were taken", len(k.packets))
	}
	sent, to := r.wire.sentTo()
	if len(sent) != 1 || to[0] != away {
		t.Fatalf("%d datagrams to %v", len(sent), to)
	}
	m := &stun.Message{Raw: sent[0]}
	if err := m.Decode(); err != nil || m.Type != stun.BindingRequest {
		t.Fatalf("%v: %v", m.Type, err)
	}
	var name stun.Username
	if err := name.GetFrom(m); err != nil || name.String() != "there:here" {
		t.Errorf("the check is for %s: %v", name, err)
	}
	if err := stun.NewShortTermIntegrity(remotePwd).Check(m); err != nil {
		t.Error(err)
	}
	if r.session.Path() != clientAddr {
		t.Error("media is sent to an address that nobody has checked")
	}
	before := r.counts().Forged
	r.from(away, epoch, answerTo(t, sent[0], "another password"))
	r.from(otherAddr, epoch, answerTo(t, sent[0], remotePwd))
	if r.session.Path() != clientAddr || r.counts().Forged != before+1 {
		t.Errorf("a wrong answer: path %v, %d forged", r.session.Path(), r.counts().Forged-before)
	}
	r.from(away, epoch.Add(60*time.Millisecond), answerTo(t, sent[0], remotePwd))
	if r.session.Path() != away {
		t.Errorf("the path is %v after the right answer", r.session.Path())
	}
	r.session.Close()
	if len(r.plane.claims) != 0 || len(r.plane.checks) != 0 || len(r.plane.routes) != 0 {
		t.Errorf("left: %d claims, %d checks, %d routes", len(r.plane.claims), len(r.plane.checks), len(r.plane.routes))
	}
}

// Who only repeats or forges what he has overheard gets no answer, and a flood is
// tried and checked now and then.
func TestStrangersMoveNobody(t *testing.T) {
	var k taken
	r := roaming(t, &k)
	away := netip.MustParseAddrPort("203.0.113.9:999")
	old := r.client.seal(packet(voiceSSRC, opusPT, 1, "a"))
	r.from(clientAddr, epoch, old)
	forged := r.client.seal(packet(voiceSSRC, opusPT, 2, "b"))
	forged[len(forged)-1] ^= 1
	for _, b := range [][]byte{old, forged, r.client.seal(packet(voiceSSRC+77, opusPT, 3, "c"))} {
		time.Sleep(2 * strayEvery)
		r.from(away, epoch, b)
	}
	if sent, to := r.wire.sentTo(); len(sent) != 0 || len(k.packets) != 1 || r.session.Path() != clientAddr {
		t.Errorf("%d datagrams to %v, %d packets taken", len(sent), to, len(k.packets))
	}
	if s := r.counts(); s.Replayed != 1 || s.Forged != 1 || s.Strangers != 1 {
		t.Errorf("counts %+v", s)
	}
	time.Sleep(2 * strayEvery)
	for i := range 1000 {
		r.from(netip.AddrPortFrom(away.Addr(), uint16(1000+i)), epoch, r.client.seal(packet(voiceSSRC, opusPT, uint16(10+i), "d")))
	}
	if sent, _ := r.wire.sentTo(); len(sent) == 0 || len(sent) > 5 {
		t.Errorf("a thousand packets from as many addresses were answered by %d checks", len(sent))
	}
}

// A client that makes checks from many addresses keeps the last of them, and that
// which is in use.
func TestAddressesAreBounded(t *testing.T) {
	var k taken
	r := roaming(t, &k)
	for i := range 100 {
		if r.session.admitRoute(netip.AddrPortFrom(otherAddr.Addr(), uint16(2000+i)), false) == nil {
			t.Fatalf("address %d was refused", i)
		}
	}
	if len(r.session.routes) != maxRoutes || len(r.plane.routes) != maxRoutes {
		t.Errorf("%d addresses of the session, %d of the plane", len(r.session.routes), len(r.plane.routes))
	}
	if r.plane.route(clientAddr) == nil || r.plane.route(netip.AddrPortFrom(otherAddr.Addr(), 2099)) == nil {
		t.Error("the address in use or the last one is forgotten")
	}
}
