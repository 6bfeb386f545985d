package rtc

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"tutti/codec"
	"tutti/transport/plane"
)

// Header extensions that are neither in package sdp nor pion's own.
const (
	repairedRIDURI  = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id" // RFC 8852
	orientationURI  = "urn:3gpp:video-orientation"
	playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
)

// terms reads from offer and answer what media plane and client have agreed on:
// payload types, extensions and feedback are those of the answer, the client's
// sources those of its offer.
func terms(o *offer, answer *sdp.SessionDescription) (plane.Terms, error) {
	t := plane.Terms{CNAME: streamID, Cryptex: takesCryptex(o.desc)}
	for _, s := range []struct {
		section
		kind codec.Kind
	}{{o.audio, codec.Audio}, {o.video, codec.Video}} {
		if !s.offered() {
			continue
		}
		a, err := agreedOn(answer.MediaDescriptions[s.index], s.kind)
		if err != nil {
			return plane.Terms{}, err
		}
		if s.sends {
			in := a.inbound(s.kind, s.mid)
			in.SSRC, in.RTXSSRC = sources(o.desc.MediaDescriptions[s.index])
			t.Inbound = append(t.Inbound, in)
		}
		if s.receives {
			out := a.outbound(s.kind)
			out.SSRC, out.RTXSSRC = sources(answer.MediaDescriptions[s.index])
			if out.SSRC == 0 {
				return plane.Terms{}, fmt.Errorf("m=%s of the answer has no SSRC", s.kind)
			}
			if out.RTXSSRC == 0 || out.RTXSSRC == out.SSRC { // repairs need a source of their own
				out.RTXSSRC, out.RTXPT = 0, 0
			}
			t.Outbound = append(t.Outbound, out)
		}
	}
	return t, nil
}

// takesCryptex reports whether the client takes encrypted headers in all of its
// sections (RFC 9335, section 4).
func takesCryptex(d *sdp.SessionDescription) bool {
	if _, ok := d.Attribute("cryptex"); ok {
		return true
	}
	for _, m := range d.MediaDescriptions {
		if !hasFlag(m, "cryptex") {
			return false
		}
	}
	return len(d.MediaDescriptions) > 0
}

// agreed is what one m-section of an answer says.
type agreed struct {
	pt, rtx, red   uint8
	clock          int
	ext            plane.ExtensionIDs
	nack, pli, fir bool
}

func agreedOn(m *sdp.MediaDescription, kind codec.Kind) (agreed, error) {
	a := agreed{clock: codec.AudioClockRate}
	want := "opus/"
	if kind == codec.Video {
		a.clock, want = codec.VideoClockRate, "vp8/"
	}
	var repairs []uint8   // payload types of rtx
	var redundant []uint8 // of red
	apt := map[uint8]uint8{}
	carried := map[uint8]string{} // parameters of red
	for _, x := range m.Attributes {
		switch x.Key {
		case "rtpmap":
			pt, encoding := payloadType(x.Value)
			switch encoding = strings.ToLower(encoding); {
			case strings.HasPrefix(encoding, want) && a.pt == 0:
				a.pt = pt
			case strings.HasPrefix(encoding, "rtx/"):
				repairs = append(repairs, pt)
			case encoding == "red/48000/2":
				redundant = append(redundant, pt)
			}
		case "fmtp":
			pt, parameters := payloadType(x.Value)
			apt[pt], carried[pt] = associated(parameters), parameters
		case "extmap":
			a.extension(x.Value)
		}
	}
	if a.pt == 0 {
		return a, fmt.Errorf("m=%s of the answer has no %s", kind, strings.TrimSuffix(want, "/"))
	}
	for _, pt := range repairs {
		if apt[pt] == a.pt && pt != a.pt {
			a.rtx = pt
		}
	}
	for _, pt := range redundant {
		if kind == codec.Audio && carries(carried[pt], a.pt) && pt != a.pt {
			a.red = pt
		}
	}
	a.feedback(m)
	return a, nil
}

