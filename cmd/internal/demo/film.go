package demo

import (
	"fmt"
	"slices"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/mixer"
)

// A film is two seconds of movement that join at the ends, encoded once, so
// that many people cost little.
const (
	filmFrames  = 2 * fps
	keyInterval = fps / 2 // a key frame every half second, and at the beginning
	bitrateBPS  = 600_000
)

// film is a person's pictures, silent and talking, as VP8 frames. Both move
// alike, so that one can go on where the other stops, at a key frame.
type film struct {
	frames [2][filmFrames][]byte // by talking; empty where the encoder dropped one
}

// shoot encodes a person's film.
func shoot(a *artist, newEncoder func(mixer.VideoEncoderConfig) (mixer.VideoEncoder, error)) (*film, error) {
	f := new(film)
	for i, talking := range []bool{false, true} {
		if err := f.shoot(i, talking, a, newEncoder); err != nil {
			return nil, fmt.Errorf("encode the pictures: %w", err)
		}
	}
	return f, nil
}

func (f *film) shoot(i int, talking bool, a *artist, newEncoder func(mixer.VideoEncoderConfig) (mixer.VideoEncoder, error)) error {
	enc, err := newEncoder(mixer.VideoEncoderConfig{
		Codec: codec.VP8, Width: width, Height: height, FPS: fps, BitrateBPS: bitrateBPS,
	})
	if err != nil {
		return err
	}
	defer enc.Close()
	canvas := i420.New(width, height)
	defer canvas.Release()
	for n := range filmFrames {
		a.draw(canvas, float64(n)/filmFrames, talking)
		data, _, err := enc.Encode(canvas, time.Duration(n)*time.Second/fps, n%keyInterval == 0)
		if err != nil {
			return err
		}
		f.frames[i][n] = slices.Clone(data)
	}
	return nil
}

// projector plays a film. It belongs to one goroutine.
type projector struct {
	film    *film
	next    int
	talking int
}

// rewind goes to the nearest key frame.
func (p *projector) rewind() {
	p.next = (p.next + keyInterval/2) / keyInterval * keyInterval % filmFrames
}

// frame answers the next frame; it begins or ceases to talk at key frames
// only, the one place where a decoder can follow.
func (p *projector) frame(talking bool) []byte {
	if p.next%keyInterval == 0 {
		p.talking = 0
		if talking {
			p.talking = 1
		}
	}
	data := p.film.frames[p.talking][p.next]
	p.next = (p.next + 1) % filmFrames
	return data
}
