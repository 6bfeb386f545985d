package load

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"tutti/assets/speech"
	"tutti/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is an ordinary peer of pion at the other end.
type farEnd struct {
	pc    *webrtc.PeerConnection
	sound *webrtc.TrackLocalStaticRTP
	frame *webrtc.TrackLocalStaticRTP
	up    chan struct{}

	mu      sync.Mutex
	heard   []*rtp.Packet
	level   uint8
	reports []rtcp.Packet
}

func answerer(t *testing.T, role webrtc.DTLSRole, profile dtls.SRTPProtectionProfile) *farEnd {
	t.Helper()
	m, r := &webrtc.MediaEngine{}, &interceptor.Registry{}
	check(t, m.RegisterDefaultCodecs())
	check(t, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}, webrtc.RTPCodecTypeAudio))
	check(t, webrtc.ConfigureRTCPReports(r))
	s := webrtc.SettingEngine{LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}}
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	check(t, s.SetAnsweringDTLSRole(role))
	s.SetSRTPProtectionProfiles(profile)
	s.SetSRTPReplayProtectionWindow(64)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	check(t, err)
	t.Cleanup(func() { check(t, pc.GracefulClose()) })
	f := &farEnd{pc: pc, up: make(chan struct{})}
	pc.OnTrack(f.listen)
	var up sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			up.Do(func() { close(f.up) })
		}
	})
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *farEnd) listen(track *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	for _, e := range r.GetParameters().HeaderExtensions {
		if e.URI == sdp.AudioLevelURI {
			f.mu.Lock()
			f.level = uint8(e.ID)
			f.mu.Unlock()
		}
	}
	go f.readReports(r.ReadRTCP)
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.heard = append(f.heard, p)
		f.mu.Unlock()
	}
}

func (f *farEnd) readReports(read func() ([]rtcp.Packet, interceptor.Attributes, error)) {
	for {
		packets, _, err := read()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.reports = append(f.reports, packets...)
		f.mu.Unlock()
	}
}

// answer takes an offer and sends sound and, if it was asked for, pictures.
func (f *farEnd) answer(_ context.Context, _ int, offer string) (string, func(context.Context), error) {
	if err := f.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", nil, err
	}
	for _, t := range f.pc.GetTransceivers() {
		mime := webrtc.MimeTypeOpus
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			mime = webrtc.MimeTypeVP8
		}
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, "mix", "mix")
		if err != nil {
			return "", nil, err
		}
		sender, err := f.pc.AddTrack(track)
		if err != nil {
			return "", nil, err
		}
		go f.readReports(sender.ReadRTCP)
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			f.frame = track
		} else {
			f.sound = track
		}
	}
	answer, err := f.pc.CreateAnswer(nil)
	if err != nil {
		return "", nil, err
	}
	done := webrtc.GatheringCompletePromise(f.pc)
	if err := f.pc.SetLocalDescription(answer); err != nil {
		return "", nil, err
	}
	<-done
	return f.pc.LocalDescription().SDP, nil, nil
}

// What is sent in the tests: packets by number, some of them left out. The
// numbers cross the wrap-around.
const (
	firstNumber = 65500
	packets     = 200
)

var missing = []int{20, 35, 36, 37, 120}

// send sends to all at the same time.
func send(t *testing.T, ends ...*farEnd) {
	t.Helper()
	for n := range packets {
		if slices.Contains(missing, n) {
			continue
		}
		for _, f := range ends {
			h := rtp.Header{Version: 2, SequenceNumber: uint16(firstNumber + n), Timestamp: uint32(n) * 960}
			check(t, f.sound.WriteRTP(&rtp.Packet{Header: h, Payload: fmt.Appendf(nil, "sound %d", n)}))
			h.Timestamp = uint32(n) * 1800
			check(t, f.frame.WriteRTP(&rtp.Packet{Header: h, Payload: append(make([]byte, 900), fmt.Sprint(n)...)}))
		}
		time.Sleep(time.Millisecond) // the kernel's buffers are not what is tested
	}
}

// eventually waits for what the network has to bring.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// TestAgreesWithPion lets a peer send the same to a client of this package and
// to one of pion: both must have got the same.
func TestAgreesWithPion(t *testing.T) {
	for _, c := range []struct {
		name    string
		role    webrtc.DTLSRole
		profile dtls.SRTPProtectionProfile
	}{
		{"server, AES-GCM", webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_128_GCM},
		{"client, AES-CM", webrtc.DTLSRoleClient, dtls.SRTP_AES128_CM_HMAC_SHA1_80},
		{"server, AES-256-GCM", webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_256_GCM},
	} {
		t.Run(c.name, func(t *testing.T) {
			agrees(t, answerer(t, c.role, c.profile), answerer(t, c.role, c.profile))
		})
	}
}

