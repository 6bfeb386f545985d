package rtc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"

	"tutti/codec"
	"tutti/mixer"
)

// Bounds of an offer beyond its bytes: parsing more serves nobody.
const (
	maxLines      = 2000
	maxSections   = 16
	maxCandidates = 64 // of one session, trickled ones included
)

// offer is an SDP offer that has passed every check that needs no connection.
type offer struct {
	desc         *sdp.SessionDescription
	audio, video section
	ufrag, pwd   string
	candidates   int
}

// section is the m-section of one kind; the zero value means there is none.
type section struct {
	index    int
	mid      string
	sends    bool // the client does
	receives bool
}

func (s section) offered() bool { return s.mid != "" }

// streams answers the places of sound and picture among the streams that the
// client takes, -1 where it takes none.
func (o *offer) streams() (audio, video int) {
	audio, video = -1, -1
	if o.audio.receives {
		audio = 0
	}
	if o.video.receives {
		video = audio + 1
	}
	return audio, video
}

// checkOffer parses the offer and answers it without what the gateway does not
// take part in (simulcast, candidates that it cannot use), or an *Error.
func checkOffer(text string, role mixer.Role, maxBytes int) (*offer, error) {
	desc, err := parseSDP(text, maxBytes)
	if err != nil {
		return nil, err
	}
	o := &offer{desc: desc}
	for i, m := range desc.MediaDescriptions {
		if err := o.take(i, m, role); err != nil {
			return nil, err
		}
	}
	if !o.audio.offered() && !o.video.offered() {
		return nil, ErrNoMedia
	}
	if err := o.checkBundle(); err != nil {
		return nil, err
	}
	if err := o.checkTransport(); err != nil {
		return nil, err
	}
	o.trim()
	return o, nil
}

// parseSDP parses text that a stranger wrote.
func parseSDP(text string, maxBytes int) (desc *sdp.SessionDescription, err error) {
	if len(text) > maxBytes {
		return nil, ErrSDPTooLarge.because("%d bytes are more than %d", len(text), maxBytes)
	}
	if n := strings.Count(text, "\n"); n > maxLines {
		return nil, ErrInvalidSDP.because("%d lines are more than %d", n, maxLines)
	}
	defer func() {
		if r := recover(); r != nil {
			desc, err = nil, ErrInvalidSDP.because("the parser gave up: %v", r)
		}
	}()
	if !strings.HasPrefix(text, "v=0") {
		return nil, ErrInvalidSDP.because("it does not begin with v=0")
	}
	desc = &sdp.SessionDescription{}
	if err := desc.UnmarshalString(text); err != nil {
		return nil, ErrInvalidSDP.because("%w", err)
	}
	if n := len(desc.MediaDescriptions); n > maxSections {
		return nil, ErrInvalidSDP.because("%d media sections are more than %d", n, maxSections)
	}
	return desc, nil
}

// take checks one m-section. RFC 9725, section 4.4.3: no section is refused
// alone; where one cannot be, the whole offer is refused.
func (o *offer) take(i int, m *sdp.MediaDescription, role mixer.Role) error {
	var dst *section
	var want codec.Name
	switch kind := m.MediaName.Media; kind {
	case "audio":
		dst, want = &o.audio, codec.Opus
	case "video":
		dst, want = &o.video, codec.VP8
	default:
		return ErrUnsupportedMedia.because("m=%s", printable(kind))
	}
	if dst.offered() {
		return ErrTooManyTracks.because("a second m=%s", m.MediaName.Media)
	}
	mid, _ := m.Attribute("mid")
	if mid == "" || len(mid) > 64 || o.audio.mid == mid || o.video.mid == mid {
		return ErrInvalidSDP.because("m=%s has no mid of its own", m.MediaName.Media)
	}
	if !hasFlag(m, "rtcp-mux") && !hasFlag(m, "rtcp-mux-only") {
		return ErrInvalidSDP.because("m=%s lacks rtcp-mux", m.MediaName.Media)
	}
	if !slices.Equal(m.MediaName.Protos, []string{"UDP", "TLS", "RTP", "SAVPF"}) {
		return ErrInvalidSDP.because("m=%s is not UDP/TLS/RTP/SAVPF", m.MediaName.Media)
	}
	if !hasCodec(m, want) {
		return ErrUnsupportedCodec.because("m=%s has no %s", m.MediaName.Media, want)
	}
	*dst = section{index: i, mid: mid}
	return dst.direct(m, o.desc, role)
}

// direct reads the direction and holds it against the role: a publisher's offer
// must send and a viewer's receive (RFC 9725, section 4.2, and its mirror).
func (s *section) direct(m *sdp.MediaDescription, d *sdp.SessionDescription, role mixer.Role) error {
	dir := direction(m.Attributes)
	if dir == "" {
		dir = direction(d.Attributes)
	}
	if m.MediaName.Port.Value == 0 && !hasFlag(m, "bundle-only") {
		dir = "inactive" // RFC 3264, section 5.1
	}
	s.sends = dir == "" || dir == "sendrecv" || dir == "sendonly"
	s.receives = dir == "" || dir == "sendrecv" || dir == "recvonly"
	switch {
	case role == mixer.Publisher && !s.sends, role == mixer.Viewer && !s.receives, !s.sends && !s.receives:
		return ErrWrongDirection.because("m=%s is %s for a %s", m.MediaName.Media, dir, role)
	}
	// The answer of WHIP only receives, that of WHEP only sends.
	s.sends = s.sends && role != mixer.Viewer
	s.receives = s.receives && role != mixer.Publisher
	setDirection(m, s.sends, s.receives)
	return nil
}

