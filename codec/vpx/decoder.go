package vpx

/*
#include "shim.h"
#cgo noescape tutti_vpx_decode
#cgo nocallback tutti_vpx_decode
#cgo noescape tutti_vpx_draw
#cgo nocallback tutti_vpx_draw
*/
import "C"

import (
	"fmt"
	"image"

	"tutti/codec/i420"
	"tutti/codec/yuv"
)

// DecoderConfig bounds what a decoder takes from strangers.
type DecoderConfig struct {
	// MaxWidth and MaxHeight are the largest picture in pixels, 1 to 16383. A
	// picture may lie either way up: 1280 and 720 let 720x1280 pass as well.
	MaxWidth, MaxHeight int
	// MaxFrameBytes is the longest frame in bytes.
	MaxFrameBytes int
	// Threads is how many threads the library may use; 0 means 1. More than one
	// costs more CPU in sum and pays only for pictures above 720p.
	Threads int
}

// maxThreads bounds Threads for decoders and encoders alike.
const maxThreads = 16

func (c DecoderConfig) check() error {
	if c.MaxWidth < 1 || c.MaxWidth > maxSide || c.MaxHeight < 1 || c.MaxHeight > maxSide {
		return fmt.Errorf("%w: largest picture %dx%d", ErrConfig, c.MaxWidth, c.MaxHeight)
	}
	if c.MaxFrameBytes < 1 || c.MaxFrameBytes > 1<<28 {
		return fmt.Errorf("%w: longest frame %d bytes", ErrConfig, c.MaxFrameBytes)
	}
	if c.Threads < 0 || c.Threads > maxThreads {
		return fmt.Errorf("%w: %d threads", ErrConfig, c.Threads)
	}
	return nil
}

// Decoder decodes one VP8 stream. It belongs to one goroutine at a time.
type Decoder struct {
	c             *C.tutti_vpx_decoder
	cfg           DecoderConfig
	width, height int  // of the last key frame that passed the checks
	keyed         bool // there is something to predict from
	shown         bool // there is a picture
}

// NewDecoder makes a decoder. It must be closed.
func NewDecoder(cfg DecoderConfig) (*Decoder, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := C.tutti_vpx_decoder_new(C.int(max(1, cfg.Threads)))
	if c == nil {
		return nil, fmt.Errorf("%w: new decoder", ErrLibrary)
	}
	return &Decoder{c: c, cfg: cfg}, nil
}

// Close frees the decoder.
func (d *Decoder) Close() {
	C.tutti_vpx_decoder_free(d.c)
	d.c, d.keyed, d.shown = nil, false, false
}

// Size answers the size of the stream's pictures in pixels, odd sizes
// included, or 0, 0 before the first key frame.
func (d *Decoder) Size() (width, height int) { return d.width, d.height }

// Decode takes one whole frame; Picture draws what came of it. A frame that is
// refused for its header (ErrMalformed, ErrTooLarge, ErrNeedKeyFrame) never
// reaches the library and leaves the decoder as it was; one that turns out
// damaged inside (ErrMalformed too) makes it wait for the next key frame.
func (d *Decoder) Decode(frame []byte) error {
	if err := d.admit(frame); err != nil {
		return err
	}
	err := d.result(C.tutti_vpx_decode(d.c, (*C.uint8_t)(&frame[0]), C.size_t(len(frame)),
		nil, nil, nil, C.tutti_vpx_view{}))
	if err == ErrNoPicture { // hidden: decoded all the same
		return nil
	}
	return err
}

// DecodeInto decodes one whole frame and draws its picture over all of dst,
// fitted so. It answers what Decode and Picture answer.
func (d *Decoder) DecodeInto(frame []byte, dst *i420.Frame, fit i420.Fit) error {
	if err := yuv.Check(dst); err != nil {
		return fmt.Errorf("%w: %w", ErrSize, err)
	}
	if err := d.admit(frame); err != nil {
		return err
	}
	p := d.placed(dst, fit)
	err := d.result(C.tutti_vpx_decode(d.c, (*C.uint8_t)(&frame[0]), C.size_t(len(frame)),
		(*C.uint8_t)(&dst.Y[p.y]), (*C.uint8_t)(&dst.U[p.c]), (*C.uint8_t)(&dst.V[p.c]), p.view))
	if err != nil {
		return err
	}
	p.finish(dst)
	return nil
}