func agrees(t *testing.T, ours, theirs *farEnd) {
	var mu sync.Mutex
	var light, genuine []string
	l, err := New(Config{Listen: true, Watch: true, OnSound: func(_ int, _ time.Time, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		light = append(light, string(b))
	}})
	check(t, err)
	defer func() { check(t, l.Close()) }()
	check(t, l.Add(t.Context(), 1, ours.answer))
	client, err := transporttest.NewClient(transporttest.ClientConfig{
		Audio: webrtc.RTPTransceiverDirectionRecvonly, Video: webrtc.RTPTransceiverDirectionRecvonly,
		OnAudio: func(_ time.Time, p *rtp.Packet) {
			mu.Lock()
			defer mu.Unlock()
			genuine = append(genuine, string(p.Payload))
		},
	})
	check(t, err)
	defer func() { check(t, client.Close()) }()
	offer, err := client.Offer(t.Context())
	check(t, err)
	answer, _, err := theirs.answer(t.Context(), 0, offer)
	check(t, err)
	check(t, client.Answer(answer))
	<-client.Connected()
	<-ours.up
	<-theirs.up
	send(t, ours, theirs)
	const arrive = packets - 5
	eventually(t, "both have all", func() bool {
		n, s := client.Counts(), l.Stats()
		return n.AudioPackets >= arrive && n.VideoPackets >= arrive && s.Sound.Packets >= arrive && s.Picture.Packets >= arrive
	})
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(light, genuine) {
		t.Errorf("%q\nand with pion\n%q", light, genuine)
	}
	s, n := l.Stats(), client.Counts()
	if s.Sound.Packets != n.AudioPackets || s.Picture.Packets != n.VideoPackets {
		t.Errorf("%d of sound, %d of pictures; pion has %d and %d", s.Sound.Packets, s.Picture.Packets, n.AudioPackets, n.VideoPackets)
	}
	if s.Sound.Lost != uint64(len(missing)) || s.Picture.Lost != uint64(len(missing)) || s.Refused+s.Dropped+s.Foreign > 0 {
		t.Errorf("%+v", s)
	}
	reportsOf(t, ours, l.Client(0).SSRC())
}

// reportsOf waits for a report about both streams that says what was left out,
// up to the last packet, and answers a sender report.
func reportsOf(t *testing.T, f *farEnd, from uint32) {
	t.Helper()
	eventually(t, "a report", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range f.reports {
			r, ok := p.(*rtcp.ReceiverReport)
			if ok && r.SSRC == from && len(r.Reports) == 2 && !slices.ContainsFunc(r.Reports, func(b rtcp.ReceptionReport) bool {
				return b.TotalLost != uint32(len(missing)) || b.LastSequenceNumber != firstNumber+packets-1 || b.LastSenderReport == 0
			}) {
				return true
			}
		}
		return false
	})
}

