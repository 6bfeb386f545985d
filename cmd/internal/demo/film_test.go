package demo

import (
	"testing"

	"tutti/codec/i420"
	"tutti/codec/vpx"
	"tutti/mixer"
)

func newEncoder(c mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	return vpx.NewEncoder(vpx.EncoderConfig{Width: c.Width, Height: c.Height, FPS: c.FPS, BitrateBPS: c.BitrateBPS})
}

func testArtist(number int) *artist {
	return newArtist(func(*i420.Frame, string) {}, number, "")
}

// difference answers the mean difference of two pictures' luma per pixel.
func difference(a, b *i420.Frame) float64 {
	sum := 0
	for y := range a.Height {
		for x := range a.Width {
			d := int(a.Y[y*a.StrideY+x]) - int(b.Y[y*b.StrideY+x])
			sum += max(d, -d)
		}
	}
	return float64(sum) / float64(a.Width*a.Height)
}

func TestArtist(t *testing.T) {
	written := ""
	a := newArtist(func(f *i420.Frame, text string) {
		written = text
		if f.Width != width || f.Height != height {
			t.Errorf("the label goes into a picture of %dx%d", f.Width, f.Height)
		}
	}, 1, "1 · Ann")
	if written != "1 · Ann" {
		t.Errorf("%q was written", written)
	}
	draw := func(a *artist, phase float64, talking bool) *i420.Frame {
		f := i420.New(width, height)
		a.draw(f, phase, talking)
		return f
	}
	still := draw(a, 0.1, false)
	if d := difference(still, draw(a, 0.1, false)); d != 0 {
		t.Errorf("the same moment differs by %.2f", d)
	}
	if d := difference(still, draw(a, 0.35, false)); d < 0.3 {
		t.Errorf("the figure hardly moves: %.2f", d)
	}
	if d := difference(still, draw(a, 0.1, true)); d < 0.1 {
		t.Errorf("talking hardly shows: %.2f", d)
	}
	if d := difference(draw(a, 0, false), draw(a, 1, false)); d != 0 {
		t.Errorf("the ends of the loop do not meet: %.2f", d)
	}
	for n := 2; n <= 9; n++ {
		one, other := still.At(width-20, height/2), draw(testArtist(n), 0.1, false).At(width-20, height/2)
		apart := 0
		for _, d := range []int{int(one.R) - int(other.R), int(one.G) - int(other.G), int(one.B) - int(other.B)} {
			apart += max(d, -d)
		}
		if apart < 24 {
			t.Errorf("persons 1 and %d have nearly the same colour: %v %v", n, one, other)
		}
	}
}

// Whoever watches sees what was drawn, wherever it joins and whenever the
// person begins or ceases to talk.
func TestFilmDecodesToWhatWasDrawn(t *testing.T) {
	a := testArtist(3)
	f, err := shoot(a, newEncoder)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: width, MaxHeight: height, MaxFrameBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	p := projector{film: f, next: keyInterval}
	want, got := i420.New(width, height), i420.New(width, height)
	for n := range 3 * filmFrames {
		talk := n/40%2 == 1
		if n == 100 {
			p.rewind()
		}
		at := p.next
		data := p.frame(talk)
		if len(data) == 0 {
			t.Fatalf("frame %d was dropped", n)
		}
		if err := dec.Decode(data); err != nil {
			t.Fatalf("frame %d: %v", n, err)
		}
		if n%7 != 0 {
			continue
		}
		if err := dec.Picture(got, i420.Fill); err != nil {
			t.Fatal(err)
		}
		a.draw(want, float64(at)/filmFrames, p.talking == 1)
		if d := difference(got, want); d > 2 {
			t.Errorf("frame %d (%d of the film, talking %d) differs by %.2f", n, at, p.talking, d)
		}
	}
}

func TestFilmKeepsItsRate(t *testing.T) {
	f, err := shoot(testArtist(1), newEncoder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.frames {
		bytes := 0
		for n, data := range f.frames[i] {
			bytes += len(data)
			h, err := vpx.Inspect(data)
			if err != nil {
				t.Fatal(err)
			}
			if key := n%keyInterval == 0; key && !h.KeyFrame {
				t.Errorf("frame %d is no key frame", n)
			}
		}
		if bps := bytes * 8 * fps / filmFrames; bps < 50_000 || bps > 2*bitrateBPS {
			t.Errorf("film %d has %d bit/s", i, bps)
		}
	}
}

func TestProjector(t *testing.T) {
	f := new(film)
	for i := range f.frames {
		for n := range f.frames[i] {
			f.frames[i][n] = []byte{byte(i), byte(n)}
		}
	}
	p := projector{film: f}
	for n := range 3 * filmFrames {
		talk := n >= 20
		data := p.frame(talk)
		if int(data[1]) != n%filmFrames {
			t.Fatalf("frame %d is %d of the film", n, data[1])
		}
		if want := n >= 30; (data[0] == 1) != want { // 30 is the first key frame from 20 on
			t.Fatalf("frame %d talks: %v", n, data[0])
		}
	}
	for _, c := range []struct{ from, to int }{{0, 0}, {1, 0}, {7, 0}, {8, 15}, {15, 15}, {22, 15}, {23, 30}, {52, 45}, {59, 0}} {
		p.next = c.from
		if p.rewind(); p.next != c.to {
			t.Errorf("rewind from %d goes to %d, not %d", c.from, p.next, c.to)
		}
	}
}
