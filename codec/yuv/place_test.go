package yuv

import (
	"image"
	"testing"

	"pgregory.net/rapid"

	"tutti/codec/i420"
)

func TestPlace(t *testing.T) {
	r := image.Rect
	for _, c := range []struct {
		name                   string
		srcW, srcH, dstW, dstH int
		fit                    i420.Fit
		src, dst               image.Rectangle
	}{
		{"same", 640, 360, 640, 360, i420.Cover, r(0, 0, 640, 360), r(0, 0, 640, 360)},
		{"same shape", 1280, 720, 320, 180, i420.Contain, r(0, 0, 1280, 720), r(0, 0, 320, 180)},
		{"cover cuts the sides", 640, 360, 360, 360, i420.Cover, r(140, 0, 500, 360), r(0, 0, 360, 360)},
		{"cover cuts top and bottom", 360, 640, 640, 360, i420.Cover, r(0, 218, 360, 420), r(0, 0, 640, 360)},
		{"contain leaves bars at the sides", 360, 360, 640, 360, i420.Contain, r(0, 0, 360, 360), r(140, 0, 500, 360)},
		{"contain leaves bars above and below", 640, 360, 360, 360, i420.Contain, r(0, 0, 640, 360), r(0, 78, 360, 280)},
		{"fill stretches", 640, 360, 100, 400, i420.Fill, r(0, 0, 640, 360), r(0, 0, 100, 400)},
		{"one percent is stretched", 640, 360, 426, 240, i420.Cover, r(0, 0, 640, 360), r(0, 0, 426, 240)},
		{"one percent has no bars", 640, 360, 426, 240, i420.Contain, r(0, 0, 640, 360), r(0, 0, 426, 240)},
		{"odd source whole", 175, 143, 176, 144, i420.Cover, r(0, 0, 175, 143), r(0, 0, 176, 144)},
		{"odd source cut", 175, 143, 100, 100, i420.Cover, r(14, 0, 158, 143), r(0, 0, 100, 100)},
		{"thinnest", 2, 4000, 400, 2, i420.Cover, r(0, 1998, 2, 2000), r(0, 0, 400, 2)},
		{"nothing", 0, 10, 10, 10, i420.Fill, image.Rectangle{}, image.Rectangle{}},
		{"odd destination", 10, 10, 11, 10, i420.Fill, image.Rectangle{}, image.Rectangle{}},
	} {
		src, dst := Place(c.srcW, c.srcH, c.dstW, c.dstH, c.fit)
		if src != c.src || dst != c.dst {
			t.Errorf("%s: %v onto %v, want %v onto %v", c.name, src, dst, c.src, c.dst)
		}
	}
}

// TestPlaceKeepsItsPromises tries sizes that nobody thinks of.
func TestPlaceKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sw, sh := rapid.IntRange(1, 4000).Draw(t, "sw"), rapid.IntRange(1, 4000).Draw(t, "sh")
		dw, dh := 2*rapid.IntRange(1, 1000).Draw(t, "dw"), 2*rapid.IntRange(1, 1000).Draw(t, "dh")
		fit := i420.Fit(rapid.IntRange(0, 2).Draw(t, "fit"))
		src, dst := Place(sw, sh, dw, dh, fit)
		whole, area := image.Rect(0, 0, sw, sh), image.Rect(0, 0, dw, dh)
		if src.Empty() || dst.Empty() || !src.In(whole) || !dst.In(area) {
			t.Fatalf("%v of %v onto %v of %v", src, whole, dst, area)
		}
		if (src.Min.X|src.Min.Y|dst.Min.X|dst.Min.Y|dst.Max.X|dst.Max.Y)&1 != 0 {
			t.Fatalf("off the even grid: %v onto %v", src, dst)
		}
		if fit != i420.Contain && dst != area || fit != i420.Cover && src != whole {
			t.Fatalf("fit %v: %v onto %v", fit, src, dst)
		}
		centred(t, whole, src)
		centred(t, area, dst)
		if fit != i420.Fill {
			sameShape(t, src, dst)
		}
	})
}

// centred checks that inner is as far from the one edge as from the other,
// within the even grid.
func centred(t *rapid.T, outer, inner image.Rectangle) {
	if d := inner.Min.X - (outer.Max.X - inner.Max.X); d < -3 || d > 3 {
		t.Fatalf("%v is not centred in %v", inner, outer)
	}
	if d := inner.Min.Y - (outer.Max.Y - inner.Max.Y); d < -3 || d > 3 {
		t.Fatalf("%v is not centred in %v", inner, outer)
	}
}

// sameShape checks that a and b have one shape but for 1 % and for rounding
// each side to even pixels.
func sameShape(t *rapid.T, a, b image.Rectangle) {
	low := func(n int) float64 { return float64(max(0, n-2)) * 0.985 }
	high := func(n int) float64 { return float64(n+2) * 1.015 }
	if low(a.Dx())*low(b.Dy()) > high(a.Dy())*high(b.Dx()) || high(a.Dx())*high(b.Dy()) < low(a.Dy())*low(b.Dx()) {
		t.Fatalf("%v onto %v changes the shape", a, b)
	}
}
