package transporttest

import (
	"fmt"
	"strings"
)

// Fragment answers the ICE part of an offer as a client sends it in a PATCH
// (RFC 8840, section 9): credentials, one m-section, candidates.
func Fragment(offer string) string {
	var b strings.Builder
	sections := 0
	for line := range strings.SplitSeq(strings.ReplaceAll(offer, "\r", ""), "\n") {
		if strings.HasPrefix(line, "m=") {
			sections++
		}
		key, _, _ := strings.Cut(line, ":")
		switch {
		case sections > 1:
		case strings.HasPrefix(line, "m="), key == "a=mid", key == "a=ice-ufrag", key == "a=ice-pwd", key == "a=candidate", line == "a=end-of-candidates":
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

// Restarted answers an earlier answer with the ICE part of a fragment in place
// of its own, as a client of RFC 9725 makes it (section 4.3.3).
func Restarted(answer, fragment string) (string, error) {
	var ufrag, pwd string
	var candidates []string
	for line := range strings.SplitSeq(strings.ReplaceAll(fragment, "\r", ""), "\n") {
		key, _, _ := strings.Cut(line, ":")
		switch key {
		case "a=ice-ufrag":
			ufrag = line
		case "a=ice-pwd":
			pwd = line
		case "a=candidate":
			candidates = append(candidates, line)
		}
	}
	if ufrag == "" || pwd == "" {
		return "", fmt.Errorf("transporttest: the fragment has no credentials:\n%s", fragment)
	}
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(strings.ReplaceAll(answer, "\r", ""), "\n"), "\n") {
		key, _, _ := strings.Cut(line, ":")
		switch key {
		case "a=ice-ufrag":
			line = ufrag
		case "a=ice-pwd":
			line = pwd
		case "a=candidate":
			continue
		case "a=end-of-candidates":
			out = append(out, candidates...)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\r\n") + "\r\n", nil
}
