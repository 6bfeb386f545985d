package plane

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// binding is a binding request as far as it is looked at here.
func binding(attributes int) []byte {
	b := make([]byte, 20+attributes)
	binary.BigEndian.PutUint16(b, 1)
	binary.BigEndian.PutUint16(b[2:], uint16(attributes))
	binary.BigEndian.PutUint32(b[4:], 0x2112a442)
	return b
}

func TestClassify(t *testing.T) {
	long := func(first, second byte) []byte { return append([]byte{first, second}, make([]byte, 30)...) }
	wrongLength, wrongCookie := binding(8), binding(8)
	wrongLength[3]++
	wrongCookie[4]++
	for _, c := range []struct {
		name string
		data []byte
		want class
	}{
		{"nothing", nil, garbage},
		{"short", long(0x80, 96)[:11], garbage},
		{"STUN", binding(8), control},
		{"STUN without attributes", binding(0), control},
		{"STUN, cut", binding(8)[:19], garbage},
		{"STUN of another length", wrongLength, garbage},
		{"STUN without its cookie", wrongCookie, garbage},
		{"ZRTP", long(16, 0), garbage},
		{"DTLS, first", long(20, 0), control},
		{"DTLS, last", long(63, 0), control},
		{"TURN channel", long(64, 0), garbage},
		{"version 1", long(127, 0), garbage},
		{"RTP", long(128, 96), media},
		{"RTP with marker", long(191, 0x80|111), media},
		{"RTCP, first", long(128, 192), report},
		{"RTCP, sender report", long(128, 200), report},
		{"RTCP, last", long(128, 223), report},
		{"RTP, payload type 96, marker", long(128, 224), media},
		{"version 3", long(192, 96), garbage},
	} {
		if got := classify(c.data); got != c.want {
			t.Errorf("%s: class %d, want %d", c.name, got, c.want)
		}
	}
}

// What is not the client's is counted for what it is, and changes nothing else:
// nothing is taken, it is no sign of life, and nobody is sent elsewhere for it.
func TestHostileDatagrams(t *testing.T) {
	for _, profile := range profileCases {
		t.Run(profile.name, func(t *testing.T) {
			var k taken
			r := newRig(t, rigConfig{profile: profile.profile, terms: Terms{Inbound: []Inbound{voice(k.take)}}})
			r.session.Select(otherAddr, false) // another checked address, silent so far
			r.session.Select(clientAddr, false)
			good := r.client.seal(packet(voiceSSRC, opusPT, 1, "x"))
			rtcpGood := r.client.sealReports(&rtcp.ReceiverReport{SSRC: 1})
			r.from(clientAddr, epoch, good)
			r.from(clientAddr, epoch, rtcpGood)
			heard, before := r.session.heard.Load(), r.counts()
			forge := func(b []byte, at int) []byte {
				b = slices.Clone(b)
				b[at] ^= 1
				return b
			}
			next := r.client.seal(packet(voiceSSRC, opusPT, 2, "xxxxxxxxxxxxxxxxxxxx"))
			nextReport := r.client.sealReports(&rtcp.ReceiverReport{SSRC: 1})
			later := epoch.Add(time.Hour)
			stranger := clientAddr.Addr().Next()
			for _, b := range [][]byte{
				forge(next, len(next)-1), forge(next, 13), forge(next, 7), forge(next, 3), forge(next, 11),
				forge(nextReport, len(nextReport)-1), forge(nextReport, 6),
			} {
				r.from(clientAddr, later, b)
				r.from(otherAddr, later, b)
			}
			r.from(otherAddr, later, good)
			r.from(otherAddr, later, rtcpGood)
			truncated := slices.Clone(next[:14])
			truncated[0] |= 0x1f // an extension and CSRCs that are not there
			r.from(clientAddr, later, truncated)
			r.from(clientAddr, later, []byte("no datagram of WebRTC at all"))
			r.from(clientAddr, later, nil)
			s := r.counts()
			if s.Forged != 14 || s.Replayed != 2 || s.Malformed != 1 || s.Garbage != 2 {
				t.Errorf("counts %+v", s)
			}
			r.from(netip.AddrPortFrom(stranger.Next(), 1), later, next)
			if s := r.counts(); s.Strangers != 1 || s.Received != before.Received+14+2+1+2+1 {
				t.Errorf("counts %+v", s)
			}
			if len(k.packets) != 1 || r.session.heard.Load() != heard || r.session.Path() != clientAddr {
				t.Errorf("%d taken, heard %d, want %d, path %v", len(k.packets), r.session.heard.Load(), heard, r.session.Path())
			}
			r.from(clientAddr, later, next)
			if len(k.packets) != 2 {
				t.Error("the packet that was forged is not taken itself")
			}
		})
	}
}

