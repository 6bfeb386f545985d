package rtc

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// fragment is an SDP fragment of trickle ICE (RFC 8840, section 9). All media
// is bundled, so the candidates of every section are for the one transport.
type fragment struct {
	ufrag, pwd string
	candidates []fragmentCandidate
	end        bool
}

// fragmentCandidate is one candidate and the section that it stood in.
type fragmentCandidate struct{ value, mid string }

// parseFragment reads a fragment: attributes of the session, then m-lines with
// attributes of their own. Lines that do not concern ICE are passed over.
func parseFragment(text string, maxBytes int) (*fragment, error) {
	if len(text) > maxBytes {
		return nil, ErrInvalidFragment.because("%d bytes are more than %d", len(text), maxBytes)
	}
	f := &fragment{}
	mid, lines := "", 0
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		if lines++; lines > maxLines {
			return nil, ErrInvalidFragment.because("more than %d lines", maxLines)
		}
		if len(line) < 3 || line[1] != '=' {
			return nil, ErrInvalidFragment.because("line %d is no line of SDP", lines)
		}
		switch line[0] {
		case 'm':
			mid = ""
		case 'a':
			key, value, _ := strings.Cut(line[2:], ":")
			if key == "mid" {
				mid = value
			} else if err := f.take(key, value, mid); err != nil {
				return nil, err
			}
		}
	}
	if f.ufrag == "" && len(f.candidates) == 0 && !f.end {
		return nil, ErrInvalidFragment.because("nothing about ICE in it")
	}
	return f, nil
}

func (f *fragment) take(key, value, mid string) error {
	switch key {
	case "ice-ufrag":
		return set(&f.ufrag, value, key)
	case "ice-pwd":
		return set(&f.pwd, value, key)
	case "end-of-candidates":
		f.end = true
	case "candidate":
		if usable(value) {
			f.candidates = append(f.candidates, fragmentCandidate{value, mid})
		}
	}
	return nil
}

// set takes a credential, which bundled sections may repeat but not change.
func set(dst *string, value, key string) error {
	if value == "" || *dst != "" && *dst != value {
		return ErrInvalidFragment.because("%s is empty or contradicts itself", key)
	}
	*dst = value
	return nil
}

// restarted answers the offer with the fragment's credentials and candidates in
// place of its own.
func (o *offer) restarted(f *fragment) (*offer, error) {
	text, err := o.text()
	if err != nil {
		return nil, err
	}
	desc := &sdp.SessionDescription{}
	if err := desc.UnmarshalString(text); err != nil {
		return nil, err
	}
	next := *o
	next.desc, next.ufrag, next.pwd = desc, f.ufrag, f.pwd
	next.candidates = min(len(f.candidates), maxCandidates)
	desc.Attributes = withoutICE(desc.Attributes)
	for _, m := range desc.MediaDescriptions {
		m.Attributes = withoutICE(m.Attributes)
		m.WithValueAttribute("ice-ufrag", f.ufrag)
		m.WithValueAttribute("ice-pwd", f.pwd)
	}
	first := desc.MediaDescriptions[0]
	for _, c := range f.candidates[:next.candidates] {
		first.WithValueAttribute("candidate", c.value)
	}
	desc.Origin.SessionVersion++
	return &next, nil
}

func withoutICE(attributes []sdp.Attribute) []sdp.Attribute {
	return slices.DeleteFunc(attributes, func(a sdp.Attribute) bool {
		switch a.Key {
		case "ice-ufrag", "ice-pwd", "candidate", "end-of-candidates":
			return true
		}
		return false
	})
}

// answerFragment answers the ICE part of an SDP answer as a fragment with all
// of the gateway's candidates (RFC 9725, section 4.3.3).
func answerFragment(answer string) (string, error) {
	desc := &sdp.SessionDescription{}
	if err := desc.UnmarshalString(answer); err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	for _, a := range desc.Attributes {
		if a.Key == "ice-lite" || a.Key == "ice-options" || a.Key == "group" {
			line("a=", a.String())
		}
	}
	m := desc.MediaDescriptions[0] // the bundle's transport
	line("m=", m.MediaName.String())
	for _, a := range m.Attributes {
		switch a.Key {
		case "mid", "ice-ufrag", "ice-pwd", "candidate", "end-of-candidates":
			line("a=", a.String())
		}
	}
	return b.String(), nil
}
