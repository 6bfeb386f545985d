package plane

import (
	"encoding/binary"

	"github.com/pion/stun/v4"
)

// renewed answers a check by which a client keeps its consent to a path that media
// takes already (RFC 7675, section 5.1), as ICE would, and reports whether it did:
// every client asks every few seconds, and each question would wake two goroutines
// of ICE to say the same. Whatever may mean more than that is for ICE.
func (s *Socket) renewed(l *leg, r *route, d *inDatagram) bool {
	if r == nil || len(d.data) < 20 || binary.BigEndian.Uint16(d.data) != uint16(stun.BindingRequest.Value()) {
		return false
	}
	x := r.session
	if x.path.Load() != r || x.selected.Load() != r {
		return false
	}
	c, ok := x.consent()
	if !ok {
		return false
	}
	m := &stun.Message{Raw: append([]byte(nil), d.data...)}
	if m.Decode() != nil || !plainCheck(m, c) {
		return false
	}
	answer, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: d.from.Addr().Unmap().AsSlice(), Port: int(d.from.Port())},
		stun.NewShortTermIntegrity(c.LocalPwd), stun.Fingerprint)
	if err != nil {
		return false
	}
	s.plane.counts.renewed.Add(1)
	x.heard.Store(d.at.UnixNano())
	_ = l.io.writeOne(answer.Raw, d.from) // the client asks again
	return true
}

// consent answers the credentials of the present ICE session, where checks may be
// answered without ICE.
func (s *Session) consent() (Credentials, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credentials, s.credentials.LocalPwd != "" && !s.closed
}

// plainCheck reports whether a request is authentic, of this ICE session and from
// a controlling agent, and has nothing that has to be understood and is not (RFC
// 8489, section 6.3.1; RFC 8445, section 7.3).
func plainCheck(m *stun.Message, c Credentials) bool {
	var name stun.Username
	if name.GetFrom(m) != nil || name.String() != c.LocalUfrag+":"+c.RemoteUfrag || !m.Contains(stun.AttrICEControlling) {
		return false
	}
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrPriority, stun.AttrUseCandidate:
		default:
			if a.Type.Required() {
				return false
			}
		}
	}
	return stun.NewShortTermIntegrity(c.LocalPwd).Check(m) == nil && (!m.Contains(stun.AttrFingerprint) || stun.Fingerprint.Check(m) == nil)
}
