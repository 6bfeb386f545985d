package plane

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.7:40000")
	otherAddr  = netip.MustParseAddrPort("192.0.2.8:40001")
)

// profileCases are the SRTP profiles that clients choose from.
var profileCases = []struct {
	name    string
	profile srtp.ProtectionProfile
}{
	{"AES-GCM", srtp.ProtectionProfileAeadAes128Gcm},
	{"AES-256-GCM", srtp.ProtectionProfileAeadAes256Gcm},
	{"AES-CM", srtp.ProtectionProfileAes128CmHmacSha1_80},
}

// rig is a session on a socket that records, without pion's ICE and DTLS. Time
// passes only where a test says so.
type rig struct {
	t       testing.TB
	plane   *Plane
	socket  *Socket
	leg     *leg
	wire    *wire
	session *Session
	client  *client
}

// rigConfig says what a rig's session is; the zero value is one without streams
// on AES-GCM.
type rigConfig struct {
	profile   srtp.ProtectionProfile
	terms     Terms
	cfg       Config
	unstarted bool // Start is left to the test
}

func newRig(t testing.TB, c rigConfig) *rig {
	t.Helper()
	r := &rig{t: t, plane: New(), wire: &wire{}}
	r.socket, r.leg = r.addSocket(r.wire)
	r.session, r.client = r.addSession(clientAddr, c)
	return r
}

// addSocket puts a socket without goroutines under the plane.
func (r *rig) addSocket(io socketIO) (*Socket, *leg) {
	s, err := r.plane.newSocket([]net.PacketConn{noConn{}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	l := s.legs[0]
	l.io, l.out = io, newSender(io, &r.plane.counts)
	l.out.batch.data = make([][maxDatagram]byte, writeBatch)
	return s, l
}

// addSession opens one more session, which has passed a check from an address.
// It is not in the ticker's care.
func (r *rig) addSession(from netip.AddrPort, c rigConfig) (*Session, *client) {
	r.t.Helper()
	if c.profile == 0 {
		c.profile = srtp.ProtectionProfileAeadAes128Gcm
	}
	s := &Session{plane: r.plane, cfg: c.cfg, ssrc: 0x5e55}
	knowKeys(&s.keys, c.profile)
	s.Agree(c.terms)
	s.Select(from, false)
	if route := r.plane.route(from); route != nil && route.session == s {
		route.leg.Store(r.leg)
	}
	if !c.unstarted {
		if err := s.Start(); err != nil {
			r.t.Fatal(err)
		}
		s.report = time.Unix(1<<40, 0) // reports are the test's to ask for
		s.feedback = s.report
	}
	return s, newClient(r.t, c.profile)
}

// knowKeys fills in what a DTLS handshake would have told.
func knowKeys(k *handshakeKeys, profile srtp.ProtectionProfile) {
	_, _ = fmt.Fprintf(k, "CLIENT_RANDOM %064x %096x\n", 0xc11e, 0x5ec2e7)
	k.random, k.suite, k.hello = [32]byte{5, 6, 7}, uint16(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), true
	k.profile = profile
}

// from lets a datagram arrive.
func (r *rig) from(a netip.AddrPort, at time.Time, data []byte) {
	buf := make([]byte, len(data), max(len(data), maxDatagram))
	copy(buf, data)
	r.socket.take(r.leg, &inDatagram{data: buf, from: a, at: at})
}

// arrive lets a datagram of the client arrive now.
func (r *rig) arrive(data []byte) { r.from(clientAddr, time.Now(), data) }

// send has the client send a packet.
func (r *rig) send(at time.Time, p *rtp.Packet) { r.from(clientAddr, at, r.client.seal(p)) }

// report has the client send a compound.
func (r *rig) report(at time.Time, packets ...rtcp.Packet) {
	r.from(clientAddr, at, r.client.sealReports(packets...))
}

// turn gives the session its turn at a time and answers what it sent.
func (r *rig) turn(at time.Time) [][]byte {
	w := &r.leg.out.batch
	w.now = at
	r.session.flush(w)
	w.flush()
	return r.wire.take()
}

// feed is a turn in which f feeds.
func (r *rig) feed(at time.Time, f func(*Writer)) [][]byte {
	r.session.cfg.Feeder = feedFunc(func(w *Writer) time.Duration { f(w); return 0 })
	defer func() { r.session.cfg.Feeder = nil }()
	return r.turn(at)
}

// control is a turn of which only RTCP is expected, decrypted.
func (r *rig) control(at time.Time) []rtcp.Packet {
	r.t.Helper()
	var all []rtcp.Packet
	for _, b := range r.turn(at) {
		all = append(all, r.client.openReports(b)...)
	}
	return all
}

// counts are those of the plane, without what differs from run to run.
func (r *rig) counts() Stats {
	s := r.plane.Stats()
	s.HandOver = Histogram{}
	return s
}

type feedFunc func(*Writer) time.Duration

func (f feedFunc) Feed(w *Writer) time.Duration { return f(w) }

// noConn is a net.PacketConn that has an address and no more.
type noConn struct{ net.PacketConn }

func (noConn) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5000} }

