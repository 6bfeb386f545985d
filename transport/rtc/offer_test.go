package rtc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"tutti/mixer"
)

// sampleOffer is what a browser offers, cut to what matters.
const sampleOffer = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"a=group:BUNDLE 0 1\r\na=msid-semantic: WMS s\r\n" +
	sampleAudio + sampleVideo

const sampleAudio = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n" +
	sampleICE +
	"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n" +
	"a=candidate:1 1 udp 2130706431 10.0.0.2 5000 typ host\r\n"

const sampleVideo = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendrecv\r\na=rtcp-mux\r\n" +
	sampleICE +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 H264/90000\r\n" +
	"a=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n"

const sampleICE = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n" +
	"a=setup:actpass\r\n"

const maxTestSDP = 64 << 10

// TestOfferRefused takes one good offer and spoils one thing at a time.
func TestOfferRefused(t *testing.T) {
	change := func(from, to string) string {
		if !strings.Contains(sampleOffer, from) {
			t.Fatalf("the sample lacks %q", from)
		}
		return strings.ReplaceAll(sampleOffer, from, to)
	}
	noMedia := sampleOffer[:strings.Index(sampleOffer, "m=")]
	tests := []struct {
		name, offer string
		role        mixer.Role
		want        *Error
	}{
		{"empty", "", mixer.Both, ErrInvalidSDP},
		{"no SDP", "hello", mixer.Both, ErrInvalidSDP},
		{"too large", strings.Repeat("a", maxTestSDP+1), mixer.Both, ErrSDPTooLarge},
		{"too many lines", sampleOffer + strings.Repeat("a=x\r\n", 2001), mixer.Both, ErrInvalidSDP},
		{"too many sections", sampleOffer + strings.Repeat("m=audio 0 RTP 0\r\n", 20), mixer.Both, ErrInvalidSDP},
		{"no media", noMedia, mixer.Both, ErrNoMedia},
		{"two videos", sampleOffer + strings.ReplaceAll(sampleVideo, "mid:1", "mid:2"), mixer.Both, ErrTooManyTracks},
		{"two sounds", sampleOffer + strings.ReplaceAll(sampleAudio, "mid:0", "mid:2"), mixer.Both, ErrTooManyTracks},
		{"data channel", sampleOffer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n", mixer.Both, ErrUnsupportedMedia},
		{"no Opus", change("opus/48000/2", "G722/8000"), mixer.Both, ErrUnsupportedCodec},
		{"Opus of no format", change("a=rtpmap:111 opus", "a=rtpmap:112 opus"), mixer.Both, ErrUnsupportedCodec},
		{"no VP8", change("VP8/90000", "VP9/90000"), mixer.Both, ErrUnsupportedCodec},
		{"WHIP recvonly", change("sendrecv", "recvonly"), mixer.Publisher, ErrWrongDirection},
		{"WHIP inactive", change("sendrecv", "inactive"), mixer.Publisher, ErrWrongDirection},
		{"WHEP sendonly", change("sendrecv", "sendonly"), mixer.Viewer, ErrWrongDirection},
		{"inactive", change("sendrecv", "inactive"), mixer.Both, ErrWrongDirection},
		{"disabled section", change("m=video 9", "m=video 0"), mixer.Both, ErrWrongDirection},
		{"no mid", change("a=mid:1\r\n", ""), mixer.Both, ErrInvalidSDP},
		{"one mid twice", change("a=mid:1\r\n", "a=mid:0\r\n"), mixer.Both, ErrInvalidSDP},
		{"no bundle", change("a=group:BUNDLE 0 1\r\n", ""), mixer.Both, ErrInvalidSDP},
		{"half a bundle", change("BUNDLE 0 1", "BUNDLE 0"), mixer.Both, ErrInvalidSDP},
		{"no rtcp-mux", change("a=rtcp-mux\r\n", ""), mixer.Both, ErrInvalidSDP},
		{"plain RTP", change("UDP/TLS/RTP/SAVPF", "RTP/AVP"), mixer.Both, ErrInvalidSDP},
		{"no ufrag", change("a=ice-ufrag:abcd\r\n", ""), mixer.Both, ErrInvalidSDP},
		{"short password", change("0123456789012345678901", "0123"), mixer.Both, ErrInvalidSDP},
		{"odd password", change("0123456789012345678901", "0123456789 123456789 1"), mixer.Both, ErrInvalidSDP},
		{"no fingerprint", change("a=fingerprint", "a=fingersprint"), mixer.Both, ErrInvalidSDP},
		{"no setup", change("a=setup:actpass", "a=setup:holdconn"), mixer.Both, ErrInvalidSDP},
		{"two passwords", strings.Replace(sampleOffer, "0123456789012345678901", "1123456789012345678901", 1), mixer.Both, ErrInvalidSDP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkOffer(tt.offer, tt.role, maxTestSDP)
			if !errors.Is(err, tt.want) {
				t.Errorf("answered %v, not %s", err, tt.want.Code())
			}
		})
	}
}

