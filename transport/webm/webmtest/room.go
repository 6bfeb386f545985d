package webmtest

import (
	"tutti/codec/opus"
	"tutti/codec/vpx"
	"tutti/mixer"
)

// Codecs gives a mixer's rooms the real encoders.
type Codecs struct{}

// NewAudioEncoder answers an Opus encoder.
func (Codecs) NewAudioEncoder(c mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	return opus.NewEncoder(opus.EncoderConfig{Channels: c.Channels, BitrateBPS: c.BitrateBPS})
}

// NewVideoEncoder answers a VP8 encoder.
func (Codecs) NewVideoEncoder(c mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	return vpx.NewEncoder(vpx.EncoderConfig{Width: c.Width, Height: c.Height, FPS: c.FPS, BitrateBPS: c.BitrateBPS})
}
