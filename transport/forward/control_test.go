package forward

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"tutti/codec"
)

func compound(t testing.TB, b []byte) []rtcp.Packet {
	t.Helper()
	list, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := rtcp.CompoundPacket(list).Validate(); err != nil {
		t.Fatal(err)
	}
	return list
}

// Sender reports relate both streams to one clock, on the port above or with the
// media; the last says goodbye, but not where the room goes on elsewhere.
func TestReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		t.Run(fmt.Sprintf("mux %v", mux), func(t *testing.T) {
			audio, video := listen(t), listen(t)
			m, r := newManager(t, nil), newRoom("r")
			r.created = r.created.Add(-time.Minute)
			i, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port, RTCPMux: mux})
			packets := film()(t)
			sub.play(of(codec.Audio, packets)[3], of(codec.Video, packets)[0])
			names := map[string]bool{}
			for _, e := range []*ear{audio, video} {
				b, from := read(t, e.rtp)
				media := plainRTP(t, b)
				if e == video {
					for !media.Marker {
						b, _ = read(t, e.rtp)
						media = plainRTP(t, b)
					}
				}
				control := e.rtcp
				if mux {
					control = e.rtp
				}
				b, from2 := read(t, control)
				if (from == from2) != mux {
					t.Errorf("media from %v, RTCP from %v", from, from2)
				}
				list := compound(t, b)
				sr := list[0].(*rtcp.SenderReport)
				names[list[1].(*rtcp.SourceDescription).Chunks[0].Items[0].Text] = true
				clock, pts := uint32(48000), 60*time.Millisecond
				if e == video {
					clock, pts = 90000, 0
				}
				since := time.Since(r.created) - pts // about what the report's time lies after the packet's
				ahead := time.Duration(sr.RTPTime-media.Timestamp) * time.Second / time.Duration(clock)
				if sr.SSRC != media.SSRC || sr.PacketCount == 0 || sr.OctetCount == 0 || ahead > since || ahead < since-time.Second {
					t.Errorf("%v: %v, %v ahead of %v", since, sr, ahead, media.Timestamp)
				}
				silent(t, e.rtp)
			}
			if len(names) != 1 {
				t.Errorf("names %v", names)
			}
			if err := m.Stop("r", i.ID); err != nil {
				t.Fatal(err)
			}
			control := audio.rtcp
			if mux {
				control = audio.rtp
			}
			b, _ := read(t, control)
			if bye, ok := compound(t, b)[2].(*rtcp.Goodbye); !ok || len(bye.Sources) != 1 {
				t.Errorf("ended with %v", compound(t, b))
			}
			<-sub.closed
			if _, err := m.Get("r", i.ID); !errors.Is(err, ErrNotFound) || !errors.Is(m.Stop("r", i.ID), ErrNotFound) {
				t.Error(err)
			}
		})
	}
}

