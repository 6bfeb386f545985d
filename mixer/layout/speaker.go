package layout

import "image"

// The strip beside the large tile: on a wide canvas one column at the right
// whose tiles have a fifth of the canvas, on a tall one up to three rows of
// three at the bottom.
const (
	stripMost   = 8 // tiles in the column, however tall the canvas
	stripPart   = 5 // of the canvas, for a column
	stripAcross = 3 // tiles in a row at the bottom
	stripRows   = 3
)

// placeSpeaker shows seats[main] large and others, in their order, in a strip.
func placeSpeaker(canvas image.Point, seats []Seat, main int, speaker string, most int) []Tile {
	if canvas.X < 2 || canvas.Y < 2 {
		return nil
	}
	others := append(append(make([]Seat, 0, len(seats)), seats[:main]...), seats[main+1:]...)
	strip := placeRight
	if canvas.X < canvas.Y {
		strip = placeBottom
	}
	if len(others) == 0 {
		return placeGrid(canvas, seats)
	}
	if most == 1 { // then the one tile is the speaker's, even beside a screen
		others = append([]Seat{seats[main]}, others...)
		return placeGrid(canvas, choose(others, 1, speaker))
	}
	return strip(canvas, seats[main], others, speaker, most-1)
}

// placeRight puts the others in a column at the right.
func placeRight(canvas image.Point, main Seat, others []Seat, speaker string, most int) []Tile {
	size := shape(image.Pt(canvas.X/stripPart, canvas.Y/stripPart), wide)
	if size.X == 0 {
		return []Tile{tile(main, image.Rectangle{Max: canvas})}
	}
	others = choose(others, min(most, stripMost, canvas.Y/size.Y), speaker)
	left := canvas.X - size.X
	tiles := append(make([]Tile, 0, 1+len(others)), tile(main, image.Rect(0, 0, left, canvas.Y)))
	y := centred(canvas.Y, len(others)*size.Y)
	for _, s := range others {
		tiles = append(tiles, tile(s, image.Rect(left, y, canvas.X, y+size.Y)))
		y += size.Y
	}
	return tiles
}

// placeBottom puts the others in rows below; the large tile is at most a
// quarter taller than wide, since a wide camera that covers more shows too
// little of who sits before it.
func placeBottom(canvas image.Point, main Seat, others []Seat, speaker string, most int) []Tile {
	size := shape(image.Pt(canvas.X/stripAcross, canvas.Y/4), wide)
	if size.X == 0 {
		return []Tile{tile(main, image.Rectangle{Max: canvas})}
	}
	rows := min(stripRows, max(1, (canvas.Y-canvas.X)/size.Y))
	others = choose(others, min(most, rows*stripAcross), speaker)
	rows = (len(others) + stripAcross - 1) / stripAcross
	height := min(canvas.Y-rows*size.Y, canvas.X*5/4&^1)
	y := centred(canvas.Y, height+rows*size.Y)
	tiles := append(make([]Tile, 0, 1+len(others)), tile(main, image.Rect(0, y, canvas.X, y+height)))
	for i, s := range others {
		row, column := i/stripAcross, i%stripAcross
		inRow := min(stripAcross, len(others)-row*stripAcross)
		x := centred(canvas.X, inRow*size.X) + column*size.X
		top := y + height + row*size.Y
		tiles = append(tiles, tile(s, image.Rect(x, top, x+size.X, top+size.Y)))
	}
	return tiles
}
