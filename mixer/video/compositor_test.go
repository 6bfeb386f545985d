package video

import (
	"image"
	"image/color"
	"sync"
	"testing"

	"tutti/codec/i420"
	"tutti/mixer/layout"
	"tutti/mixer/overlay"
)

// four answers a grid of four seats, a to d, on a canvas of 64x36 each.
func four() []Tile {
	seats := []layout.Seat{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}}
	var tiles []Tile
	for _, p := range layout.Place(layout.Layout{Name: layout.Grid}, image.Pt(128, 72), seats, "") {
		tiles = append(tiles, Tile{Tile: p, Name: p.Seat})
	}
	return tiles
}

func latin(t testing.TB) *overlay.Painter {
	t.Helper()
	p, err := overlay.New(overlay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNothingNewIsTheSameFrame(t *testing.T) {
	c := New(Config{Canvas: image.Pt(128, 72)})
	defer c.Close()
	c.SetTiles(four())
	first, changed := c.Compose()
	if !changed {
		t.Error("the first canvas is not new")
	}
	for _, idle := range []func(){func() {}, func() { c.SetTiles(four()) }, func() { c.Update("a", nil) }, func() { c.Update("z", i420.New(64, 36)) }} {
		idle()
		again, changed := c.Compose()
		if again != first || changed {
			t.Error("nothing changed and the canvas did")
		}
		again.Release()
	}
	first.Release()
}

// TestOnlyWhatChangedIsDrawn counts the calls of Scale, which draws the tile
// whose pictures have the wrong size: once in each canvas of the ring at most.
func TestOnlyWhatChangedIsDrawn(t *testing.T) {
	scaled := 0
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Scale: func(dst, src *i420.Frame, fit i420.Fit) {
		scaled++
		nearest(dst, src, fit)
	}})
	defer c.Close()
	tiles := four()
	c.SetTiles(tiles)
	c.Update("a", noise(i420.New(32, 18), 1))
	var encoding *i420.Frame
	for i := range 50 {
		c.Update("b", noise(i420.New(64, 36), uint32(i)))
		tiles[2].Speaking = i%3 == 0
		c.SetTiles(tiles)
		f, _ := c.Compose()
		if encoding != nil {
			encoding.Release()
		}
		encoding = f
	}
	encoding.Release()
	if scaled != 2 { // an encoder that holds one canvas keeps two in turn
		t.Errorf("a tile that did not change was drawn %d times, want 2", scaled)
	}
	if n := len(c.ring); n != 2 {
		t.Errorf("%d canvases are in use where two suffice", n)
	}
}

// TestYoungestCanvasIsDrawnOn: of several free canvases the one that lacks
// least is taken, so an older change is not drawn into the others for nothing.
func TestYoungestCanvasIsDrawnOn(t *testing.T) {
	scaled := 0
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Scale: func(dst, src *i420.Frame, fit i420.Fit) {
		scaled++
		nearest(dst, src, fit)
	}})
	defer c.Close()
	c.SetTiles(four())
	var held []*i420.Frame
	for i := range 3 {
		c.Update("b", noise(i420.New(64, 36), uint32(i)))
		if i == 2 {
			c.Update("a", noise(i420.New(32, 18), 1))
		}
		f, _ := c.Compose()
		held = append(held, f)
	}
	for _, f := range held {
		f.Release()
	}
	for i := range 10 {
		c.Update("b", noise(i420.New(64, 36), uint32(i)))
		f, _ := c.Compose()
		f.Release()
	}
	if scaled != 1 {
		t.Errorf("a tile that did not change was drawn %d times, want 1", scaled)
	}
}

// TestHigherTileStaysOnTop updates the lower of two tiles that overlap.
func TestHigherTileStaysOnTop(t *testing.T) {
	red, blue := color.RGBA{200, 30, 40, 255}, color.RGBA{30, 60, 200, 255}
	plain := func(w, h int, c color.Color) *i420.Frame {
		f := i420.New(w, h)
		f.Fill(c)
		return f
	}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t)})
	defer c.Close()
	c.SetTiles([]Tile{
		{Tile: layout.Tile{Seat: "inset", Rect: image.Rect(80, 40, 120, 64), Z: 1}},
		{Tile: layout.Tile{Seat: "main", Rect: image.Rect(0, 0, 128, 72)}},
	})
	c.Update("inset", plain(40, 24, red))
	for range 3 {
		c.Update("main", plain(128, 72, blue))
		f, _ := c.Compose()
		if p := f.At(100, 50); p.R < 180 {
			t.Errorf("the inset shows %v", p)
		}
		if p := f.At(20, 20); p.B < 180 {
			t.Errorf("the main tile shows %v", p)
		}
		f.Release()
	}
}

