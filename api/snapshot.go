package api

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/codec/i420"
)

// snapshotTimeout is how long a room may take to draw its canvas.
const snapshotTimeout = 5 * time.Second

// snapshotPNG answers GET /v1/rooms/{room}/snapshot.png.
func (s *Server) snapshotPNG(c echo.Context) error {
	fast := png.Encoder{CompressionLevel: png.BestSpeed}
	return s.snapshot(c, "image/png", func(w io.Writer, f *i420.Frame) error { return fast.Encode(w, f.RGBA()) })
}

// snapshotJPEG answers GET /v1/rooms/{room}/snapshot.jpg.
func (s *Server) snapshotJPEG(c echo.Context) error {
	return s.snapshot(c, "image/jpeg", func(w io.Writer, f *i420.Frame) error {
		return jpeg.Encode(w, fullRange(f), &jpeg.Options{Quality: 90})
	})
}

// snapshot answers the canvas as it is now.
func (s *Server) snapshot(c echo.Context, mediaType string, encode func(io.Writer, *i420.Frame) error) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), snapshotTimeout)
	defer cancel()
	f, err := r.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer f.Release()
	var b bytes.Buffer
	if err := encode(&b, f); err != nil {
		return err
	}
	return writeBody(c, http.StatusOK, mediaType, b.Bytes())
}

// fullRange answers a frame in JPEG's colours: BT.601 like the frame's, but
// with the full range of values (JFIF 1.02, page 3).
func fullRange(f *i420.Frame) *image.YCbCr {
	m := image.NewYCbCr(f.Bounds(), image.YCbCrSubsampleRatio420)
	for y := range f.Height {
		for x, v := range f.Y[y*f.StrideY : y*f.StrideY+f.Width] {
			m.Y[y*m.YStride+x] = expand(v, 16, 219, 0)
		}
	}
	for y := range f.Height / 2 {
		for x := range f.Width / 2 {
			m.Cb[y*m.CStride+x] = expand(f.U[y*f.StrideC+x], 128, 224, 128)
			m.Cr[y*m.CStride+x] = expand(f.V[y*f.StrideC+x], 128, 224, 128)
		}
	}
	return m
}

// expand stretches a value, that is counted from zero and has span steps, to
// 255 steps counted from to.
func expand(v byte, zero, span, to int) byte {
	n := (int(v)-zero)*255*2/span + 1 // rounded for the positive half
	if int(v) < zero {
		n -= 2
	}
	return byte(min(255, max(0, to+n/2)))
}
