// Package overlay draws what is laid over and between the pictures of people:
// name labels, placeholders for who has no camera, the border around who
// speaks, and the slate of an empty room.
//
// Sizes are in pixels of the canvas and follow the height of the tile, so that
// a tile of 90 lines and one of 720 look alike. What is costly to draw is drawn
// once into a Bitmap, kept in a bounded cache and blended from there. No clock
// is read. A Painter may be shared by all rooms and used from any goroutine;
// the frames that are drawn on belong to the caller.
package overlay

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// Config is what a Painter is made from.
type Config struct {
	// Fonts are files (TTF, OTF, TTC) that are tried in order for each glyph;
	// what none of them has comes from an embedded Latin font. They stay open
	// and are read glyph by glyph, so a large one costs no memory.
	Fonts []string
	// CacheBytes bounds the memory of drawn labels and placeholders; 0 for 8 MiB.
	CacheBytes int
}

// Painter draws.
type Painter struct {
	text    chain // names, read at small sizes
	letters chain // initials, large
	files   []io.Closer
	skipped []error
	cache   *cache
}

// New answers a painter with those fonts. A file that is missing or no font is
// no error, see Skipped.
func New(cfg Config) (*Painter, error) {
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = 8 << 20
	}
	p := &Painter{cache: newCache(cfg.CacheBytes)}
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("overlay: parse the embedded font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("overlay: parse the embedded bold font: %w", err)
	}
	for _, name := range cfg.Fonts {
		file, closer, err := openFontFile(name)
		if err != nil {
			p.skipped = append(p.skipped, fmt.Errorf("overlay: font %s: %w", name, err))
			continue
		}
		p.text, p.files = append(p.text, file), append(p.files, closer)
	}
	p.letters = append(p.text[:len(p.text):len(p.text)], fontFile{fonts: map[string]*opentype.Font{"": bold}})
	p.text = append(p.text, fontFile{fonts: map[string]*opentype.Font{"": regular}})
	return p, nil
}

// Skipped answers why each font file that could not be used was left out.
func (p *Painter) Skipped() []error { return p.skipped }

// Close closes the font files; nothing may be drawn any more.
func (p *Painter) Close() error {
	var err error
	for _, f := range p.files {
		err = errors.Join(err, f.Close())
	}
	p.files = nil
	return err
}
