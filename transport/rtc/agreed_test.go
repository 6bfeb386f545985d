package rtc

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/mixer"
	"tutti/transport/plane"
)

// makeOffer is an offer of one sound and one picture, with the lines that differ
// from one make of client to the other.
func makeOffer(audioPTs, audio, videoPTs, video string) string {
	section := func(kind, pts, mid, lines string) string {
		return "m=" + kind + " 9 UDP/TLS/RTP/SAVPF " + pts + "\nc=IN IP4 0.0.0.0\na=mid:" + mid + "\na=sendrecv\na=rtcp-mux\na=rtcp-rsize\n" +
			strings.ReplaceAll(sampleICE, "\r", "") + strings.TrimSpace(lines) + "\n"
	}
	text := "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n" +
		section("audio", audioPTs, "0", audio) + section("video", videoPTs, "1", video)
	return strings.ReplaceAll(strings.ReplaceAll(text, "\t", ""), "\n", "\r\n")
}

// Offers as the makes of clients write them, cut to what RTP needs.
var (
	chromiumOffer = makeOffer("111 63 9 0 8 13", `
		a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
		a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
		a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
		a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
		a=rtpmap:111 opus/48000/2
		a=rtcp-fb:111 transport-cc
		a=fmtp:111 minptime=10;useinbandfec=1
		a=rtpmap:63 red/48000/2
		a=fmtp:63 111/111
		a=rtpmap:13 CN/8000
		a=ssrc:2231627014 cname:x
		a=ssrc:2231627014 msid:s a`, "96 97 98 99", `
		a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
		a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
		a=extmap:13 urn:3gpp:video-orientation
		a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
		a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
		a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
		a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
		a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
		a=rtpmap:96 VP8/90000
		a=rtcp-fb:96 goog-remb
		a=rtcp-fb:96 transport-cc
		a=rtcp-fb:96 ccm fir
		a=rtcp-fb:96 nack
		a=rtcp-fb:96 nack pli
		a=rtpmap:97 rtx/90000
		a=fmtp:97 apt=96
		a=rtpmap:98 VP9/90000
		a=rtpmap:99 rtx/90000
		a=fmtp:99 apt=98
		a=ssrc-group:FID 2231627015 632943048
		a=ssrc:2231627015 cname:x
		a=ssrc:632943048 cname:x`)
	firefoxOffer = makeOffer("109 9 0 8 101", `
		a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
		a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
		a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
		a=rtpmap:109 opus/48000/2
		a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
		a=rtpmap:101 telephone-event/8000
		a=ssrc:3166217018 cname:{f}`, "120 124 121 125", `
		a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
		a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
		a=extmap:5 urn:ietf:params:rtp-hdrext:toffset
		a=extmap:6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
		a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
		a=fmtp:120 max-fs=12288;max-fr=60
		a=fmtp:124 apt=120
		a=fmtp:125 apt=121
		a=rtcp-fb:120 nack
		a=rtcp-fb:120 nack pli
		a=rtcp-fb:120 ccm fir
		a=rtcp-fb:120 goog-remb
		a=rtcp-fb:120 transport-cc
		a=rtpmap:120 VP8/90000
		a=rtpmap:124 rtx/90000
		a=rtpmap:121 VP9/90000
		a=rtpmap:125 rtx/90000
		a=ssrc:1108138293 cname:{f}
		a=ssrc:1949424205 cname:{f}
		a=ssrc-group:FID 1108138293 1949424205`)
	gstreamerOffer = makeOffer("97", `
		a=rtpmap:97 OPUS/48000/2
		a=rtcp-fb:97 nack
		a=rtcp-fb:97 transport-cc
		a=ssrc:3009115321 msid:user s`, "96", `
		a=rtpmap:96 VP8/90000
		a=rtcp-fb:96 nack
		a=rtcp-fb:96 nack pli
		a=framerate:30
		a=ssrc:1725421034 msid:user s`)
	undeclaredOffer = makeOffer("111", "a=rtpmap:111 opus/48000/2", "100 101", `
		a=rtpmap:101 rtx/90000
		a=fmtp:101 apt=100
		a=rtpmap:100 VP8/90000
		a=rtcp-fb:* nack
		a=rtcp-fb:* nack pli`)
)