// wire is a socket that keeps what is written.
type wire struct {
	mu      sync.Mutex
	sent    [][]byte
	to      []netip.AddrPort
	batches []int
}

func (w *wire) read([]inDatagram) (int, error) { return 0, net.ErrClosed }

func (w *wire) write(src []outDatagram) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range src {
		w.sent = append(w.sent, append([]byte(nil), d.data...))
		w.to = append(w.to, d.to.addr)
	}
	w.batches = append(w.batches, len(src))
	return 0, nil
}

func (w *wire) writeOne(b []byte, to netip.AddrPort) error {
	_, err := w.write([]outDatagram{{b, &destination{addr: to}}})
	return err
}

func (w *wire) close() error  { return nil }
func (w *wire) drops() uint64 { return 0 }

// take answers and forgets what was written.
func (w *wire) take() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent, w.to, w.batches = nil, nil, nil
	return sent
}

// client is the other end, on pion's SRTP.
type client struct {
	t       testing.TB
	in, out *srtp.Context
}

func newClient(t testing.TB, profile srtp.ProtectionProfile, opts ...srtp.ContextOption) *client {
	t.Helper()
	cfg := clientKeys(t, profile)
	in, err := srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, profile, srtp.Cryptex(srtp.CryptexModeEnabled))
	if err != nil {
		t.Fatal(err)
	}
	out, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, profile, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, in: in, out: out}
}

// clientKeys are the keys of the handshake as the client derives them.
func clientKeys(t testing.TB, profile srtp.ProtectionProfile) *srtp.Config {
	t.Helper()
	var k handshakeKeys
	knowKeys(&k, profile)
	cfg := &srtp.Config{Profile: profile}
	if err := cfg.ExtractSessionKeysFromDTLS(&k, true); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// seal encrypts a packet to the server.
func (c *client) seal(p *rtp.Packet) []byte {
	c.t.Helper()
	p.Version = 2
	plain, err := p.Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.sealBytes(plain)
}

func (c *client) sealBytes(plain []byte) []byte {
	c.t.Helper()
	data, err := c.out.EncryptRTP(nil, plain, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

func (c *client) sealReports(packets ...rtcp.Packet) []byte {
	c.t.Helper()
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		c.t.Fatal(err)
	}
	data, err := c.out.EncryptRTCP(nil, plain, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

// open decrypts a packet of the server.
func (c *client) open(data []byte) *rtp.Packet {
	c.t.Helper()
	plain, err := c.in.DecryptRTP(nil, data, nil)
	if err != nil {
		c.t.Fatalf("decrypt %d bytes: %v", len(data), err)
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(plain); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *client) openReports(data []byte) []rtcp.Packet {
	c.t.Helper()
	plain, err := c.in.DecryptRTCP(nil, data, nil)
	if err != nil {
		c.t.Fatalf("decrypt %d bytes of RTCP: %v", len(data), err)
	}
	list, err := rtcp.Unmarshal(plain)
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}
