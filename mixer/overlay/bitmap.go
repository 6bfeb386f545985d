package overlay

import (
	"image"
	"image/color"

	"tutti/codec/i420"
)

// Bitmap is a picture with transparency in the planes of an i420.Frame, each
// with its own alpha, so that blending needs no conversion. Nobody writes it
// once it is made. The zero value, and nil, is empty.
type Bitmap struct {
	// Width and Height are even, in pixels.
	Width, Height int
	y, u, v       []byte
	a, ac         []byte // 0 transparent to 255 opaque, for y and for u and v
}

// newBitmap converts an image with premultiplied alpha from the origin, its
// size rounded down to even numbers.
func newBitmap(m *image.RGBA) *Bitmap {
	b := &Bitmap{Width: m.Rect.Dx() &^ 1, Height: m.Rect.Dy() &^ 1}
	luma, chroma := b.Width*b.Height, b.Width*b.Height/4
	b.y, b.a = make([]byte, luma), make([]byte, luma)
	b.u, b.v, b.ac = make([]byte, chroma), make([]byte, chroma), make([]byte, chroma)
	for y := 0; y < b.Height; y += 2 {
		for x := 0; x < b.Width; x += 2 {
			b.convert(m, x, y)
		}
	}
	return b
}

// convert takes over the four pixels that share chroma samples; their chroma is
// weighed by their alpha, since a transparent one has no colour.
func (b *Bitmap) convert(m *image.RGBA, x, y int) {
	var su, sv, sa int
	for i := range 4 {
		px, py := x+i&1, y+i>>1
		c := m.RGBAAt(px, py)
		l, u, v := i420.YUV(straight(c))
		o := py*b.Width + px
		b.y[o], b.a[o] = l, c.A
		su, sv, sa = su+int(u)*int(c.A), sv+int(v)*int(c.A), sa+int(c.A)
	}
	o := y/2*(b.Width/2) + x/2
	b.u[o], b.v[o], b.ac[o] = 128, 128, byte((sa+2)/4)
	if sa > 0 {
		b.u[o], b.v[o] = byte((su+sa/2)/sa), byte((sv+sa/2)/sa)
	}
}

// straight takes alpha out of a premultiplied colour.
func straight(c color.RGBA) color.RGBA {
	if c.A == 0 {
		return color.RGBA{A: 255}
	}
	of := func(v byte) byte { return byte(min(255, (int(v)*255+int(c.A)/2)/int(c.A))) }
	return color.RGBA{of(c.R), of(c.G), of(c.B), 255}
}

// Draw blends b into dst with its upper left corner at (x, y), rounded down to
// even numbers; what lies outside dst is left out. It allocates nothing.
func (b *Bitmap) Draw(dst *i420.Frame, x, y int) {
	if b == nil {
		return
	}
	x, y = x&^1, y&^1
	r := image.Rect(x, y, x+b.Width, y+b.Height).Intersect(dst.Bounds())
	if r.Empty() {
		return
	}
	w, h, sx, sy := r.Dx(), r.Dy(), r.Min.X-x, r.Min.Y-y
	for row := range h {
		d, s := (r.Min.Y+row)*dst.StrideY+r.Min.X, (sy+row)*b.Width+sx
		blend(dst.Y[d:d+w], b.y[s:s+w], b.a[s:s+w])
	}
	for row := range h / 2 {
		d, s := (r.Min.Y/2+row)*dst.StrideC+r.Min.X/2, (sy/2+row)*(b.Width/2)+sx/2
		blend(dst.U[d:d+w/2], b.u[s:s+w/2], b.ac[s:s+w/2])
		blend(dst.V[d:d+w/2], b.v[s:s+w/2], b.ac[s:s+w/2])
	}
}

// blend mixes src into dst: round(dst*(1-a) + src*a) with a in 255ths.
func blend(dst, src, alpha []byte) {
	src, alpha = src[:len(dst)], alpha[:len(dst)]
	for i, a := range alpha {
		if a == 0 {
			continue
		}
		dst[i] = byte((uint32(dst[i])*(255-uint32(a)) + uint32(src[i])*uint32(a) + 127) / 255)
	}
}

// bytes answers the memory that b takes.
func (b *Bitmap) bytes() int { return 2*len(b.y) + 3*len(b.u) }
