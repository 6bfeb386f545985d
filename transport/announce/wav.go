package announce

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"tutti/codec/pcm"
)

// The formats of a WAV file's samples, and where an extensible one has its own.
const (
	formatPCM        = 1
	formatFloat      = 3
	formatExtensible = 0xfffe
	subFormatAt      = 24
)

// The rates that are taken, in Hz.
const (
	minRate = 8000
	maxRate = 192000
)

// unknownSize is what programs write that cannot go back to write a length: the
// data go on to the end of the file.
const unknownSize = 0xffffffff

// loudest is what samples of a float file are clipped to, 12 dB over full scale.
const loudest = 4

// wavFormat is what the fmt chunk says.
type wavFormat struct {
	format, channels, rate, bits int
}

// wavSource converts the samples of a WAV file. It is of our own since what
// there is knows no float samples and allocates as it reads.
type wavSource struct {
	f        wavFormat
	data     []byte
	frames   int64 // of data
	total    int64 // samples at 48 kHz
	at       int64 // the next of them
	kernel   *kernel
	unpacked []float32 // frames that a block is made from
}

func newWAV(data []byte, limits Limits) (source, error) {
	f, sound, err := parseWAV(data)
	if err != nil {
		return nil, err
	}
	s := &wavSource{f: f, data: sound, frames: int64(len(sound) / f.frameBytes())}
	if err := limits.check(s.frames, f.rate); err != nil {
		return nil, err
	}
	s.total = (s.frames*pcm.Rate + int64(f.rate) - 1) / int64(f.rate)
	if f.rate != pcm.Rate {
		s.kernel = newKernel(f.rate, pcm.Rate)
		s.unpacked = make([]float32, f.channels*(pcm.Samples*f.rate/pcm.Rate+2+s.kernel.taps))
	}
	return s, nil
}

// parseWAV finds the format and the samples within a RIFF file. Other chunks are
// passed over.
func parseWAV(data []byte) (f wavFormat, sound []byte, err error) {
	if len(data) < 12 || !bytes.Equal(data[8:12], []byte("WAVE")) {
		return f, nil, ErrInvalid.because("the RIFF file is no WAVE")
	}
	known := false
	for rest := data[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), uint64(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		if id == "data" && size == unknownSize {
			size = uint64(len(rest))
		}
		if size > uint64(len(rest)) {
			return f, nil, ErrInvalid.because(fmt.Sprintf("the WAV file ends within its chunk %q", id))
		}
		switch {
		case id == "fmt " && !known:
			if f, err = parseFormat(rest[:size]); err != nil {
				return f, nil, err
			}
			known = true
		case id == "data" && !known:
			return f, nil, ErrInvalid.because("the WAV file has samples before their format")
		case id == "data":
			return f, rest[:size], nil
		}
		rest = rest[min(size+size&1, uint64(len(rest))):] // chunks begin at even places
	}
	return f, nil, ErrInvalid.because("the WAV file has no samples")
}

func parseFormat(b []byte) (f wavFormat, err error) {
	if len(b) < 16 {
		return f, ErrInvalid.because("the WAV file's format is too short")
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	f = wavFormat{format: u16(0), channels: u16(2), bits: u16(14)}
	if f.format == formatExtensible && len(b) >= subFormatAt+2 {
		f.format = u16(subFormatAt)
	}
	rate := binary.LittleEndian.Uint32(b[4:])
	f.rate = int(min(rate, maxRate+1))
	switch {
	case f.channels < 1 || f.channels > 2:
		return f, ErrUnsupported.because(fmt.Sprintf("%d channels", f.channels))
	case f.rate < minRate || f.rate > maxRate:
		return f, ErrUnsupported.because(fmt.Sprintf("%d Hz", rate))
	case !f.known():
		return f, ErrUnsupported.because(fmt.Sprintf("%d bits in WAV format %d", f.bits, f.format))
	case u16(12) != f.frameBytes():
		return f, ErrInvalid.because("the WAV file's frames have another size than their samples")
	}
	return f, nil
}

func (f wavFormat) known() bool {
	switch f.format {
	case formatPCM:
		return f.bits == 16 || f.bits == 24 || f.bits == 32
	case formatFloat:
		return f.bits == 32
	}
	return false
}

func (f wavFormat) frameBytes() int { return f.channels * f.bits / 8 }

func (s *wavSource) channels() int  { return s.f.channels }
func (s *wavSource) samples() int64 { return s.total }
func (s *wavSource) rewind()        { s.at = 0 }
func (s *wavSource) close()         { s.data, s.total = nil, 0 }

func (s *wavSource) read(dst []float32) int {
	n := int(min(int64(len(dst)/s.f.channels), max(0, s.total-s.at)))
	dst = dst[:n*s.f.channels]
	if s.kernel == nil {
		s.unpack(dst, s.at)
	} else if n > 0 {
		from, count := s.kernel.span(s.at, n)
		in := s.unpacked[:count*s.f.channels]
		s.unpack(in, from)
		s.kernel.resample(dst, in, s.at, s.f.channels)
	}
	s.at += int64(n)
	return n
}

// unpack converts the frames from a place on; there is silence before the first
// and after the last.
func (s *wavSource) unpack(dst []float32, from int64) {
	clear(dst)
	if from < 0 {
		dst = dst[min(int64(len(dst)), -from*int64(s.f.channels)):]
		from = 0
	}
	if from >= s.frames {
		return
	}
	src := s.data[from*int64(s.f.frameBytes()):]
	size := s.f.bits / 8
	n := min(len(dst), len(src)/size)
	switch {
	case s.f.format == formatFloat:
		for i := range dst[:n] {
			dst[i] = clip(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case size == 2:
		for i := range dst[:n] {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:]))) / (1 << 15)
		}
	case size == 3:
		for i := range dst[:n] {
			b := src[3*i:]
			dst[i] = float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	default:
		for i := range dst[:n] {
			dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:]))) / (1 << 31)
		}
	}
}

// clip keeps what is no number, or far too loud, from the mix.
func clip(x float32) float32 {
	if x != x {
		return 0
	}
	return min(loudest, max(-loudest, x))
}
