package announce

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"tutti/codec/pcm"
)

// snr answers how much stronger than its difference to got the tone is, in dB,
// away from both ends.
func snr(got []float32, hz, height float64) float64 {
	var signal, noise float64
	for i := len(got) / 4; i < len(got)*3/4; i++ {
		want := height * math.Sin(2*math.Pi*hz*float64(i)/pcm.Rate)
		signal, noise = signal+want*want, noise+(want-float64(got[i]))*(want-float64(got[i]))
	}
	return 10 * math.Log10(signal/noise)
}

// left answers the first of two channels.
func left(stereo []float32) (out []float32) {
	for i := 0; i < len(stereo); i += 2 {
		out = append(out, stereo[i])
	}
	return out
}

// TestFormatsAndRates plays a tone from every format at every rate: what comes is
// the tone at 48 kHz.
func TestFormatsAndRates(t *testing.T) {
	for _, f := range []wavFormat{{formatPCM, 1, 0, 16}, {formatPCM, 2, 0, 24}, {formatPCM, 1, 0, 32}, {formatFloat, 2, 0, 32}} {
		for _, f.rate = range []int{8000, 11025, 16000, 22050, 32000, 44100, 44101, 48000, 88200, 96000, 176400, 192000} {
			p := open(t, toneFile(f, 1000, 0.5, f.rate/2))
			got := left(play(p, 2))
			if d := math.Abs(p.Duration().Seconds() - 0.5); d > 0.0001 {
				t.Errorf("%+v: %v long", f, p.Duration())
			}
			if db := snr(got, 1000, 0.5); db < 75 {
				t.Errorf("%+v: %.1f dB", f, db)
			}
		}
	}
}

// TestNothingFoldsBack plays what 48 kHz cannot hold, and what 8 kHz must not
// become.
func TestNothingFoldsBack(t *testing.T) {
	for _, c := range []struct {
		rate int
		hz   float64
	}{{96000, 30000}, {96000, 24500}, {192000, 47000}, {192000, 60000}} {
		p := open(t, toneFile(wavFormat{formatFloat, 1, c.rate, 32}, c.hz, 0.5, c.rate/2))
		got := play(p, 1)
		var b pcm.Block
		copy(b.Data(), got[len(got)/2:])
		if db := b.Level(); db > -75 {
			t.Errorf("%v Hz at %d: %.1f dBov are left", c.hz, c.rate, db)
		}
	}
	// 3 kHz at 8 kHz has an image at 5 kHz.
	p := open(t, toneFile(wavFormat{formatFloat, 1, 8000, 32}, 3000, 0.5, 8000))
	if db := snr(play(p, 1), 3000, 0.5); db < 70 {
		t.Errorf("3 kHz at 8 kHz: %.1f dB", db)
	}
}

// TestPassband holds that what a voice has is not made softer.
func TestPassband(t *testing.T) {
	for _, rate := range []int{44100, 96000, 192000} {
		for _, hz := range []float64{50, 8000, 16000, 18000} {
			p := open(t, toneFile(wavFormat{formatFloat, 1, rate, 32}, hz, 0.5, rate/2))
			if db := snr(play(p, 1), hz, 0.5); db < 60 {
				t.Errorf("%v Hz at %d: %.1f dB", hz, rate, db)
			}
		}
	}
}

func TestExtensibleAndStreamedFiles(t *testing.T) {
	format := formatChunk(stereoWAV)
	extensible := append(format[:len(format):len(format)], make([]byte, 24)...)
	extensible[4] = 40
	extensible[8], extensible[9] = 0xfe, 0xff
	extensible[8+subFormatAt] = formatPCM
	sound := sampleBytes(stereoWAV, tone(stereoWAV, 500, 0.25, 2000))
	streamed := chunk("data", sound)
	for i := range 4 {
		streamed[4+i] = 0xff
	}
	for name, file := range map[string][]byte{
		"extensible": wavOf(extensible, chunk("data", sound)),
		"streamed":   wavOf(format, streamed),
		"cut frame":  wavOf(format, chunk("data", append(sound[:len(sound):len(sound)], 1, 2, 3))),
		"more after": wavOf(format, chunk("data", sound), chunk("id3 ", []byte("x"))),
	} {
		p := open(t, file)
		if got := left(play(p, 2)); p.source.samples() != 2000 || snr(got[:2000], 500, 0.25) < 75 {
			t.Errorf("%s: %d samples, %.1f dB", name, p.source.samples(), snr(got[:2000], 500, 0.25))
		}
	}
}