// answered is what the gateway answers to an offer.
func answered(t testing.TB, text string) (*offer, *sdp.SessionDescription) {
	t.Helper()
	o, err := checkOffer(text, mixer.Both, maxTestSDP)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := newEngine()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(noInterceptors())).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	if err := (&Peer{offer: o}).addTracks(pc); err != nil {
		t.Fatal(err)
	}
	cut, err := o.text()
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: cut}); err != nil {
		t.Fatal(err)
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	desc := &sdp.SessionDescription{}
	if err := desc.UnmarshalString(a.SDP); err != nil {
		t.Fatal(err)
	}
	return o, desc
}

// From the offers of all makes and our answer to each come the payload types,
// extensions, feedback and sources that were agreed on.
func TestTerms(t *testing.T) {
	sound := func(pt uint8, ssrc uint32, level, mid uint8) plane.Inbound {
		return plane.Inbound{
			Kind: codec.Audio, MID: "0", SSRC: ssrc, PT: pt, Clock: 48000, Ext: plane.ExtensionIDs{AudioLevel: level, MID: mid},
		}
	}
	withRED := func(in plane.Inbound, red uint8) plane.Inbound { in.REDPT = red; return in }
	picture := func(pt, rtx uint8, ssrc, rtxSSRC uint32, cc, mid uint8, fir bool) plane.Inbound {
		return plane.Inbound{
			Kind: codec.Video, MID: "1", SSRC: ssrc, RTXSSRC: rtxSSRC, PT: pt, RTXPT: rtx, Clock: 90000,
			Ext: plane.ExtensionIDs{TransportCC: cc, MID: mid}, NACK: true, PLI: true, FIR: fir,
		}
	}
	for _, c := range []struct {
		name, offer string
		in          []plane.Inbound
		rtx         bool // to the client
	}{
		{"Chromium", chromiumOffer, []plane.Inbound{withRED(sound(111, 2231627014, 1, 4), 63), picture(96, 97, 2231627015, 632943048, 3, 4, true)}, true},
		{"Firefox", firefoxOffer, []plane.Inbound{sound(109, 3166217018, 1, 3), picture(120, 124, 1108138293, 1949424205, 7, 3, true)}, true},
		{"GStreamer", gstreamerOffer, []plane.Inbound{sound(97, 3009115321, 0, 0), picture(96, 0, 1725421034, 0, 0, 0, false)}, false},
		{"no sources", undeclaredOffer, []plane.Inbound{sound(111, 0, 0, 0), picture(100, 101, 0, 0, 0, 0, false)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, answer := answered(t, c.offer)
			got, err := terms(o, answer)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Inbound) != 2 || len(got.Outbound) != 2 || got.CNAME != streamID || got.Cryptex {
				t.Fatalf("agreed on %+v", got)
			}
			for i, in := range got.Inbound {
				if !reflect.DeepEqual(in, c.in[i]) {
					t.Errorf("inbound\n got %+v\nwant %+v", in, c.in[i])
				}
			}
			for i, out := range got.Outbound {
				if out.PT != c.in[i].PT || out.REDPT != c.in[i].REDPT || out.Clock != c.in[i].Clock || out.Kind != c.in[i].Kind || out.SSRC == 0 || out.NACK != (i == 1) {
					t.Errorf("outbound %+v", out)
				}
				if rtx := i == 1 && c.rtx; (out.RTXPT != 0) != rtx || (out.RTXSSRC != 0) != rtx || rtx && out.RTXSSRC == out.SSRC {
					t.Errorf("outbound %+v", out)
				}
			}
			if got.Outbound[0].SSRC == got.Outbound[1].SSRC {
				t.Error("both outbound streams have one SSRC")
			}
		})
	}
}

