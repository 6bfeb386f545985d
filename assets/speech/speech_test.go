package speech

import (
	"bytes"
	"math"
	"testing"
	"testing/iotest"

	"tutti/codec/opus"
	"tutti/codec/pcm"
)

func TestVoicesSpeakSentences(t *testing.T) {
	names := Names()
	if len(names) != 8 {
		t.Fatalf("there are %d voices, not 8", len(names))
	}
	total := 0
	for _, name := range names {
		v, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(v.Packets); n < 700 || n > 1500 {
			t.Errorf("%s lasts %d packets", name, n)
		}
		if n := len(v.Sentences); n < 4 || n > 8 {
			t.Errorf("%s has %d sentences: %v", name, n, v.Sentences)
		}
		checkSentences(t, v)
		for _, p := range v.Packets {
			total += len(p.Opus)
		}
	}
	if total > 1<<20 {
		t.Errorf("the voices take %d bytes, more than 1 MiB", total)
	}
}

// checkSentences checks that all the sound lies in the sentences, that they do
// not meet, and that speech is as loud as speech is.
func checkSentences(t *testing.T, v *Voice) {
	t.Helper()
	covered, end := make([]bool, len(v.Packets)), 0
	for _, s := range v.Sentences {
		if s.From < end || s.To <= s.From || s.To > len(v.Packets) {
			t.Fatalf("%s: sentence %v after %d of %d", v.Name, s, end, len(v.Packets))
		}
		end = s.To
		power := 0.0
		for i := s.From; i < s.To; i++ {
			covered[i] = true
			power += math.Pow(10, v.Packets[i].LevelDBOV/10)
		}
		if level := 10 * math.Log10(power/float64(s.To-s.From)); level < -35 || level > -12 {
			t.Errorf("%s: sentence %v has %.1f dBov", v.Name, s, level)
		}
	}
	for i, p := range v.Packets {
		if !covered[i] && p.LevelDBOV > quiet {
			t.Errorf("%s: packet %d with %.1f dBov is in no sentence", v.Name, i, p.LevelDBOV)
		}
	}
}

// The level announced is that of what a listener decodes.
func TestLevelsAreTrue(t *testing.T) {
	v, err := Load("1-english")
	if err != nil {
		t.Fatal(err)
	}
	dec, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	var b pcm.Block
	for i, p := range v.Packets {
		if _, err := dec.Decode(p.Opus, b.Data()); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, s := range b.Data() {
			sum += float64(s) * float64(s)
		}
		if want := math.Max(-127, 20*math.Log10(math.Sqrt(sum/960))); math.Abs(want-p.LevelDBOV) > 0.01 {
			t.Fatalf("packet %d is said to have %.2f dBov and has %.2f", i, p.LevelDBOV, want)
		}
	}
}

func TestSentencesArePartedByPauses(t *testing.T) {
	loud := func(n int) []Packet { return level(n, -20) }
	still := func(n int) []Packet { return level(n, -127) }
	join := func(parts ...[]Packet) (all []Packet) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		name    string
		packets []Packet
		want    []Sentence
	}{
		{"nothing", nil, nil},
		{"silence", still(100), nil},
		{"one", join(still(10), loud(50), still(30)), []Sentence{{8, 62}}},
		{"to the very end", join(still(10), loud(50)), []Sentence{{8, 60}}},
		{"a breath parts nothing", join(loud(20), still(pause-1), loud(20)), []Sentence{{0, 40 + pause - 1}}},
		{"a pause does", join(loud(20), still(pause), loud(20)), []Sentence{{0, 22}, {40, 62}}},
	} {
		got := sentences(c.packets)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, not %v", c.name, got, c.want)
			}
		}
	}
}

func level(n int, dbov float64) []Packet {
	p := make([]Packet, n)
	for i := range p {
		p[i].LevelDBOV = dbov
	}
	return p
}

func TestBrokenFilesAreErrors(t *testing.T) {
	if _, err := Load("9-nobody"); err == nil {
		t.Error("a voice that does not exist was loaded")
	}
	good, err := files.ReadFile("1-english.ogg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(iotest.ErrReader(iotest.ErrTimeout)); err == nil {
		t.Error("a file that cannot be read gave packets")
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 0x40 // the page's checksum says so
	if _, err := read(bytes.NewReader(bad)); err == nil {
		t.Error("a damaged file gave packets")
	}
}