// TestIsHeard lets a client speak to a peer of pion.
func TestIsHeard(t *testing.T) {
	says := []speech.Packet{{Opus: []byte("one"), LevelDBOV: -20}, {Opus: []byte("two"), LevelDBOV: -127}, {Opus: []byte("three"), LevelDBOV: 0}}
	f := answerer(t, webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_128_GCM)
	var sent [][]byte
	var mu sync.Mutex
	l, err := New(Config{
		Voice:  func(int) []speech.Packet { return says },
		Listen: true,
		OnSent: func(_ int, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, bytes.Clone(b))
		},
	})
	check(t, err)
	defer func() { check(t, l.Close()) }()
	check(t, l.Add(t.Context(), 1, f.answer))
	eventually(t, "sixty packets and a report came", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.heard) >= 60 && slices.ContainsFunc(f.reports, func(p rtcp.Packet) bool { _, ok := p.(*rtcp.SenderReport); return ok })
	})
	eventually(t, "the peer has reported", func() bool { return l.Stats().Reports > 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	start := -1
	for i, p := range f.heard {
		first := f.heard[0]
		if start < 0 { // pion passes a stream on some packets late
			start = slices.IndexFunc(says, func(s speech.Packet) bool { return string(s.Opus) == string(p.Payload) })
		}
		want := says[(start+i)%len(says)]
		if string(p.Payload) != string(want.Opus) || p.SequenceNumber != first.SequenceNumber+uint16(i) || p.Timestamp != first.Timestamp+uint32(i)*960 {
			t.Fatalf("packet %d is %v %q", i, p.Header, p.Payload)
		}
		if level := p.GetExtension(f.level); len(level) != 1 || level[0]&0x7f != byte(-want.LevelDBOV) {
			t.Fatalf("packet %d has level %v", i, level)
		}
	}
	for _, p := range f.reports {
		if r, ok := p.(*rtcp.SenderReport); ok {
			// The clock of the report and that of the packets are one.
			n := float64(r.RTPTime-f.heard[0].Timestamp) / 960
			if n < 0 || n > float64(len(f.heard))+1 || r.PacketCount == 0 || r.OctetCount == 0 {
				t.Errorf("%+v after %v packets", r, n)
			}
		}
	}
	s := l.Stats()
	if s.LostThere != 0 || s.Unsent != 0 || s.Sent < uint64(len(f.heard)) {
		t.Errorf("%+v", s)
	}
	repeats(t, f, l, &mu, &sent)
}

// TestPauses lets a client pause: the packet after a pause follows the one
// before by its number, and by its time after all of the pause.
func TestPauses(t *testing.T) {
	says := []speech.Packet{{Opus: []byte("one")}, {Opus: []byte("two")}, {}, {}, {}}
	f := answerer(t, webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_128_GCM)
	var mu sync.Mutex
	said := map[string]int{}
	l, err := New(Config{
		Voice: func(int) []speech.Packet { return says },
		OnSaid: func(i int, _ time.Time, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			said[string(b)] += 1 + i
		},
	})
	check(t, err)
	defer func() { check(t, l.Close()) }()
	check(t, l.Add(t.Context(), 1, f.answer))
	eventually(t, "ten packets came", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.heard) >= 10
	})
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 2 || said["one"] < 5 || said["two"] < 4 {
		t.Errorf("said %v", said)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.heard[1:] {
		before, step := f.heard[i], uint32(960)
		if string(before.Payload) == "two" {
			step = 4 * 960
		}
		if p.SequenceNumber != before.SequenceNumber+1 || p.Timestamp != before.Timestamp+step {
			t.Fatalf("%v %q follows %v %q", p.Header, p.Payload, before.Header, before.Payload)
		}
	}
}

// repeats sends a genuine datagram again in the client's name: the peer must
// refuse it, so it was the same, and heard once.
func repeats(t *testing.T, f *farEnd, l *Load, mu *sync.Mutex, sent *[][]byte) {
	t.Helper()
	n := len(f.heard)
	mu.Lock()
	again := slices.Clone((*sent)[len(*sent)-8:])
	mu.Unlock()
	c := l.Client(0)
	taken, err := c.Socket().SendBatch(again, c.Remote())
	if taken != len(again) || err != nil {
		t.Fatalf("%d sent, %v", taken, err)
	}
	f.mu.Unlock()
	eventually(t, "more was heard", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.heard) > n+20
	})
	f.mu.Lock()
	seen := map[uint16]bool{}
	for _, p := range f.heard {
		if seen[p.SequenceNumber] {
			t.Fatalf("%d heard twice", p.SequenceNumber)
		}
		seen[p.SequenceNumber] = true
	}
}

// TestManyJoinAndLeave looks for what is left behind: goleak looks for
// goroutines, the second round for descriptors.
func TestManyJoinAndLeave(t *testing.T) {
	const n = 12
	for range 2 {
		ends := make([]*farEnd, n)
		for i := range ends {
			ends[i] = answerer(t, webrtc.DTLSRoleServer, dtls.SRTP_AEAD_AES_128_GCM)
		}
		l, err := New(Config{Listen: true})
		check(t, err)
		var left sync.Map
		check(t, l.Add(t.Context(), n, func(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
			answer, _, err := ends[i].answer(ctx, i, offer)
			return answer, func(context.Context) { left.Store(i, true) }, err
		}))
		if s := l.Stats(); s.Clients != n {
			t.Errorf("%d clients", s.Clients)
		}
		check(t, l.Close())
		for i := range n {
			if _, ok := left.Load(i); !ok {
				t.Errorf("client %d has not left", i)
			}
		}
	}
}

func TestJoinFails(t *testing.T) {
	l, err := New(Config{Listen: true})
	check(t, err)
	defer func() { check(t, l.Close()) }()
	full := fmt.Errorf("the room is full")
	err = l.Add(t.Context(), 3, func(context.Context, int, string) (string, func(context.Context), error) { return "", nil, full })
	if err == nil || l.Stats().Clients != 0 || l.Client(0) != nil || l.Client(7) != nil {
		t.Errorf("%v, %+v", err, l.Stats())
	}
}
