package jitter

import "errors"

// ErrDescriptor is answered for a payload whose VP8 descriptor is cut off.
var ErrDescriptor = errors.New("jitter: VP8 payload descriptor is cut off")

// descriptor is the VP8 payload descriptor (RFC 7741, section 4.2).
type descriptor struct {
	start      bool // first packet of a partition
	partition  uint8
	hasPicture bool
	long       bool // the picture ID has 15 bits, else 7
	picture    uint16
	hasTL0     bool
	tl0        uint8
	hasLayer   bool
	layer      uint8
	sync       bool // depends on the base layer alone
}

// begins reports whether the packet is the first of a frame.
func (d *descriptor) begins() bool { return d.start && d.partition == 0 }

// parseDescriptor answers the descriptor and the VP8 data after it.
func parseDescriptor(b []byte) (d descriptor, data []byte, err error) {
	next := func() (v byte) {
		if len(b) == 0 {
			err = ErrDescriptor
			return 0
		}
		v, b = b[0], b[1:]
		return v
	}
	first := next()
	d.start, d.partition = first&0x10 != 0, first&0x07
	if first&0x80 == 0 { // X
		return d, b, err
	}
	ext := next()
	if ext&0x80 != 0 { // I
		d.hasPicture = true
		if v := next(); v&0x80 != 0 { // M
			d.long, d.picture = true, uint16(v&0x7f)<<8|uint16(next())
		} else {
			d.picture = uint16(v)
		}
	}
	if ext&0x40 != 0 { // L
		d.hasTL0, d.tl0 = true, next()
	}
	if ext&0x30 != 0 { // T, K
		v := next()
		if ext&0x20 != 0 {
			d.hasLayer, d.layer, d.sync = true, v>>6, v&0x20 != 0
		}
	}
	return d, b, err
}

// fate is what becomes of a frame whose packets are all there.
type fate uint8

const (
	decodable fate = iota
	leftOut        // it cannot be decoded, and no frame to come needs it
	severed        // what it builds on is missing: only a key frame helps
)

// references remembers which frames were delivered, to tell whether all that a
// frame builds on is there even where the sequence numbers have no gap: a
// forwarder between the sender and us may leave out frames and close it.
type references struct {
	last descriptor // of the frame delivered last
	seen descriptor // of the frame before, left out or not
	// barred is the lowest temporal layer of which a frame is missing, so that
	// those above the base may build on what is not there.
	barred uint8
}

// noneBarred is more than any temporal layer.
const noneBarred = 4

// follow decides on the frame with descriptor d, which begins a key frame or
// not, and takes it for delivered if it is decodable.
func (r *references) follow(d *descriptor, key bool) fate {
	var f fate
	switch {
	case key:
		r.barred = noneBarred
	case d.hasLayer && d.hasTL0 && r.last.hasTL0:
		f = r.layered(d)
	case !r.next(d):
		f = severed
	}
	if f == decodable {
		r.last = *d
	}
	r.seen = *d
	return f
}

// layered decides on a frame of a stream with temporal layers. TL0PICIDX counts
// the frames of the base layer, which build on that layer alone; the others
// carry that of the base frame before them (RFC 7741, section 4.2).
func (r *references) layered(d *descriptor) fate {
	if d.layer == 0 {
		if d.tl0 != r.last.tl0+1 {
			return severed
		}
		if !r.next(d) {
			r.barred = 1 // some of the layers above were left out
		}
		return decodable
	}
	if !r.next(d) {
		r.barred = min(r.barred, 1)
	}
	same := d.tl0 == r.last.tl0
	if same && d.sync {
		if d.layer == r.barred {
			r.barred++
		}
		return decodable
	}
	if same && d.layer < r.barred {
		return decodable
	}
	return leftOut
}

// next reports whether d follows right on the picture before, as far as the
// picture IDs tell.
func (r *references) next(d *descriptor) bool {
	l := &r.seen
	if !d.hasPicture || !l.hasPicture {
		return true
	}
	mask := uint16(0x7f)
	if d.long && l.long {
		mask = 0x7fff
	}
	return d.picture&mask == (l.picture+1)&mask
}
