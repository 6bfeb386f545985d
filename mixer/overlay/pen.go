package overlay

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// pen collects outlines and fills them, smooth at the edges.
type pen struct {
	ras *vector.Rasterizer
	dst *image.RGBA
}

func newPen(width, height int) *pen {
	p := &pen{vector.NewRasterizer(width, height), image.NewRGBA(image.Rect(0, 0, width, height))}
	p.ras.DrawOp = draw.Over
	return p
}

// fill paints all that was outlined since the last fill.
func (p *pen) fill(c color.Color) {
	p.ras.Draw(p.dst, p.dst.Bounds(), image.NewUniform(c), image.Point{})
	p.ras.Reset(p.dst.Rect.Dx(), p.dst.Rect.Dy())
	p.ras.DrawOp = draw.Over
}

// bow is how far the control points of a quarter circle of radius 1, drawn as a
// cubic curve, lie from its ends.
const bow = 0.5522847498

// box outlines a rectangle with corners of that radius.
func (p *pen) box(x, y, w, h, radius float64) {
	p.capsule(func(u, v float64) (float64, float64) { return x + u, y + v }, w, h, min(radius, w/2, h/2))
}

// dome outlines a rectangle whose upper corners are round.
func (p *pen) dome(x, y, w, h, r float64) {
	k := r * (1 - bow)
	at := func(u, v float64) (float32, float32) { return float32(x + u), float32(y + v) }
	curve := func(u0, v0, u1, v1, u2, v2 float64) {
		p.ras.CubeTo(float32(x+u0), float32(y+v0), float32(x+u1), float32(y+v1), float32(x+u2), float32(y+v2))
	}
	p.ras.MoveTo(at(r, 0))
	p.ras.LineTo(at(w-r, 0))
	curve(w-k, 0, w, k, w, r)
	p.ras.LineTo(at(w, h))
	p.ras.LineTo(at(0, h))
	p.ras.LineTo(at(0, r))
	curve(0, k, k, 0, r, 0)
	p.ras.ClosePath()
}

// disc outlines a circle.
func (p *pen) disc(x, y, radius float64) { p.box(x-radius, y-radius, 2*radius, 2*radius, radius) }

// stroke outlines a line with round ends.
func (p *pen) stroke(x0, y0, x1, y1, width float64) {
	length := math.Hypot(x1-x0, y1-y0)
	cos, sin := 1.0, 0.0
	if length > 0 {
		cos, sin = (x1-x0)/length, (y1-y0)/length
	}
	r := width / 2
	p.capsule(func(u, v float64) (float64, float64) {
		u, v = u-r, v-r
		return x0 + u*cos - v*sin, y0 + u*sin + v*cos
	}, length+width, width, r)
}

// capsule outlines a box from the origin with rounded corners, each point moved
// to where at says.
func (p *pen) capsule(at func(u, v float64) (float64, float64), w, h, r float64) {
	k := r * (1 - bow)
	to := func(u, v float64) (float32, float32) {
		x, y := at(u, v)
		return float32(x), float32(y)
	}
	line := func(u, v float64) { p.ras.LineTo(to(u, v)) }
	curve := func(u0, v0, u1, v1, u2, v2 float64) {
		ax, ay := to(u0, v0)
		bx, by := to(u1, v1)
		cx, cy := to(u2, v2)
		p.ras.CubeTo(ax, ay, bx, by, cx, cy)
	}
	p.ras.MoveTo(to(r, 0))
	line(w-r, 0)
	curve(w-k, 0, w, k, w, r)
	line(w, h-r)
	curve(w, h-k, w-k, h, w-r, h)
	line(r, h)
	curve(k, h, 0, h-k, 0, h-r)
	line(0, r)
	curve(0, k, k, 0, r, 0)
	p.ras.ClosePath()
}

// bitmap turns what was drawn into a bitmap.
func (p *pen) bitmap() *Bitmap { return newBitmap(p.dst) }
