package video

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tutti/codec/i420"
	"tutti/mixer/layout"
	"tutti/mixer/overlay"
)

// reference composes as simply as can be: it keeps copies of all pictures and
// draws every tile anew, each on a frame of its own that is put on the canvas
// pixel by pixel.
type reference struct {
	cfg      Config
	tiles    []Tile
	pictures map[string]*i420.Frame
}

func (r *reference) compose() *i420.Frame {
	dst := i420.New(r.cfg.Canvas.X, r.cfg.Canvas.Y)
	dst.Fill(r.cfg.Background)
	tiles := slices.Clone(r.tiles)
	slices.SortStableFunc(tiles, func(a, b Tile) int { return cmp.Compare(a.Z, b.Z) })
	drawn := 0
	for _, t := range tiles {
		x0, y0 := max(0, t.Rect.Min.X+t.Rect.Min.X&1), max(0, t.Rect.Min.Y+t.Rect.Min.Y&1)
		x1, y1 := min(dst.Width, t.Rect.Max.X-t.Rect.Max.X&1), min(dst.Height, t.Rect.Max.Y-t.Rect.Max.Y&1)
		if x1 > x0 && y1 > y0 {
			put(dst, x0, y0, r.tile(t, x1-x0, y1-y0))
			drawn++
		}
	}
	if drawn == 0 {
		r.cfg.Painter.Slate(dst, r.cfg.Empty)
	}
	return dst
}

func (r *reference) tile(t Tile, w, h int) *i420.Frame {
	f, pic := i420.New(w, h), r.pictures[t.Seat]
	seed := t.Name
	if seed == "" {
		seed = t.Seat
	}
	switch {
	case pic == nil:
		r.cfg.Painter.Placeholder(f, t.Name, seed)
	case pic.Width == w && pic.Height == h:
		put(f, 0, 0, pic)
	case r.cfg.Scale != nil:
		r.cfg.Scale(f, pic, t.Fit)
	default:
		f.Fill(color.Black)
		put(f, half(w-pic.Width), half(h-pic.Height), pic)
	}
	if t.Speaking {
		overlay.Border(f, f.Bounds(), r.cfg.Accent, overlay.BorderWidth(h))
	}
	if t.Name != "" || t.Muted {
		b := r.cfg.Painter.Label(t.Name, t.Muted, image.Pt(w, h))
		b.Draw(f, overlay.Inset(h), h-overlay.Inset(h)-b.Height)
	}
	return f
}

// half answers the even number nearest below v/2.
func half(v int) int {
	v = (v - v&1) / 2
	return v - v&1
}

func put(dst *i420.Frame, x, y int, src *i420.Frame) {
	for sy := range src.Height {
		for sx := range src.Width {
			dx, dy := x+sx, y+sy
			if dx < 0 || dy < 0 || dx >= dst.Width || dy >= dst.Height {
				continue
			}
			dst.Y[dy*dst.StrideY+dx] = src.Y[sy*src.StrideY+sx]
			dst.U[dy/2*dst.StrideC+dx/2] = src.U[sy/2*src.StrideC+sx/2]
			dst.V[dy/2*dst.StrideC+dx/2] = src.V[sy/2*src.StrideC+sx/2]
		}
	}
}

func same(a, b *i420.Frame) bool {
	if a.Width != b.Width || a.Height != b.Height {
		return false
	}
	for y := range a.Height {
		if string(a.Y[y*a.StrideY:][:a.Width]) != string(b.Y[y*b.StrideY:][:b.Width]) {
			return false
		}
	}
	for y := range a.Height / 2 {
		o, p := y*a.StrideC, y*b.StrideC
		if string(a.U[o:][:a.Width/2]) != string(b.U[p:][:a.Width/2]) || string(a.V[o:][:a.Width/2]) != string(b.V[p:][:a.Width/2]) {
			return false
		}
	}
	return true
}