var theKeys = map[string]SRTP{
	"AES_CM_128_HMAC_SHA1_80": {"AES_CM_128_HMAC_SHA1_80", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"},
	"AEAD_AES_128_GCM":        {"AEAD_AES_128_GCM", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=="},
}

// Who has the key hears what is forwarded, and nobody else.
func TestSRTP(t *testing.T) {
	for name, keys := range theKeys {
		t.Run(name, func(t *testing.T) {
			audio, video := listen(t), listen(t)
			m, r := newManager(t, nil), newRoom("r")
			_, sub := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: audio.port, VideoPort: video.port, SRTP: keys})
			c, err := keys.parse()
			if err != nil {
				t.Fatal(err)
			}
			open, err := c.context()
			if err != nil {
				t.Fatal(err)
			}
			packets := film()(t)
			sub.play(of(codec.Audio, packets)[0], of(codec.Video, packets)[0])
			b := readOne(t, audio)
			if bytes.Contains(b, of(codec.Audio, packets)[0].Data) {
				t.Error("the sound is plain")
			}
			damaged := bytes.Clone(b)
			damaged[20] ^= 1
			if _, err := open.DecryptRTP(nil, damaged, nil); err == nil {
				t.Error("a damaged packet is taken")
			}
			plain, err := open.DecryptRTP(nil, b, nil)
			if err != nil || !bytes.Equal(plainRTP(t, plain).Payload, of(codec.Audio, packets)[0].Data) {
				t.Errorf("%v", err)
			}
			sealed, _ := read(t, audio.rtcp)
			report, err := open.DecryptRTCP(nil, sealed, nil)
			if err != nil || compound(t, report)[0].(*rtcp.SenderReport).SSRC != plainRTP(t, plain).SSRC {
				t.Errorf("%v", err)
			}
			picture, from := read(t, video.rtp)
			if plain, err = open.DecryptRTP(nil, picture, nil); err != nil {
				t.Fatal(err)
			}
			ssrc := plainRTP(t, plain).SSRC
			_, to := read(t, video.rtcp)
			for range 3 { // a plain request is nobody's; what has the key is heard on both ports
				write(t, video.rtcp, to, marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
			}
			write(t, video.rtp, from, sealRTCP(t, c, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
			<-sub.asked
			if got := m.List("r")[0].KeyFrameRequests; got != 1 {
				t.Errorf("%d requests were heard", got)
			}
		})
	}
}

func sealRTCP(t *testing.T, c cipher, p rtcp.Packet) []byte {
	t.Helper()
	var ctx *srtp.Context
	ctx, err := c.context()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ctx.EncryptRTCP(nil, marshal(t, p), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func marshal(t *testing.T, p ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, c *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// The receiver asks for key frames, as often as it likes; they are made twice a
// second at most. Nobody else is heard.
func TestKeyFrameRequests(t *testing.T) {
	video := listen(t)
	m, r := newManager(t, nil), newRoom("r")
	_, sub := start(t, m, r, Options{Host: "127.0.0.1", VideoPort: video.port})
	sub.play(of(codec.Video, film()(t))[0])
	ssrc := plainRTP(t, readOne(t, video)).SSRC
	_, to := read(t, video.rtcp)
	write(t, listen(t).rtp, to, marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
	for _, junk := range [][]byte{
		nil,
		{0x80},
		{0x81, 206, 0, 2},
		{0x81, 206, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3, 4},
		marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc + 1}),
		marshal(t, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: ssrc + 1}}}), marshal(t, &rtcp.ReceiverReport{SSRC: 3}),
	} {
		write(t, video.rtcp, to, junk)
	}
	ask := func(p rtcp.Packet) { write(t, video.rtcp, to, marshal(t, &rtcp.ReceiverReport{SSRC: 3}, p)) }
	ask(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	first := <-sub.asked
	if got := m.List("r")[0].KeyFrameRequests; got != 1 {
		t.Errorf("%d requests, of which one was asked", got)
	}
	ask(&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc + 1}, {SSRC: ssrc}}})
	ask(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	second := <-sub.asked // served late, not lost
	if gap := second.Sub(first); gap < keyFrameEvery {
		t.Errorf("asked again after %v", gap)
	}
	eventually(t, "all requests", func() bool { return m.List("r")[0].KeyFrameRequests == 3 })
	if len(sub.asked) != 0 {
		t.Error("asked once more")
	}
}

// A receiver that never asks gets a key frame every now and then; one of sound alone
// needs none.
func TestKeyFramesUnasked(t *testing.T) {
	m, r := newManager(t, nil), newRoom("r")
	_, deaf := start(t, m, r, Options{Host: "127.0.0.1", AudioPort: listen(t).port})
	began := time.Now()
	_, sub := start(t, m, r, Options{Host: "127.0.0.1", VideoPort: listen(t).port})
	if took := (<-sub.asked).Sub(began); took < keyFrameUnasked || took > 2*keyFrameUnasked {
		t.Errorf("asked after %v", took)
	}
	if len(deaf.asked) != 0 {
		t.Error("a key frame was asked for without pictures")
	}
}

func readOne(t *testing.T, e *ear) []byte {
	t.Helper()
	b, _ := read(t, e.rtp)
	return b
}
