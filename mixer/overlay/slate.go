package overlay

import (
	"image"
	"image/color"

	"tutti/codec/i420"
)

// Slate draws what an empty canvas says in its middle, over the ground that is
// there: light on a dark one, dark on a light one.
func (p *Painter) Slate(dst *i420.Frame, title string) {
	light := dst.Y[dst.Height/2*dst.StrideY+dst.Width/2] < 128
	size := image.Pt(dst.Width, dst.Height)
	b := p.cache.get(key{kind: slates, text: title, size: size, on: light}, func() *Bitmap {
		return p.drawSlate(clean(title), size, light)
	})
	b.Draw(dst, (dst.Width-b.Width)/2, (dst.Height-b.Height)/2)
}

func (p *Painter) drawSlate(title string, canvas image.Point, light bool) *Bitmap {
	shade := byte(20)
	if light {
		shade = 255
	}
	unit := min(1.1*float64(canvas.X), float64(canvas.Y))
	size, group := max(9, unit*0.052), unit*0.15
	l := p.text.set(title, size, 0.9*float64(canvas.X))
	width, height := int(max(l.pixels(), 2.4*group)+3)&^1, even(group+size*2.6)
	d, middle := newPen(width, height), float64(width)/2
	for _, side := range []float64{-1, 1} {
		d.figure(middle+side*0.8*group, group*0.61, group*0.72)
	}
	d.fill(color.NRGBA{shade, shade, shade, 56})
	d.figure(middle, group*0.5, group)
	d.fill(color.NRGBA{shade, shade, shade, 120})
	l.draw(d, middle-l.pixels()/2, group+size*1.9)
	d.fill(color.NRGBA{shade, shade, shade, 200})
	return d.bitmap()
}
