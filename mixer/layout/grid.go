package layout

import "image"

// placeGrid gives every seat a tile of the same size, in rows that differ by at
// most one tile, the longer ones first, each row centred.
func placeGrid(canvas image.Point, seats []Seat) []Tile {
	n := len(seats)
	if n == 0 || canvas.X < 2 || canvas.Y < 2 {
		return nil
	}
	if n == 1 {
		return []Tile{tile(seats[0], image.Rectangle{Max: canvas})}
	}
	rows, size := arrange(canvas, n)
	if size.X == 0 {
		return nil
	}
	tiles := make([]Tile, 0, n)
	y := centred(canvas.Y, rows*size.Y)
	for row := range rows {
		inRow := (n + rows - 1 - row) / rows
		x := centred(canvas.X, inRow*size.X)
		for range inRow {
			r := image.Rectangle{Min: image.Pt(x, y), Max: image.Pt(x+size.X, y+size.Y)}
			tiles = append(tiles, tile(seats[len(tiles)], r))
			x += size.X
		}
		y += size.Y
	}
	return tiles
}

// arrange answers the number of rows that gives n tiles of one size the most
// area, and that size; of equals the one with fewer rows, whose tiles are wider.
func arrange(canvas image.Point, n int) (rows int, size image.Point) {
	narrowest := wide
	if canvas.X < canvas.Y {
		narrowest = square
	}
	for r := 1; r <= n; r++ {
		columns := (n + r - 1) / r
		s := shape(image.Pt(canvas.X/columns, canvas.Y/r), narrowest)
		if s.X*s.Y > size.X*size.Y {
			rows, size = r, s
		}
	}
	return rows, size
}

// The narrowest tiles: a 16:9 camera that covers one of 4:3 loses a quarter of
// its width, and nothing of its height. On a tall canvas, where the cameras are
// telephones, a square makes the better use.
var wide, square = image.Pt(4, 3), image.Pt(1, 1)

// shape answers the largest even size within cell whose aspect is between the
// narrowest and 16:9; in between the cell is filled.
func shape(cell, narrowest image.Point) image.Point {
	w, h := cell.X&^1, cell.Y&^1
	switch {
	case w*9 > h*16:
		w = h * 16 / 9 &^ 1
	case w*narrowest.Y < h*narrowest.X:
		h = w * narrowest.Y / narrowest.X &^ 1
	}
	if w == 0 || h == 0 {
		return image.Point{}
	}
	return image.Pt(w, h)
}

// centred answers the even offset that puts length in the middle of space.
func centred(space, length int) int { return (space - length) / 2 &^ 1 }
