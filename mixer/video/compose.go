package video

import (
	"image/color"

	"tutti/codec/i420"
	"tutti/mixer/overlay"
)

// ringMost bounds the canvases: one being drawn, one being encoded, and two
// held by whoever is slow.
const ringMost = 4

// canvas is one buffer of the ring.
type canvas struct {
	frame *i420.Frame
	drawn uint64 // the change up to which it is complete; 0 for never
}

// Compose answers the canvas, for the caller to release, and whether it differs
// from the one answered before. Where it does not, it is the same frame and
// nothing was drawn. That is also the answer while other holders have every
// canvas of the ring: the changes wait until one is released.
func (c *Compositor) Compose() (frame *i420.Frame, changed bool) {
	if c.last != nil && c.last.drawn == c.now {
		return c.last.frame.Retain(), false
	}
	b := c.writable()
	if b == nil {
		return c.last.frame.Retain(), false
	}
	c.draw(b)
	b.drawn, c.last = c.now, b
	return b.frame.Retain(), true
}

// writable answers the youngest canvas that nobody else holds, since it has the
// least to be drawn, or a new one, or nil.
func (c *Compositor) writable() *canvas {
	var youngest *canvas
	for _, b := range c.ring {
		if !b.frame.Shared() && (youngest == nil || b.drawn > youngest.drawn) {
			youngest = b
		}
	}
	if youngest == nil && len(c.ring) < ringMost {
		youngest = &canvas{frame: c.cfg.Pool.Get(c.cfg.Canvas.X, c.cfg.Canvas.Y)}
		c.ring = append(c.ring, youngest)
	}
	return youngest
}

// draw brings b up to date.
func (c *Compositor) draw(b *canvas) {
	all := b.drawn < c.placed
	if all {
		b.frame.Fill(c.cfg.Background)
		if len(c.tiles) == 0 {
			c.cfg.Painter.Slate(b.frame, c.cfg.Empty)
		}
	}
	for i := range c.tiles {
		t := &c.tiles[i]
		if t.dirty = all || t.changed > b.drawn || c.covers(i); t.dirty {
			c.drawTile(b.frame, t)
		}
	}
}

// covers reports whether tile i lies over one that was drawn in this pass.
func (c *Compositor) covers(i int) bool {
	if !c.overlaps {
		return false
	}
	for j := range c.tiles[:i] {
		if c.tiles[j].dirty && c.tiles[j].Rect.Overlaps(c.tiles[i].Rect) {
			return true
		}
	}
	return false
}

// drawTile draws all of a tile.
func (c *Compositor) drawTile(dst *i420.Frame, t *tile) {
	v := c.look(dst, t)
	c.drawPicture(v, t)
	if t.Speaking {
		overlay.Border(v, v.Bounds(), c.cfg.Accent, overlay.BorderWidth(v.Height))
	}
	if t.label != nil {
		inset := overlay.Inset(v.Height)
		t.label.Draw(v, inset, v.Height-inset-t.label.Height)
	}
}

// look answers the tile's part of dst as a frame, valid until the next look.
func (c *Compositor) look(dst *i420.Frame, t *tile) *i420.Frame {
	v, r := &c.view, t.Rect
	v.Width, v.Height, v.StrideY, v.StrideC = r.Dx(), r.Dy(), dst.StrideY, dst.StrideC
	o := r.Min.Y*dst.StrideY + r.Min.X
	end := o + (v.Height-1)*v.StrideY + v.Width
	v.Y = dst.Y[o:end:end]
	o = r.Min.Y/2*dst.StrideC + r.Min.X/2
	end = o + (v.Height/2-1)*v.StrideC + v.Width/2
	v.U, v.V = dst.U[o:end:end], dst.V[o:end:end]
	return v
}

func (c *Compositor) drawPicture(v *i420.Frame, t *tile) {
	f := t.picture
	switch {
	case f == nil:
		seed := t.Name
		if seed == "" {
			seed = t.Seat
		}
		c.cfg.Painter.Placeholder(v, t.Name, seed)
	case f.Width == v.Width && f.Height == v.Height:
		v.Copy(0, 0, f)
	case c.cfg.Scale != nil:
		c.cfg.Scale(v, f, t.Fit)
	default:
		v.Fill(color.Black)
		v.Copy((v.Width-f.Width)/2&^1, (v.Height-f.Height)/2&^1, f)
	}
}