func TestAllCanvasesHeldKeepsTheLast(t *testing.T) {
	pool := &i420.Pool{}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Pool: pool})
	c.SetTiles(four())
	var held []*i420.Frame
	for i := range 10 {
		c.Update("a", noise(pool.Get(64, 36), uint32(i)))
		f, changed := c.Compose()
		if changed != (i < ringMost) {
			t.Errorf("canvas %d: changed is %v", i, changed)
		}
		held = append(held, f)
	}
	if n := pool.Live(); n != ringMost+1 {
		t.Errorf("%d frames are live, want the ring and one picture", n)
	}
	for _, f := range held {
		f.Release()
	}
	f, changed := c.Compose()
	if !changed {
		t.Error("what waited is not drawn when a canvas is free again")
	}
	f.Release()
	c.Close()
	if n := pool.Live(); n != 0 {
		t.Errorf("%d frames are left", n)
	}
}

func TestCloseReleasesEverything(t *testing.T) {
	pool := &i420.Pool{}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Pool: pool})
	c.SetTiles(four())
	for _, seat := range []string{"a", "b", "a", "nobody"} {
		c.Update(seat, noise(pool.Get(64, 36), 1))
	}
	f, _ := c.Compose()
	c.SetTiles(four()[1:]) // a is gone
	g, _ := c.Compose()
	c.Close()
	c.Close()
	c.Update("b", pool.Get(64, 36))
	f.Release()
	g.Release()
	if n := pool.Live(); n != 0 {
		t.Errorf("%d frames are left", n)
	}
}

func TestPictureFollowsItsSeat(t *testing.T) {
	red := color.RGBA{200, 30, 40, 255}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t)})
	defer c.Close()
	tiles := four()
	c.SetTiles(tiles)
	f := i420.New(64, 36)
	f.Fill(red)
	c.Update("d", f)
	tiles[0].Seat, tiles[3].Seat = "d", "a"
	c.SetTiles(tiles)
	got, _ := c.Compose()
	defer got.Release()
	if p := got.At(32, 4); p.R < 180 || p.G > 60 {
		t.Errorf("the seat that moved shows %v", p)
	}
	if p := got.At(96, 40); p.R > 150 {
		t.Errorf("its former place shows %v", p)
	}
}

func TestComposeDoesNotAllocate(t *testing.T) {
	pool := &i420.Pool{}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Pool: pool, Scale: nearest})
	defer c.Close()
	tiles := four()
	tiles[0].Speaking, tiles[1].Muted = true, true
	c.SetTiles(tiles)
	var encoding *i420.Frame
	if n := testing.AllocsPerRun(200, func() {
		c.Update("a", pool.Get(64, 36))
		c.Update("b", pool.Get(32, 18))
		c.SetTiles(tiles)
		f, changed := c.Compose()
		if !changed {
			t.Fatal("a new picture changes nothing")
		}
		if encoding != nil {
			encoding.Release()
		}
		encoding = f
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	encoding.Release()
}

// TestEncoderReadsWhileTheNextIsDrawn lets an encoder read each canvas in a
// goroutine of its own; the race detector sees a canvas that is written then.
func TestEncoderReadsWhileTheNextIsDrawn(t *testing.T) {
	pool := &i420.Pool{}
	c := New(Config{Canvas: image.Pt(128, 72), Painter: latin(t), Pool: pool})
	c.SetTiles(four())
	work := make(chan *i420.Frame, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for f := range work {
				if g := clone(f); !same(f, g) {
					t.Error("a canvas changed while it was read")
				}
				f.Release()
			}
		})
	}
	for i := range 300 {
		c.Update([]string{"a", "b", "c", "d"}[i%4], noise(pool.Get(64, 36), uint32(i)))
		f, _ := c.Compose()
		work <- f
	}
	close(work)
	wg.Wait()
	c.Close()
	if n := pool.Live(); n != 0 {
		t.Errorf("%d frames are left", n)
	}
}
