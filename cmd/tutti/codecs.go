package main

import (
	"fmt"
	"image/color"

	"tutti/codec"
	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/vpx"
	"tutti/codec/yuv"
	"tutti/mixer"
	"tutti/transport/rtc"
)

// codecs makes the encoders of the rooms from libopus and libvpx.
type codecs struct{}

func (codecs) NewAudioEncoder(c mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	enc, err := opus.NewEncoder(audioEncoding(c))
	if err != nil {
		return nil, err // a nil *opus.Encoder is no nil AudioEncoder
	}
	return enc, nil
}

// What libopus needs to put in-band FEC into packets of speech: it has some only in
// SILK, and with less than this it takes the bits or the loss for too few.
const (
	leastFECBitrate = 24_000 // bit/s
	leastFECLoss    = 10     // percent
)

// audioEncoding answers how a mix is encoded.
func audioEncoding(c mixer.AudioEncoderConfig) opus.EncoderConfig {
	// A mix is no single voice: what libopus does for voice (SILK) models one
	// speaker, costs three times as much, and serves only below 18 kbit/s, where
	// this application falls back to it.
	e := opus.EncoderConfig{Channels: c.Channels, BitrateBPS: c.BitrateBPS, Application: opus.Audio}
	if c.LossPercent > 0 {
		e.Application, e.FEC = opus.VoIP, true
		e.BitrateBPS = max(e.BitrateBPS, leastFECBitrate)
		e.PacketLossPercent = max(c.LossPercent, leastFECLoss)
	}
	return e
}

func (codecs) NewVideoEncoder(c mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	if c.Codec != codec.VP8 {
		return nil, fmt.Errorf("there is no encoder for %s", c.Codec)
	}
	enc, err := vpx.NewEncoder(vpx.EncoderConfig{Width: c.Width, Height: c.Height, FPS: c.FPS, BitrateBPS: c.BitrateBPS})
	if err != nil {
		return nil, err
	}
	return enc, nil
}

// decoders makes the decoders of the participants.
func decoders() rtc.Codecs {
	return rtc.Codecs{
		NewAudioDecoder: func(channels int) (rtc.AudioDecoder, error) {
			dec, err := opus.NewDecoder(channels)
			if err != nil {
				return nil, err
			}
			return dec, nil
		},
		NewVideoDecoder: func(maxWidth, maxHeight int) (rtc.VideoDecoder, error) {
			dec, err := vpx.NewDecoder(vpx.DecoderConfig{
				MaxWidth: maxWidth, MaxHeight: maxHeight,
				// A byte a pixel is more than any camera's key frame takes.
				MaxFrameBytes: max(maxWidth*maxHeight, 64<<10),
			})
			if err != nil {
				return nil, err
			}
			return dec, nil
		},
		AudioSamples: opus.SampleCount,
	}
}

// scale fits a picture where its decoder has not done so. What cannot be scaled
// is left out: the next picture has the right size.
func scale(dst, src *i420.Frame, fit i420.Fit) {
	if err := yuv.Scale(dst, src, fit); err != nil {
		dst.Fill(color.Black)
	}
}
