package announce

import (
	"encoding/binary"
	"math"
	"testing"

	"tutti/codec/opus"
	"tutti/codec/pcm"
)

// chunk answers a RIFF chunk, padded.
func chunk(id string, body []byte) []byte {
	b := append([]byte(id), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// wavOf answers a file of chunks.
func wavOf(chunks ...[]byte) []byte {
	body := []byte("WAVE")
	for _, c := range chunks {
		body = append(body, c...)
	}
	return chunk("RIFF", body)
}

// formatChunk answers a fmt chunk.
func formatChunk(f wavFormat) []byte {
	b := make([]byte, 16)
	for at, v := range map[int]int{0: f.format, 2: f.channels, 12: f.frameBytes(), 14: f.bits} {
		binary.LittleEndian.PutUint16(b[at:], uint16(v))
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(f.rate))
	binary.LittleEndian.PutUint32(b[8:], uint32(f.rate*f.frameBytes()))
	return chunk("fmt ", b)
}

// sampleBytes answers samples, interleaved, as a format has them.
func sampleBytes(f wavFormat, samples []float64) (b []byte) {
	for _, x := range samples {
		switch {
		case f.format == formatFloat:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		case f.bits == 16:
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(math.Round(x*(1<<15-1)))))
		case f.bits == 24:
			v := int32(math.Round(x * (1<<23 - 1)))
			b = append(b, byte(v), byte(v>>8), byte(v>>16))
		default:
			b = binary.LittleEndian.AppendUint32(b, uint32(int32(math.Round(x*(1<<31-1)))))
		}
	}
	return b
}

// tone answers frames of a sine at a rate; the second channel has it negated and
// at half the height.
func tone(f wavFormat, hz, height float64, frames int) []float64 {
	out := make([]float64, 0, frames*f.channels)
	for i := range frames {
		x := height * math.Sin(2*math.Pi*hz*float64(i)/float64(f.rate))
		out = append(out, x)
		if f.channels == 2 {
			out = append(out, -x/2)
		}
	}
	return out
}

// toneFile answers a WAV file of a sine.
func toneFile(f wavFormat, hz, height float64, frames int) []byte {
	return wavOf(formatChunk(f), chunk("LIST", []byte("odd")), chunk("data", sampleBytes(f, tone(f, hz, height, frames))))
}

// oggPage answers a page, with its checksum.
func oggPage(flags byte, granule uint64, serial uint32, segments, payload []byte) []byte {
	b := append([]byte("OggS\x00"), flags)
	b = binary.LittleEndian.AppendUint64(b, granule)
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(segments)))
	b = append(append(b, segments...), payload...)
	binary.LittleEndian.PutUint32(b[checksumAt:], checksum(b))
	return b
}

// lacing answers the lengths of a packet's segments.
func lacing(packet []byte) (segments []byte) {
	n := len(packet)
	for ; n >= fullSegment; n -= fullSegment {
		segments = append(segments, fullSegment)
	}
	return append(segments, byte(n))
}

// opusHead answers an identification header.
func opusHead(channels int, preSkip int, gain int16) []byte {
	b := append([]byte("OpusHead"), 1, byte(channels))
	b = binary.LittleEndian.AppendUint16(b, uint16(preSkip))
	b = binary.LittleEndian.AppendUint32(b, pcm.Rate)
	b = binary.LittleEndian.AppendUint16(b, uint16(gain))
	return append(b, 0)
}

// opusTags answers an empty comment header.
func opusTags() []byte { return append([]byte("OpusTags"), 0, 0, 0, 0, 0, 0, 0, 0) }

// stream is an Ogg Opus file to be written.
type stream struct {
	head    []byte
	packets [][]byte
	start   int64 // the first sample's position
	end     int64 // the position of the last page; 0: of all samples
	perPage int   // segments; 255 at most
	nilEnd  bool  // the end is told on a page by itself
}

// bytes answers the file.
func (s stream) bytes() []byte {
	file := oggPage(2, 0, 7, lacing(s.head), s.head)
	file = append(file, oggPage(0, 0, 7, lacing(opusTags()), opusTags())...)
	var segments, payload []byte
	position, flags, ended := s.start, byte(0), false
	flush := func(flags byte) {
		granule := ^uint64(0)
		if ended {
			granule = uint64(position)
		}
		if flags&endOfStream != 0 && s.end > 0 {
			granule = uint64(s.end)
		}
		file = append(file, oggPage(flags, granule, 7, segments, payload)...)
		segments, payload, ended = nil, nil, false
	}
	for i, p := range s.packets {
		rest := p
		for j, n := range lacing(p) {
			if len(segments) == s.perPage {
				flush(flags)
				flags = 0
				if j > 0 {
					flags = continued
				}
			}
			segments, payload, rest = append(segments, n), append(payload, rest[:n]...), rest[n:]
		}
		n, _ := opus.SampleCount(p)
		position, ended = position+int64(n), true
		if i == len(s.packets)-1 && !s.nilEnd {
			flags |= endOfStream
		}
	}
	flush(flags)
	if s.nilEnd {
		ended = true
		flush(endOfStream)
	}
	return file
}

// encode answers packets of 20 ms of a 1 kHz tone.
func encode(t testing.TB, channels, blocks, bitrate int) (packets [][]byte) {
	t.Helper()
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: channels, BitrateBPS: bitrate, Application: opus.Audio})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var b pcm.Block
	b.SetChannels(channels)
	for n := range blocks {
		d := b.Data()
		for i := range d {
			frame := n*pcm.Samples + i/channels
			// It grows, so that each part of it differs from the others.
			d[i] = float32((0.1 + 0.005*float64(n)) * math.Sin(2*math.Pi*1000*float64(frame)/pcm.Rate))
		}
		p, err := enc.Encode(make([]byte, 0, 1500), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	return packets
}

// decodeAll answers what the packets hold.
func decodeAll(t testing.TB, channels int, packets [][]byte) (out []float32) {
	t.Helper()
	dec, err := opus.NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	buf := make([]float32, channels*opus.MaxSamples)
	for _, p := range packets {
		n, err := dec.Decode(p, buf)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, buf[:n*channels]...)
	}
	return out
}

// open answers a player of a file that is good.
func open(t testing.TB, file []byte) *Player {
	t.Helper()
	p, err := Open(file, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// play answers all that a player has, in a number of channels.
func play(p *Player, channels int) (out []float32) {
	var b pcm.Block
	b.SetChannels(channels)
	for p.ReadAudio(&b) {
		out = append(out, b.Data()...)
	}
	return out
}
