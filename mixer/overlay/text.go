package overlay

import (
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// textMost is the most runes of a text that are looked at.
const textMost = 200

// clean makes a text fit for one line: what is not printed is left out, any
// space is one space.
func clean(text string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(strings.ToValidUTF8(text, "\uFFFD")) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		for _, r := range word {
			if n++; n > textMost {
				return b.String()
			}
			if unicode.IsPrint(r) {
				b.WriteRune(r)
			}
		}
	}
	return strings.TrimSpace(b.String())
}

// line is a text set in a size, ready to be filled.
type line struct {
	glyphs []glyph
	size   fixed.Int26_6 // pixels in an em
	width  fixed.Int26_6
	buf    sfnt.Buffer
}

// glyph is one glyph; x is where its origin is and end where the next begins.
type glyph struct {
	font   *opentype.Font
	index  sfnt.GlyphIndex
	x, end fixed.Int26_6
}

// set lays text out in one line of at most most pixels, without hinting, so
// that it has the same look at any size; what does not fit is cut and an
// ellipsis put there. A line without glyphs is the answer where nothing fits.
func (c chain) set(text string, size, most float64) *line {
	l := &line{size: fixed.Int26_6(size * 64)}
	region := regionOf(text)
	for _, r := range text {
		l.add(c, r, region)
	}
	limit := fixed.Int26_6(most * 64)
	if l.width <= limit {
		return l
	}
	end := &line{size: l.size}
	end.dots(c, region)
	for len(l.glyphs) > 0 && (l.width+end.width > limit || l.last().blank(&l.buf, l.size)) {
		l.width = l.last().x
		l.glyphs = l.glyphs[:len(l.glyphs)-1]
	}
	if len(l.glyphs) == 0 && end.width > limit {
		return l
	}
	l.dots(c, region)
	return l
}

// dots appends an ellipsis: three full stops, because the one character hangs
// in the middle of the line in some East Asian fonts.
func (l *line) dots(c chain, region string) {
	for range 3 {
		l.add(c, '.', region)
	}
}

func (l *line) last() glyph { return l.glyphs[len(l.glyphs)-1] }

// blank reports whether a glyph draws nothing.
func (g glyph) blank(b *sfnt.Buffer, size fixed.Int26_6) bool {
	s, err := g.font.LoadGlyph(b, g.index, size, nil)
	return err == nil && len(s) == 0
}

// add appends r. A rune without glyph is a box if it is a letter, and nothing
// if it is a pictograph or belongs to the one before.
func (l *line) add(c chain, r rune, region string) {
	f, i := c.find(&l.buf, r, region)
	if f == nil {
		if !unicode.In(r, unicode.L, unicode.N, unicode.P) {
			return
		}
		f = c[len(c)-1].fonts[""]
	}
	x := l.width
	if n := len(l.glyphs); n > 0 && l.glyphs[n-1].font == f {
		if k, err := f.Kern(&l.buf, l.glyphs[n-1].index, i, l.size, font.HintingNone); err == nil {
			x += k
		}
	}
	advance, err := f.GlyphAdvance(&l.buf, i, l.size, font.HintingNone)
	if err != nil {
		return
	}
	l.width = x + advance
	l.glyphs = append(l.glyphs, glyph{f, i, x, l.width})
}

// pixels answers the width in pixels.
func (l *line) pixels() float64 { return float64(l.width) / 64 }

// draw adds the line's outlines to a pen, from the baseline's left end.
func (l *line) draw(p *pen, x, baseline float64) {
	for _, g := range l.glyphs {
		segments, err := g.font.LoadGlyph(&l.buf, g.index, l.size, nil)
		if err != nil {
			continue
		}
		ox, oy := x+float64(g.x)/64, baseline
		at := func(p fixed.Point26_6) (float32, float32) {
			return float32(ox + float64(p.X)/64), float32(oy + float64(p.Y)/64)
		}
		for _, s := range segments {
			x0, y0 := at(s.Args[0])
			x1, y1 := at(s.Args[1])
			x2, y2 := at(s.Args[2])
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				p.ras.ClosePath()
				p.ras.MoveTo(x0, y0)
			case sfnt.SegmentOpLineTo:
				p.ras.LineTo(x0, y0)
			case sfnt.SegmentOpQuadTo:
				p.ras.QuadTo(x0, y0, x1, y1)
			case sfnt.SegmentOpCubeTo:
				p.ras.CubeTo(x0, y0, x1, y1, x2, y2)
			}
		}
		p.ras.ClosePath()
	}
}
