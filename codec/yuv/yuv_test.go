package yuv

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"tutti/codec/i420"
)

// waves paints a picture that no crop, shift, flip or swap of planes leaves
// like it was, yet smooth enough that all honest filters agree on it.
func waves(f *i420.Frame) {
	for y := range f.Height {
		for x := range f.Width {
			f.Y[y*f.StrideY+x] = byte(126 + 50*math.Sin(float64(x)/12) + 40*math.Cos(float64(y)/9))
		}
	}
	for y := range f.Height / 2 {
		for x := range f.Width / 2 {
			f.U[y*f.StrideC+x] = byte(128 + 60*math.Sin(float64(x+2*y)/30))
			f.V[y*f.StrideC+x] = byte(128 + 60*math.Cos(float64(2*x-y)/28))
		}
	}
}

// plane is one plane's samples as the slow scaler sees them.
type plane struct {
	pix          []byte
	stride, w, h int
}

// at answers the sample at a point, in between by the four around it, beyond
// the edges the nearest.
func (p plane) at(x, y float64) float64 {
	x, y = min(max(x, 0), float64(p.w-1)), min(max(y, 0), float64(p.h-1))
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, p.w-1), min(y0+1, p.h-1)
	fx, fy := x-float64(x0), y-float64(y0)
	px := func(x, y int) float64 { return float64(p.pix[y*p.stride+x]) }
	return (px(x0, y0)*(1-fx)+px(x1, y0)*fx)*(1-fy) + (px(x0, y1)*(1-fx)+px(x1, y1)*fx)*fy
}

// slowScale draws the part from of src onto the part to of dst, sample by
// sample: each is the mean of a 4x4 grid of points over what it covers.
func slowScale(dst plane, to image.Rectangle, src plane, from image.Rectangle) {
	kx, ky := float64(from.Dx())/float64(to.Dx()), float64(from.Dy())/float64(to.Dy())
	for y := range to.Dy() {
		for x := range to.Dx() {
			var sum float64
			for i := range 16 {
				px, py := float64(x)+(float64(i%4)+0.5)/4, float64(y)+(float64(i/4)+0.5)/4
				sum += src.at(float64(from.Min.X)+px*kx-0.5, float64(from.Min.Y)+py*ky-0.5)
			}
			dst.pix[(to.Min.Y+y)*dst.stride+to.Min.X+x] = byte(sum/16 + 0.5)
		}
	}
}

func half(r image.Rectangle) image.Rectangle {
	return image.Rect(r.Min.X/2, r.Min.Y/2, (r.Max.X+1)/2, (r.Max.Y+1)/2)
}

// slow is ScaleInto, the slow and obvious way.
func slow(dst *i420.Frame, area image.Rectangle, src *i420.Frame, fit i420.Fit) {
	from, to := Place(src.Width, src.Height, area.Dx(), area.Dy(), fit)
	to = to.Add(area.Min)
	dst.FillRect(area, color.Black)
	luma := func(f *i420.Frame) plane { return plane{f.Y, f.StrideY, f.Width, f.Height} }
	chroma := func(f *i420.Frame, b []byte) plane { return plane{b, f.StrideC, f.Width / 2, f.Height / 2} }
	slowScale(luma(dst), to, luma(src), from)
	slowScale(chroma(dst, dst.U), half(to), chroma(src, src.U), half(from))
	slowScale(chroma(dst, dst.V), half(to), chroma(src, src.V), half(from))
}

// compare answers the mean and the largest difference of two planes.
func compare(a, b []byte) (mean float64, largest int) {
	for i := range a {
		d := int(a[i]) - int(b[i])
		mean += math.Abs(float64(d))
		largest = max(largest, d, -d)
	}
	return mean / float64(len(a)), largest
}

func TestScaleAgainstTheSlowWay(t *testing.T) {
	sizes := [][2]int{{320, 180}, {214, 120}, {160, 90}, {88, 72}, {90, 160}}
	for _, s := range sizes {
		src := i420.New(s[0], s[1])
		waves(src)
		for _, d := range sizes {
			for _, fit := range []i420.Fit{i420.Cover, i420.Contain, i420.Fill} {
				name := fmt.Sprintf("%dx%d to %dx%d fit %d", s[0], s[1], d[0], d[1], fit)
				t.Run(name, func(t *testing.T) { againstSlow(t, src, d[0], d[1], fit) })
			}
		}
	}
}

// againstSlow scales src into the middle of a canvas in both ways. The canvas
// around the area must come out as it went in.
func againstSlow(t *testing.T, src *i420.Frame, w, h int, fit i420.Fit) {
	got, want := i420.New(w+20, h+12), i420.New(w+20, h+12)
	got.Fill(color.RGBA{200, 30, 90, 255})
	want.Fill(color.RGBA{200, 30, 90, 255})
	area := image.Rect(8, 6, 8+w, 6+h)
	if err := ScaleInto(got, area, src, fit); err != nil {
		t.Fatal(err)
	}
	slow(want, area, src, fit)
	for i, p := range [][2][]byte{{got.Y, want.Y}, {got.U, want.U}, {got.V, want.V}} {
		// libyuv grows a picture from corner to corner, not from the middles of
		// the corner pixels, and its boxes end on whole source pixels. Both move
		// a sample by up to one source pixel, which is 8 steps of luma here and 6
		// of chroma.
		if mean, largest := compare(p[0], p[1]); mean > 1.5 || largest > 8 {
			t.Errorf("plane %d: differs by %.2f, at most by %d", i, mean, largest)
		}
	}
	outside(t, got, want, area)
}

