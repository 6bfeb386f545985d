package demo

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"tutti/codec"
	"tutti/codec/pcm"
)

// Silence as a microphone that hears nothing sends it: one Opus packet of 20 ms
// with nothing coded (RFC 6716, section 3.1: CELT, full band, mono, one frame).
var silence = []byte{0xf8, 0xff, 0xfe}

// What goes into one RTP packet at most, in bytes.
const mtu = 1200

// frameTime answers when frame n is due after the script's start.
func frameTime(n int) time.Duration { return time.Duration(n) * time.Second / fps }

// send sends sound and pictures, each when it is due, until ctx ends or the
// connection does.
func (p *person) send(ctx context.Context, c *connection) error {
	s := newStream(p, c)
	now := time.Since(p.start)
	block, frame := int(now/pcm.Duration), int(now*fps/time.Second)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := min(time.Duration(block)*pcm.Duration, frameTime(frame))
		timer.Reset(due - time.Since(p.start))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if late := time.Since(p.start) - due; late > time.Second { // the machine slept
			block, frame = block+int(late/pcm.Duration), frame+int(late*fps/time.Second)
		}
		if time.Duration(block)*pcm.Duration <= frameTime(frame) {
			if err := s.sendBlock(block); err != nil {
				return fmt.Errorf("send sound: %w", err)
			}
			block++
			continue
		}
		if err := s.sendFrame(frame); err != nil {
			return fmt.Errorf("send a picture: %w", err)
		}
		frame++
	}
}

// stream turns the script and the film into RTP packets for one connection.
type stream struct {
	person    *person
	c         *connection
	projector projector
	packets   rtp.Packetizer
	sequence  uint16
	speaking  bool
}

func newStream(p *person, c *connection) *stream {
	return &stream{
		person: p, c: c,
		projector: projector{film: p.film},
		packets: rtp.NewPacketizer(mtu, 0, 0, &codecs.VP8Payloader{EnablePictureID: true},
			rtp.NewRandomSequencer(), codec.VideoClockRate),
	}
}

// sendBlock sends the 20 ms that are due in a block of the script.
func (s *stream) sendBlock(block int) error {
	payload, level := silence, pcm.SilenceDBOV
	i, speaks := s.person.script.at(s.person.index, block)
	if speaks {
		said := s.person.voices[s.person.index].Packets[i]
		payload, level = said.Opus, said.LevelDBOV
	}
	p := &rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         speaks && !s.speaking, // a talk spurt begins (RFC 7587, section 4.1)
		SequenceNumber: s.sequence,
		Timestamp:      uint32(block) * pcm.Samples,
	}, Payload: payload}
	s.sequence++
	s.speaking = speaks
	if s.c.levelID != 0 {
		ext, err := announce(level, speaks).Marshal()
		if err != nil {
			return err
		}
		if err := p.SetExtension(s.c.levelID, ext); err != nil {
			return err
		}
	}
	return s.c.audio.WriteRTP(p)
}

// announce answers the header extension for a level (RFC 6464, section 3).
func announce(dbov float64, voice bool) rtp.AudioLevelExtension {
	return rtp.AudioLevelExtension{Level: uint8(math.Round(min(max(-dbov, 0), 127))), Voice: voice}
}

// sendFrame sends the frame that is due.
func (s *stream) sendFrame(n int) error {
	if s.c.keyFrame.Swap(false) {
		s.projector.rewind()
	}
	// The mouth moves by the middle of the half second that a choice holds for.
	_, talking := s.person.script.at(s.person.index, int((frameTime(n)+frameTime(keyInterval)/2)/pcm.Duration))
	data := s.projector.frame(talking)
	packets := s.packets.Packetize(data, codec.VideoClockRate/fps)
	if len(data) == 0 { // the encoder left this one out; time passes all the same
		s.packets.SkipSamples(codec.VideoClockRate / fps)
	}
	for _, p := range packets {
		if err := s.c.video.WriteRTP(p); err != nil {
			return err
		}
	}
	return nil
}
