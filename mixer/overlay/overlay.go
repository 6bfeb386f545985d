package overlay

import (
	"image"
	"image/color"

	"tutti/codec/i420"
)

// Config is what a Painter is made from.
type Config struct {
	// Fonts are files tried in order for each glyph (TTF, OTF, TTC).
	Fonts []string
}

// Painter draws. It may be shared by rooms and used from any goroutine.
type Painter struct{}

// New answers a painter with those fonts.
func New(Config) (*Painter, error) { panic("todo") }

// Skipped answers why each font file that could not be used was left out.
func (p *Painter) Skipped() []error { panic("todo") }

// Close closes the font files.
func (p *Painter) Close() error { panic("todo") }

// Label answers the name label of a tile of that size.
func (p *Painter) Label(text string, muted bool, tile image.Point) *Bitmap { panic("todo") }

// Placeholder fills dst with what is shown for somebody without camera.
func (p *Painter) Placeholder(dst *i420.Frame, name, seed string) { panic("todo") }

// Slate draws title in the middle of an empty canvas.
func (p *Painter) Slate(dst *i420.Frame, title string) { panic("todo") }

// Border draws a frame of px pixels inside r.
func Border(dst *i420.Frame, r image.Rectangle, c color.Color, px int) { panic("todo") }

// Bitmap is a picture with transparency, ready to be blended.
type Bitmap struct{ Width, Height int }

// Draw blends b into dst with its upper left corner at (x, y).
func (b *Bitmap) Draw(dst *i420.Frame, x, y int) { panic("todo") }
