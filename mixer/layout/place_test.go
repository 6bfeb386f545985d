package layout

import (
	"fmt"
	"image"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tutti/codec/i420"
)

var hd = image.Pt(1280, 720)

func seats(n int) []Seat {
	s := make([]Seat, n)
	for i := range s {
		s[i].ID = fmt.Sprintf("s%d", i)
	}
	return s
}

func rects(tiles []Tile) []image.Rectangle {
	var r []image.Rectangle
	for _, t := range tiles {
		r = append(r, t.Rect)
	}
	return r
}

func ids(tiles []Tile) []string {
	var s []string
	for _, t := range tiles {
		s = append(s, t.Seat)
	}
	return s
}

func TestGridRows(t *testing.T) {
	for _, c := range []struct {
		n    int
		size image.Point
		rows []int // tiles in each
	}{
		{1, image.Pt(1280, 720), []int{1}},
		{2, image.Pt(640, 480), []int{2}},
		{3, image.Pt(640, 360), []int{2, 1}},
		{4, image.Pt(640, 360), []int{2, 2}},
		{5, image.Pt(426, 318), []int{3, 2}},
		{6, image.Pt(426, 318), []int{3, 3}},
		{7, image.Pt(426, 240), []int{3, 2, 2}},
		{9, image.Pt(426, 240), []int{3, 3, 3}},
		{10, image.Pt(320, 240), []int{4, 3, 3}},
		{12, image.Pt(320, 240), []int{4, 4, 4}},
		{16, image.Pt(320, 180), []int{4, 4, 4, 4}},
		{25, image.Pt(256, 144), []int{5, 5, 5, 5, 5}},
	} {
		tiles := Place(Layout{Name: Grid}, hd, seats(c.n), "")
		if got := tiles[0].Rect.Size(); got != c.size {
			t.Errorf("%d seats: tiles of %v, want %v", c.n, got, c.size)
		}
		if diff := cmp.Diff(c.rows, rowsOf(t, tiles)); diff != "" {
			t.Errorf("%d seats: rows (-want +got)\n%s", c.n, diff)
		}
	}
}

// rowsOf counts the tiles of each row and checks that each row is in the
// middle and without gaps.
func rowsOf(t *testing.T, tiles []Tile) []int {
	t.Helper()
	var rows []int
	for i := 0; i < len(tiles); {
		j := i
		for ; j < len(tiles) && tiles[j].Rect.Min.Y == tiles[i].Rect.Min.Y; j++ {
			if j > i && tiles[j].Rect.Min.X != tiles[j-1].Rect.Max.X {
				t.Errorf("gap between %v and %v", tiles[j-1].Rect, tiles[j].Rect)
			}
		}
		left, right := tiles[i].Rect.Min.X, hd.X-tiles[j-1].Rect.Max.X
		if d := right - left; d < 0 || d > 2 {
			t.Errorf("row of %d has %d pixels at its left and %d at its right", j-i, left, right)
		}
		rows, i = append(rows, j-i), j
	}
	return rows
}

