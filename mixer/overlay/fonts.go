package overlay

import (
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
)

// chain is fonts in the order in which they are asked for a glyph.
type chain []fontFile

// fontFile is one file. A collection has a font for each way of writing Han
// characters, by the last word of its name: JP, KR, SC, TC, HK; "" is the
// file's first font.
type fontFile struct{ fonts map[string]*opentype.Font }

// openFontFile reads the tables of a file, and no glyphs.
func openFontFile(name string) (fontFile, io.Closer, error) {
	f, err := os.Open(name)
	if err != nil {
		return fontFile{}, nil, err
	}
	file, err := parseFontFile(f)
	if err != nil {
		_ = f.Close()
		return fontFile{}, nil, err
	}
	return file, f, nil
}

func parseFontFile(r io.ReaderAt) (fontFile, error) {
	c, err := opentype.ParseCollectionReaderAt(r)
	if err != nil {
		return fontFile{}, err
	}
	file := fontFile{fonts: map[string]*opentype.Font{}}
	for i := range c.NumFonts() {
		f, err := c.Font(i)
		if err != nil {
			return fontFile{}, err
		}
		if i == 0 {
			file.fonts[""] = f
		}
		name, err := f.Name(nil, sfnt.NameIDFamily)
		if err != nil || c.NumFonts() == 1 {
			continue
		}
		region := name[strings.LastIndexByte(name, ' ')+1:]
		if han[region] && file.fonts[region] == nil && !strings.Contains(name, "Mono") {
			file.fonts[region] = f
		}
	}
	return file, nil
}

// han are the regions that write Han characters in their own way and that a
// name can be told to be from.
var han = map[string]bool{"JP": true, "KR": true, "SC": true}

// regionOf answers the region whose glyphs suit text: kana are Japanese, Hangul
// is Korean, and Han characters alone are taken for Chinese.
func regionOf(text string) string {
	region := ""
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return "JP"
		case unicode.Is(unicode.Hangul, r):
			region = "KR"
		case unicode.Is(unicode.Han, r) && region == "":
			region = "SC"
		}
	}
	return region
}

// find answers the first font that has r, or nil.
func (c chain) find(b *sfnt.Buffer, r rune, region string) (*opentype.Font, sfnt.GlyphIndex) {
	for _, file := range c {
		f := file.fonts[region]
		if f == nil {
			f = file.fonts[""]
		}
		if i, err := f.GlyphIndex(b, r); err == nil && i != 0 {
			return f, i
		}
	}
	return nil, 0
}