// carries reports whether the parameters of red name that payload type alone,
// for the primary and at least one redundant block (RFC 2198, section 5).
func carries(parameters string, pt uint8) bool {
	list := strings.Split(parameters, "/")
	for _, s := range list {
		if n, err := strconv.ParseUint(s, 10, 7); err != nil || uint8(n) != pt {
			return false
		}
	}
	return len(list) >= 2
}

// associated answers the payload type that one of rtx repairs (RFC 4588, section
// 8.1), 0 where the parameters name none.
func associated(parameters string) uint8 {
	for p := range strings.SplitSeq(parameters, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "apt="); ok {
			n, err := strconv.ParseUint(v, 10, 7)
			if err != nil {
				return 0
			}
			return uint8(n)
		}
	}
	return 0
}

// payloadType cuts the payload type off an attribute's value.
func payloadType(value string) (uint8, string) {
	number, rest, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(number, 10, 7)
	if err != nil {
		return 0, ""
	}
	return uint8(n), strings.TrimSpace(rest)
}

// feedback reads which feedback goes with the payload type (RFC 4585, section
// 4.2).
func (a *agreed) feedback(m *sdp.MediaDescription) {
	for _, x := range m.Attributes {
		if x.Key != "rtcp-fb" {
			continue
		}
		pt, what := payloadType(x.Value)
		if pt != a.pt && !strings.HasPrefix(x.Value, "* ") {
			continue
		}
		if pt == 0 {
			what = strings.TrimPrefix(x.Value, "* ")
		}
		switch what {
		case "nack":
			a.nack = true
		case "nack pli":
			a.pli = true
		case "ccm fir":
			a.fir = true
		}
	}
}

// extension reads one extmap (RFC 8285, section 5).
func (a *agreed) extension(value string) {
	words := strings.Fields(value)
	if len(words) < 2 {
		return
	}
	number, _, _ := strings.Cut(words[0], "/")
	id, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return
	}
	fields := map[string]*uint8{
		sdp.AudioLevelURI: &a.ext.AudioLevel, sdp.TransportCCURI: &a.ext.TransportCC, sdp.ABSSendTimeURI: &a.ext.AbsSendTime,
		sdp.SDESMidURI: &a.ext.MID, sdp.SDESRTPStreamIDURI: &a.ext.RID, repairedRIDURI: &a.ext.RepairedRID,
		orientationURI: &a.ext.Orientation, playoutDelayURI: &a.ext.PlayoutDelay,
	}
	if f := fields[words[1]]; f != nil {
		*f = uint8(id)
	}
}

func (a *agreed) inbound(kind codec.Kind, mid string) plane.Inbound {
	return plane.Inbound{
		Kind: kind, MID: mid, PT: a.pt, RTXPT: a.rtx, REDPT: a.red, Clock: a.clock, Ext: a.ext,
		NACK: a.nack, PLI: a.pli, FIR: a.fir,
	}
}

func (a *agreed) outbound(kind codec.Kind) plane.Outbound {
	return plane.Outbound{
		Kind: kind, PT: a.pt, RTXPT: a.rtx, REDPT: a.red, Clock: a.clock, NACK: a.nack,
		// In the lower half: a client that misses the beginning takes the first that
		// it sees for one before any rollover (RFC 3711, section 3.3.1).
		Sequence: uint16(rand.Uint32()) >> 1, Base: rand.Uint32(),
	}
}

// sources answers the SSRC of a section and that of its retransmissions (RFC
// 5576, section 4.2; RFC 4588, section 8.7), 0 where they are not declared.
func sources(m *sdp.MediaDescription) (ssrc, rtx uint32) {
	for _, x := range m.Attributes {
		switch words := strings.Fields(x.Value); {
		case x.Key == "ssrc-group" && len(words) == 3 && words[0] == "FID":
			return parseSSRC(words[1]), parseSSRC(words[2])
		case x.Key == "ssrc" && len(words) > 0 && ssrc == 0:
			ssrc = parseSSRC(words[0])
		}
	}
	return ssrc, 0
}

func parseSSRC(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
