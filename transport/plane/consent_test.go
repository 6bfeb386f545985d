package plane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const localPwd = "the-password-of-the-server"

// consenting is a rig whose path ICE has selected.
func consenting(t *testing.T) *rig {
	var k taken
	r := roaming(t, &k)
	r.session.SetCredentials(Credentials{LocalUfrag: "here", LocalPwd: localPwd, RemoteUfrag: "there", RemotePwd: remotePwd})
	r.session.selected.Store(r.session.path.Load())
	return r
}

// consentCheck is a client's check, with what else is given.
func consentCheck(t *testing.T, user, pwd string, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(user), ice.PriorityAttr(1)}, more...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(pwd), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// A client's check of the path that is used is answered at once, and ICE is not
// woken for it.
func TestConsentIsRenewed(t *testing.T) {
	r := consenting(t)
	r.session.heard.Store(0)
	request := consentCheck(t, "here:there", localPwd, ice.AttrControlling(7), ice.UseCandidate())
	r.from(clientAddr, epoch.Add(time.Second), request)
	sent, to := r.wire.sentTo()
	if len(sent) != 1 || to[0] != clientAddr {
		t.Fatalf("%d answers to %v", len(sent), to)
	}
	asked, answer := &stun.Message{Raw: request}, &stun.Message{Raw: sent[0]}
	if asked.Decode() != nil || answer.Decode() != nil || answer.Type != stun.BindingSuccess || answer.TransactionID != asked.TransactionID {
		t.Fatalf("answered %v", answer)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(answer); err != nil {
		t.Fatal(err)
	}
	if addr, _ := netip.AddrFromSlice(mapped.IP); addr.Unmap() != clientAddr.Addr() || mapped.Port != int(clientAddr.Port()) {
		t.Errorf("the answer maps %v", mapped)
	}
	if err := stun.NewShortTermIntegrity(localPwd).Check(answer); err != nil {
		t.Error(err)
	}
	if c := r.counts(); c.Renewed != 1 || c.Passed != 0 || r.session.heard.Load() != epoch.Add(time.Second).UnixNano() {
		t.Errorf("%d renewed, %d passed on, heard at %d", c.Renewed, c.Passed, r.session.heard.Load())
	}
}

// What may mean more, or is not authentic, is for ICE.
func TestConsentIsNotRenewed(t *testing.T) {
	good := func(t *testing.T) []byte { return consentCheck(t, "here:there", localPwd, ice.AttrControlling(7)) }
	for name, c := range map[string]struct {
		request func(*testing.T) []byte
		from    netip.AddrPort
		spoil   func(*rig)
	}{
		"another's password": {request: func(t *testing.T) []byte { return consentCheck(t, "here:there", remotePwd, ice.AttrControlling(7)) }},
		"another session":    {request: func(t *testing.T) []byte { return consentCheck(t, "here:others", localPwd, ice.AttrControlling(7)) }},
		"a role conflict":    {request: func(t *testing.T) []byte { return consentCheck(t, "here:there", localPwd, ice.AttrControlled(7)) }},
		"something unknown": {request: func(t *testing.T) []byte {
			return consentCheck(t, "here:there", localPwd, ice.AttrControlling(7), stun.RawAttribute{Type: 0x7ffe, Value: []byte("what")})
		}},
		"an indication": {request: func(t *testing.T) []byte { b := good(t); b[1] |= 0x10; return b }},
		"cut off":       {request: func(t *testing.T) []byte { return good(t)[:40] }},
		"not selected":  {request: good, spoil: func(r *rig) { r.session.selected.Store(nil) }},
		"no password":   {request: good, spoil: func(r *rig) { r.session.SetCredentials(Credentials{LocalUfrag: "here", RemoteUfrag: "there"}) }},
		"elsewhere":     {request: good, from: netip.MustParseAddrPort("203.0.113.9:999")},
	} {
		t.Run(name, func(t *testing.T) {
			r := consenting(t)
			if c.spoil != nil {
				c.spoil(r)
			}
			from := clientAddr
			if c.from.IsValid() {
				from = c.from
			}
			r.from(from, epoch, c.request(t))
			if sent, _ := r.wire.sentTo(); len(sent) != 0 || r.counts().Renewed != 0 {
				t.Errorf("%d answers", len(sent))
			}
		})
	}
}
