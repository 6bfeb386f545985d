package rtc

// history holds the last few packets that were passed over undecoded. The zero
// value is empty.
type history struct {
	n       int
	packets [warmUp]struct {
		payload []byte
		samples int
	}
}

// add takes a copy of a packet; the oldest gives way.
func (h *history) add(payload []byte, samples int) {
	if h.n == len(h.packets) {
		oldest := h.packets[0]
		copy(h.packets[:], h.packets[1:])
		h.packets[h.n-1] = oldest // for its memory
		h.n--
	}
	p := &h.packets[h.n]
	p.payload, p.samples = append(p.payload[:0], payload...), samples
	h.n++
}

// at answers a packet, the oldest first.
func (h *history) at(i int) (payload []byte, samples int) {
	return h.packets[i].payload, h.packets[i].samples
}
