package layout

import (
	"image"

	"tutti/codec/i420"
)

// defaultTiles is the most tiles of a grid that names no number.
const defaultTiles = 25

// Place answers where on a canvas of that size each seat is drawn. The seats
// come in their stable order and keep it; those for whom there is no tile are
// left out, but speaker, if it is the ID of a seat, always has one. All
// rectangles are on even coordinates, inside the canvas and without overlap;
// cameras cover their tile, screens are shown whole. The result is a function
// of the arguments alone and nil where there is nobody or no room to draw.
func Place(l Layout, canvas image.Point, seats []Seat, speaker string) []Tile {
	canvas = image.Pt(canvas.X&^1, canvas.Y&^1)
	most := l.MaxTiles
	if most <= 0 {
		most = defaultTiles
	}
	if len(seats) == 0 {
		return nil
	}
	switch main := presenter(seats); {
	case l.Name == Speaker:
		return placeSpeaker(canvas, seats, max(0, find(seats, speaker)), speaker, most)
	case l.Name == Auto && main >= 0:
		return placeSpeaker(canvas, seats, main, speaker, most)
	}
	return placeGrid(canvas, choose(seats, most, speaker))
}

// presenter answers the index of the first shared screen, or -1.
func presenter(seats []Seat) int {
	for i, s := range seats {
		if s.Screen {
			return i
		}
	}
	return -1
}

// find answers the index of the seat with that ID, or -1.
func find(seats []Seat, id string) int {
	for i, s := range seats {
		if s.ID == id && id != "" {
			return i
		}
	}
	return -1
}

// choose answers the first n seats; a speaker further back takes the last
// place, so that nobody else moves.
func choose(seats []Seat, n int, speaker string) []Seat {
	if len(seats) <= n || n <= 0 {
		return seats[:min(len(seats), max(0, n))]
	}
	at := find(seats, speaker)
	if at < n {
		return seats[:n]
	}
	chosen := append(make([]Seat, 0, n), seats[:n-1]...)
	return append(chosen, seats[at])
}

// tile answers s drawn at r.
func tile(s Seat, r image.Rectangle) Tile {
	t := Tile{Seat: s.ID, Rect: r, Fit: i420.Cover}
	if s.Screen {
		t.Fit = i420.Contain
	}
	return t
}
