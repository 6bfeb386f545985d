package video

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"tutti/codec/i420"
	"tutti/mixer/layout"
	"tutti/mixer/overlay"
)

var update = flag.Bool("update", false, "write the golden pictures anew")

// cjk is the font that the golden pictures are set in.
const cjk = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"

func painter(t testing.TB) *overlay.Painter {
	t.Helper()
	p, err := overlay.New(overlay.Config{Fonts: []string{cjk}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if missing := p.Skipped(); len(missing) > 0 {
		t.Fatalf("%v\nThis test needs the Noto CJK fonts: `make test` installs them, or: apt-get install fonts-noto-cjk", missing)
	}
	return p
}

// people are who sits in the golden rooms; who has no card has no camera.
var people = []struct {
	name   string
	camera bool
	muted  bool
}{
	{"Amélie Laurent", true, false},
	{"김민수", true, false},
	{"王小明", false, true},
	{"さくら 田中", true, false},
	{"Jonathan Featherstonehaugh-Cholmondeley of Woodhall", true, true},
	{"李娜", false, false},
	{"Zoë", true, false},
	{"박서연", false, false},
	{"Ōe Kenzaburō", false, false},
	{"山田 太郎", true, false},
	{"Łukasz Nowak", true, false},
	{"최지우", true, true},
	{"Ada Lovelace", false, false},
	{"陳大文", true, false},
	{"Jürgen Groß", true, false},
	{"Nguyễn Ánh", false, false},
}

func TestGolden(t *testing.T) {
	p := painter(t)
	for _, name := range []string{layout.Grid, layout.Speaker, layout.Auto} {
		for _, n := range []int{1, 2, 3, 4, 5, 9, 16} {
			t.Run(fmt.Sprintf("%s_%02d", name, n), func(t *testing.T) {
				got := scene(p, image.Pt(640, 360), name, n, n)
				defer got.Release()
				golden(t, fmt.Sprintf("%s_%02d", name, n), got)
			})
		}
	}
	t.Run("empty", func(t *testing.T) {
		got := scene(p, image.Pt(640, 360), layout.Grid, 0, 0)
		defer got.Release()
		golden(t, "empty", got)
	})
	t.Run("grid_tall", func(t *testing.T) {
		got := scene(p, image.Pt(360, 640), layout.Grid, 5, 1)
		defer got.Release()
		golden(t, "grid_tall", got)
	})
}

// scene composes a room of n people; the speaking one is chosen from turn. In
// the layout auto the second seat shares a screen.
func scene(p *overlay.Painter, canvas image.Point, name string, n, turn int) *i420.Frame {
	seats := make([]layout.Seat, n)
	for i := range seats {
		seats[i] = layout.Seat{ID: fmt.Sprint("seat", i), Screen: name == layout.Auto && i == 1}
	}
	speaker := ""
	if n > 0 {
		speaker = seats[turn/2%n].ID
	}
	c := New(Config{Canvas: canvas, Painter: p})
	defer c.Close()
	var tiles []Tile
	for _, place := range layout.Place(layout.Layout{Name: name}, canvas, seats, speaker) {
		who := people[number(place.Seat)]
		tiles = append(tiles, Tile{Tile: place, Name: who.name, Muted: who.muted, Speaking: place.Seat == speaker && n > 1})
	}
	c.SetTiles(tiles)
	for _, tile := range tiles {
		i := number(tile.Seat)
		if size := tile.Rect.Size(); seats[i].Screen {
			c.Update(tile.Seat, slides(size))
		} else if people[i].camera {
			c.Update(tile.Seat, portrait(size, i))
		}
	}
	f, _ := c.Compose()
	return f
}

func number(seat string) (n int) {
	if _, err := fmt.Sscanf(seat, "seat%d", &n); err != nil {
		panic(err)
	}
	return n
}

// portrait is what a camera might send: somebody before a wall and a window.
func portrait(size image.Point, i int) *i420.Frame {
	walls := []color.RGBA{{214, 205, 190, 255}, {150, 170, 178, 255}, {188, 160, 140, 255}, {120, 132, 150, 255}, {200, 200, 205, 255}}
	coats := []color.RGBA{{40, 62, 92, 255}, {120, 52, 56, 255}, {52, 88, 72, 255}, {70, 60, 90, 255}}
	f := i420.New(size.X, size.Y)
	w, h := size.X, size.Y
	f.Fill(walls[i%len(walls)])
	f.FillRect(image.Rect(w/12+i*7%(w/3), h/10, w/12+i*7%(w/3)+w/5, h/2), color.RGBA{236, 242, 246, 255})
	disc := func(cx, cy, rx, ry int, c color.Color) {
		for y := max(0, cy-ry) &^ 1; y < min(h, cy+ry); y += 2 {
			for x := max(0, cx-rx) &^ 1; x < min(w, cx+rx); x += 2 {
				if dx, dy := float64(x-cx)/float64(rx), float64(y-cy)/float64(ry); dx*dx+dy*dy < 1 {
					f.FillRect(image.Rect(x, y, x+2, y+2), c)
				}
			}
		}
	}
	disc(w/2, h*21/20, h*2/5, h*7/20, coats[i%len(coats)])
	disc(w/2, h*9/20, h*4/25, h/5, color.RGBA{byte(230 - i*9%80), byte(190 - i*9%80), byte(160 - i*9%80), 255})
	disc(w/2, h*3/10, h*17/100, h/9, color.RGBA{byte(40 + i*31%90), byte(30 + i*17%50), 28, 255})
	return f
}

// slides is what a shared screen might show.
func slides(size image.Point) *i420.Frame {
	f := i420.New(size.X, size.Y)
	f.Fill(color.Black)
	h := size.X * 9 / 16 &^ 1
	top := (size.Y - h) / 2 &^ 1
	f.FillRect(image.Rect(0, top, size.X, top+h), color.White)
	f.FillRect(image.Rect(0, top, size.X, top+h/7), color.RGBA{60, 80, 180, 255})
	for i := range 5 {
		x, y := size.X/10+i*size.X/6, top+h*9/10
		f.FillRect(image.Rect(x, y-h*(i+2)/10, x+size.X/9, y), color.RGBA{90, 140, 220, 255})
	}
	return f
}

// golden compares got with a picture in testdata, with room for another
// version of the font or of the rasterizer: 0.6 on average and 96 in any
// component of any pixel, of 255. Both are left behind where they differ.
func golden(t *testing.T, name string, got *i420.Frame) {
	t.Helper()
	const meanMost, anyMost = 0.6, 96
	file := filepath.Join("testdata", "golden", name+".png")
	if *update {
		write(t, file, got.RGBA())
		return
	}
	r, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v: go test ./mixer/video -run TestGolden -update makes it; look at it then", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	m, err := png.Decode(r)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	mean, most := difference(m, got.RGBA())
	if mean > meanMost || most > anyMost {
		t.Errorf("%s differs by %.2f on average and %d at most; allowed are %.1f and %d; see testdata/golden/actual_%s.png",
			name, mean, most, meanMost, anyMost, name)
		write(t, filepath.Join("testdata", "golden", "actual_"+name+".png"), got.RGBA())
		write(t, filepath.Join("testdata", "golden", "expected_"+name+".png"), m)
	}
}

// difference answers how far two pictures are apart, 255 if not of one size.
func difference(a, b image.Image) (mean float64, most int) {
	if a.Bounds() != b.Bounds() {
		return 255, 255
	}
	sum, r := 0, a.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p, q := color.RGBAModel.Convert(a.At(x, y)).(color.RGBA), color.RGBAModel.Convert(b.At(x, y)).(color.RGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				d = max(d, -d)
				sum, most = sum+d, max(most, d)
			}
		}
	}
	return float64(sum) / float64(3*r.Dx()*r.Dy()), most
}

func write(t *testing.T, file string, m image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := errors.Join(e.Encode(w, m), w.Close()); err != nil {
		t.Fatal(err)
	}
}
