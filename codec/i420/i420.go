// Package i420 holds decoded pictures: planar YUV 4:2:0, 8 bits, limited
// range, BT.601 unless said otherwise (what VP8 carries, RFC 6386 section 9.2).
//
// A Frame is counted: whoever keeps one retains it, whoever is done releases
// it, and the last release gives its memory back to its Pool. While more than
// one holder has it nobody writes it.
package i420

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"sync"
	"sync/atomic"
)

// Frame is one picture. Width and Height are even; the chroma planes have half
// of each. Planes are rows of Stride bytes, of which Width (or Width/2) count.
type Frame struct {
	Width, Height    int
	Y, U, V          []byte
	StrideY, StrideC int

	refs atomic.Int32
	pool *Pool
	back uint64 // the pool's puts when the frame came back
}

// New answers a frame of its own, outside any pool, with one reference. Sizes
// are rounded up to even numbers.
func New(width, height int) *Frame {
	f := &Frame{}
	f.alloc(width, height)
	f.refs.Store(1)
	return f
}

func (f *Frame) alloc(width, height int) {
	width, height = (width+1)&^1, (height+1)&^1
	y, c := width*height, width*height/4
	buf := make([]byte, y+2*c)
	f.Width, f.Height, f.StrideY, f.StrideC = width, height, width, width/2
	f.Y, f.U, f.V = buf[:y:y], buf[y:y+c:y+c], buf[y+c:]
}

// Retain adds a holder and answers the frame.
func (f *Frame) Retain() *Frame {
	if f.refs.Add(1) <= 1 {
		panic("i420: retain of a released frame")
	}
	return f
}

// Release gives up one reference. The frame must not be touched afterwards.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n < 0:
		panic("i420: released too often")
	case n == 0 && f.pool != nil:
		f.pool.put(f)
	}
}

// Shared reports whether somebody else holds the frame too, so that it must
// not be written.
func (f *Frame) Shared() bool { return f.refs.Load() > 1 }

// Fill paints the whole frame in one colour.
func (f *Frame) Fill(c color.Color) { f.FillRect(f.Bounds(), c) }

// Bounds answers the frame's rectangle, from the origin.
func (f *Frame) Bounds() image.Rectangle { return image.Rect(0, 0, f.Width, f.Height) }

// FillRect paints r, clipped to the frame and widened to even coordinates.
func (f *Frame) FillRect(r image.Rectangle, c color.Color) {
	r = even(r).Intersect(f.Bounds())
	if r.Empty() {
		return
	}
	y, u, v := YUV(c)
	for row := r.Min.Y; row < r.Max.Y; row++ {
		fillBytes(f.Y[row*f.StrideY+r.Min.X:row*f.StrideY+r.Max.X], y)
	}
	for row := r.Min.Y / 2; row < r.Max.Y/2; row++ {
		o := row * f.StrideC
		fillBytes(f.U[o+r.Min.X/2:o+r.Max.X/2], u)
		fillBytes(f.V[o+r.Min.X/2:o+r.Max.X/2], v)
	}
}

// even widens r to even coordinates, the grid on which chroma lies.
func even(r image.Rectangle) image.Rectangle {
	return image.Rect(r.Min.X&^1, r.Min.Y&^1, (r.Max.X+1)&^1, (r.Max.Y+1)&^1)
}