func TestFloatsAreKeptWithinBounds(t *testing.T) {
	f := wavFormat{formatFloat, 1, 48000, 32}
	got := play(open(t, wavOf(formatChunk(f), chunk("data", sampleBytes(f, []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30, 1.5})))), 1)
	if want := [5]float32{0, loudest, -loudest, loudest, 1.5}; [5]float32(got) != want {
		t.Errorf("got %v, want %v", got[:5], want)
	}
}

func TestBadWAV(t *testing.T) {
	format := func(change func(*wavFormat)) []byte {
		f := stereoWAV
		change(&f)
		return wavOf(formatChunk(f), chunk("data", make([]byte, 9600)))
	}
	good := toneFile(monoWAV, 1000, 0.5, 1000)
	frames := formatChunk(monoWAV)
	frames[8+12] = 3
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"no channel":      {format(func(f *wavFormat) { f.channels = 0 }), ErrUnsupported},
		"5.1":             {format(func(f *wavFormat) { f.channels = 6 }), ErrUnsupported},
		"8 bit":           {format(func(f *wavFormat) { f.bits = 8 }), ErrUnsupported},
		"64 bit float":    {format(func(f *wavFormat) { f.format, f.bits = formatFloat, 64 }), ErrUnsupported},
		"mu-law":          {format(func(f *wavFormat) { f.format, f.bits = 7, 8 }), ErrUnsupported},
		"MP3 in WAV":      {format(func(f *wavFormat) { f.format, f.bits = 0x55, 0 }), ErrUnsupported},
		"extensible lie":  {format(func(f *wavFormat) { f.format = formatExtensible }), ErrUnsupported},
		"4 kHz":           {format(func(f *wavFormat) { f.rate = 4000 }), ErrUnsupported},
		"0 Hz":            {format(func(f *wavFormat) { f.rate = 0 }), ErrUnsupported},
		"a GHz":           {format(func(f *wavFormat) { f.rate = 1e9 }), ErrUnsupported},
		"frame size":      {wavOf(frames, chunk("data", make([]byte, 9600))), ErrInvalid},
		"short format":    {wavOf(chunk("fmt ", make([]byte, 14)), chunk("data", make([]byte, 96))), ErrInvalid},
		"no format":       {wavOf(chunk("data", make([]byte, 9600))), ErrInvalid},
		"no samples":      {wavOf(formatChunk(monoWAV)), ErrInvalid},
		"empty":           {wavOf(formatChunk(monoWAV), chunk("data", nil)), ErrInvalid},
		"half a frame":    {wavOf(formatChunk(stereoWAV), chunk("data", make([]byte, 3))), ErrInvalid},
		"cut off":         {good[:len(good)-1], ErrInvalid},
		"cut in a header": {good[:40], ErrInvalid},
		"AVI":             {append([]byte("RIFF\x04\x00\x00\x00AVI "), make([]byte, 100)...), ErrInvalid},
	} {
		if _, err := Open(c.file, Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func ExampleOpen() {
	p, err := Open(toneFile(wavFormat{formatPCM, 1, 8000, 16}, 440, 0.5, 4000), Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	var b pcm.Block
	blocks := 0
	for p.ReadAudio(&b) {
		blocks++
	}
	fmt.Println(p.Duration(), blocks, "blocks")
	// Output: 500ms 25 blocks
}
