package video

import (
	"image"
	"image/color"

	"tutti/codec/i420"
	"tutti/mixer/layout"
	"tutti/mixer/overlay"
)

// Tile is one place on the canvas and what is said about who is drawn there.
type Tile struct {
	layout.Tile
	// Name is written at the lower left; empty for no label.
	Name string
	// Muted puts a crossed microphone before the name.
	Muted bool
	// Speaking draws a border in the accent colour.
	Speaking bool
}

// Config is what a Compositor is made from.
type Config struct {
	// Canvas is the size in pixels, even.
	Canvas image.Point
	// Background is seen where there is no tile; nil for #101418.
	Background color.Color
	// Accent is the colour of the speaking border; nil for a green.
	Accent color.Color
	// Empty is written on a canvas without tiles; "" for "Nobody is here yet".
	Empty string
	// Painter draws labels and placeholders; nil for one with the embedded font.
	Painter *overlay.Painter
	// Scale fits src into dst, all of which it writes. It is needed for as long
	// as a camera's pictures do not have the size of its tile, as for a frame
	// after a change of layout; nil draws such pictures unscaled, from their
	// middle.
	Scale func(dst, src *i420.Frame, fit i420.Fit)
	// Pool is where the canvases come from; nil for one of its own.
	Pool *i420.Pool
}

// Compositor draws a canvas. It belongs to one goroutine, the video loop.
type Compositor struct{}

// New answers a compositor without tiles.
func New(Config) *Compositor { panic("todo") }

// SetTiles replaces the tiles; pictures of seats that stay are kept, those of
// seats that are gone are released. It may be called at every tick: tiles equal
// to those before cost nothing.
func (c *Compositor) SetTiles([]Tile) { panic("todo") }

// Update hands over the reference to the newest picture of a seat; nil brings
// the placeholder back. A seat without a tile shows nothing: its picture is
// released at once.
func (c *Compositor) Update(seat string, f *i420.Frame) { panic("todo") }

// Compose answers the canvas, for the caller to release, and whether it differs
// from the one answered before.
func (c *Compositor) Compose() (frame *i420.Frame, changed bool) { panic("todo") }

// Close releases everything. It may be called again.
func (c *Compositor) Close() { panic("todo") }
