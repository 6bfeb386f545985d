package arch

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// below says what the packages below a folder may not import. A path stands
// for itself and all below it; "!" before it makes an exception.
type below struct {
	dir    string
	never  []string
	tests  bool // holds for test files too
	reason string
}

var directions = []below{
	{"codec", []string{"tutti/mixer", "tutti/transport", "tutti/api", "tutti/assets"}, false, "codecs know nobody"},
	{"codec", []string{"net", "log", "github.com/pion", "github.com/labstack"}, false, "codecs turn bytes into media, nothing else"},
	{"codec/opus", []string{"os"}, false, "codecs know no files"},
	{"codec/yuv", []string{"os"}, false, "codecs know no files"}, // codec/vpx waits for its thread by an event's file
	{"codec/pcm", []string{"C"}, true, "raw sound is pure Go"},
	{"codec/i420", []string{"C"}, true, "raw pictures are pure Go"},
	{
		"mixer",
		[]string{"tutti", "!tutti/mixer", "!tutti/codec", "tutti/codec/opus", "tutti/codec/vpx", "tutti/codec/yuv", "C"},
		true, "the mixer works on raw media and needs no codec library",
	},
	{"mixer", []string{"net", "github.com/pion", "github.com/labstack"}, true, "the mixer knows no network"},
	{"mixer/layout", []string{"tutti", "!tutti/mixer/layout", "!tutti/codec/i420"}, true, "a layout is geometry alone"},
	{"transport", []string{"tutti/api", "tutti/assets", "github.com/labstack"}, true, "transports and the API never meet but in cmd"},
	{"api", []string{"tutti/transport", "tutti/assets", "github.com/pion"}, true, "the API and transports never meet but in cmd"},
	{"assets", []string{"tutti", "!tutti/assets", "!tutti/codec"}, true, "assets are leaves"},
	{"", []string{"tutti/bench", "tutti/cmd"}, true, "cmd and bench are the top"},
}

// exempt may import anything of the project.
var exempt = []string{"cmd", "bench"}

func within(path, dir string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir+"/")
}

// forbidden reports whether the last entry that an import falls under forbids
// it.
func forbidden(imported string, never []string) bool {
	bad := false
	for _, n := range never {
		if allowed, exception := strings.CutPrefix(n, "!"); exception && within(imported, allowed) {
			bad = false
		} else if within(imported, n) {
			bad = true
		}
	}
	return bad
}

// imports answers what a file imports against the directions.
func imports(s *source, rules []below) (complaints []string) {
	for _, e := range exempt {
		if within(s.dir(), e) {
			return nil
		}
	}
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // it was parsed
		}
		for _, r := range rules {
			if within(s.dir(), r.dir) && (r.tests || !s.test()) && forbidden(imported, r.never) {
				complaints = append(complaints, fmt.Sprintf("%s:%d imports %s: %s", s.path, s.line(spec.Pos()), imported, r.reason))
			}
		}
	}
	return complaints
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t) {
		for _, c := range imports(s, directions) {
			t.Error(c)
		}
	}
}

func TestImportDirectionIsHeld(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		bad            bool
	}{
		{"mixer/audio/mix.go", "tutti/codec/pcm", false},
		{"mixer/audio/mix.go", "tutti/codec", false},
		{"mixer/audio/mix.go", "tutti/mixer/layout", false},
		{"mixer/audio/mix.go", "tutti/codec/opus", true},
		{"mixer/audio/mix_test.go", "tutti/codec/opus", true},
		{"mixer/room.go", "net/http", true},
		{"mixer/room.go", "net", true},
		{"mixer/room.go", "github.com/pion/rtp", true},
		{"mixer/room.go", "tutti/transport/jitter", true},
		{"mixer/layout/grid.go", "tutti/mixer", true},
		{"api/rooms.go", "tutti/transport/rtc", true},
		{"api/rooms.go", "tutti/mixer", false},
		{"api/auth/key.go", "tutti/cmd/internal/demo", true},
		{"transport/rtc/peer.go", "tutti/api", true},
		{"transport/rtc/peer.go", "tutti/apiary", false},
		{"codec/opus/opus.go", "log/slog", true},
		{"codec/opus/opus.go", "os", true},
		{"codec/opus/opus_test.go", "github.com/pion/opus", false},
		{"codec/opus/opus.go", "github.com/pion/opus", true},
		{"codec/pcm/pcm.go", "C", true},
		{"codec/vpx/vpx.go", "C", false},
		{"assets/speech/speech.go", "tutti/codec/opus", false},
		{"assets/speech/speech.go", "tutti/mixer", true},
		{"cmd/tutti/wire.go", "tutti/transport/rtc", false},
		{"bench/main.go", "tutti/transport/rtc", false},
	} {
		s := parse(t, c.file, []byte("package p\nimport _ "+strconv.Quote(c.imported)+"\n"))
		if got := len(imports(s, directions)) > 0; got != c.bad {
			t.Errorf("%s imports %s: complaint %v, not %v", c.file, c.imported, got, c.bad)
		}
	}
}
