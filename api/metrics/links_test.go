package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/mixer/mixertest"
)

// join adds a participant whose link tells what link holds.
func join(t *testing.T, r *mixer.Room, id string, role mixer.Role, link *mixer.LinkStats) *mixer.Participant {
	t.Helper()
	cfg := mixer.JoinConfig{ID: id, Role: role, Link: func() mixer.LinkStats { return *link }}
	if role != mixer.Viewer {
		cfg.Audio = &mixertest.Tone{}
	}
	p, err := r.Join(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantFigures(t *testing.T, m *Metrics, want ...string) {
	t.Helper()
	text := scrape(t, m)
	for _, w := range want {
		if !strings.Contains(text, "\n"+w+"\n") {
			t.Errorf("no %q", w)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "tutti_audio") || strings.HasPrefix(line, "tutti_listeners") {
				t.Log(line)
			}
		}
	}
}

// TestLinksOfParticipants holds that the sound of participants is told of as a
// whole, with no series for each.
func TestLinksOfParticipants(t *testing.T) {
	r := newRoom(t)
	f := &fixed{rooms: []*mixer.Room{r}}
	m := New(f, "test")
	wantFigures(t, m, `tutti_audio_jitter_seconds{stat="max"} 0`, `tutti_listeners{repair="none"} 0`, "tutti_audio_packets_lost_total 0")
	for i := range 20 {
		join(t, r, fmt.Sprint("p", i), mixer.Both, &mixer.LinkStats{
			JitterMS: float64(i + 1), BufferedMS: float64(10 * (i + 1)), TargetMS: 20, DriftPPM: float64(-100 * i),
			SentLossPercent: float64(i), PacketsReceived: 100, PacketsLost: 2, PacketsLate: 1,
		})
	}
	join(t, r, "fec", mixer.Viewer, &mixer.LinkStats{Repair: "fec", SentLossPercent: 50, JitterMS: 9999})
	join(t, r, "red", mixer.Both, &mixer.LinkStats{Repair: "red"})
	join(t, r, "whip", mixer.Publisher, &mixer.LinkStats{SentLossPercent: 99})
	wantFigures(t, m,
		`tutti_audio_jitter_seconds{stat="median"} 0.009`, `tutti_audio_jitter_seconds{stat="p95"} 0.019`, `tutti_audio_jitter_seconds{stat="max"} 0.02`,
		`tutti_audio_buffered_seconds{stat="max"} 0.2`, `tutti_audio_target_seconds{stat="median"} 0.02`,
		`tutti_audio_clock_drift_ratio{stat="max"} 0.0019`, `tutti_audio_sent_loss_ratio{stat="max"} 0.5`,
		`tutti_listeners{repair="none"} 20`, `tutti_listeners{repair="fec"} 1`, `tutti_listeners{repair="red"} 1`,
		"tutti_audio_packets_received_total 2000", "tutti_audio_packets_lost_total 40", "tutti_audio_packets_late_total 20",
	)
	if text := scrape(t, m); strings.Contains(text, "p19") || strings.Count(text, "\ntutti_audio_jitter_seconds") != 3 {
		t.Error("a participant has a series of its own")
	}
}

// TestPacketTotalsNeverGoBack lets participants go and begin anew.
func TestPacketTotalsNeverGoBack(t *testing.T) {
	r := newRoom(t)
	m := New(&fixed{rooms: []*mixer.Room{r}}, "test")
	a, b := &mixer.LinkStats{PacketsReceived: 100}, &mixer.LinkStats{PacketsReceived: 10, PacketsLost: 5}
	gone := join(t, r, "a", mixer.Both, a)
	join(t, r, "b", mixer.Both, b)
	wantFigures(t, m, "tutti_audio_packets_received_total 110", "tutti_audio_packets_lost_total 5")
	wantFigures(t, m, "tutti_audio_packets_received_total 110", "tutti_audio_packets_lost_total 5")
	gone.Leave("left")
	b.PacketsReceived, b.PacketsLost = 30, 6
	wantFigures(t, m, "tutti_audio_packets_received_total 130", "tutti_audio_packets_lost_total 6")
	b.PacketsReceived, b.PacketsLost = 3, 0
	wantFigures(t, m, "tutti_audio_packets_received_total 133", "tutti_audio_packets_lost_total 6")
	join(t, r, "a", mixer.Both, &mixer.LinkStats{PacketsReceived: 1})
	wantFigures(t, m, "tutti_audio_packets_received_total 134")
}

// TestSoundIsDocumented holds API.md to the figures of the sound, both ways.
func TestSoundIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../API.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(tutti_[a-z_]+)").FindAllStringSubmatch(string(page), -1)
	families, err := New(&fixed{}, "test").registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, f := range families {
		shown[f.GetName()] = true
		if name := f.GetName(); strings.HasPrefix(name, "tutti_audio_") && !slices.ContainsFunc(named, func(n []string) bool { return n[1] == name }) {
			t.Errorf("API.md does not tell of %s", name)
		}
	}
	for _, n := range named {
		if !shown[n[1]] {
			t.Errorf("API.md tells of %s, which is not there", n[1])
		}
	}
}

// endless is a sound without an end.
type endless struct{}

func (endless) ReadAudio(b *pcm.Block) bool { b.Clear(); return true }
func (endless) Rewind()                     {}
func (endless) Close()                      {}

func TestAnnouncementsAreCounted(t *testing.T) {
	one, two := newRoom(t), newRoom(t)
	m := New(&fixed{rooms: []*mixer.Room{one, two}}, "test")
	for id, r := range map[string]*mixer.Room{"a": one, "b": one, "c": two} {
		if _, err := r.Announce(mixer.AnnounceConfig{ID: id, Source: endless{}}); err != nil {
			t.Fatal(err)
		}
	}
	wantFigures(t, m, "tutti_announcements 3")
}
