package rtc

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// Parameters of the sound that is asked for (RFC 7587, section 6.1): in-band FEC
// and packets down to 10 ms always. One voice is asked to send nothing while it
// is silent, as most people are most of the time; a stereo room is asked for
// both channels, as they are, and told that it sends both.
const (
	monoParameters   = "minptime=10;useinbandfec=1;usedtx=1"
	stereoParameters = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
)

// describeSound writes the parameters of Opus into an answer, where pion repeats
// those of the offer.
func describeSound(answer *sdp.SessionDescription, stereo bool) {
	parameters := monoParameters
	if stereo {
		parameters = stereoParameters
	}
	for _, m := range answer.MediaDescriptions {
		if m.MediaName.Media == "audio" {
			setOpus(m, parameters)
		}
	}
}

// setOpus gives all Opus payload types of a section these parameters, right
// behind their rtpmap.
func setOpus(m *sdp.MediaDescription, parameters string) {
	opus := map[uint8]bool{}
	for _, a := range m.Attributes {
		if pt, encoding := payloadType(a.Value); a.Key == "rtpmap" && strings.HasPrefix(strings.ToLower(encoding), "opus/") {
			opus[pt] = true
		}
	}
	var out []sdp.Attribute
	for _, a := range m.Attributes {
		pt, _ := payloadType(a.Value)
		if a.Key == "fmtp" && opus[pt] {
			continue
		}
		out = append(out, a)
		if a.Key == "rtpmap" && opus[pt] {
			out = append(out, sdp.NewAttribute("fmtp", fmt.Sprintf("%d %s", pt, parameters)))
		}
	}
	m.Attributes = out
}
