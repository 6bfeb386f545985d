package announce

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"tutti/codec/pcm"
)

var (
	monoWAV   = wavFormat{formatPCM, 1, 48000, 16}
	stereoWAV = wavFormat{formatPCM, 2, 48000, 16}
)

func TestChannelsFitTheRoom(t *testing.T) {
	mono, stereo := toneFile(monoWAV, 1000, 0.5, 4800), toneFile(stereoWAV, 1000, 0.5, 4800)
	one, two := play(open(t, slices.Clone(mono)), 1), play(open(t, mono), 2)
	if len(one) != 4800 || len(two) != 9600 {
		t.Fatalf("%d and %d samples", len(one), len(two))
	}
	for i, x := range one {
		if two[2*i] != x || two[2*i+1] != x {
			t.Fatalf("frame %d: mono %v became %v %v", i, x, two[2*i], two[2*i+1])
		}
	}
	down, same := play(open(t, slices.Clone(stereo)), 1), play(open(t, stereo), 2)
	for i := range down {
		if want := (same[2*i] + same[2*i+1]) / 2; down[i] != want {
			t.Fatalf("frame %d: %v, want %v", i, down[i], want)
		}
	}
	if same[24] == 0 || same[25] > -same[24]/2+1e-4 || same[25] < -same[24]/2-1e-4 {
		t.Errorf("left %v, right %v", same[24], same[25])
	}
}

func TestTheEnd(t *testing.T) {
	p := open(t, toneFile(monoWAV, 1000, 0.5, pcm.Samples+100))
	var b pcm.Block
	p.ReadAudio(&b)
	for i := range b.Data() {
		b.Data()[i] = 7
	}
	if !p.ReadAudio(&b) {
		t.Fatal("the second block is not there")
	}
	if d := b.Data(); d[99] == 0 || slices.ContainsFunc(d[100:], func(x float32) bool { return x != 0 }) {
		t.Error("the last block does not end in silence")
	}
	for i := range b.Data() {
		b.Data()[i] = 7
	}
	for range 2 {
		if p.ReadAudio(&b) || slices.ContainsFunc(b.Data(), func(x float32) bool { return x != 7 }) {
			t.Error("something is left, or the block was touched")
		}
	}
	if d := p.Duration(); d != (pcm.Samples+100)*time.Second/pcm.Rate {
		t.Errorf("%v long", d)
	}
	p.Rewind()
	if !p.ReadAudio(&b) {
		t.Error("it cannot be played again")
	}
	p.Close()
	p.Close()
	p.Rewind()
	if p.ReadAudio(&b) {
		t.Error("it plays when it is closed")
	}
}

// samples are files of every kind, for what holds of all.
func samples(t testing.TB) map[string][]byte {
	speech, err := os.ReadFile("../../assets/speech/1-english.ogg")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"wav":           toneFile(monoWAV, 440, 0.5, 5000),
		"wav 44.1":      toneFile(wavFormat{formatPCM, 2, 44100, 24}, 440, 0.5, 5000),
		"wav 192 float": toneFile(wavFormat{formatFloat, 2, 192000, 32}, 440, 0.5, 20000),
		"wav 8":         toneFile(wavFormat{formatPCM, 1, 8000, 32}, 440, 0.5, 900),
		"opus":          stream{head: opusHead(1, 312, 0), packets: encode(t, 1, 20, 32000), perPage: 255}.bytes(),
		"opus stereo":   stream{head: opusHead(2, 312, -256), packets: encode(t, 2, 20, 256000), perPage: 5}.bytes(),
		"speech":        speech,
	}
}

func TestRewindPlaysTheSameAgain(t *testing.T) {
	for name, file := range samples(t) {
		p := open(t, file)
		first := play(p, 2)
		p.Rewind()
		var b pcm.Block
		p.ReadAudio(&b)
		p.Rewind() // in the middle, too
		if again := play(p, 2); len(first) == 0 || !slices.Equal(first, again) {
			t.Errorf("%s: %d samples, then %d others", name, len(first), len(again))
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	for name, file := range samples(t) {
		for channels := 1; channels <= 2; channels++ {
			p := open(t, slices.Clone(file))
			var b pcm.Block
			b.SetChannels(channels)
			if n := testing.AllocsPerRun(50, func() {
				if !p.ReadAudio(&b) {
					p.Rewind()
				}
			}); n != 0 {
				t.Errorf("%s in %d channels: %v allocations a block", name, channels, n)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	for name, file := range samples(t) {
		length := open(t, slices.Clone(file)).Duration()
		for limits, want := range map[Limits]error{
			{Bytes: int64(len(file)), Duration: length + time.Millisecond}: nil,
			{Bytes: int64(len(file)) - 1}:                                  ErrTooLarge,
			{Duration: length - time.Millisecond}:                          ErrTooLong,
		} {
			if _, err := Open(slices.Clone(file), limits); !errors.Is(err, want) {
				t.Errorf("%s within %v: %v, want %v", name, limits, err, want)
			}
		}
	}
	// One that lies about its end is not read to it.
	long := stream{head: opusHead(1, 0, 0), packets: slices.Repeat(encode(t, 1, 1, 6000), 200), perPage: 50, end: 960}
	if _, err := Open(long.bytes(), Limits{Duration: time.Second}); !errors.Is(err, ErrTooLong) {
		t.Errorf("4 s that call themselves 20 ms: %v", err)
	}
	big := &Limits{}
	if *big = big.orDefaults(); big.Bytes != 20<<20 || big.Duration != 10*time.Minute {
		t.Errorf("%+v", big)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	for kind, code := range map[*Error]string{
		ErrInvalid: "invalid_audio", ErrUnsupported: "unsupported_audio", ErrTooLarge: "audio_too_large",
		ErrTooLong: "audio_too_long", ErrNotFound: "file_not_found",
	} {
		err := kind.because("so it is")
		var coded interface{ Code() string }
		if !errors.As(err, &coded) || coded.Code() != code || !errors.Is(err, kind) || err.Error() == kind.Error() {
			t.Errorf("%v", err)
		}
	}
	for _, garbage := range []string{"", "O", "OggS", "RIFF", "RIFFxxxxWAVE", "ID3\x04 an mp3", "<html>"} {
		if _, err := Open([]byte(garbage), Limits{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", garbage, err)
		}
	}
}
