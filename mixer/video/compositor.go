// Package video draws the one picture of a room: every seat's newest picture in
// its tile, with name, border and placeholder.
//
// Only what changed is drawn. Nobody copies a canvas: the compositor has a ring
// of a few, each knows how old what it holds is, and one that somebody still
// reads is left alone. The canvases that leave are counted frames. Inputs and
// outputs are limited-range I420; nothing is allocated while only pictures
// change, and no clock is read.
package video

import (
	"image"
	"image/color"

	"tutti/codec/i420"
	"tutti/mixer/layout"
	"tutti/mixer/overlay"
)

// Tile is one place on the canvas and what is said about who is drawn there.
// Where tiles overlap the one with the higher Z covers the other.
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
	// Canvas is the size in pixels; odd numbers are rounded up.
	Canvas image.Point
	// Background is seen where there is no tile; nil for #101418.
	Background color.Color
	// Accent is the colour of the speaking border; nil for a green.
	Accent color.Color
	// Empty is written on a canvas without tiles; "" for "Nobody is here yet".
	Empty string
	// Painter draws labels and placeholders; nil for one with the embedded Latin
	// font alone.
	Painter *overlay.Painter
	// Scale fits src into dst, all of which it writes. It is called while a
	// seat's pictures have another size than its tile, as for a frame after a
	// change of layout; nil draws such pictures unscaled, from their middle.
	Scale func(dst, src *i420.Frame, fit i420.Fit)
	// Pool is where the canvases come from; nil for one of its own.
	Pool *i420.Pool
}

// Compositor draws a canvas. It belongs to one goroutine, the video loop.
type Compositor struct {
	cfg   Config
	given []Tile // the last SetTiles, as they came
	tiles []tile // what is drawn, from the lowest Z up
	spare []tile // memory for the next tiles

	// now counts changes. What a change touched keeps its number, and a canvas
	// keeps the number at which it was drawn: older than the change is stale.
	now      uint64
	placed   uint64 // when the rectangles changed last
	overlaps bool   // some tiles lie over others

	ring []*canvas
	last *canvas    // drawn last
	view i420.Frame // a tile's part of a canvas, while it is drawn
}

// tile is a Tile with what is drawn in it.
type tile struct {
	Tile
	picture *i420.Frame // a reference of its own; nil for the placeholder
	label   *overlay.Bitmap
	changed uint64
	dirty   bool // drawn in this pass
}

// New answers a compositor without tiles. Close gives back what it holds.
func New(cfg Config) *Compositor {
	if cfg.Background == nil {
		cfg.Background = color.RGBA{16, 20, 24, 255}
	}
	if cfg.Accent == nil {
		cfg.Accent = color.RGBA{52, 211, 153, 255}
	}
	if cfg.Empty == "" {
		cfg.Empty = "Nobody is here yet"
	}
	if cfg.Painter == nil {
		cfg.Painter, _ = overlay.New(overlay.Config{}) // it cannot fail without files
	}
	if cfg.Pool == nil {
		cfg.Pool = &i420.Pool{}
	}
	return &Compositor{cfg: cfg, now: 1, placed: 1}
}

// Close releases the pictures and the canvases. It may be called again, and
// Update too; nothing else.
func (c *Compositor) Close() {
	releaseAll(c.tiles)
	for _, b := range c.ring {
		b.frame.Release()
	}
	c.tiles, c.given, c.ring, c.last = nil, nil, nil, nil
}

func releaseAll(tiles []tile) {
	for i := range tiles {
		if f := tiles[i].picture; f != nil {
			f.Release()
		}
		tiles[i] = tile{}
	}
}
