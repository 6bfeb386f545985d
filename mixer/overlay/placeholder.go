package overlay

import (
	"hash/fnv"
	"image"
	"image/color"
	"math"
	"strings"
	"unicode"

	"tutti/codec/i420"
)

// Placeholder fills dst with what is shown for somebody without camera: a calm
// dark ground and the initials in a circle, or a figure where there is no name.
// The colour is derived from seed alone, so it stays with whoever it names.
func (p *Painter) Placeholder(dst *i420.Frame, name, seed string) {
	hue := hueOf(seed)
	dst.Fill(oklch(0.29, 0.035, hue))
	Border(dst, dst.Bounds(), oklch(0.24, 0.03, hue), 2) // tells it from a neighbour of its colour
	size := even(0.46 * float64(min(dst.Width, dst.Height)))
	if size < 8 {
		return
	}
	k := key{kind: avatars, text: name, seed: seed, size: image.Pt(size, size)}
	b := p.cache.get(k, func() *Bitmap { return p.drawAvatar(Initials(name), hue, size) })
	b.Draw(dst, (dst.Width-size)/2, (dst.Height-size)/2)
}

func (p *Painter) drawAvatar(initials string, hue float64, size int) *Bitmap {
	d, r := newPen(size, size), float64(size)/2
	d.disc(r, r, r)
	d.fill(oklch(0.54, 0.105, hue))
	text := 0.84 * r
	if regionOf(initials) != "" && len([]rune(initials)) > 1 {
		text = 0.68 * r // these are as wide as they are high
	}
	l := p.letters.set(initials, text, 1.6*r)
	if len(l.glyphs) == 0 {
		d.figure(r, r*0.98, r*1.1)
	} else {
		l.draw(d, r-l.pixels()/2, r+text*0.355)
	}
	d.fill(oklch(0.97, 0.015, hue))
	return d.bitmap()
}

// figure outlines head and shoulders, size high around (x, y).
func (p *pen) figure(x, y, size float64) {
	p.disc(x, y-0.26*size, 0.22*size)
	p.dome(x-0.4*size, y+0.03*size, 0.8*size, 0.44*size, 0.36*size)
}

// Initials answers the one or two characters that stand for a name. Of names in
// Latin and other alphabets: the first letters of the first and the last word.
// Of Korean and Chinese names, which begin with the family's: the last two
// characters. Of names with a space in Han characters or with kana, as in
// Japan: the first two.
func Initials(name string) string {
	words := strings.FieldsFunc(clean(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.M, r)
	})
	if len(words) == 0 {
		return ""
	}
	first, last := []rune(words[0]), []rune(words[len(words)-1])
	switch region := regionOf(words[0]); {
	case region == "KR" || region == "SC" && len(words) == 1:
		return string(last[max(0, len(last)-2):])
	case region != "":
		return string(first[:min(2, len(first))])
	case len(words) == 1:
		return string(unicode.ToUpper(first[0]))
	}
	return string([]rune{unicode.ToUpper(first[0]), unicode.ToUpper(last[0])})
}

// hueOf answers one of 20 hues, in degrees; the olives from 70 to 130, which
// please nobody on a dark ground, are left out.
func hueOf(seed string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(seed))
	n := h.Sum32()
	return float64(130 + (n^n>>15)%20*15)
}

// oklch converts lightness (0 to 1), chroma and hue in degrees of the Oklab
// colour space, in which equal steps look equal, to sRGB. (Björn Ottosson, "A
// perceptual color space for image processing", 2020.)
func oklch(lightness, chroma, hue float64) color.RGBA {
	a, b := chroma*math.Cos(hue*math.Pi/180), chroma*math.Sin(hue*math.Pi/180)
	cube := func(v float64) float64 { return v * v * v }
	l := cube(lightness + 0.3963377774*a + 0.2158037573*b)
	m := cube(lightness - 0.1055613458*a - 0.0638541728*b)
	s := cube(lightness - 0.0894841775*a - 1.2914855480*b)
	gamma := func(v float64) byte {
		if v = min(1, max(0, v)); v <= 0.0031308 {
			v *= 12.92
		} else {
			v = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
		return byte(math.Round(255 * v))
	}
	return color.RGBA{
		gamma(4.0767416621*l - 3.3077115913*m + 0.2309699292*s),
		gamma(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s),
		gamma(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s), 255,
	}
}