func clone(f *i420.Frame) *i420.Frame {
	c := i420.New(f.Width, f.Height)
	put(c, 0, 0, f)
	return c
}

func noise(f *i420.Frame, seed uint32) *i420.Frame {
	for _, p := range [][]byte{f.Y, f.U, f.V} {
		for i := range p {
			seed = seed*1664525 + 1013904223
			p[i] = byte(seed >> 24)
		}
	}
	return f
}

// nearest scales by taking the nearest pixel; fits differ in what they take.
func nearest(dst, src *i420.Frame, fit i420.Fit) {
	for y := range dst.Height {
		for x := range dst.Width {
			sx, sy := (x*src.Width/dst.Width+int(fit))%src.Width, y*src.Height/dst.Height
			dst.Y[y*dst.StrideY+x] = src.Y[sy*src.StrideY+sx]
			dst.U[y/2*dst.StrideC+x/2] = src.U[sy/2*src.StrideC+sx/2]
			dst.V[y/2*dst.StrideC+x/2] = src.V[sy/2*src.StrideC+sx/2]
		}
	}
}

// world is a compositor, the reference, and everybody who holds a canvas.
type world struct {
	t    *rapid.T
	c    *Compositor
	ref  *reference
	pool *i420.Pool
	last *i420.Frame // what the canvas answered last must look like
	held []holding
}

// holding is a canvas that somebody reads, and what it looked like when it came.
type holding struct{ frame, looked *i420.Frame }

func TestComposeEqualsTheReference(t *testing.T) {
	p := painter(t)
	rapid.Check(t, func(t *rapid.T) {
		pool := &i420.Pool{}
		cfg := Config{
			Canvas: image.Pt(96, 64), Background: color.RGBA{16, 20, 24, 255}, Painter: p, Pool: pool,
			Accent: color.RGBA{52, 211, 153, 255}, Empty: "Nobody",
		}
		if rapid.Bool().Draw(t, "scale") {
			cfg.Scale = nearest
		}
		w := &world{t: t, c: New(cfg), pool: pool, ref: &reference{cfg: cfg, pictures: map[string]*i420.Frame{}}}
		w.compose()
		t.Repeat(map[string]func(*rapid.T){
			"tiles":   func(*rapid.T) { w.setTiles() },
			"speak":   func(*rapid.T) { w.speak() },
			"update":  func(*rapid.T) { w.update() },
			"update2": func(*rapid.T) { w.update() },
			"compose": func(*rapid.T) { w.compose() },
			"release": func(*rapid.T) { w.release() },
			"":        func(*rapid.T) { w.check() },
		})
		w.end()
	})
}

func (w *world) setTiles() {
	canvas, n := w.c.cfg.Canvas, rapid.IntRange(0, 5).Draw(w.t, "seats")
	var places []layout.Tile
	if rapid.Bool().Draw(w.t, "wild") { // overlapping, odd, outside, twice the same seat
		at, length := rapid.SampledFrom([]int{-9, 0, 7, 16, 20, 33, 60, 90}), rapid.SampledFrom([]int{40, 24, 31, 11, 80, 2, -2})
		for range n {
			x, y := at.Draw(w.t, "x"), at.Draw(w.t, "y")
			places = append(places, layout.Tile{
				Seat: w.seat(), Z: rapid.IntRange(0, 2).Draw(w.t, "z"), Fit: i420.Contain,
				Rect: image.Rectangle{Min: image.Pt(x, y), Max: image.Pt(x+length.Draw(w.t, "w"), y+length.Draw(w.t, "h"))},
			})
		}
	} else {
		var seats []layout.Seat
		for range n {
			if s := w.seat(); !slices.Contains(seats, layout.Seat{ID: s}) {
				seats = append(seats, layout.Seat{ID: s})
			}
		}
		l := layout.Layout{Name: rapid.SampledFrom([]string{layout.Grid, layout.Speaker}).Draw(w.t, "layout")}
		places = layout.Place(l, canvas, seats, w.seat())
	}
	var tiles []Tile
	for _, p := range places {
		tiles = append(tiles, Tile{Tile: p, Name: rapid.SampledFrom([]string{"", "Zoë", "김"}).Draw(w.t, "name"), Muted: rapid.Bool().Draw(w.t, "muted")})
	}
	w.apply(tiles)
}

