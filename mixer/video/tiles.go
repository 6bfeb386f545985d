package video

import (
	"cmp"
	"image"
	"slices"

	"tutti/codec/i420"
	"tutti/mixer/overlay"
)

// SetTiles replaces the tiles; pictures of seats that stay are kept, those of
// seats that are gone are released. It may be called at every tick: the tiles
// of before cost nothing, and other names, borders or seats in the same
// rectangles redraw only those. Rectangles are narrowed to even coordinates on
// the canvas. The slice is not kept.
func (c *Compositor) SetTiles(tiles []Tile) {
	if slices.Equal(tiles, c.given) {
		return
	}
	c.given = append(c.given[:0], tiles...)
	next := c.spare[:0]
	for _, t := range tiles {
		if t.Rect = c.inside(t.Rect); !t.Rect.Empty() {
			next = append(next, tile{Tile: t})
		}
	}
	slices.SortStableFunc(next, func(a, b tile) int { return cmp.Compare(a.Z, b.Z) })
	c.now++
	if !slices.EqualFunc(next, c.tiles, func(a, b tile) bool { return a.Rect == b.Rect }) {
		c.placed = c.now
		c.overlaps = overlapping(next)
	}
	for i := range next {
		c.inherit(&next[i], i)
	}
	old := c.tiles
	c.tiles, c.spare = next, old
	releaseAll(old)
}

// inside narrows r to the canvas and to even coordinates.
func (c *Compositor) inside(r image.Rectangle) image.Rectangle {
	size := image.Pt((c.cfg.Canvas.X+1)&^1, (c.cfg.Canvas.Y+1)&^1)
	r = r.Intersect(image.Rectangle{Max: size})
	return image.Rect((r.Min.X+1)&^1, (r.Min.Y+1)&^1, r.Max.X&^1, r.Max.Y&^1)
}

func overlapping(tiles []tile) bool {
	for i := range tiles {
		for j := range tiles[:i] {
			if tiles[i].Rect.Overlaps(tiles[j].Rect) {
				return true
			}
		}
	}
	return false
}

// inherit gives t, which becomes tile i, what is known of its seat, and marks
// it as changed unless the old tile i looks the same.
func (c *Compositor) inherit(t *tile, i int) {
	t.changed = c.now
	if i < len(c.tiles) && c.tiles[i].Tile == t.Tile {
		t.changed, t.label = c.tiles[i].changed, c.tiles[i].label
	} else {
		t.label = c.label(t)
	}
	if at := slices.IndexFunc(c.tiles, func(o tile) bool { return o.Seat == t.Seat }); at >= 0 {
		if f := c.tiles[at].picture; f != nil {
			t.picture = f.Retain()
		}
	}
}

func (c *Compositor) label(t *tile) *overlay.Bitmap {
	if t.Name == "" && !t.Muted {
		return nil
	}
	return c.cfg.Painter.Label(t.Name, t.Muted, t.Rect.Size())
}

// Update hands over the reference to the newest picture of a seat; nil brings
// the placeholder back. A seat without a tile shows nothing: its picture is
// released at once.
func (c *Compositor) Update(seat string, f *i420.Frame) {
	for i := range c.tiles {
		t := &c.tiles[i]
		if t.Seat != seat || f == nil && t.picture == nil {
			continue
		}
		if t.picture != nil {
			t.picture.Release()
			t.picture = nil
		}
		if f != nil {
			t.picture = f.Retain()
		}
		c.now++
		t.changed = c.now
	}
	if f != nil {
		f.Release()
	}
}