// What an answer says of one section, line by line.
func TestAgreedOn(t *testing.T) {
	const base = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\nc=IN IP4 0.0.0.0\na=rtpmap:96 VP8/90000\n"
	for _, c := range []struct {
		name, lines string
		want        agreed
	}{
		{"nothing more", "", agreed{pt: 96}},
		{"an rtx of another", "a=rtpmap:97 rtx/90000\na=fmtp:97 apt=98\n", agreed{pt: 96}},
		{"an rtx of none", "a=rtpmap:97 rtx/90000\n", agreed{pt: 96}},
		{"fmtp before rtpmap", "a=fmtp:97 apt=96\na=rtpmap:97 RTX/90000\n", agreed{pt: 96, rtx: 97}},
		{"apt among others", "a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96;rtx-time=3000\n", agreed{pt: 96, rtx: 97}},
		{"an rtx of itself", "a=rtpmap:96 rtx/90000\na=fmtp:96 apt=96\n", agreed{pt: 96}},
		{"the second VP8", "a=rtpmap:98 VP8/90000\n", agreed{pt: 96}},
		{"feedback of all", "a=rtcp-fb:* nack\na=rtcp-fb:* ccm fir\n", agreed{pt: 96, nack: true, fir: true}},
		{"feedback of another", "a=rtcp-fb:98 nack\na=rtcp-fb:98 nack pli\n", agreed{pt: 96}},
		{"feedback that we don't know", "a=rtcp-fb:96 goog-remb\na=rtcp-fb:96 nack sli\na=rtcp-fb:96 nack pli\n", agreed{pt: 96, pli: true}},
		{
			"directions", "a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:5/recvonly urn:3gpp:video-orientation x y\n",
			agreed{pt: 96, ext: plane.ExtensionIDs{MID: 4, Orientation: 5}},
		},
		{
			"layers", "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\na=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\n",
			agreed{pt: 96, ext: plane.ExtensionIDs{RID: 10, RepairedRID: 11}},
		},
		{"no identifiers", "a=extmap:256 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:x urn:3gpp:video-orientation\na=extmap:7\na=extmap:\n", agreed{pt: 96}},
	} {
		got, err := agreedOn(section1(t, base+c.lines), codec.Video)
		c.want.clock = 90000
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, want %+v, %v", c.name, got, c.want, err)
		}
	}
	for parameters, red := range map[string]uint8{
		"a=fmtp:63 111/111\n": 63, "a=fmtp:63 111/111/111\n": 63, "a=fmtp:63 111\n": 0, "a=fmtp:63 111/0\n": 0, "": 0,
		"a=fmtp:63 111/\n": 0, "a=fmtp:63 367/367\n": 0, "a=fmtp:111 111/111\n": 0,
	} {
		lines := "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\nc=IN IP4 0.0.0.0\n" + parameters + "a=rtpmap:63 RED/48000/2\na=rtpmap:111 opus/48000/2\n"
		if got, err := agreedOn(section1(t, lines), codec.Audio); err != nil || got.red != red || got.pt != 111 {
			t.Errorf("%q: %+v, %v", parameters, got, err)
		}
	}
	for _, lines := range []string{"", "a=rtpmap:96 VP9/90000\n", "a=rtpmap:96\n", "a=rtpmap:300 VP8/90000\n"} {
		if a, err := agreedOn(section1(t, "m=video 9 UDP/TLS/RTP/SAVPF 96\nc=IN IP4 0.0.0.0\n"+lines), codec.Video); err == nil {
			t.Errorf("%q is agreed on as %+v", lines, a)
		}
	}
}