func TestOfferTaken(t *testing.T) {
	spoilt := strings.ReplaceAll(sampleOffer, "typ host\r\n", "typ host\r\n"+
		"a=candidate:2 1 udp 1 4d2ab7e1-1111-2222-3333-444455556666.local 5000 typ host\r\n"+
		"a=candidate:3 1 sctp 1 10.0.0.2 5000 typ host\r\na=candidate:4 2 udp 1 10.0.0.2 5001 typ host\r\na=candidate:junk\r\n")
	o, err := checkOffer(spoilt, mixer.Publisher, maxTestSDP)
	if err != nil {
		t.Fatal(err)
	}
	text, err := o.text()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(text, "a=candidate:") != 1 || strings.Contains(text, "simulcast") || strings.Contains(text, "a=rid") {
		t.Errorf("pion is given\n%s", text)
	}
	if strings.Count(text, "a=sendonly") != 2 || strings.Contains(text, "a=sendrecv") {
		t.Errorf("a publisher's offer became\n%s", text)
	}
	if !o.audio.sends || o.audio.receives || o.ufrag != "abcd" || o.candidates != 1 {
		t.Errorf("read as %+v", o)
	}
}

func TestFragment(t *testing.T) {
	f, err := parseFragment("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"+
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"+
		"a=candidate:x 1 quic 1 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n", maxTestSDP)
	if err != nil {
		t.Fatal(err)
	}
	if f.ufrag != "EsAw" || len(f.candidates) != 1 || f.candidates[0].mid != "0" || !f.end {
		t.Errorf("read as %+v", f)
	}
	for _, bad := range []string{
		"", "x", "a=mid:0", "a=ice-ufrag:", "a=ice-ufrag:abcd\na=ice-ufrag:efgh", "a=end-of-candidates\njunk",
		strings.Repeat("a", maxTestSDP+1), strings.Repeat("a=x:y\n", 3000),
	} {
		if _, err := parseFragment(bad, maxTestSDP); !errors.Is(err, ErrInvalidFragment) {
			t.Errorf("%.40q answered %v", bad, err)
		}
	}
}

// FuzzOffer looks for an offer that breaks the check, or that passes it and
// cannot be said again.
func FuzzOffer(f *testing.F) {
	f.Add(sampleOffer, uint8(0))
	f.Add(strings.ReplaceAll(sampleOffer, "sendrecv", "sendonly"), uint8(1))
	f.Add(strings.ReplaceAll(sampleOffer, "sendrecv", "recvonly"), uint8(2))
	f.Add("v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", uint8(0))
	f.Fuzz(func(t *testing.T, text string, number uint8) {
		o, err := checkOffer(text, roles[number%3], maxTestSDP)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code() == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		again, err := o.text()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		if err := new(sdp.SessionDescription).UnmarshalString(again); err != nil {
			t.Fatalf("cannot be read again: %v\n%q", err, again)
		}
		if o.candidates > maxCandidates {
			t.Fatalf("%d candidates", o.candidates)
		}
	})
}

var roles = []mixer.Role{mixer.Both, mixer.Publisher, mixer.Viewer}

// FuzzOpen looks for an offer that breaks pion, or leaves something behind.
func FuzzOpen(f *testing.F) {
	f.Add(sampleOffer, uint8(0))
	f.Add(strings.ReplaceAll(sampleOffer, "actpass", "passive"), uint8(1))
	f.Add(sampleOffer[:strings.Index(sampleOffer, "m=video")]+"a=ice-lite\r\na=ssrc:1 cname:x\r\na=extmap:1 urn:x\r\n", uint8(0))
	g, err := New(Config{Listen: "127.0.0.1:0", DisableTCP: true, Codecs: fakeCodecs(), Logger: testLogger()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { g.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, text string, number uint8) {
		p, err := g.open(t.Context(), newFakeRoom(), Request{ID: "p1", Role: roles[number%3], Offer: text})
		if err == nil {
			p.leave("done")
			<-p.Done()
		}
		if g.Sessions() != 0 || g.Panics() != 0 || len(g.fans) != 0 {
			t.Fatalf("%d sessions, %d panics, %d fan-outs are left", g.Sessions(), g.Panics(), len(g.fans))
		}
	})
}

// FuzzFragment looks for a fragment that breaks the parser, or a restart by it
// that does not carry its credentials.
func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
		"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n")
	f.Add("a=end-of-candidates")
	f.Add("m=audio\na=candidate:1 1 tcp 1 ::1 9 typ host tcptype active")
	f.Fuzz(func(t *testing.T, text string) {
		fr, err := parseFragment(text, maxTestSDP)
		if err != nil {
			if !errors.Is(err, ErrInvalidFragment) {
				t.Fatalf("answered %v", err)
			}
			return
		}
		o, err := checkOffer(sampleOffer, mixer.Both, maxTestSDP)
		if err != nil {
			t.Fatal(err)
		}
		if checkCredentials(fr.ufrag, fr.pwd) != nil {
			return
		}
		next, err := o.restarted(fr)
		if err != nil {
			t.Fatal(err)
		}
		again, err := next.text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := checkOffer(again, mixer.Both, 10*maxTestSDP); err != nil {
			t.Fatalf("the restarted offer is refused: %v\n%s", err, again)
		}
	})
}
