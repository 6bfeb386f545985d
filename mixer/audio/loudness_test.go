package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"tutti/codec/pcm"
)

// part is a tone of 1 kHz that lasts some time.
type part struct{ seconds, dbfs float64 }

// measured lets a meter hear the parts, the same in each channel.
func measured(channels int, parts ...part) *Meter {
	m := &Meter{}
	var b pcm.Block
	b.SetChannels(channels)
	for _, p := range parts {
		fill(&b, 0, tone(1000, math.Pow(10, p.dbfs/20))) // a block is 20 whole periods
		for range int(math.Round(p.seconds * 50)) {
			m.Add(&b)
		}
	}
	return m
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.3f, want %.3f within %g", what, got, want, tolerance)
	}
}

// EBU Tech 3341, table 1: signals that a meter must measure within 0.1 LU.
func TestMeterOnTheSignalsOfTech3341(t *testing.T) {
	for n, c := range []struct {
		parts []part
		want  float64
		all   bool // momentary and short-term loudness are the same
	}{
		{[]part{{20, -23}}, -23, true},                                              // 1
		{[]part{{20, -33}}, -33, true},                                              // 2
		{[]part{{10, -36}, {60, -23}, {10, -36}}, -23, false},                       // 3
		{[]part{{10, -72}, {10, -36}, {60, -23}, {10, -36}, {10, -72}}, -23, false}, // 4
		{[]part{{20, -26}, {20.1, -20}, {20, -26}}, -23, false},                     // 5
		// Not of the table: without the absolute gate the silence would draw the
		// relative one below what is quiet.
		{[]part{{200, -75}, {20, -30}, {20, -44}}, -30, false},
	} {
		m := measured(2, c.parts...)
		within(t, fmt.Sprintf("signal %d, integrated", n+1), m.Integrated(), c.want, 0.1)
		if c.all {
			within(t, fmt.Sprintf("signal %d, momentary", n+1), m.Momentary(), c.want, 0.1)
			within(t, fmt.Sprintf("signal %d, short-term", n+1), m.ShortTerm(), c.want, 0.1)
		}
	}
}

// Signals 9 and 12 of the same table: windows of exactly 3 s and 400 ms, whose
// loudness stays when the level changes faster.
func TestMeterWindows(t *testing.T) {
	var nine, twelve []part
	for range 5 {
		nine = append(nine, part{1.34, -20}, part{1.66, -30})
	}
	for range 25 {
		twelve = append(twelve, part{0.18, -20}, part{0.22, -30})
	}
	for n := range 6 { // after 3 s at any time
		within(t, "signal 9", measured(2, append(nine, nine[:n%2]...)...).ShortTerm(), -23, 0.1)
		within(t, "signal 12", measured(2, append(twelve, part{0.18, -20}, part{0.04 * float64(n), -30})...).Momentary(), -23, 0.1)
	}
}

func TestMeterCountsChannels(t *testing.T) {
	within(t, "mono", measured(1, part{4, -23}).ShortTerm(), -26.01, 0.1)
	var m Meter
	var b pcm.Block
	b.SetChannels(2)
	for n := range 200 {
		fill(&b, n, func(f, c int) float64 { return float64(c) * tone(1000, 0.5)(f, c) })
		m.Add(&b)
	}
	within(t, "right alone", m.ShortTerm(), 20*math.Log10(0.5)-3.01, 0.1)
}

// The frequency response of the K-weighting, from the recommendation's own
// transfer function.
func TestWeightingByFrequency(t *testing.T) {
	response := func(hz float64) float64 {
		z := 2 * math.Pi * hz / pcm.Rate
		h := func(c0, c1, c2 float64) float64 {
			return math.Hypot(c0+c1*math.Cos(z)+c2*math.Cos(2*z), c1*math.Sin(z)+c2*math.Sin(2*z))
		}
		return h(shelfB0, shelfB1, shelfB2) / h(1, shelfA1, shelfA2) * h(1, -2, 1) / h(1, passA1, passA2)
	}
	within(t, "997 Hz", 20*math.Log10(response(997)), 0.691, 0.01)
	for _, hz := range []float64{30, 100, 440, 3000, 10000} {
		var m Meter
		var b pcm.Block
		for n := range 200 {
			fill(&b, n, tone(hz, 0.5))
			m.Add(&b)
		}
		within(t, fmt.Sprintf("%g Hz", hz), m.ShortTerm(), -0.691+20*math.Log10(response(hz)*0.5/math.Sqrt2), 0.02)
	}
}

func TestMeterInSilence(t *testing.T) {
	var m Meter
	if m.Momentary() != pcm.SilenceDBOV || m.Integrated() != pcm.SilenceDBOV {
		t.Errorf("%g, %g", m.Momentary(), m.Integrated())
	}
	var b pcm.Block
	fill(&b, 0, tone(1000, 0.5))
	m.Add(&b)
	b.Clear()
	for range 4000 { // until the filters are at rest, not merely slow
		m.Add(&b)
	}
	if m.weigh != (weighting{}) {
		t.Errorf("the filters hold %g", m.weigh.state)
	}
	b.Data()[3] = float32(math.NaN())
	m.Add(&b)
	b.Data()[3] = float32(math.Inf(-1))
	m.Add(&b)
	for n := range 200 {
		fill(&b, n, tone(1000, 0.5))
		m.Add(&b)
	}
	within(t, "after what is no number", m.ShortTerm(), 20*math.Log10(0.5)-3.01, 0.1)
}

