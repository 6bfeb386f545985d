package overlay

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/gofont/goregular"

	"tutti/codec/i420"
)

const cjk = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"

const needsNoto = "this test needs the Noto CJK fonts: `make test` installs them, or: apt-get install fonts-noto-cjk"

func painter(t testing.TB, fonts ...string) *Painter {
	t.Helper()
	p, err := New(Config{Fonts: fonts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func notoPainter(t testing.TB) *Painter {
	t.Helper()
	p := painter(t, cjk)
	if missing := p.Skipped(); len(missing) > 0 {
		t.Fatalf("%v\n%s", missing, needsNoto)
	}
	return p
}

func TestEveryScriptHasGlyphs(t *testing.T) {
	p := notoPainter(t)
	for _, text := range []string{"Amélie Łukasz Zoë", "김민수", "王小明陳", "さくらタカシ山田", "Nguyễn Ánh", "ㄱㅏ"} {
		for _, r := range strings.ReplaceAll(text, " ", "") {
			if f, i := p.text.find(nil, r, regionOf(text)); f == nil || i == 0 {
				t.Errorf("%q of %q has no glyph", r, text)
			}
		}
		if b := p.Label(text, false, image.Pt(640, 360)); !inked(b) {
			t.Errorf("the label of %q has no letters", text)
		}
	}
}

// inked reports whether there is something bright in b.
func inked(b *Bitmap) bool {
	n := 0
	for i, y := range b.y {
		if y > 200 && b.a[i] > 200 {
			n++
		}
	}
	return n > 20
}

func TestHanCharactersAreWrittenAsInTheirCountry(t *testing.T) {
	p := notoPainter(t)
	seen := map[string]string{}
	for _, text := range []string{"直", "直の", "直김"} {
		f, _ := p.text.find(nil, '直', regionOf(text))
		name, err := f.Name(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		seen[text] = name
	}
	want := map[string]string{"直": "Noto Sans CJK SC", "直の": "Noto Sans CJK JP", "直김": "Noto Sans CJK KR"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestFontsAreAskedInTheirOrder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "latin.ttf")
	if err := os.WriteFile(file, goregular.TTF, 0o600); err != nil {
		t.Fatal(err)
	}
	p := painter(t, file, cjk)
	first, _ := p.text.find(nil, 'A', "")
	if first != p.text[0].fonts[""] {
		t.Error("A does not come from the first font, which has it")
	}
	if hangul, _ := p.text.find(nil, '김', "KR"); hangul == nil || hangul != p.text[1].fonts["KR"] {
		t.Error("김 does not come from the second font, the first to have it; ", needsNoto)
	}
}

func TestFontsThatCannotBeUsedAreSkipped(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.ttf")
	if err := os.WriteFile(bad, []byte("no font"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := painter(t, filepath.Join(dir, "gone.ttf"), bad)
	if s := p.Skipped(); len(s) != 2 || !os.IsNotExist(unwrap(s[0])) || !strings.Contains(s[1].Error(), "bad.ttf") {
		t.Errorf("skipped %v, want gone.ttf and bad.ttf", s)
	}
	if !inked(p.Label("Amélie", false, image.Pt(640, 360))) {
		t.Error("the embedded font drew nothing")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("the second close: %v", err)
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

// meter counts what is read.
type meter struct {
	r    io.ReaderAt
	read int64
}

func (m *meter) ReadAt(b []byte, off int64) (int, error) {
	n, err := m.r.ReadAt(b, off)
	m.read += int64(n)
	return n, err
}

func TestLargeFontIsNotReadAsAWhole(t *testing.T) {
	f, err := os.Open(cjk)
	if err != nil {
		t.Fatalf("%v\n%s", err, needsNoto)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{r: f}
	file, err := parseFontFile(m)
	if err != nil {
		t.Fatal(err)
	}
	chain{file}.set("김민수 王小明", 20, 1000)
	if m.read > info.Size()/2 {
		t.Errorf("%d of %d bytes were read for a label", m.read, info.Size())
	}
}

func TestLabelFitsItsTile(t *testing.T) {
	p := notoPainter(t)
	long := strings.Repeat("Jonathan Featherstonehaugh 김민수 ", 8)
	for _, tile := range []image.Point{{1280, 720}, {640, 360}, {320, 180}, {160, 90}, {182, 102}, {90, 160}, {44, 24}, {720, 540}} {
		for _, muted := range []bool{false, true} {
			b := p.Label(long, muted, tile)
			if b.Width > tile.X-2*Inset(tile.Y) || b.Height > tile.Y-2*Inset(tile.Y) {
				t.Errorf("label of %dx%d in a tile of %v", b.Width, b.Height, tile)
			}
			if b.Width&1 != 0 || b.Height&1 != 0 {
				t.Errorf("odd label of %dx%d", b.Width, b.Height)
			}
			if tile.X >= 160 && b.Width < tile.X*3/4 {
				t.Errorf("a long name has only %d of %d pixels", b.Width, tile.X)
			}
		}
	}
	if short, long := p.Label("Zoë", false, image.Pt(640, 360)), p.Label("Zoë Zoë", false, image.Pt(640, 360)); short.Width >= long.Width {
		t.Error("a label is not as wide as its name")
	}
}

func TestLabelGrowsWithItsTile(t *testing.T) {
	p := painter(t)
	last := 0
	for _, h := range []int{90, 180, 360, 720} {
		b := p.Label("Zoë", false, image.Pt(h*16/9, h))
		if b.Height <= last || b.Height < 16 || b.Height*4 > h {
			t.Errorf("a tile of %d lines has a label of %d", h, b.Height)
		}
		last = b.Height
	}
	for _, size := range []image.Point{{30, 14}, {2, 2}, {10, 720}} {
		if b := p.Label("Zoë", true, size); b.Width > size.X || b.Height > size.Y {
			t.Errorf("a tile of %v has a label of %dx%d", size, b.Width, b.Height)
		}
	}
}

func TestLabelOfNothingIsEmpty(t *testing.T) {
	p := painter(t)
	for _, text := range []string{"", " \n\t", "\x00\x07", "🎉"} {
		if b := p.Label(text, false, image.Pt(640, 360)); b.Width != 0 {
			t.Errorf("%q has a label of %d pixels", text, b.Width)
		}
	}
	muted := p.Label("", true, image.Pt(640, 360))
	if muted.Width == 0 || muted.Width != muted.Height {
		t.Errorf("who is muted without a name has a badge of %dx%d", muted.Width, muted.Height)
	}
	if a, b := p.Label("Zoë", false, image.Pt(640, 360)), p.Label("Zoë", true, image.Pt(640, 360)); b.Width <= a.Width {
		t.Error("a muted label has no microphone")
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"  a \n b\t\tc ": "a b c",
		"a\x00\u200db":   "ab",
		"\xff":           "\uFFFD",
		"\u202eabc":      "abc",
		"\x00 a":         "a",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
	if n := len([]rune(clean(strings.Repeat("é", 5000)))); n != textMost {
		t.Errorf("%d runes are left of 5000", n)
	}
}

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{
		"Amélie Laurent":       "AL",
		"zoë":                  "Z",
		"Ada King of Lovelace": "AL",
		"(guest) bob":          "GB",
		"Jean-Luc":             "JL",
		"김민수":                  "민수",
		"김 민수":                 "민수",
		"이준":                   "이준",
		"王小明":                  "小明",
		"李娜":                   "李娜",
		"山田 太郎":                "山田",
		"さくら":                  "さく",
		"さくら 田中":               "さく",
		"山":                    "山",
		"7 of 9":               "79",
		"🎉":                    "",
		"":                     "",
		"...":                  "",
	} {
		if got := Initials(name); got != want {
			t.Errorf("Initials(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestPlaceholder(t *testing.T) {
	p := notoPainter(t)
	draw := func(name, seed string, w, h int) *i420.Frame {
		f := noisyFrame(1, w, h)
		p.Placeholder(f, name, seed)
		return f
	}
	a, again, other := draw("Zoë", "z", 320, 180), draw("Zoë", "z", 320, 180), draw("Zoë", "b", 320, 180)
	if string(a.Y) != string(again.Y) || string(a.U) != string(again.U) {
		t.Error("the same name looks different the second time")
	}
	if a.At(0, 0) == other.At(0, 0) {
		t.Error("another seed has the same ground")
	}
	if corner, disc := a.At(2, 2), a.At(160-30, 90); luma(disc) < luma(corner)+30 {
		t.Errorf("the circle %v does not stand out from the ground %v", disc, corner)
	}
	if b := draw("김민수", "z", 320, 180); string(b.Y) == string(a.Y) {
		t.Error("another name has the same initials")
	}
	for _, size := range []image.Point{{2, 2}, {16, 12}, {182, 102}, {90, 320}} {
		draw("Zoë", "z", size.X, size.Y)
		draw("", "z", size.X, size.Y)
	}
	nameless := draw("", "z", 320, 180)
	if luma(nameless.At(160, 76)) < 180 {
		t.Errorf("who has no name has no figure: %v", nameless.At(160, 76))
	}
}

func luma(c color.RGBA) int { return (int(c.R)*3 + int(c.G)*6 + int(c.B)) / 10 }

func TestPlaceholderColoursCanBeRead(t *testing.T) {
	for hue := 0.0; hue < 360; hue += 15 {
		ground, disc, text := oklch(0.29, 0.035, hue), oklch(0.54, 0.105, hue), oklch(0.97, 0.015, hue)
		if luma(ground) > 60 || luma(disc)-luma(ground) < 40 || luma(text)-luma(disc) < 90 {
			t.Errorf("hue %v: ground %v, circle %v, text %v", hue, ground, disc, text)
		}
	}
	if got := oklch(1, 0, 0); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("lightness 1 is %v", got)
	}
	// sRGB red in Oklch, by its definition.
	if got := oklch(0.62796, 0.25768, 29.234); abs(int(got.R)-255) > 1 || got.G > 2 || got.B > 2 {
		t.Errorf("red is %v", got)
	}
}

func TestSlateIsSeenOnAnyGround(t *testing.T) {
	p := painter(t)
	for _, ground := range []color.RGBA{{16, 20, 24, 255}, {250, 250, 245, 255}} {
		for _, size := range []image.Point{{1280, 720}, {160, 90}, {360, 640}} {
			f := i420.New(size.X, size.Y)
			f.Fill(ground)
			before := slices.Clone(f.Y)
			p.Slate(f, "Nobody is here yet")
			seen := 0
			for i := range f.Y {
				if abs(int(f.Y[i])-int(before[i])) > 60 {
					seen++
				}
			}
			if seen*200 < len(f.Y) || seen*5 > len(f.Y) {
				t.Errorf("%d of %d pixels of a slate on %v stand out", seen, len(f.Y), ground)
			}
		}
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	p, err := New(Config{CacheBytes: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	tile := image.Pt(320, 180)
	first := p.Label("used", false, tile)
	for i := range 2000 {
		p.Label(fmt.Sprint("guest ", i), false, tile)
		p.Label(strings.Repeat(" ", i), false, tile) // empty ones count too
		if p.Label("used", false, tile) != first {
			t.Fatalf("what is used again and again was drawn anew after %d others", i)
		}
	}
	held := 0
	for e := p.cache.order.Front(); e != nil; e = e.Next() {
		held += e.Value.(*entry).key.bytes(e.Value.(*entry).bitmap)
	}
	if held != p.cache.bytes || held > 200_000 || len(p.cache.at) != p.cache.order.Len() || held < 100_000 {
		t.Errorf("%d bytes in %d entries, %d counted, at most 200000", held, len(p.cache.at), p.cache.bytes)
	}
}

func TestPainterIsSharedByRooms(t *testing.T) {
	p := painter(t)
	var wg sync.WaitGroup
	for room := range 4 {
		wg.Go(func() {
			f := i420.New(160, 90)
			for i := range 40 {
				name := fmt.Sprint("guest ", (i+room)%7)
				p.Label(name, i%2 == 0, image.Pt(160, 90)).Draw(f, 4, 70)
				p.Placeholder(f, name, name)
			}
		})
	}
	wg.Wait()
}

// FuzzLabel draws whatever somebody calls himself.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"Zoë", "김민수", "王小明 さくら", "\xff\xfe", "a\u0301\u200d🎉", "\u202e\u0000", strings.Repeat("W", 300), "مرحبا"} {
		f.Add(s, uint16(320), uint16(180))
	}
	f.Add("x", uint16(2), uint16(0))
	p := painter(f, cjk)
	f.Fuzz(func(t *testing.T, text string, w, h uint16) {
		tile := image.Pt(int(w%2000)&^1, int(h%2000)&^1)
		for _, muted := range []bool{false, true} {
			b := p.Label(text, muted, tile)
			if b.Width > tile.X || b.Height > tile.Y {
				t.Fatalf("label of %dx%d in a tile of %v", b.Width, b.Height, tile)
			}
		}
		if n := len([]rune(Initials(text))); n > 2 {
			t.Fatalf("%d initials", n)
		}
		p.Placeholder(i420.New(64, 36), text, text)
	})
}
