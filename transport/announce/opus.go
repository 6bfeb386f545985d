package announce

import (
	"bytes"
	"fmt"

	"github.com/pion/webrtc/v4/pkg/media/oggreader"

	"tutti/codec/opus"
	"tutti/codec/pcm"
)

// opusSource decodes the packets of an Ogg Opus file.
type opusSource struct {
	dec     *opus.Decoder
	chans   int
	gain    float32  // that the header asks for
	data    []byte   // the packets, one behind the other
	ends    []uint32 // where each ends in data
	preSkip int64    // samples that the decoder needs to settle, not to be heard
	total   int64    // samples to be heard

	next   int   // packet
	skip   int64 // samples that are still to be left out
	left   int64 // samples that are still to be heard
	buf    [2 * opus.MaxSamples]float32
	sample []float32 // what of buf is still to be heard
}

// newOpus reads a file of RFC 7845. pion's oggreader answers pages without the
// lengths of their packets, so it serves for the header alone.
func newOpus(data []byte, limits Limits) (source, error) {
	s := &opusSource{data: data}
	f := opusFile{s: s, limits: limits, end: -1}
	if err := readOgg(data, &f); err != nil {
		return nil, err
	}
	if err := f.finish(); err != nil {
		return nil, err
	}
	dec, err := opus.NewDecoder(s.chans)
	if err != nil {
		return nil, fmt.Errorf("announce: open a decoder: %w", err)
	}
	s.dec = dec
	s.rewind()
	return s, nil
}

// opusFile is what is known of a file while its packets come.
type opusFile struct {
	s       *opusSource
	limits  Limits
	packets int
	size    uint32 // of what lies in s.data
	samples int64  // of all packets
	onPage  int64  // of those that end on this page
	start   int64  // the first sample's position, of streams that were cut at the front
	first   bool   // start is known
	end     int64  // the last page's position, where it tells that the sound ends there; else -1
}

func (f *opusFile) packet(packet []byte) error {
	f.packets++
	f.size += uint32(len(packet))
	f.s.ends = append(f.s.ends, f.size)
	switch f.packets {
	case 1:
		return f.header(packet)
	case 2:
		if !bytes.HasPrefix(packet, []byte("OpusTags")) { // RFC 7845, section 5.2
			return ErrInvalid.because("the Opus stream has no comment header")
		}
		return nil
	}
	n, ok := opus.SampleCount(packet)
	if !ok {
		return ErrInvalid.because("a packet of the Opus stream has no duration")
	}
	f.samples += int64(n)
	f.onPage += int64(n)
	if f.samples-f.s.preSkip > int64(f.limits.Duration.Seconds()*pcm.Rate)+2*opus.MaxSamples {
		return f.limits.check(f.samples-f.s.preSkip, pcm.Rate) // more than what an end can cut off
	}
	return nil
}

// header reads the identification header (RFC 7845, section 5.1).
func (f *opusFile) header(packet []byte) error {
	if !bytes.HasPrefix(packet, []byte("OpusHead")) {
		return ErrUnsupported.because("the Ogg file holds no Opus")
	}
	h, err := oggreader.ParseOpusHead(packet)
	switch {
	case err != nil:
		return ErrInvalid.because("its Opus header: " + err.Error())
	case h.Version&0xf0 != 0:
		return ErrUnsupported.because(fmt.Sprintf("version %d of the Opus header", h.Version))
	case h.ChannelMap != 0 || h.Channels < 1 || h.Channels > 2:
		return ErrUnsupported.because(fmt.Sprintf("%d channels in mapping family %d", h.Channels, h.ChannelMap))
	}
	f.s.chans, f.s.preSkip = int(h.Channels), int64(h.PreSkip)
	f.s.gain = pcm.Gain(float64(int16(h.OutputGain)) / 256) // Q7.8, RFC 7845, section 5.1
	return nil
}

// endPage reads a page's position, which counts the samples up to its end from
// where the stream was begun (RFC 7845, section 4).
func (f *opusFile) endPage(on *page) error {
	eos := on.flags&endOfStream != 0
	if f.samples == 0 || f.onPage == 0 && !eos {
		return nil // headers, or nothing ends here
	}
	if on.granule > 1<<62 { // all ones: no packet is said to end here
		return ErrInvalid.because("a page of the Opus stream has no position")
	}
	at := int64(on.granule)
	if !f.first {
		f.first = true
		if f.start = at - f.onPage; f.start < 0 {
			if !eos { // section 4.5: only an end can be cut off
				return ErrInvalid.because("the Opus stream begins before its beginning")
			}
			f.start = 0
		}
	}
	f.onPage = 0
	if f.end = -1; eos {
		f.end = at - f.start
	}
	return nil
}

// finish computes what is to be heard: all but the pre-skip (section 4.2) and
// what lies beyond the last position (section 4.4).
func (f *opusFile) finish() error {
	heard := f.samples
	if f.end >= 0 {
		heard = min(heard, f.end)
	}
	f.s.total = heard - f.s.preSkip
	if f.packets < 3 {
		f.s.total = 0
	}
	return f.limits.check(f.s.total, pcm.Rate)
}

func (s *opusSource) channels() int  { return s.chans }
func (s *opusSource) samples() int64 { return s.total }

func (s *opusSource) rewind() {
	s.next, s.skip, s.left, s.sample = 2, s.preSkip, s.total, nil // behind both headers
	if err := s.dec.Reset(); err != nil {
		s.left = 0 // closed
	}
}

func (s *opusSource) close() {
	s.dec.Close()
	s.left = 0
}

func (s *opusSource) read(dst []float32) int {
	want := int64(len(dst) / s.chans)
	got := int64(0)
	for got < want && s.left > 0 {
		if len(s.sample) == 0 {
			if !s.decode() {
				break
			}
			continue
		}
		n := min(want-got, s.left, int64(len(s.sample)/s.chans))
		copy(dst[got*int64(s.chans):], s.sample[:n*int64(s.chans)])
		s.sample = s.sample[n*int64(s.chans):]
		got, s.left = got+n, s.left-n
	}
	return int(got)
}

// decode decodes the next packet. One that is damaged is silent for as long as
// it says that it lasts.
func (s *opusSource) decode() bool {
	if s.next >= len(s.ends) {
		s.left = 0
		return false
	}
	packet := s.data[s.ends[s.next-1]:s.ends[s.next]]
	s.next++
	n, err := s.dec.Decode(packet, s.buf[:])
	if err != nil {
		n, _ = opus.SampleCount(packet)
		clear(s.buf[:n*s.chans])
	}
	skip := min(s.skip, int64(n))
	s.skip -= skip
	s.sample = s.buf[int(skip)*s.chans : n*s.chans]
	if s.gain != 1 {
		for i := range s.sample {
			s.sample[i] *= s.gain
		}
	}
	return true
}
