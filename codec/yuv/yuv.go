// Package yuv scales and copies I420 pictures with libyuv.
//
// It keeps no state and may be called from any goroutine. Sizes and buffers
// are checked in Go before the library is entered, nothing is allocated, and
// nothing outside the rectangle that is asked for is touched. The sample grid
// is the one of package i420: chroma at half size, so that rectangles lie on
// even coordinates.
package yuv

/*
#cgo LDFLAGS: -lyuv
#cgo CFLAGS: -Wall -Werror
#include <libyuv.h>
#cgo noescape I420Scale
#cgo nocallback I420Scale
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"strconv"

	"tutti/codec/i420"
)

// The errors of this package.
var (
	// ErrFrame is a frame whose planes do not hold the size that it claims, or
	// whose size is odd or empty.
	ErrFrame = errors.New("yuv: frame does not hold its size")
	// ErrArea is an area off the even grid or outside the frame.
	ErrArea = errors.New("yuv: area is empty, off the even grid or outside the frame")
	// ErrLibrary is a refusal by libyuv of what passed all checks here.
	ErrLibrary = errors.New("yuv: libyuv refused to scale")
)

// MaxSide is the longest side in pixels that this package scales: VP8 knows no
// longer one (RFC 6386, section 9.1), and libyuv ends at twice as much.
const MaxSide = 16384

// Version answers libyuv's version number, as it was built against.
func Version() string { return strconv.Itoa(C.LIBYUV_VERSION) }

// Check answers ErrFrame, wrapped, unless f's planes hold its size.
func Check(f *i420.Frame) error {
	if f == nil {
		return fmt.Errorf("%w: no frame", ErrFrame)
	}
	w, h := f.Width, f.Height
	if w < 2 || h < 2 || w > MaxSide || h > MaxSide || (w|h)&1 != 0 {
		return fmt.Errorf("%w: %dx%d", ErrFrame, w, h)
	}
	if !holds(f.Y, f.StrideY, w, h) || !holds(f.U, f.StrideC, w/2, h/2) || !holds(f.V, f.StrideC, w/2, h/2) {
		return fmt.Errorf("%w: %dx%d with strides %d and %d", ErrFrame, w, h, f.StrideY, f.StrideC)
	}
	return nil
}

// holds reports whether plane has h rows of w bytes, stride apart.
func holds(plane []byte, stride, w, h int) bool {
	return stride >= w && stride <= 4*MaxSide && len(plane) >= (h-1)*stride+w
}

// Scale draws src over all of dst, fitted so; what fit leaves free becomes
// black. The frames must not share memory.
func Scale(dst, src *i420.Frame, fit i420.Fit) error {
	if err := Check(dst); err != nil {
		return err
	}
	return ScaleInto(dst, dst.Bounds(), src, fit)
}

// ScaleInto draws src over the area of dst, fitted so; what fit leaves free of
// the area becomes black. The area must lie within dst on even coordinates.
func ScaleInto(dst *i420.Frame, area image.Rectangle, src *i420.Frame, fit i420.Fit) error {
	if err := Check(dst); err != nil {
		return err
	}
	if err := Check(src); err != nil {
		return err
	}
	if area.Empty() || !area.In(dst.Bounds()) || (area.Min.X|area.Min.Y|area.Max.X|area.Max.Y)&1 != 0 {
		return fmt.Errorf("%w: %v of %dx%d", ErrArea, area, dst.Width, dst.Height)
	}
	from, to := Place(src.Width, src.Height, area.Dx(), area.Dy(), fit)
	to = to.Add(area.Min)
	Bars(dst, area, to)
	return scale(dst, to, src, from)
}

// Bars paints black what of area lies outside inner.
func Bars(dst *i420.Frame, area, inner image.Rectangle) {
	if inner == area {
		return
	}
	dst.FillRect(image.Rect(area.Min.X, area.Min.Y, area.Max.X, inner.Min.Y), color.Black)
	dst.FillRect(image.Rect(area.Min.X, inner.Max.Y, area.Max.X, area.Max.Y), color.Black)
	dst.FillRect(image.Rect(area.Min.X, inner.Min.Y, inner.Min.X, inner.Max.Y), color.Black)
	dst.FillRect(image.Rect(inner.Max.X, inner.Min.Y, area.Max.X, inner.Max.Y), color.Black)
}

// scale enters the library, once, with planes that begin at the rectangles.
// Box is asked for always: libyuv itself falls back to bilinear where the
// picture shrinks by less than half or grows, and copies when the sizes are
// equal.
func scale(dst *i420.Frame, to image.Rectangle, src *i420.Frame, from image.Rectangle) error {
	sy, sc := from.Min.Y*src.StrideY+from.Min.X, from.Min.Y/2*src.StrideC+from.Min.X/2
	dy, dc := to.Min.Y*dst.StrideY+to.Min.X, to.Min.Y/2*dst.StrideC+to.Min.X/2
	rc := C.I420Scale(
		(*C.uint8_t)(&src.Y[sy]), C.int(src.StrideY),
		(*C.uint8_t)(&src.U[sc]), C.int(src.StrideC),
		(*C.uint8_t)(&src.V[sc]), C.int(src.StrideC),
		C.int(from.Dx()), C.int(from.Dy()),
		(*C.uint8_t)(&dst.Y[dy]), C.int(dst.StrideY),
		(*C.uint8_t)(&dst.U[dc]), C.int(dst.StrideC),
		(*C.uint8_t)(&dst.V[dc]), C.int(dst.StrideC),
		C.int(to.Dx()), C.int(to.Dy()), C.kFilterBox)
	if rc != 0 {
		return fmt.Errorf("%w: %v to %v", ErrLibrary, from, to)
	}
	return nil
}