// Speech, as ffmpeg's own meter hears it: with other code, from the same
// standard.
func TestMeterAgreesWithFFmpeg(t *testing.T) {
	summary := regexp.MustCompile(`t: *([0-9.]+) .*M: *(-[0-9.]+) S: *(-[0-9.]+) .*I: *(-[0-9.]+) LUFS`)
	peak := regexp.MustCompile(`Peak: +(-?[0-9.]+) dBFS`)
	for _, file := range voiceFiles(t)[:3] {
		voice := decoded(t, file)
		var raw bytes.Buffer
		for i := range voice {
			if err := binary.Write(&raw, binary.LittleEndian, voice[i].Data()); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("ffmpeg", "-hide_banner", "-nostats", "-f", "f32le", "-ar", "48000", "-ac", "1", "-i", "-",
			"-af", "ebur128=peak=true:framelog=info", "-f", "null", "-")
		cmd.Stdin = &raw
		report, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ffmpeg: %v\n%s", err, report)
		}
		lines := summary.FindAllSubmatch(report, -1)
		if len(lines) < 100 {
			t.Fatalf("ffmpeg reports %d times:\n%s", len(lines), report)
		}
		var m Meter
		var p TruePeak
		at := 0
		for _, l := range lines {
			seconds := number(t, l[1])
			for ; at < len(voice) && float64(at+1)*0.02 <= seconds+0.01; at++ {
				m.Add(&voice[at])
				p.Add(&voice[at])
			}
			if s := number(t, l[3]); s > -60 {
				within(t, fmt.Sprintf("%s at %gs, short-term", file, seconds), m.ShortTerm(), s, 0.11)
			}
			if s := number(t, l[2]); s > -60 {
				within(t, fmt.Sprintf("%s at %gs, momentary", file, seconds), m.Momentary(), s, 0.11)
			}
		}
		within(t, file+", integrated", m.Integrated(), number(t, lines[len(lines)-1][4]), 0.11)
		found := peak.FindSubmatch(report)
		if found == nil {
			t.Fatalf("no peak in ffmpeg's report:\n%s", report)
		}
		within(t, file+", true peak", p.DBTP(), number(t, found[1]), 0.3)
	}
}

func number(t *testing.T, b []byte) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// voiceFiles answers the files of the demo's voices.
func voiceFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../assets/speech/*.ogg")
	if err != nil || len(files) < 4 {
		t.Fatalf("voices: %q %v", files, err)
	}
	return files
}

// decoded answers a voice's blocks. The mixer knows no codec, so that ffmpeg,
// one of the packages of `.ci/packages test`, does it.
func decoded(t testing.TB, file string) []pcm.Block {
	t.Helper()
	if voice, ok := voices[file]; ok {
		return voice
	}
	raw, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-f", "f32le", "-ac", "1", "-ar", "48000", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg (see .ci/packages test): %v", err)
	}
	voice := make([]pcm.Block, len(raw)/4/pcm.Samples)
	for n := range voice {
		d := voice[n].Data()
		for i := range d {
			d[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*(n*pcm.Samples+i):]))
		}
	}
	voices[file] = voice
	return voice
}

// voices are those that were decoded, by file; no test changes them.
var voices = map[string][]pcm.Block{}

// EBU Tech 3341, table 1, signals 15 to 19: peaks between the samples, which a
// meter must find within +0.2 and -0.4 dB.
func TestTruePeakOnTheSignalsOfTech3341(t *testing.T) {
	for n, c := range []struct{ divider, phase, amplitude, want float64 }{
		{4, 0, 0.5, -6}, {4, 45, 0.5, -6}, {6, 60, 0.5, -6}, {8, 67.5, 0.5, -6}, {4, 45, 1.41, 3},
	} {
		for channels := 1; channels <= 2; channels++ {
			var p TruePeak
			var b pcm.Block
			b.SetChannels(channels)
			for block := range 20 {
				fill(&b, block, func(f, _ int) float64 {
					fade := min(1, float64(f)/4800) // lest the beginning be a jump
					return fade * c.amplitude * math.Sin(2*math.Pi*float64(f)/c.divider+c.phase*math.Pi/180)
				})
				p.Add(&b)
			}
			if got := p.DBTP(); got > c.want+0.2 || got < c.want-0.4 {
				t.Errorf("signal %d, %d channels: %.2f dBTP, want %g", 15+n, channels, got, c.want)
			}
		}
	}
	var p TruePeak
	if got := p.DBTP(); !math.IsInf(got, -1) {
		t.Errorf("silence has %g dBTP", got)
	}
}

// The fast interpolator against the sums as the recommendation writes them.
func TestSegmentPeakIsTheTable(t *testing.T) {
	var w [window]float32
	for seed := range 100 {
		for i := range w {
			w[i] = float32(math.Sin(float64(seed*7919+i*i*31) * 1.7))
		}
		var want float32
		for i := range segment {
			want = max(want, abs(w[i+tapsPast]))
			for _, h := range [][taps]float32{inner, outer} {
				var forth, back float32
				for k, c := range h {
					forth += c * w[i+k]
					back += c * w[i+taps-1-k]
				}
				want = max(want, abs(forth), abs(back))
			}
		}
		within(t, "peak", float64(segmentPeak(&w)), float64(want), 1e-6)
	}
}

func BenchmarkMeter(b *testing.B) {
	for channels := 1; channels <= 2; channels++ {
		b.Run(map[int]string{1: "mono", 2: "stereo"}[channels], func(b *testing.B) {
			var m Meter
			var block pcm.Block
			block.SetChannels(channels)
			fill(&block, 0, tone(1000, 0.5))
			for b.Loop() {
				m.Add(&block)
			}
		})
	}
}
