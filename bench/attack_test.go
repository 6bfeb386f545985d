package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"tutti/bench/load"
)

func testAttack(t *testing.T, to netip.AddrPort) *attack {
	t.Helper()
	a, err := newAttack(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

// TestChecksAreRightButForTheirKey: a check that a parser refuses at once would
// be no attack.
func TestChecksAreRightButForTheirKey(t *testing.T) {
	a := testAttack(t, netip.AddrPort{})
	b := a.check(make([]byte, attackSize), "server:client")
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Error(err)
	}
	var name stun.Username
	if err := name.GetFrom(m); err != nil || name.String() != "server:client" {
		t.Errorf("%v, %v", name, err)
	}
	if m.Type != stun.BindingRequest || !m.Contains(stun.AttrMessageIntegrity) || stun.NewShortTermIntegrity("key").Check(m) == nil {
		t.Errorf("%v", m)
	}
}

func TestForgeriesLookGenuine(t *testing.T) {
	a := testAttack(t, netip.AddrPort{})
	v := &victim{}
	if got := v.genuine(make([]byte, 10), 0); len(got) != 1 {
		t.Errorf("%v", got)
	}
	genuine := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: 65530, Timestamp: 7, SSRC: 9}, Payload: make([]byte, 80)}
	raw, err := genuine.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	v.note([]byte{1, 2, 3})
	v.note(raw)
	if old := v.genuine(make([]byte, attackSize), 1); !bytes.Equal(old, []byte{1, 2, 3}) {
		t.Errorf("%v", old)
	}
	if same := v.genuine(make([]byte, attackSize), 2); !bytes.Equal(same, raw) {
		t.Errorf("%v", same)
	}
	var p rtp.Packet
	if err := p.Unmarshal(a.forge(v.genuine(make([]byte, attackSize), 0))); err != nil {
		t.Fatal(err)
	}
	ahead := p.SequenceNumber - genuine.SequenceNumber
	if p.SSRC != 9 || p.Timestamp != 7 || ahead == 0 || ahead > 50 || bytes.Equal(p.Payload, genuine.Payload) {
		t.Errorf("%v", p)
	}
}

func TestOverhear(t *testing.T) {
	var v victim
	v.overhear("v=0\r\na=ice-ufrag:client\r\n", "v=0\r\na=ice-pwd:x\r\na=ice-ufrag:server\r\n")
	if v.names != "server:client" {
		t.Error(v.names)
	}
}

// TestAttackArrives lets an attack without victims, of whose weapons only those
// from nowhere can be tried, run against a socket.
func TestAttackArrives(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a := testAttack(t, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	a.victims = []*victim{{}}
	a.volley(0)
	if a.total() != load.BatchSize || a.sent[0] != load.BatchSize || a.refused != 0 {
		t.Fatalf("%v sent, %d refused", a.sent, a.refused)
	}
	from := map[string]bool{}
	buf := make([]byte, 2048)
	for range load.BatchSize {
		_, addr, err := conn.ReadFromUDP(buf)
		if err != nil {
			t.Fatal(err)
		}
		from[addr.IP.String()] = true
	}
	if len(from) < load.BatchSize/2 {
		t.Errorf("from %d addresses", len(from))
	}
}

func TestUDPDrops(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	to := conn.LocalAddr().(*net.UDPAddr)
	before, err := udpDrops(uint16(to.Port))
	if err != nil || before != 0 {
		t.Fatalf("%d, %v", before, err)
	}
	out, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for range 100 {
		if _, err := out.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := udpDrops(uint16(to.Port)); err != nil || n < 80 || n >= 100 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestCounters(t *testing.T) {
	page := "# HELP tutti_a_total x\ntutti_a_total 5\ntutti_b_total{origin=\"voice\"} 1.5e+06\ngo_goroutines 7\n"
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	defer h.Close()
	s := &server{url: h.URL}
	got, err := s.counters(t.Context())
	if err != nil || len(got) != 2 || got["tutti_a_total"] != 5 || got[`tutti_b_total{origin="voice"}`] != 1.5e6 {
		t.Errorf("%v, %v", got, err)
	}
}
