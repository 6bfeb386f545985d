package overlay

import (
	"image"
	"image/color"

	"tutti/codec/i420"
)

// BorderWidth answers how wide, in pixels and even, the border of a tile of
// that height is.
func BorderWidth(height int) int { return max(2, even(textSize(height)*0.22)) }

// Border draws a frame of px pixels (rounded up to even) just inside r.
func Border(dst *i420.Frame, r image.Rectangle, c color.Color, px int) {
	px = (px + 1) &^ 1
	if 2*px >= r.Dx() || 2*px >= r.Dy() {
		dst.FillRect(r, c)
		return
	}
	dst.FillRect(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+px), c)
	dst.FillRect(image.Rect(r.Min.X, r.Max.Y-px, r.Max.X, r.Max.Y), c)
	dst.FillRect(image.Rect(r.Min.X, r.Min.Y+px, r.Min.X+px, r.Max.Y-px), c)
	dst.FillRect(image.Rect(r.Max.X-px, r.Min.Y+px, r.Max.X, r.Max.Y-px), c)
}