// setDirection makes the section offer what will be answered, since pion takes
// all that it is offered.
func setDirection(m *sdp.MediaDescription, sends, receives bool) {
	m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool { return direction([]sdp.Attribute{a}) != "" })
	switch {
	case sends && receives:
		m.WithPropertyAttribute("sendrecv")
	case sends:
		m.WithPropertyAttribute("sendonly")
	default:
		m.WithPropertyAttribute("recvonly")
	}
}

func direction(attributes []sdp.Attribute) string {
	for _, a := range attributes {
		switch a.Key {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			return a.Key
		}
	}
	return ""
}

func hasFlag(m *sdp.MediaDescription, name string) bool {
	_, ok := m.Attribute(name)
	return ok
}

// hasCodec looks for the rtpmap of a codec among the formats of the section.
func hasCodec(m *sdp.MediaDescription, want codec.Name) bool {
	name := map[codec.Name]string{codec.Opus: "opus/48000/2", codec.VP8: "vp8/90000"}[want]
	for _, a := range m.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		format, encoding, ok := strings.Cut(a.Value, " ")
		if ok && strings.EqualFold(strings.TrimSpace(encoding), name) && slices.Contains(m.MediaName.Formats, format) {
			return true
		}
	}
	return false
}

// checkBundle demands one transport for all (RFC 9725, section 4.4.1).
func (o *offer) checkBundle() error {
	if !o.audio.offered() || !o.video.offered() {
		return nil
	}
	for _, a := range o.desc.Attributes {
		if a.Key != "group" {
			continue
		}
		words := strings.Fields(a.Value)
		if len(words) > 0 && words[0] == "BUNDLE" && slices.Contains(words, o.audio.mid) && slices.Contains(words, o.video.mid) {
			return nil
		}
	}
	return ErrInvalidSDP.because("sound and picture are not bundled")
}

// checkTransport demands what ICE and DTLS need (RFC 8839, section 5.4; RFC
// 8842, section 5.1).
func (o *offer) checkTransport() error {
	for _, m := range o.desc.MediaDescriptions {
		ufrag, pwd := o.attribute(m, "ice-ufrag"), o.attribute(m, "ice-pwd")
		if err := checkCredentials(ufrag, pwd); err != nil {
			return ErrInvalidSDP.because("%w", err)
		}
		if o.ufrag != "" && (ufrag != o.ufrag || pwd != o.pwd) {
			return ErrInvalidSDP.because("bundled sections have different ICE credentials")
		}
		o.ufrag, o.pwd = ufrag, pwd
		if len(strings.Fields(o.attribute(m, "fingerprint"))) != 2 {
			return ErrInvalidSDP.because("m=%s has no fingerprint", m.MediaName.Media)
		}
		switch o.attribute(m, "setup") {
		case "actpass", "active":
		default: // RFC 9725, section 4.4.1: the server may be passive
			return ErrInvalidSDP.because("m=%s lets nobody be passive: its setup is neither actpass nor active", m.MediaName.Media)
		}
	}
	return nil
}

// attribute answers a section's attribute or the session's.
func (o *offer) attribute(m *sdp.MediaDescription, name string) string {
	if v, ok := m.Attribute(name); ok {
		return v
	}
	v, _ := o.desc.Attribute(name)
	return v
}

func checkCredentials(ufrag, pwd string) error {
	if !iceChars(ufrag, 4, 256) {
		return fmt.Errorf("ice-ufrag is not 4 to 256 ICE characters")
	}
	if !iceChars(pwd, 22, 256) {
		return fmt.Errorf("ice-pwd is not 22 to 256 ICE characters")
	}
	return nil
}

// iceChars holds s against the grammar of RFC 8839, section 5.4. A hyphen, a
// low line or an equals sign is not in it, yet some clients send them.
func iceChars(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+/-_=", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}

// trim leaves out what pion would answer though we do not do it: simulcast
// layers, and candidates that cannot be used.
func (o *offer) trim() {
	for _, m := range o.desc.MediaDescriptions {
		m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool {
			switch a.Key {
			case "simulcast", "rid":
				return true
			case "candidate":
				if o.candidates == maxCandidates || !usable(a.Value) {
					return true
				}
				o.candidates++
			}
			return false
		})
	}
}

// usable reports whether pion can take the candidate: its transport is known,
// its address is one and no name to be looked up, and it is for RTP.
func usable(candidate string) bool {
	candidate = strings.TrimPrefix(candidate, "candidate:")
	if len(candidate) > 1024 || strings.Contains(candidate, ".local ") {
		return false
	}
	c, err := ice.UnmarshalCandidate(candidate)
	return err == nil && c.Component() == 1
}

// text answers the offer as pion is given it.
func (o *offer) text() (string, error) {
	b, err := o.desc.Marshal()
	return string(b), err
}

// printable bounds what a stranger's word adds to an error.
func printable(s string) string { return fmt.Sprintf("%.32q", s) }
