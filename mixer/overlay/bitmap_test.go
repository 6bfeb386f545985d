package overlay

import (
	"image"
	"image/color"
	"math"
	"testing"

	"pgregory.net/rapid"

	"tutti/codec/i420"
)

// drawSlowly blends as the definition says, in floating point, pixel by pixel.
func drawSlowly(b *Bitmap, dst *i420.Frame, x, y int) {
	x, y = x&^1, y&^1
	mix := func(d *byte, s, a byte) {
		*d = byte(math.Round(float64(*d)*(1-float64(a)/255) + float64(s)*float64(a)/255))
	}
	for py := range b.Height {
		for px := range b.Width {
			dx, dy := x+px, y+py
			if dx < 0 || dy < 0 || dx >= dst.Width || dy >= dst.Height {
				continue
			}
			mix(&dst.Y[dy*dst.StrideY+dx], b.y[py*b.Width+px], b.a[py*b.Width+px])
			if px%2 == 0 && py%2 == 0 {
				s, d := py/2*(b.Width/2)+px/2, dy/2*dst.StrideC+dx/2
				mix(&dst.U[d], b.u[s], b.ac[s])
				mix(&dst.V[d], b.v[s], b.ac[s])
			}
		}
	}
}

func noise(seed uint32, b []byte) {
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
}

func noisyFrame(seed uint32, w, h int) *i420.Frame {
	f := i420.New(w, h)
	noise(seed, f.Y)
	noise(seed+1, f.U)
	noise(seed+2, f.V)
	return f
}

func TestDrawEqualsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 20)
		w, h, seed := size.Draw(t, "w")&^1, size.Draw(t, "h")&^1, rapid.Uint32().Draw(t, "seed")
		b := &Bitmap{
			Width: w, Height: h, y: make([]byte, w*h), a: make([]byte, w*h),
			u: make([]byte, w*h/4), v: make([]byte, w*h/4), ac: make([]byte, w*h/4),
		}
		for i, plane := range [][]byte{b.y, b.a, b.u, b.v, b.ac} {
			noise(seed+uint32(i), plane)
		}
		x, y := rapid.IntRange(-24, 24).Draw(t, "x"), rapid.IntRange(-24, 24).Draw(t, "y")
		got, want := noisyFrame(seed, 24, 16), noisyFrame(seed, 24, 16)
		b.Draw(got, x, y)
		drawSlowly(b, want, x, y)
		if string(got.Y) != string(want.Y) || string(got.U) != string(want.U) || string(got.V) != string(want.V) {
			t.Fatalf("%dx%d at (%d,%d) differs from the definition", w, h, x, y)
		}
	})
}

// TestBitmapKeepsColours draws half red, half nothing: opaque pixels have their
// colour, transparent ones leave the ground, and an edge inside a chroma sample
// mixes red with the ground and not with black.
func TestBitmapKeepsColours(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 6, 4))
	for y := range 4 {
		for x := range 3 {
			m.SetRGBA(x, y, color.RGBA{200, 30, 40, 255})
		}
	}
	ground := color.RGBA{30, 90, 200, 255}
	f := i420.New(6, 4)
	f.Fill(ground)
	newBitmap(m).Draw(f, 0, 0)
	near := func(x int, want color.RGBA, within int) {
		t.Helper()
		got := f.At(x, 1)
		for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
			if max(d, -d) > within {
				t.Errorf("pixel %d is %v, want %v", x, got, want)
				return
			}
		}
	}
	near(0, color.RGBA{200, 30, 40, 255}, 4)
	near(5, ground, 4)
	_, u0, v0 := i420.YUV(color.RGBA{200, 30, 40, 255})
	_, u1, v1 := i420.YUV(ground)
	if u, v := int(f.U[1]), int(f.V[1]); abs(u-(int(u0)+int(u1))/2) > 1 || abs(v-(int(v0)+int(v1))/2) > 1 {
		t.Errorf("chroma of the edge is %d,%d, want the middle of %d,%d and %d,%d", u, v, u0, v0, u1, v1)
	}
}

func abs(v int) int { return max(v, -v) }

func TestHalfTransparentKeepsItsColour(t *testing.T) {
	got := straight(color.RGBAModel.Convert(color.NRGBA{200, 100, 50, 128}).(color.RGBA))
	if abs(int(got.R)-200) > 1 || abs(int(got.G)-100) > 1 || abs(int(got.B)-50) > 1 || got.A != 255 {
		t.Errorf("got %v, want about {200 100 50 255}", got)
	}
}

func TestDrawDoesNotAllocate(t *testing.T) {
	b, f := newBitmap(image.NewRGBA(image.Rect(0, 0, 40, 20))), i420.New(100, 60)
	var accent color.Color = color.RGBA{52, 211, 153, 255}
	if n := testing.AllocsPerRun(100, func() {
		b.Draw(f, 4, 4)
		Border(f, f.Bounds(), accent, 4)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	(*Bitmap)(nil).Draw(f, 0, 0)
}

func TestBorderStaysInsideItsRectangle(t *testing.T) {
	white := color.RGBA{255, 255, 255, 255}
	for _, c := range []struct {
		r  image.Rectangle
		px int
		in image.Rectangle // what stays free
	}{
		{image.Rect(4, 4, 36, 28), 4, image.Rect(8, 8, 32, 24)},
		{image.Rect(4, 4, 36, 28), 3, image.Rect(8, 8, 32, 24)},
		{image.Rect(0, 0, 40, 32), 2, image.Rect(2, 2, 38, 30)},
		{image.Rect(4, 4, 36, 12), 4, image.Rectangle{}},
	} {
		f := i420.New(40, 32)
		f.Fill(color.Black)
		Border(f, c.r, white, c.px)
		for y := range f.Height {
			for x := range f.Width {
				p := image.Pt(x, y)
				if got, want := f.At(x, y).R > 200, p.In(c.r) && !p.In(c.in); got != want {
					t.Fatalf("%v of %d pixels: pixel %v drawn %v, want %v", c.r, c.px, p, got, want)
				}
			}
		}
	}
}