// section1 parses an m-section.
func section1(t testing.TB, lines string) *sdp.MediaDescription {
	t.Helper()
	d := &sdp.SessionDescription{}
	if err := d.UnmarshalString(strings.ReplaceAll("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"+lines, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return d.MediaDescriptions[0]
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		lines     string
		ssrc, rtx uint32
	}{
		{"", 0, 0},
		{"a=ssrc:7 cname:x\na=ssrc:8 cname:x\n", 7, 0},
		{"a=ssrc:7 cname:x\na=ssrc:8 cname:x\na=ssrc-group:FID 8 7\n", 8, 7},
		{"a=ssrc-group:SIM 1 2 3\na=ssrc:4294967295 cname:x\n", 1<<32 - 1, 0},
		{"a=ssrc-group:FID 8\na=ssrc:x cname:x\na=ssrc:9 cname:y\n", 9, 0},
		{"a=ssrc:4294967296 cname:x\n", 0, 0},
	} {
		ssrc, rtx := sources(section1(t, "m=video 9 UDP/TLS/RTP/SAVPF 96\nc=IN IP4 0.0.0.0\n"+c.lines))
		if ssrc != c.ssrc || rtx != c.rtx {
			t.Errorf("%q: %d and %d", c.lines, ssrc, rtx)
		}
	}
}

// Repairs need a source of their own: without one in the answer none are sent.
func TestRepairsWithoutASource(t *testing.T) {
	o, answer := answered(t, chromiumOffer)
	for _, m := range answer.MediaDescriptions {
		kept := m.Attributes[:0]
		for _, a := range m.Attributes {
			if a.Key != "ssrc-group" {
				kept = append(kept, a)
			}
		}
		m.Attributes = kept
	}
	got, err := terms(o, answer)
	if err != nil {
		t.Fatal(err)
	}
	if out := got.Outbound[1]; out.RTXPT != 0 || out.RTXSSRC != 0 || !out.NACK {
		t.Errorf("outbound %+v", out)
	}
}

// Encrypted headers are for clients that take them in all sections.
func TestCryptex(t *testing.T) {
	all := strings.ReplaceAll(chromiumOffer, "a=rtcp-rsize", "a=cryptex\r\na=rtcp-rsize")
	for text, want := range map[string]bool{
		chromiumOffer: false, all: true, strings.Replace(all, "a=cryptex\r\n", "", 1): false,
		strings.Replace(chromiumOffer, "a=group", "a=cryptex\r\na=group", 1): true,
	} {
		o, err := checkOffer(text, mixer.Both, maxTestSDP)
		if err != nil {
			t.Fatal(err)
		}
		if got := takesCryptex(o.desc); got != want {
			t.Errorf("cryptex %v, want %v", got, want)
		}
	}
}

// FuzzTerms: no offer and no answer make terms that the media plane can't take.
func FuzzTerms(f *testing.F) {
	for _, text := range []string{chromiumOffer, firefoxOffer, gstreamerOffer, undeclaredOffer, sampleOffer} {
		_, answer := answered(f, text)
		b, err := answer.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, string(b))
		f.Add(text, text)
	}
	p := plane.New()
	f.Cleanup(func() { _ = p.Close() })
	f.Fuzz(func(t *testing.T, offered, answer string) {
		o, err := checkOffer(offered, mixer.Both, maxTestSDP)
		if err != nil {
			return
		}
		desc := &sdp.SessionDescription{}
		if err := desc.UnmarshalString(answer); err != nil || len(desc.MediaDescriptions) != len(o.desc.MediaDescriptions) {
			return
		}
		got, err := terms(o, desc)
		if err != nil {
			return
		}
		for _, in := range got.Inbound {
			if in.PT == 0 || in.PT > 127 || in.RTXPT == in.PT || in.RTXPT > 127 || in.Clock == 0 || in.MID == "" {
				t.Fatalf("inbound %+v", in)
			}
		}
		for _, out := range got.Outbound {
			if out.PT == 0 || out.PT > 127 || out.RTXPT == out.PT || out.SSRC == 0 || out.RTXPT != 0 && out.RTXSSRC == 0 || out.RTXSSRC == out.SSRC {
				t.Fatalf("outbound %+v", out)
			}
		}
		s, err := p.NewSession(plane.Config{Patience: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s.Agree(got)
		s.Close()
	})
}
