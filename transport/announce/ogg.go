package announce

import (
	"bytes"
	"encoding/binary"
)

// The parts of an Ogg page's header (RFC 3533, section 6).
const (
	pageHeader   = 27 // bytes before the lengths of the segments
	continued    = 1  // begins within a packet
	endOfStream  = 4
	fullSegment  = 255 // bytes; a shorter one ends its packet
	checksumAt   = 22
	serialNumber = 14
)

// page is one page of an Ogg file.
type page struct {
	flags    byte
	granule  uint64
	serial   uint32
	segments []byte // their lengths
	payload  []byte
}

// nextPage answers the page that data begins with, and what follows it.
func nextPage(data []byte) (p page, rest []byte, err error) {
	if len(data) < pageHeader || !bytes.HasPrefix(data, []byte("OggS\x00")) {
		return p, nil, ErrInvalid.because("a page of the Ogg file has no header")
	}
	header := pageHeader + int(data[pageHeader-1])
	if len(data) < header {
		return p, nil, ErrInvalid.because("the Ogg file ends within a page")
	}
	p.segments = data[pageHeader:header]
	size := header
	for _, n := range p.segments {
		size += int(n)
	}
	if len(data) < size {
		return p, nil, ErrInvalid.because("the Ogg file ends within a page")
	}
	if checksum(data[:size]) != binary.LittleEndian.Uint32(data[checksumAt:]) {
		return p, nil, ErrInvalid.because("a page of the Ogg file is damaged")
	}
	p.flags, p.payload = data[5], data[header:size]
	p.granule, p.serial = binary.LittleEndian.Uint64(data[6:]), binary.LittleEndian.Uint32(data[serialNumber:])
	return p, data[size:], nil
}

// checksums are the remainders of each byte by the polynomial 0x04c11db7, high
// bit first, which hash/crc32 has low bit first alone.
var checksums = func() (table [256]uint32) {
	for i := range table {
		r := uint32(i) << 24
		for range 8 {
			carry := r >> 31
			r = r<<1 ^ carry*0x04c11db7
		}
		table[i] = r
	}
	return table
}()

// checksum answers that of a page, whose own field counts as zero.
func checksum(page []byte) (sum uint32) {
	step := func(b byte) { sum = sum<<8 ^ checksums[byte(sum>>24)^b] }
	for _, b := range page[:checksumAt] {
		step(b)
	}
	for range 4 {
		step(0)
	}
	for _, b := range page[checksumAt+4:] {
		step(b)
	}
	return sum
}

// oggStream is told what a file of one logical stream holds.
type oggStream interface {
	// packet takes a packet, which is the receiver's.
	packet(p []byte) error
	// endPage is told of the end of a page, after the packets that end on it.
	endPage(p *page) error
}

// readOgg reads a file. The packets that it tells of lie in data one behind the
// other from its beginning on: what is read is written over, as packets stand
// before the pages that they come from.
func readOgg(data []byte, to oggStream) error {
	var (
		serial uint32
		open   bool // a packet goes on on the next page
		at     int  // where that packet begins
		end    int  // of what has been put together
		rest   = data
		table  [255]byte // of a page's segments, which are written over as it is read
	)
	for first := true; len(rest) > 0; first = false {
		p, after, err := nextPage(rest)
		if err != nil {
			return err
		}
		if first {
			serial = p.serial
		}
		switch {
		case p.serial != serial:
			return ErrUnsupported.because("the Ogg file has more than one stream")
		case open != (p.flags&continued != 0):
			return ErrInvalid.because("a packet of the Ogg file has lost a part")
		}
		p.segments = table[:copy(table[:], p.segments)]
		for _, n := range p.segments {
			end += copy(data[end:], p.payload[:n])
			p.payload = p.payload[n:]
			if open = n == fullSegment; open {
				continue
			}
			if err := to.packet(data[at:end:end]); err != nil {
				return err
			}
			at = end
		}
		if err := to.endPage(&p); err != nil {
			return err
		}
		rest = after
	}
	if open {
		return ErrInvalid.because("the last packet of the Ogg file has no end")
	}
	return nil
}