// Picture draws the last decoded picture over all of dst, fitted so, and may
// be called again with another size. It answers ErrNoPicture where the last
// frame was hidden or refused by the library.
func (d *Decoder) Picture(dst *i420.Frame, fit i420.Fit) error {
	if d.c == nil {
		return ErrClosed
	}
	if err := yuv.Check(dst); err != nil {
		return fmt.Errorf("%w: %w", ErrSize, err)
	}
	if !d.shown {
		return ErrNoPicture
	}
	p := d.placed(dst, fit)
	rc := C.tutti_vpx_draw(d.c, (*C.uint8_t)(&dst.Y[p.y]), (*C.uint8_t)(&dst.U[p.c]), (*C.uint8_t)(&dst.V[p.c]), p.view)
	if rc != 0 {
		return fmt.Errorf("%w: draw answered %d", ErrLibrary, int(rc))
	}
	p.finish(dst)
	return nil
}

// admit checks the header, and takes the size from it where it passes.
func (d *Decoder) admit(frame []byte) error {
	if d.c == nil {
		return ErrClosed
	}
	if len(frame) > d.cfg.MaxFrameBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(frame), d.cfg.MaxFrameBytes)
	}
	h, err := Inspect(frame)
	if err != nil {
		return err
	}
	if !h.KeyFrame {
		if !d.keyed {
			return ErrNeedKeyFrame
		}
		return nil
	}
	if max(h.Width, h.Height) > max(d.cfg.MaxWidth, d.cfg.MaxHeight) ||
		min(h.Width, h.Height) > min(d.cfg.MaxWidth, d.cfg.MaxHeight) {
		return fmt.Errorf("%w: %dx%d, at most %dx%d", ErrTooLarge, h.Width, h.Height, d.cfg.MaxWidth, d.cfg.MaxHeight)
	}
	d.width, d.height, d.keyed = h.Width, h.Height, true
	return nil
}

// result turns the shim's answer to an error and keeps account of what the
// decoder holds now.
func (d *Decoder) result(rc C.int) error {
	d.shown = rc == 0
	switch rc {
	case 0:
		return nil
	case C.TUTTI_VPX_NO_PICTURE:
		return ErrNoPicture
	case C.TUTTI_VPX_CORRUPT:
		d.keyed = false
		return fmt.Errorf("%w: damaged inside", ErrMalformed)
	}
	d.keyed = false
	return fmt.Errorf("%w: decode answered %d", ErrLibrary, int(rc))
}

// placement is where in a destination a picture goes.
type placement struct {
	view C.tutti_vpx_view
	y, c int // where the planes begin
	to   image.Rectangle
}

// placed works out where in dst the stream's picture goes. Where the sizes are
// equal but for the one column or row that an odd size lacks, nothing is
// scaled: finish repeats the last ones.
func (d *Decoder) placed(dst *i420.Frame, fit i420.Fit) placement {
	from, to := yuv.Place(d.width, d.height, dst.Width, dst.Height, fit)
	w, h := to.Dx(), to.Dy()
	if from.Dx()+from.Dx()&1 == w && from.Dy()+from.Dy()&1 == h {
		w, h = from.Dx(), from.Dy()
	}
	return placement{
		view: C.tutti_vpx_view{
			width: C.int(d.width), height: C.int(d.height),
			x: C.int(from.Min.X), y: C.int(from.Min.Y), w: C.int(from.Dx()), h: C.int(from.Dy()),
			dst_w: C.int(w), dst_h: C.int(h),
			stride_y: C.int(dst.StrideY), stride_c: C.int(dst.StrideC),
		},
		y:  to.Min.Y*dst.StrideY + to.Min.X,
		c:  to.Min.Y/2*dst.StrideC + to.Min.X/2,
		to: to,
	}
}

// finish paints what the library left: bars, and the column and row that an
// odd size lacks. Chroma has them already: its planes are rounded up.
func (p *placement) finish(dst *i420.Frame) {
	yuv.Bars(dst, dst.Bounds(), p.to)
	w, h := int(p.view.dst_w), int(p.view.dst_h)
	if w < p.to.Dx() {
		for row := range h {
			o := p.y + row*dst.StrideY + w
			dst.Y[o] = dst.Y[o-1]
		}
	}
	if h < p.to.Dy() {
		o := p.y + h*dst.StrideY
		copy(dst.Y[o:o+p.to.Dx()], dst.Y[o-dst.StrideY:])
	}
}