// A packet of any size that comes twice counts as replayed.
func TestReplaysOfAnySize(t *testing.T) {
	for _, profile := range profileCases {
		var k taken
		r := newRig(t, rigConfig{profile: profile.profile, terms: Terms{Inbound: []Inbound{voice(k.take)}}})
		for i, payload := range []string{"", "x", "xy", "opus with discontinuous transmission"} {
			b := r.client.seal(packet(voiceSSRC, opusPT, uint16(i), payload))
			r.arrive(b)
			r.arrive(b)
		}
		if s := r.counts(); s.Replayed != 4 || s.Malformed != 0 || len(k.packets) != 4 {
			t.Errorf("%s: %d taken, counts %+v", profile.name, len(k.packets), s)
		}
	}
}

// What comes between the client's end of the handshake and ours is kept, as far
// as it is little, and taken at Start in its order.
func TestEarlyDatagrams(t *testing.T) {
	var k taken
	r := newRig(t, rigConfig{unstarted: true, terms: Terms{Inbound: []Inbound{voice(k.take)}}})
	for i := range maxEarly + 3 {
		r.send(epoch, packet(voiceSSRC, opusPT, uint16(i), "x"))
	}
	if len(k.packets) != 0 {
		t.Fatalf("%d taken before Start", len(k.packets))
	}
	if err := r.session.Start(); err != nil {
		t.Fatal(err)
	}
	var want []uint16
	for i := range uint16(maxEarly) {
		want = append(want, i)
	}
	if !slices.Equal(k.sequences(), want) {
		t.Errorf("taken %v", k.sequences())
	}
	if s := r.counts(); s.EarlyDropped != 3 || s.Forged+s.Replayed != 0 {
		t.Errorf("counts %+v", s)
	}
	r.session.Close()
	r.send(epoch, packet(voiceSSRC, opusPT, 100, "x"))
	if s := r.counts(); s.Strangers != 1 {
		t.Errorf("after Close: %+v", s)
	}
}

// Start without a handshake says so.
func TestStartWithoutKeys(t *testing.T) {
	s := &Session{plane: New()}
	if err := s.Start(); err == nil {
		t.Error("started without keys")
	}
	r := newRig(t, rigConfig{unstarted: true})
	r.session.Close()
	if err := r.session.Start(); err == nil {
		t.Error("started after Close")
	}
	if r.session.tx != nil || r.session.rx != nil {
		t.Error("a closed session has keys")
	}
}

// The keys of the handshake are gone once they are used.
func TestSecretIsForgotten(t *testing.T) {
	r := newRig(t, rigConfig{})
	if b := r.session.keys.line.Bytes(); len(b) != 0 {
		t.Errorf("%d bytes are left", len(b))
	}
	if b := r.session.keys.line.Bytes()[:1:1]; b[0] != 0 {
		t.Error("the memory still has the key log")
	}
}

// A client that falls silent is told of once, after the patience, and not before.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		var silent atomic.Int32
		s, err := p.NewSession(Config{Patience: 3 * time.Second, Events: Events{Silent: func() { silent.Add(1) }}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if silent.Load() != 0 {
			t.Error("silent before Start")
		}
		knowKeys(&s.keys, srtp.ProtectionProfileAeadAes128Gcm)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2990 * time.Millisecond)
		if silent.Load() != 0 {
			t.Error("silent too early")
		}
		time.Sleep(11*time.Millisecond + tickEvery) // past the instant of the tick
		if silent.Load() != 1 {
			t.Errorf("silent %d times", silent.Load())
		}
		time.Sleep(time.Minute)
		if silent.Load() != 1 {
			t.Errorf("silent %d times", silent.Load())
		}
		s.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