// outside checks that got equals want, to the byte, outside area.
func outside(t *testing.T, got, want *i420.Frame, area image.Rectangle) {
	t.Helper()
	for y := range got.Height {
		for x := range got.Width {
			if (image.Point{X: x, Y: y}).In(area) {
				continue
			}
			if got.At(x, y) != want.At(x, y) {
				t.Fatalf("touched %d,%d outside of %v", x, y, area)
			}
		}
	}
}

// TestScaleAverages shrinks fine stripes: what takes single samples instead of
// their mean makes stripes or flicker of them.
func TestScaleAverages(t *testing.T) {
	src := i420.New(320, 192)
	for i := range src.Y {
		src.Y[i] = byte(50 + 150*(i&1))
	}
	for _, by := range []int{2, 4, 8} {
		dst := i420.New(320/by, 192/by)
		if err := Scale(dst, src, i420.Fill); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst.Y {
			if v < 122 || v > 128 {
				t.Fatalf("shrunk to 1/%d: sample %d is %d, want 125", by, i, v)
			}
		}
	}
}

func TestScaleOfTheSameSizeCopies(t *testing.T) {
	src, dst := i420.New(322, 182), i420.New(322, 182)
	waves(src)
	if err := Scale(dst, src, i420.Cover); err != nil {
		t.Fatal(err)
	}
	for i, p := range [][2][]byte{{src.Y, dst.Y}, {src.U, dst.U}, {src.V, dst.V}} {
		if _, largest := compare(p[0], p[1]); largest != 0 {
			t.Errorf("plane %d differs by %d", i, largest)
		}
	}
}

// TestScaleLeavesTheMargins lends planes that are wider than the picture: what
// lies between the rows is not the scaler's.
func TestScaleLeavesTheMargins(t *testing.T) {
	big := i420.New(200, 120)
	big.Fill(color.White)
	part := &i420.Frame{
		Width: 100, Height: 60, StrideY: big.StrideY, StrideC: big.StrideC,
		Y: big.Y[: 59*big.StrideY+100 : 59*big.StrideY+100],
		U: big.U[: 29*big.StrideC+50 : 29*big.StrideC+50],
		V: big.V[: 29*big.StrideC+50 : 29*big.StrideC+50],
	}
	src := i420.New(90, 90)
	src.Fill(color.RGBA{0, 0, 255, 255})
	want := i420.New(200, 120)
	want.Fill(color.White)
	if err := Scale(part, src, i420.Contain); err != nil {
		t.Fatal(err)
	}
	outside(t, big, want, image.Rect(0, 0, 100, 60))
	if c := big.At(50, 30); c.B < 200 || c.R > 60 {
		t.Errorf("nothing drawn: %v", c)
	}
	if c := big.At(2, 30); c != (color.RGBA{0, 0, 0, 255}) {
		t.Errorf("bar is %v", c)
	}
}

func TestScaleRefuses(t *testing.T) {
	good, src := i420.New(64, 64), i420.New(32, 32)
	short := &i420.Frame{Width: 64, Height: 64, StrideY: 64, StrideC: 32, Y: make([]byte, 64*64), U: make([]byte, 32*32), V: make([]byte, 32*32-1)}
	narrow := &i420.Frame{Width: 64, Height: 64, StrideY: 32, StrideC: 32, Y: make([]byte, 64*64), U: make([]byte, 32*32), V: make([]byte, 32*32)}
	odd := &i420.Frame{Width: 63, Height: 64, StrideY: 64, StrideC: 32, Y: make([]byte, 64*64), U: make([]byte, 32*32), V: make([]byte, 32*32)}
	for i, f := range []*i420.Frame{nil, {}, short, narrow, odd} {
		if err := Scale(f, src, i420.Fill); !errors.Is(err, ErrFrame) {
			t.Errorf("destination %d: %v", i, err)
		}
		if err := Scale(good, f, i420.Fill); !errors.Is(err, ErrFrame) {
			t.Errorf("source %d: %v", i, err)
		}
	}
	for _, r := range []image.Rectangle{{}, image.Rect(1, 0, 11, 10), image.Rect(0, 0, 66, 64), image.Rect(-2, 0, 10, 10)} {
		if err := ScaleInto(good, r, src, i420.Fill); !errors.Is(err, ErrArea) {
			t.Errorf("area %v: %v", r, err)
		}
	}
}

func TestScaleAllocatesNothing(t *testing.T) {
	src, dst := i420.New(640, 360), i420.New(320, 320)
	if n := testing.AllocsPerRun(20, func() {
		if err := Scale(dst, src, i420.Contain); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestVersion(t *testing.T) {
	if Version() == "" || Version() == "0" {
		t.Errorf("version %q", Version())
	}
}

// BenchmarkScale is the work of one camera in a grid of four and of nine.
func BenchmarkScale(b *testing.B) {
	src := i420.New(640, 360)
	waves(src)
	for _, s := range [][2]int{{640, 360}, {426, 240}, {320, 180}} {
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			dst := i420.New(s[0], s[1])
			for b.Loop() {
				if err := Scale(dst, src, i420.Cover); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
