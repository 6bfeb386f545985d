// Package layout is geometry alone: from a canvas, the seats to be seen and
// who speaks it answers where each is drawn. It knows no pixels' contents, no
// clock and no room.
package layout

import (
	"fmt"
	"image"

	"tutti/codec/i420"
)

// The names of the layouts.
const (
	Auto    = "auto"    // grid; speaker when somebody presents a screen
	Grid    = "grid"    // everybody the same size, rows balanced
	Speaker = "speaker" // who speaks large, the others in a strip
)

// MaxTiles is the most tiles that any layout draws.
const MaxTiles = 49

// Layout is what a room is told to look like, as the API carries it.
type Layout struct {
	Name string `json:"name"`
	// MaxTiles is the most tiles, 1 to 49; 0 means 25. A strip is bounded besides.
	MaxTiles int `json:"max_tiles,omitempty"`
}

// Seat is one who may be seen.
type Seat struct {
	ID string
	// Screen is true for a shared screen.
	Screen bool
}

// Tile is one place on the canvas.
type Tile struct {
	// Seat is the identifier of who is drawn here.
	Seat string
	// Rect is where, in pixels of the canvas, on even coordinates.
	Rect image.Rectangle
	Z    int
	Fit  i420.Fit
}

// FieldError names the field of a layout that cannot be.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return fmt.Sprintf("layout: %s %s", e.Field, e.Reason) }
