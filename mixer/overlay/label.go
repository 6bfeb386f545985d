package overlay

import (
	"image"
	"image/color"
	"math"
)

// The colours of a label.
var (
	ink     = color.NRGBA{255, 255, 255, 250}
	pill    = color.NRGBA{10, 13, 17, 158}
	mutedBy = color.NRGBA{255, 107, 107, 255}
)

// textSize answers the pixels of an em of a label in a tile of that height:
// 10 at 90, 14 at 180, 19 at 360, 26 at 720, for small tiles need relatively
// larger letters to be read.
func textSize(height int) float64 { return max(8, 14*math.Pow(float64(height)/180, 0.45)) }

// Inset answers how far a label lies from the edges of a tile of that height.
func Inset(height int) int { return even(textSize(height) * 0.6) }

// even rounds to the nearest even number.
func even(v float64) int { return int(math.Round(v/2)) * 2 }

// Label answers the name label for a tile of that size in pixels: white on a
// dark pill, cut with an ellipsis where it is wider than the tile, with a
// crossed microphone in front if muted. It is empty where there is nothing to
// say or no space to say it.
func (p *Painter) Label(text string, muted bool, tile image.Point) *Bitmap {
	return p.cache.get(key{kind: labels, text: text, size: tile, on: muted}, func() *Bitmap {
		return p.drawLabel(clean(text), muted, tile)
	})
}

func (p *Painter) drawLabel(text string, muted bool, tile image.Point) *Bitmap {
	size := textSize(tile.Y)
	height := even(size * 1.75)
	pad, icon := size*0.62, 0.0
	if muted {
		icon = size * 1.05
	}
	most := (tile.X - 2*Inset(tile.Y)) &^ 1
	room := float64(most) - 2*pad - icon
	if text == "" && !muted || room < 0 || height+2*Inset(tile.Y) > tile.Y {
		return &Bitmap{}
	}
	l := p.text.set(text, size, room)
	if len(l.glyphs) == 0 && !muted {
		return &Bitmap{}
	}
	width := min(most, int(math.Ceil(l.pixels()+2*pad+icon)+1)&^1)
	if len(l.glyphs) == 0 {
		width = height
	}
	d := newPen(width, height)
	d.box(0, 0, float64(width), float64(height), float64(height)*0.42)
	d.fill(pill)
	if muted {
		x := pad - size*0.1
		if len(l.glyphs) == 0 {
			x = (float64(width) - size*0.9) / 2
		}
		d.microphone(x, (float64(height)-size)/2, size)
	}
	l.draw(d, pad+icon, float64(height)/2+size*0.355)
	d.fill(ink)
	return d.bitmap()
}

// microphone draws a crossed microphone, size high and 0.9 of that wide.
func (p *pen) microphone(x, y, size float64) {
	at := func(u, v float64) (float64, float64) { return x + u*size, y + v*size }
	line := func(u0, v0, u1, v1, width float64) {
		x0, y0 := at(u0, v0)
		x1, y1 := at(u1, v1)
		p.stroke(x0, y0, x1, y1, width*size)
	}
	line(0.45, 0.22, 0.45, 0.46, 0.26) // capsule
	for i := range 8 {                 // holder: half a circle below
		a, b := math.Pi*float64(i)/8, math.Pi*float64(i+1)/8
		line(0.45+0.27*math.Cos(a), 0.48+0.27*math.Sin(a), 0.45+0.27*math.Cos(b), 0.48+0.27*math.Sin(b), 0.09)
	}
	line(0.45, 0.75, 0.45, 0.9, 0.09) // stem
	line(0.3, 0.92, 0.6, 0.92, 0.09)  // foot
	p.fill(mutedBy)
	line(0.14, 0.12, 0.84, 0.9, 0.24)
	p.fill(color.NRGBA{22, 24, 28, 255})
	line(0.1, 0.1, 0.8, 0.9, 0.09)
	p.fill(mutedBy)
}
