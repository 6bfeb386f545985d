package vpx

import "fmt"

// Header is what a VP8 frame says of itself before anything is decoded
// (RFC 6386, sections 9.1 and 19.1).
type Header struct {
	// KeyFrame is true for a frame that needs no other.
	KeyFrame bool
	// Version, 0 to 3, selects the reconstruction and loop filters.
	Version int
	// Show is false for a frame that is only there to predict from.
	Show bool
	// FirstPartition is the length of the first partition in bytes; it lies
	// wholly within the frame.
	FirstPartition int
	// Width and Height are the size in pixels, 1 to 16383, and ScaleX and ScaleY
	// the sender's wish for display, 0 to 3. All are 0 on a delta frame.
	Width, Height  int
	ScaleX, ScaleY int
}

const (
	tagBytes      = 3 // the frame tag, on every frame
	keyFrameBytes = 7 // start code and size, after the tag of a key frame
	maxVersion    = 3
)

// Inspect reads the header of a VP8 frame and checks it against the frame's
// length. It decodes nothing and allocates nothing unless it answers an error,
// which wraps ErrMalformed.
func Inspect(frame []byte) (Header, error) {
	if len(frame) < tagBytes {
		return Header{}, fmt.Errorf("%w: %d bytes are no frame tag", ErrMalformed, len(frame))
	}
	tag := int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16
	h := Header{
		KeyFrame:       tag&1 == 0,
		Version:        tag >> 1 & 7,
		Show:           tag>>4&1 == 1,
		FirstPartition: tag >> 5,
	}
	if h.Version > maxVersion {
		return Header{}, fmt.Errorf("%w: version %d is reserved", ErrMalformed, h.Version)
	}
	rest := frame[tagBytes:]
	if h.KeyFrame {
		if err := h.size(rest); err != nil {
			return Header{}, err
		}
		rest = rest[keyFrameBytes:]
	}
	if h.FirstPartition == 0 || h.FirstPartition > len(rest) {
		return Header{}, fmt.Errorf("%w: first partition of %d bytes in %d", ErrMalformed, h.FirstPartition, len(rest))
	}
	return h, nil
}

// size reads start code and size of a key frame.
func (h *Header) size(b []byte) error {
	if len(b) < keyFrameBytes {
		return fmt.Errorf("%w: key frame header of %d bytes", ErrMalformed, len(b))
	}
	if b[0] != 0x9d || b[1] != 0x01 || b[2] != 0x2a {
		return fmt.Errorf("%w: start code %x", ErrMalformed, b[:3])
	}
	x, y := int(b[3])|int(b[4])<<8, int(b[5])|int(b[6])<<8
	h.Width, h.ScaleX = x&0x3fff, x>>14
	h.Height, h.ScaleY = y&0x3fff, y>>14
	if h.Width == 0 || h.Height == 0 {
		return fmt.Errorf("%w: size %dx%d", ErrMalformed, h.Width, h.Height)
	}
	return nil
}