func fillBytes(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// Copy draws src into f with its upper left corner at (x, y), which must be
// even; what lies outside f is left out.
func (f *Frame) Copy(x, y int, src *Frame) {
	r := image.Rect(x, y, x+src.Width, y+src.Height).Intersect(f.Bounds())
	if r.Empty() {
		return
	}
	w, h, sx, sy := r.Dx(), r.Dy(), r.Min.X-x, r.Min.Y-y
	copyPlane(f.Y[r.Min.Y*f.StrideY+r.Min.X:], f.StrideY, src.Y[sy*src.StrideY+sx:], src.StrideY, w, h)
	o, so := r.Min.Y/2*f.StrideC+r.Min.X/2, sy/2*src.StrideC+sx/2
	copyPlane(f.U[o:], f.StrideC, src.U[so:], src.StrideC, w/2, h/2)
	copyPlane(f.V[o:], f.StrideC, src.V[so:], src.StrideC, w/2, h/2)
}

func copyPlane(dst []byte, ds int, src []byte, ss, w, h int) {
	for i := range h {
		copy(dst[i*ds:i*ds+w], src[i*ss:i*ss+w])
	}
}

// YUV converts a colour to limited-range BT.601.
func YUV(c color.Color) (y, u, v byte) {
	r16, g16, b16, _ := c.RGBA()
	r, g, b := int32(r16>>8), int32(g16>>8), int32(b16>>8)
	return byte((66*r+129*g+25*b+128)>>8 + 16),
		byte((-38*r-74*g+112*b+128)>>8 + 128),
		byte((112*r-94*g-18*b+128)>>8 + 128)
}

// RGB converts limited-range BT.601 to a colour.
func RGB(y, u, v byte) color.RGBA {
	c, d, e := 298*(int32(y)-16), int32(u)-128, int32(v)-128
	clip := func(x int32) byte { return byte(min(255, max(0, (x+128)>>8))) }
	return color.RGBA{clip(c + 409*e), clip(c - 100*d - 208*e), clip(c + 516*d), 255}
}

// At answers the colour of one pixel.
func (f *Frame) At(x, y int) color.RGBA {
	o := y/2*f.StrideC + x/2
	return RGB(f.Y[y*f.StrideY+x], f.U[o], f.V[o])
}

// RGBA converts the frame to an image of package image.
func (f *Frame) RGBA() *image.RGBA {
	m := image.NewRGBA(f.Bounds())
	for y := range f.Height {
		for x := range f.Width {
			m.SetRGBA(x, y, f.At(x, y))
		}
	}
	return m
}

// FromImage converts an image, its size rounded down to even numbers.
func FromImage(m image.Image) (*Frame, error) {
	b := m.Bounds()
	w, h := b.Dx()&^1, b.Dy()&^1
	if w == 0 || h == 0 {
		return nil, fmt.Errorf("i420: an image of %dx%d holds no picture", b.Dx(), b.Dy())
	}
	f := New(w, h)
	for y := 0; y < h; y += 2 {
		for x := 0; x < w; x += 2 {
			var su, sv int
			for i := range 4 {
				px, py := x+i&1, y+i>>1
				l, u, v := YUV(m.At(b.Min.X+px, b.Min.Y+py))
				f.Y[py*f.StrideY+px] = l
				su, sv = su+int(u), sv+int(v)
			}
			o := y/2*f.StrideC + x/2
			f.U[o], f.V[o] = byte((su+2)/4), byte((sv+2)/4)
		}
	}
	return f, nil
}

// Fit says how a picture of one shape is put into a tile of another.
type Fit uint8

// The fits: Cover fills the tile and cuts what is over, Contain shows all and
// leaves bars in black, Fill stretches.
const (
	Cover Fit = iota
	Contain
	Fill
)

// Pool keeps the memory of frames for reuse. It may be used from any
// goroutine; the zero value is ready.
type Pool struct {
	mu   sync.Mutex
	free []*Frame
	puts uint64 // frames that came back so far
	live atomic.Int64
}

// What a pool holds on to: so many unused frames, and each until so many others
// have come back: a size that nobody asks for any more is not kept.
const (
	keep  = 8
	stale = 256
)

// Get answers a frame of that size (rounded up to even numbers) with one
// reference and undefined contents.
func (p *Pool) Get(width, height int) *Frame {
	width, height = (width+1)&^1, (height+1)&^1
	p.live.Add(1)
	if f := p.take(width, height); f != nil {
		f.refs.Store(1)
		return f
	}
	f := New(width, height)
	f.pool = p
	return f
}

func (p *Pool) take(width, height int) *Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.free {
		if f.Width == width && f.Height == height {
			last := len(p.free) - 1
			p.free[i], p.free[last] = p.free[last], nil
			p.free = p.free[:last]
			return f
		}
	}
	return nil
}

func (p *Pool) put(f *Frame) {
	p.live.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.puts++
	f.back = p.puts
	p.free = append(p.free, f)
	p.free = slices.DeleteFunc(p.free, func(o *Frame) bool { return p.puts-o.back >= stale })
	if len(p.free) > keep {
		oldest := 0
		for i, o := range p.free {
			if o.back < p.free[oldest].back {
				oldest = i
			}
		}
		p.free = slices.Delete(p.free, oldest, oldest+1)
	}
}

// Live answers how many frames are held by somebody; a test that ends with
// more than none has found a leak.
func (p *Pool) Live() int { return int(p.live.Load()) }
