// Package webmtest makes real packets of a room's output for tests of what
// takes them, and looks at files with ffprobe and ffmpeg.
//
// The film is one that shows lip sync: once a second the picture is white and
// the sound is a tone, both for 200 ms, else it is dark and silent.
package webmtest

import (
	"bytes"
	"encoding/json"
	"image/color"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
)

// Film says what to encode.
type Film struct {
	Width, Height int // 0: sound only
	FPS           int
	Length        time.Duration
	From          time.Duration // PTS of the first picture
	KeyEvery      time.Duration // between key frames
	// VideoLate is how much later than the sound of its time a picture comes.
	VideoLate time.Duration
}

// Make encodes the film and answers its packets in the order in which a room
// would hand them out.
func (f Film) Make(t testing.TB) []*codec.Packet {
	t.Helper()
	type arrival struct {
		at time.Duration
		p  *codec.Packet
	}
	var all []arrival
	for _, p := range f.sound(t) {
		all = append(all, arrival{p.PTS, p})
	}
	if f.Width > 0 {
		for _, p := range f.picture(t) {
			all = append(all, arrival{p.PTS + f.VideoLate, p})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	packets := make([]*codec.Packet, len(all))
	for i, a := range all {
		packets[i] = a.p
	}
	return packets
}

// flash tells whether the film is bright and loud at a time since its start.
func flash(at time.Duration) bool { return at%time.Second < 200*time.Millisecond }

func (f Film) sound(t testing.TB) []*codec.Packet {
	t.Helper()
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000, Application: opus.Audio})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var packets []*codec.Packet
	var b pcm.Block
	b.SetChannels(1)
	for at := time.Duration(0); at < f.Length; at += pcm.Duration {
		for i := range b.Data() {
			b.Data()[i] = 0
			if flash(at) {
				s := at.Seconds() + float64(i)/pcm.Rate
				b.Data()[i] = float32(0.5 * math.Sin(2*math.Pi*1000*s))
			}
		}
		data, err := e.Encode(make([]byte, opus.MaxPacketBytes), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, &codec.Packet{
			Kind: codec.Audio, Codec: codec.Opus, Data: bytes.Clone(data),
			PTS: f.From + at, Duration: pcm.Duration, KeyFrame: true,
		})
	}
	return packets
}

func (f Film) picture(t testing.TB) []*codec.Packet {
	t.Helper()
	e, err := vpx.NewEncoder(vpx.EncoderConfig{Width: f.Width, Height: f.Height, FPS: f.FPS, BitrateBPS: 300_000})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	frame := i420.New(f.Width, f.Height)
	defer frame.Release()
	step := time.Second / time.Duration(f.FPS)
	var packets []*codec.Packet
	key := time.Duration(0)
	for n := 0; ; n++ {
		at := time.Duration(n) * time.Second / time.Duration(f.FPS)
		if at >= f.Length {
			return packets
		}
		grey := uint8(20)
		if flash(at) {
			grey = 255
		}
		frame.Fill(color.Gray{grey})
		force := n == 0 || f.KeyEvery > 0 && at-key >= f.KeyEvery
		data, isKey, err := e.Encode(frame, f.From+at, force)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		if isKey {
			key = at
		}
		packets = append(packets, &codec.Packet{
			Kind: codec.Video, Codec: codec.VP8, Data: bytes.Clone(data),
			PTS: f.From + at, Duration: step, KeyFrame: isKey, Width: f.Width, Height: f.Height,
		})
	}
}

// Probe is what ffprobe says of a file.
type Probe struct {
	Format struct {
		Name     string `json:"format_name"`
		Duration string `json:"duration"`
	} `json:"format"`
	Streams []struct {
		Type   string `json:"codec_type"`
		Codec  string `json:"codec_name"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Frames string `json:"nb_read_packets"`
	} `json:"streams"`
}

// Inspect asks ffprobe about a file.
func Inspect(t testing.TB, file string) Probe {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-show_format", "-show_streams",
		"-of", "json", file).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	var p Probe
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Check wants exactly one Opus stream and, where a width is given, one VP8
// stream of that size, the length within 0.2 s where one is given, and a full
// decode without a word.
func Check(t testing.TB, file string, width, height int, length time.Duration) Probe {
	t.Helper()
	p := Inspect(t, file)
	got := map[string]int{}
	for _, s := range p.Streams {
		got[s.Codec]++
		if s.Type == "video" && (s.Width != width || s.Height != height) {
			t.Errorf("%s: picture is %dx%d, want %dx%d", file, s.Width, s.Height, width, height)
		}
	}
	want := map[string]int{"opus": 1}
	if width > 0 {
		want["vp8"] = 1
	}
	if len(got) != len(want) || got["opus"] != 1 || got["vp8"] != want["vp8"] {
		t.Errorf("%s: streams %v, want %v", file, got, want)
	}
	if length > 0 {
		d, err := strconv.ParseFloat(p.Format.Duration, 64)
		if err != nil || math.Abs(d-length.Seconds()) > 0.2 {
			t.Errorf("%s: lasts %q, want %.3f", file, p.Format.Duration, length.Seconds())
		}
	}
	Decode(t, file)
	return p
}

// Decode decodes all of a file and fails if ffmpeg has anything to say.
func Decode(t testing.TB, file string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-f", "null", "-").CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%s: decode: %v\n%.2000s", file, err, out)
	}
}

// Sync answers by how much each tone begins before (negative) or after the
// flash that belongs to it, as a player would present them.
func Sync(t testing.TB, file string) []time.Duration {
	t.Helper()
	flashes, tones := flashes(t, file), tones(t, file)
	if len(flashes) != len(tones) || len(flashes) == 0 {
		t.Fatalf("%s: %d flashes, %d tones: %v %v", file, len(flashes), len(tones), flashes, tones)
	}
	out := make([]time.Duration, len(flashes))
	for i := range flashes {
		out[i] = tones[i] - flashes[i]
	}
	return out
}

// flashes answers when the picture turns bright.
func flashes(t testing.TB, file string) []time.Duration {
	out, err := exec.Command("ffprobe", "-v", "error", "-f", "lavfi",
		"-i", "movie="+file+",signalstats", "-show_entries", "frame=pts_time:frame_tags=lavfi.signalstats.YAVG",
		"-of", "csv=p=0").Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	var found []time.Duration
	bright := false
	for line := range strings.Lines(string(out)) {
		var at, y float64
		parts := strings.Split(strings.TrimSpace(line), ",")
		if len(parts) < 2 {
			continue
		}
		at, _ = strconv.ParseFloat(parts[0], 64)
		y, _ = strconv.ParseFloat(parts[1], 64)
		if y > 128 && !bright {
			found = append(found, time.Duration(at*float64(time.Second)))
		}
		bright = y > 128
	}
	return found
}

// tones answers when the sound begins. The decoded sound is placed at the time
// that the container gives it; a hole of over 10 ms becomes silence.
func tones(t testing.TB, file string) []time.Duration {
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-vn", "-af", "aresample=async=1:min_hard_comp=0.01:first_pts=0",
		"-ac", "1", "-ar", "48000", "-f", "s16le", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	var found []time.Duration
	quiet := pcm.Rate // samples since something was heard
	for i := 0; i+1 < len(out); i += 2 {
		s := int16(uint16(out[i]) | uint16(out[i+1])<<8)
		if s > 4000 || s < -4000 {
			if quiet > pcm.Rate/4 {
				found = append(found, time.Duration(i/2)*time.Second/pcm.Rate)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	return found
}
