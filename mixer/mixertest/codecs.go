package mixertest

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/pcm"
	"tutti/mixer"
)

// Codecs makes encoders that do not compress, so that a test sees exactly what
// was mixed, and counts them. The zero value is ready.
type Codecs struct {
	AudioOpen, VideoOpen   atomic.Int64 // encoders that were not closed yet
	AudioMade, VideoMade   atomic.Int64
	RepairMade             atomic.Int64 // of AudioMade, those with forward error correction
	Independent, KeyFrames atomic.Int64
	// Delay is how long a picture takes to encode.
	Delay time.Duration
}

// NewAudioEncoder implements mixer.Codecs.
func (c *Codecs) NewAudioEncoder(cfg mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	c.AudioOpen.Add(1)
	c.AudioMade.Add(1)
	if cfg.LossPercent > 0 {
		c.RepairMade.Add(1)
	}
	return &plainAudio{codecs: c, buf: make([]byte, 0, 4*pcm.Samples*cfg.Channels)}, nil
}

// NewVideoEncoder implements mixer.Codecs.
func (c *Codecs) NewVideoEncoder(cfg mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	c.VideoOpen.Add(1)
	c.VideoMade.Add(1)
	return &plainVideo{codecs: c, w: cfg.Width, h: cfg.Height}, nil
}

type plainAudio struct {
	codecs *Codecs
	buf    []byte
	closed bool
}

// Encode writes the samples as little-endian float32; dst is too short for
// them and is not used.
func (e *plainAudio) Encode(_ []byte, b *pcm.Block, independent bool) ([]byte, error) {
	if e.closed {
		return nil, errors.New("mixertest: encode after close")
	}
	if independent {
		e.codecs.Independent.Add(1)
	}
	e.buf = e.buf[:0]
	for _, s := range b.Data() {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, math.Float32bits(s))
	}
	return e.buf, nil
}

func (e *plainAudio) Close() {
	if !e.closed {
		e.codecs.AudioOpen.Add(-1)
	}
	e.closed = true
}

// Samples answers the samples of a packet that Codecs made.
func Samples(p *codec.Packet) []float32 {
	out := make([]float32, len(p.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(p.Data[4*i:]))
	}
	return out
}

type plainVideo struct {
	codecs *Codecs
	w, h   int
	begun  bool
	closed bool
}

func (e *plainVideo) Encode(f *i420.Frame, _ time.Duration, key bool) ([]byte, bool, error) {
	switch {
	case e.closed:
		return nil, false, errors.New("mixertest: encode after close")
	case f.Width != e.w || f.Height != e.h:
		return nil, false, errors.New("mixertest: a frame of another size")
	}
	time.Sleep(e.codecs.Delay)
	key = key || !e.begun
	e.begun = true
	if key {
		e.codecs.KeyFrames.Add(1)
	}
	return slices.Concat(f.Y, f.U, f.V), key, nil
}

func (e *plainVideo) Close() {
	if !e.closed {
		e.codecs.VideoOpen.Add(-1)
	}
	e.closed = true
}

// Picture answers the frame of a packet that Codecs made.
func Picture(p *codec.Packet) *i420.Frame {
	f := i420.New(p.Width, p.Height)
	y, c := len(f.Y), len(f.U)
	copy(f.Y, p.Data)
	copy(f.U, p.Data[y:])
	copy(f.V, p.Data[y+c:])
	return f
}
