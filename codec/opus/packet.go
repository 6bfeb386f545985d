package opus

// frameSamples answers the samples per channel in one frame of a packet, from
// its table-of-contents byte (RFC 6716, section 3.1, table 2).
func frameSamples(toc byte) int {
	config := toc >> 3
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return [2]int{480, 960}[config&1]
	}
	return 120 << (config & 3) // CELT: 2.5, 5, 10, 20 ms
}

// SampleCount answers how long a packet lasts, in samples per channel at
// 48 kHz; ok is false where that is no duration a packet may have (RFC 6716,
// section 3.2). It looks at the first two bytes and the length only.
func SampleCount(payload []byte) (samples int, ok bool) {
	if len(payload) == 0 {
		return 0, false
	}
	frames := 1
	switch payload[0] & 3 { // the frame count code
	case 1, 2:
		frames = 2
	case 3:
		if len(payload) < 2 {
			return 0, false
		}
		frames = int(payload[1] & 0x3f)
	}
	samples = frames * frameSamples(payload[0])
	return samples, samples > 0 && samples <= MaxSamples
}

// Channels answers whether a packet was made from 1 or 2 channels, or 0 where
// it is empty. A decoder of either number decodes it.
func Channels(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	return 1 + int(payload[0]>>2&1)
}

// HasFEC reports whether a packet carries the one before it a second time, at
// lower quality, so that Recover gives more than Conceal does. Each SILK layer
// begins with one bit of voice activity for each of its frames and one bit
// that says this (RFC 6716, section 4.2.3); all have even odds, so that they
// stand in the first byte as they are.
func HasFEC(payload []byte) bool {
	if len(payload) == 0 || payload[0]>>3 >= 16 { // CELT has none
		return false
	}
	frame := firstFrame(payload)
	if len(frame) == 0 {
		return false
	}
	silk := max(1, frameSamples(payload[0])/960)
	bit := frame[0] >> (7 - silk) & 1
	if Channels(payload) == 2 { // the side channel's flags follow
		bit |= frame[0] >> (6 - 2*silk) & 1
	}
	return bit == 1
}

// firstFrame answers the packet from its first frame on, without the lengths
// and counts before it (RFC 6716, sections 3.2.2 to 3.2.5), or nil.
func firstFrame(p []byte) []byte {
	code := p[0] & 3
	p = p[1:]
	lengths := 0
	switch code {
	case 2:
		lengths = 1
	case 3:
		if len(p) == 0 {
			return nil
		}
		head := p[0]
		p = p[1:]
		if head&0x40 != 0 {
			p = skipPadding(p)
		}
		if head&0x80 != 0 { // variable: all lengths but the last are given
			lengths = int(head&0x3f) - 1
		}
	}
	for i := range lengths {
		n, size := frameLength(p)
		if size == 0 || (i == 0 && n == 0) {
			return nil
		}
		p = p[size:]
	}
	return p
}

// skipPadding passes over the lengths of the padding (RFC 6716, section
// 3.2.5); the padding itself stands at the packet's end.
func skipPadding(p []byte) []byte {
	for len(p) > 0 && p[0] == 255 {
		p = p[1:]
	}
	return p[min(1, len(p)):]
}

// frameLength reads a frame's length and how many bytes it takes, 0 where
// there are too few (RFC 6716, section 3.2.1).
func frameLength(p []byte) (n, size int) {
	switch {
	case len(p) == 0:
		return 0, 0
	case p[0] < 252:
		return int(p[0]), 1
	case len(p) == 1:
		return 0, 0
	}
	return int(p[1])*4 + int(p[0]), 2
}
