package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/harness.js
var harness string

// browserPage is a page of some browser.
type browserPage interface {
	// eval answers the value of a JavaScript expression as JSON; a promise is
	// waited for.
	eval(expression string) ([]byte, error)
}

// eval reads the value of an expression in a page; with arguments, what the
// function answers to them.
func eval[T any](t *testing.T, p browserPage, expression string, args ...any) T {
	t.Helper()
	if len(args) > 0 {
		list, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		expression += "(..." + string(list) + ")"
	}
	var v T
	text, err := p.eval(expression)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

type colour [3]float64

// identity is what others know somebody by.
type identity struct {
	name   string
	colour colour
	tone   float64 // Hz; no tone is near a multiple of another
}

// The people of the tests.
var (
	red     = identity{"Rosa", colour{200, 40, 40}, 523}
	green   = identity{"Grün", colour{40, 170, 60}, 811}
	blue    = identity{"Blau", colour{40, 60, 200}, 1237}
	yellow  = identity{"Gelb", colour{210, 190, 40}, 1777}
	magenta = identity{"Fuchs", colour{190, 40, 190}, 2383}
	pageUI  = identity{"Ada", colour{76, 255, 28}, 3001} // of Chromium's fake camera
	people  = []identity{red, green, blue, yellow, magenta, pageUI}
)

// joined is somebody's page in a room.
type joined struct {
	identity
	browserPage
	room string
	id   string // of the participant
}

// join lets a page, which shows any text of the server, join a room.
func join(t *testing.T, p browserPage, room string, who identity) *joined {
	t.Helper()
	if _, err := p.eval(harness); err != nil {
		t.Fatal(err)
	}
	_, fake := p.(*firefox)
	wish := map[string]any{"room": room, "name": who.name, "colour": who.colour, "tone": who.tone, "fake": fake}
	return &joined{who, p, room, eval[string](t, p, "e2e.join", wish)}
}

// nearest answers the name of whose colour is closest to c, or a description of
// c where nobody's is close.
func nearest(c colour, among []identity) string {
	best, name := 90.0, fmt.Sprintf("nobody (%v)", c)
	for _, who := range among {
		d := 0.0
		for i := range c {
			d += (c[i] - who.colour[i]) * (c[i] - who.colour[i])
		}
		if d = math.Sqrt(d); d < best {
			best, name = d, who.name
		}
	}
	return name
}

// ofTiles answers what is wrong with a picture that should have everybody in
// their tiles and nobody else. look answers the colours around points.
func ofTiles(t *testing.T, s *server, room string, everybody []identity, look func([][2]float64) []colour) string {
	t.Helper()
	list, tiles := s.participants(t, room), s.tiles(t, room)
	var points [][2]float64
	for _, who := range everybody {
		at, ok := tiles[list[who.name].ID]
		if !ok {
			return who.name + " has no tile"
		}
		points = append(points, [2]float64{at.x + at.width/2, at.y + at.height/2})
	}
	if len(tiles) != len(everybody) {
		return fmt.Sprintf("there are %d tiles for %d people", len(tiles), len(everybody))
	}
	var wrong []string
	for i, c := range look(points) {
		if got := nearest(c, people); got != everybody[i].name {
			wrong = append(wrong, fmt.Sprintf("the tile of %s shows %s", everybody[i].name, got))
		}
	}
	return strings.Join(wrong, ", ")
}

func (j *joined) colours(t *testing.T) func([][2]float64) []colour {
	return func(points [][2]float64) []colour {
		t.Helper()
		return eval[[]colour](t, j.browserPage, "e2e.colours", points)
	}
}

// What is heard is above audible, and what should not be heard clearly below the
// loudest of it, in dB.
const (
	audible = -50
	clearly = 20
)

// ofTones answers what is wrong with a sound that should have the tones of those
// people and nobody else's: who is missing, and who is too much.
func ofTones(those []identity, listen func([]float64) []float64) (missing, surplus string) {
	var frequencies []float64
	for _, who := range people {
		frequencies = append(frequencies, who.tone)
	}
	levels := listen(frequencies)
	loudest := -math.MaxFloat64
	for i, who := range people {
		if slices.Contains(those, who) {
			loudest = max(loudest, levels[i])
		}
	}
	for i, who := range people {
		switch wanted := slices.Contains(those, who); {
		case wanted && levels[i] < audible:
			missing += fmt.Sprintf("%s is not heard (%.0f dB); ", who.name, levels[i])
		case !wanted && levels[i] > max(audible, loudest)-clearly:
			surplus += fmt.Sprintf("%s is heard (%.0f dB, others %.0f); ", who.name, levels[i], loudest)
		}
	}
	return missing, surplus
}

// hear waits until just the tones of those people are heard, and sees for a
// while that nobody else's are.
func hear(t *testing.T, those []identity, listen func([]float64) []float64) {
	t.Helper()
	until(t, patience, func() string {
		missing, surplus := ofTones(those, listen)
		return missing + surplus
	})
	always(t, time.Second, func() string {
		_, surplus := ofTones(those, listen)
		return surplus
	})
}

func (j *joined) levels(t *testing.T) func([]float64) []float64 {
	return func(frequencies []float64) []float64 {
		t.Helper()
		return eval[[]float64](t, j.browserPage, "e2e.levels", frequencies)
	}
}

// sees waits until somebody sees everybody in their tiles.
func (j *joined) sees(t *testing.T, s *server, everybody ...identity) {
	t.Helper()
	until(t, patience, func() string {
		if wrong := ofTiles(t, s, j.room, everybody, j.colours(t)); wrong != "" {
			return j.name + ": " + wrong
		}
		return ""
	})
}

// receivesOneOfEach waits until sound and picture flow and answers the picture's
// size.
func (j *joined) receivesOneOfEach(t *testing.T, width, height int) {
	t.Helper()
	type pair struct{ Audio, Video int }
	until(t, patience, func() string {
		got := eval[struct {
			Tracks, Streams pair
			Width, Height   int
		}](t, j.browserPage, "e2e.received()")
		if one := (pair{1, 1}); got.Tracks != one || got.Streams != one || got.Width != width || got.Height != height {
			return fmt.Sprintf("%s receives %+v", j.name, got)
		}
		return ""
	})
}