func TestGridOfFourNeedsNoScaling(t *testing.T) {
	got := rects(Place(Layout{Name: Auto}, hd, seats(4), ""))
	want := []image.Rectangle{
		image.Rect(0, 0, 640, 360), image.Rect(640, 0, 1280, 360),
		image.Rect(0, 360, 640, 720), image.Rect(640, 360, 1280, 720),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGridOnATallCanvas(t *testing.T) {
	tall := image.Pt(720, 1280)
	got := rects(Place(Layout{Name: Grid}, tall, seats(2), ""))
	want := []image.Rectangle{image.Rect(0, 0, 720, 640), image.Rect(0, 640, 720, 1280)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("two are not stacked:\n%s", diff)
	}
	got = rects(Place(Layout{Name: Grid}, tall, seats(5), ""))
	want = []image.Rectangle{
		image.Rect(0, 100, 360, 460), image.Rect(360, 100, 720, 460), image.Rect(0, 460, 360, 820),
		image.Rect(360, 460, 720, 820), image.Rect(180, 820, 540, 1180),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("five are not in squares:\n%s", diff)
	}
}

func TestSpeakerLayout(t *testing.T) {
	s := seats(9)
	s[6].Screen = true
	got := Place(Layout{Name: Speaker}, hd, s, "s2")
	want := []Tile{
		{Seat: "s2", Rect: image.Rect(0, 0, 1024, 720)},
		{Seat: "s0", Rect: image.Rect(1024, 0, 1280, 144)},
		{Seat: "s1", Rect: image.Rect(1024, 144, 1280, 288)},
		{Seat: "s3", Rect: image.Rect(1024, 288, 1280, 432)},
		{Seat: "s4", Rect: image.Rect(1024, 432, 1280, 576)},
		{Seat: "s5", Rect: image.Rect(1024, 576, 1280, 720)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Place(Layout{Name: Speaker}, hd, s, ""); got[0].Seat != "s0" {
		t.Errorf("with nobody speaking %s is large, want the first seat", got[0].Seat)
	}
	if got := Place(Layout{Name: Speaker, MaxTiles: 3}, hd, s, ""); len(got) != 3 {
		t.Errorf("max_tiles 3 gave %d tiles", len(got))
	}
}

func TestAutoShowsTheScreenLargeAndWhoSpeaksBesideIt(t *testing.T) {
	s := seats(9)
	s[3].Screen = true
	got := Place(Layout{Name: Auto}, hd, s, "s8")
	if got[0].Seat != "s3" || got[0].Fit != i420.Contain {
		t.Errorf("large is %+v, want the whole screen of s3", got[0])
	}
	if diff := cmp.Diff([]string{"s3", "s0", "s1", "s2", "s4", "s8"}, ids(got)); diff != "" {
		t.Error(diff)
	}
	s[3].Screen = false
	if diff := cmp.Diff(Place(Layout{Name: Grid}, hd, s, "s8"), Place(Layout{Name: Auto}, hd, s, "s8")); diff != "" {
		t.Errorf("without a screen auto is not the grid:\n%s", diff)
	}
}

func TestSpeakerLayoutOnATallCanvas(t *testing.T) {
	got := rects(Place(Layout{Name: Speaker}, image.Pt(720, 1280), seats(5), ""))
	want := []image.Rectangle{
		image.Rect(0, 10, 720, 910),
		image.Rect(0, 910, 240, 1090), image.Rect(240, 910, 480, 1090), image.Rect(480, 910, 720, 1090),
		image.Rect(240, 1090, 480, 1270),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSpeakerBeyondTheGridTakesTheLastTile(t *testing.T) {
	l := Layout{Name: Grid, MaxTiles: 4}
	if diff := cmp.Diff([]string{"s0", "s1", "s2", "s7"}, ids(Place(l, hd, seats(9), "s7"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"s0", "s1", "s2", "s3"}, ids(Place(l, hd, seats(9), "s1"))); diff != "" {
		t.Error(diff)
	}
	if n := len(Place(Layout{Name: Grid}, hd, seats(60), "")); n != 25 {
		t.Errorf("a grid that names no number has %d tiles, want 25", n)
	}
}

func TestNobodyAndNoRoom(t *testing.T) {
	for _, l := range []string{Grid, Speaker, Auto} {
		if got := Place(Layout{Name: l}, hd, nil, "x"); got != nil {
			t.Errorf("%s of nobody: %v", l, got)
		}
		if got := Place(Layout{Name: l}, image.Point{}, seats(3), ""); got != nil {
			t.Errorf("%s on no canvas: %v", l, got)
		}
	}
}

// TestPlacePromises checks what Place promises for any room on any canvas.
func TestPlacePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		canvas := image.Pt(rapid.IntRange(160, 1920).Draw(t, "w"), rapid.IntRange(90, 1920).Draw(t, "h"))
		l := Layout{Name: rapid.SampledFrom([]string{Grid, Speaker, Auto}).Draw(t, "layout"), MaxTiles: rapid.IntRange(0, 49).Draw(t, "most")}
		s := seats(rapid.IntRange(1, 60).Draw(t, "seats"))
		if i := rapid.IntRange(-20, len(s)-1).Draw(t, "screen"); i >= 0 {
			s[i].Screen = true
		}
		speaker := rapid.SampledFrom(append(s, Seat{}, Seat{ID: "gone"})).Draw(t, "speaker").ID
		before := slices.Clone(s)
		tiles := Place(l, canvas, s, speaker)
		checkGeometry(t, canvas, tiles)
		checkSeats(t, l, before, tiles, speaker)
		if !slices.Equal(before, s) {
			t.Fatal("the caller's seats were changed")
		}
	})
}

func checkGeometry(t *rapid.T, canvas image.Point, tiles []Tile) {
	for i, a := range tiles {
		r := a.Rect
		if r.Empty() || !r.In(image.Rectangle{Max: canvas}) {
			t.Fatalf("%v is empty or outside the canvas %v", r, canvas)
		}
		if (r.Min.X|r.Min.Y|r.Max.X|r.Max.Y)&1 != 0 {
			t.Fatalf("%v is not even", r)
		}
		for _, b := range tiles[:i] {
			if r.Overlaps(b.Rect) {
				t.Fatalf("%v overlaps %v", r, b.Rect)
			}
		}
	}
}

func checkSeats(t *rapid.T, l Layout, seats []Seat, tiles []Tile, speaker string) {
	most := l.MaxTiles
	if most == 0 {
		most = 25
	}
	grid := l.Name == Grid || l.Name == Auto && !slices.ContainsFunc(seats, func(s Seat) bool { return s.Screen })
	if want := min(most, len(seats)); len(tiles) > want || grid && len(tiles) != want || len(tiles) == 0 {
		t.Fatalf("%d tiles for %d seats, at most %d", len(tiles), len(seats), most)
	}
	order := tiles
	if !grid { // the large one is out of order, not twice there
		order = tiles[1:]
	}
	last := -1
	for _, tile := range order {
		at := slices.IndexFunc(seats, func(s Seat) bool { return s.ID == tile.Seat })
		if at <= last {
			t.Fatalf("%s is out of its order", tile.Seat)
		}
		last = at
		if contain := tile.Fit == i420.Contain; contain != seats[at].Screen {
			t.Fatalf("%+v: fit does not suit what it shows", tile)
		}
		if tile.Rect.Size() != order[0].Rect.Size() {
			t.Fatalf("tiles of %v and %v in one row", tile.Rect.Size(), order[0].Rect.Size())
		}
	}
	has := func(id string) bool { return slices.Contains(ids(tiles), id) }
	if slices.ContainsFunc(seats, func(s Seat) bool { return s.ID == speaker }) && !has(speaker) {
		t.Fatalf("%s speaks and has no tile", speaker)
	}
	if !grid && slices.Contains(ids(order), tiles[0].Seat) {
		t.Fatalf("%s is drawn twice", tiles[0].Seat)
	}
}

func TestValidate(t *testing.T) {
	for _, l := range []Layout{{Name: "mosaic"}, {Name: Grid, MaxTiles: 50}, {Name: Grid, MaxTiles: -1}} {
		if l.Validate() == nil {
			t.Errorf("%+v was accepted", l)
		}
	}
	if err := (&Layout{Name: Speaker, MaxTiles: 49}).Validate(); err != nil {
		t.Error(err)
	}
}