func (w *world) speak() {
	if len(w.ref.tiles) == 0 {
		return
	}
	tiles := slices.Clone(w.ref.tiles)
	i := rapid.IntRange(0, len(tiles)-1).Draw(w.t, "speaking")
	tiles[i].Speaking = !tiles[i].Speaking
	w.apply(tiles)
}

// apply sets tiles; the reference forgets the pictures of who is not seen.
func (w *world) apply(tiles []Tile) {
	w.c.SetTiles(tiles)
	w.ref.tiles = slices.Clone(tiles)
	clear(tiles) // the caller's slice is not kept
	for seat := range w.ref.pictures {
		if !w.seen(seat) {
			delete(w.ref.pictures, seat)
		}
	}
}

func (w *world) seen(seat string) bool {
	return slices.ContainsFunc(w.ref.tiles, func(t Tile) bool { return t.Seat == seat && !w.c.inside(t.Rect).Empty() })
}

func (w *world) seat() string { return fmt.Sprint("s", rapid.IntRange(0, 5).Draw(w.t, "seat")) }

func (w *world) update() {
	seat := w.seat()
	if rapid.IntRange(0, 4).Draw(w.t, "lost") == 0 {
		w.c.Update(seat, nil)
		delete(w.ref.pictures, seat)
		return
	}
	width, height := rapid.IntRange(1, 60).Draw(w.t, "width")*2, rapid.IntRange(1, 40).Draw(w.t, "height")*2
	for _, t := range w.ref.tiles {
		if t.Seat == seat && rapid.Bool().Draw(w.t, "fits") && !t.Rect.Empty() {
			width, height = t.Rect.Dx(), t.Rect.Dy()
		}
	}
	f := noise(w.pool.Get(width, height), rapid.Uint32().Draw(w.t, "picture"))
	if w.seen(seat) {
		w.ref.pictures[seat] = clone(f)
	}
	w.c.Update(seat, f)
}

func (w *world) compose() {
	want := w.ref.compose()
	all := map[*i420.Frame]bool{}
	for _, h := range w.held {
		all[h.frame] = true
	}
	got, changed := w.c.Compose()
	switch {
	case len(all) >= ringMost: // nothing may be drawn on
		if changed || !same(got, w.last) {
			w.t.Fatal("a canvas was drawn while others hold all of them")
		}
	case !same(got, want):
		w.t.Fatal("the canvas differs from the reference")
	case !changed && !same(want, w.last):
		w.t.Fatal("the canvas is another and Compose says that nothing changed")
	}
	w.last = clone(got)
	if rapid.Bool().Draw(w.t, "hold") {
		w.held = append(w.held, holding{got, clone(got)})
	} else {
		got.Release()
	}
}

func (w *world) release() {
	if len(w.held) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(w.t, "holder")
	w.held[i].frame.Release()
	w.held = slices.Delete(w.held, i, i+1)
}

// check looks whether anybody's canvas was written under his eyes.
func (w *world) check() {
	for _, h := range w.held {
		if !same(h.frame, h.looked) {
			w.t.Fatal("a canvas that somebody holds was written")
		}
	}
	if n := len(w.c.ring); n > ringMost {
		w.t.Fatalf("%d canvases", n)
	}
}

func (w *world) end() {
	w.c.Close()
	w.check()
	for len(w.held) > 0 {
		w.release()
	}
	w.c.Close()
	if n := w.pool.Live(); n != 0 {
		w.t.Fatalf("%d frames are left", n)
	}
}
