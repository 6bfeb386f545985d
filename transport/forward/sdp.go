package forward

import (
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"

	"tutti/codec"
)

// describe answers the SDP (RFC 8866) for the receiver. The connection's address
// is the receiver's own, as a session that was announced has it.
func (f *forwarder) describe(asker string) (string, error) {
	c, err := f.is.SRTP.parse()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	origin, _ := netip.ParseAddrPort(f.outputs[0].rtp.LocalAddr().String())
	line("v=0")
	line("o=- %d 1 IN %s", f.is.StartedAt.Unix(), inSDP(origin.Addr().Unmap()))
	line("s=%s", f.room.ID())
	line("c=IN %s", inSDP(f.is.Address))
	line("t=0 0")
	profile := "RTP/AVPF" // feedback: RFC 4585
	if c.on() {
		profile = "RTP/SAVPF" // RFC 5124
	}
	settings, _ := f.room.Settings()
	for _, o := range f.outputs {
		if o.kind == codec.Audio {
			line("m=audio %d %s %d", f.is.AudioPort, profile, audioPT)
			line("a=rtpmap:%d opus/48000/2", audioPT) // RFC 7587, section 7
			line("a=fmtp:%d sprop-stereo=%d", audioPT, bit(settings.Audio.Stereo))
			line("a=ptime:20")
		} else {
			line("m=video %d %s %d", f.is.VideoPort, profile, videoPT)
			line("a=rtpmap:%d VP8/90000", videoPT)
			line("a=rtcp-fb:%d nack pli", videoPT)
			line("a=rtcp-fb:%d ccm fir", videoPT)
		}
		line("a=sendonly")
		line("a=ssrc:%d cname:%s", o.ssrc, o.cname)
		if f.is.RTCPMux {
			line("a=rtcp-mux")
		}
		if c.on() && subtle.ConstantTimeCompare([]byte(asker), []byte(f.is.Starter)) == 1 {
			line("a=crypto:1 %s inline:%s", f.is.SRTP.Profile, c.inline())
		}
	}
	return b.String(), nil
}

func inSDP(a netip.Addr) string {
	if a.Is4() {
		return "IP4 " + a.String()
	}
	return "IP6 " + a.String()
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}
