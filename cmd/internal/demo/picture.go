package demo

import (
	"image"
	"image/color"
	"math"

	"tutti/codec/i420"
)

// The pictures that a person sends.
const (
	width, height = 640, 360
	fps           = 30
)

// artist draws one person.
type artist struct {
	base  *i420.Frame // what does not move: background, name and number
	shirt color.RGBA
	skin  color.RGBA
	hair  color.RGBA
}

var (
	skins = []color.RGBA{{0xf2, 0xc9, 0xa5, 255}, {0xe0, 0xac, 0x7e, 255}, {0xc6, 0x86, 0x5a, 255}, {0x8d, 0x5a, 0x3b, 255}}
	hairs = []color.RGBA{{0x3b, 0x2a, 0x20, 255}, {0x1c, 0x1c, 0x22, 255}, {0x8a, 0x5a, 0x2b, 255}, {0xc9, 0xa0, 0x4e, 255}, {0x70, 0x70, 0x78, 255}}
	dark  = color.RGBA{0x22, 0x1a, 0x1a, 255}
	white = color.RGBA{0xf6, 0xf6, 0xf6, 255}
	lips  = color.RGBA{0xa8, 0x3c, 0x44, 255}
)

// newArtist prepares a person's picture; number tells it from all others, and
// write puts the label into it.
func newArtist(write func(dst *i420.Frame, text string), number int, label string) *artist {
	// The golden angle keeps the colours of neighbours far apart.
	hue := math.Mod(float64(number-1)*137.508+205, 360)
	a := &artist{
		base:  i420.New(width, height),
		shirt: hsv(hue, 0.62, 0.78),
		skin:  skins[(number*3)%len(skins)],
		hair:  hairs[number%len(hairs)],
	}
	// The ninth has nearly the hue of the first: each eight have another light.
	light := 0.88 - 0.14*float64((number-1)/8%3)
	const bands = 45
	for i := range bands {
		c := hsv(hue+18, 0.30+0.20*float64(i)/bands, light-0.40*float64(i)/bands)
		a.base.FillRect(image.Rect(0, i*height/bands, width, (i+1)*height/bands), c)
	}
	write(a.base, label)
	return a
}

// draw paints the moment phase (0 to 1, then again from 0) of the person's
// movement into dst, which has the size of the base.
func (a *artist) draw(dst *i420.Frame, phase float64, talking bool) {
	dst.Copy(0, 0, a.base)
	turn := 2 * math.Pi * phase
	x := width/2 + 14*math.Sin(turn)
	y := 172 + 5*math.Sin(2*turn)
	if talking {
		y += 3 * math.Sin(6*turn)
	}
	ellipse(dst, width/2+6*math.Sin(turn), 392, 150, 118, a.shirt)
	ellipse(dst, x, y+72, 26, 44, a.skin)
	ellipse(dst, x, y-20, 84, 82, a.hair)
	ellipse(dst, x, y+6, 72, 84, a.skin)
	a.face(dst, x+4*math.Sin(turn), y, phase, talking)
}

func (a *artist) face(dst *i420.Frame, x, y, phase float64, talking bool) {
	open := 9.0
	if phase > 0.46 && phase < 0.54 { // a blink
		open = 1.5
	}
	for _, side := range []float64{-27, 27} {
		ellipse(dst, x+side, y-6, 11, open, white)
		ellipse(dst, x+side, y-6, 5, min(open, 6), dark)
	}
	mouth := 2.5
	if talking {
		mouth = 4 + 11*math.Abs(math.Sin(8*math.Pi*phase))*(0.6+0.4*math.Cos(6*math.Pi*phase))
	}
	ellipse(dst, x, y+46, 24, mouth+2, lips)
	if mouth > 3 {
		ellipse(dst, x, y+46, 18, mouth-1, dark)
	}
}

// ellipse fills an ellipse with radii rx, ry around (cx, cy), its edge smooth.
func ellipse(f *i420.Frame, cx, cy, rx, ry float64, c color.RGBA) {
	y, u, v := i420.YUV(c)
	blend(f.Y, f.StrideY, f.Width, f.Height, cx, cy, rx, ry, y)
	blend(f.U, f.StrideC, f.Width/2, f.Height/2, cx/2, cy/2, rx/2, ry/2, u)
	blend(f.V, f.StrideC, f.Width/2, f.Height/2, cx/2, cy/2, rx/2, ry/2, v)
}

// blend fills an ellipse in one plane.
func blend(plane []byte, stride, w, h int, cx, cy, rx, ry float64, value byte) {
	clampTo := func(x float64, n int) int { return min(max(int(x), 0), n) }
	for row := clampTo(cy-ry-1, h); row < clampTo(cy+ry+2, h); row++ {
		dy := (float64(row) + 0.5 - cy) / ry
		line := plane[row*stride : row*stride+w]
		for col := clampTo(cx-rx-1, w); col < clampTo(cx+rx+2, w); col++ {
			dx := (float64(col) + 0.5 - cx) / rx
			// How much of the pixel lies inside, from its distance to the edge.
			cover := (1-math.Sqrt(dx*dx+dy*dy))*min(rx, ry) + 0.5
			switch {
			case cover >= 1:
				line[col] = value
			case cover > 0:
				line[col] = byte(float64(line[col])*(1-cover) + float64(value)*cover + 0.5)
			}
		}
	}
}

// hsv converts hue in degrees, saturation and value from 0 to 1.
func hsv(h, s, v float64) color.RGBA {
	part := func(n float64) byte {
		k := math.Mod(n+h/60, 6)
		return byte(255 * v * (1 - s*max(0, min(k, 4-k, 1))))
	}
	return color.RGBA{part(5), part(3), part(1), 255}
}
