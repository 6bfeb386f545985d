// Package vpx decodes and encodes VP8 (RFC 6386) with libvpx.
//
// A Decoder looks at each frame's header in Go before the library sees it, so
// that a frame that claims a huge size costs nothing, and draws its picture
// scaled into the frame that the caller lends: decoding and scaling are one
// crossing into C. An Encoder is set up for conversation: constant bit rate,
// no look-ahead, key frames only on demand.
//
// Decoders and encoders belong to one goroutine at a time. What they hold
// lives in C memory: Close gives it back, may be called twice, and every other
// call after it answers ErrClosed.
package vpx

/*
#cgo pkg-config: vpx
#cgo LDFLAGS: -lyuv
#cgo CFLAGS: -Wall -Werror
#include "shim.h"
*/
import "C"

import "errors"

// The errors of this package, wrapped with what was wrong.
var (
	// ErrMalformed is a frame that is no VP8, is cut short or is damaged.
	ErrMalformed = errors.New("vpx: malformed frame")
	// ErrTooLarge is a frame of more pixels or bytes than the decoder was
	// configured for.
	ErrTooLarge = errors.New("vpx: frame is larger than allowed")
	// ErrNeedKeyFrame is a delta frame with nothing to predict from.
	ErrNeedKeyFrame = errors.New("vpx: a key frame is needed first")
	// ErrNoPicture means that the last frame was not meant to be shown or that
	// none was decoded yet.
	ErrNoPicture = errors.New("vpx: no picture to show")
	// ErrSize is a picture that has not the size of the encoder, or a frame
	// whose planes do not hold its size.
	ErrSize = errors.New("vpx: picture has the wrong size")
	// ErrConfig is a configuration outside its bounds.
	ErrConfig = errors.New("vpx: configuration out of bounds")
	// ErrLibrary is a failure of libvpx itself: no memory, or a bug.
	ErrLibrary = errors.New("vpx: library failed")
	// ErrClosed is a call after Close.
	ErrClosed = errors.New("vpx: closed")
)

// maxSide is the longest side that a VP8 frame can declare, in pixels.
const maxSide = 1<<14 - 1

// Version answers libvpx's version, such as v1.12.0.
func Version() string { return C.GoString(C.tutti_vpx_version()) }
