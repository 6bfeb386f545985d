package mixer

import (
	"slices"
	"time"

	"tutti/codec"
	"tutti/codec/pcm"
	"tutti/mixer/audio"
)

// What a silent mix does (RFC 7587, section 3.1.3).
const (
	// pauseAfter is how many silent blocks are still sent, so that what was heard
	// last fades out in the decoders: 200 ms.
	pauseAfter = 10
	// pauseEvery is how many blocks lie between two packets of a pause: 400 ms.
	pauseEvery = 20
	// closeAfter is how many blocks an encoder is kept that nobody needs: 10 s.
	closeAfter = 500
	// repairLoss is the loss, in percent, for which the encodes are made that carry
	// their own repair. From 25 % on libopus asks no more of the rate.
	repairLoss = 20
)

// mix is what some of a room hear: the sum with its limiter, and the encodes of
// it. All but the encodes are the audio loop's work of one tick.
type mix struct {
	limiter audio.Limiter
	block   pcm.Block // limited
	silent  int       // blocks without any sound on end
	wanted  bool      // somebody hears it in this tick
	plain   encode
	repair  encode // with forward error correction, for those who lose packets
}

// encode is one encoder of a mix and what it made in this tick.
type encode struct {
	enc    AudioEncoder
	loss   int           // for which it was made, in percent
	packet *codec.Packet // nil where nobody needs it
	pause  *codec.Packet // what those get instead who take pauses; nil: the packet
	used   bool          // in the tick before
	unused int           // ticks on end
	wanted bool          // somebody takes it in this tick
	whole  bool          // somebody takes it who takes no pauses
	joined bool          // somebody comes from another encoder in this tick
	fresh  bool          // somebody has had nothing yet
	toc    byte          // of the last packet (RFC 6716, section 3.1)
}

// encodeFor answers which of the mix's encodes a subscriber takes.
func (m *mix) encodeFor(s *Subscription) *encode {
	if s.loss.Load() > 0 {
		m.repair.loss = repairLoss
		return &m.repair
	}
	return &m.plain
}

// paused reports whether those who take pauses are to get none of the blocks.
func (m *mix) paused() bool { return m.silent > pauseAfter }

// pauseDue reports whether they get a packet of the pause in this tick.
func (m *mix) pauseDue() bool { return (m.silent-pauseAfter)%pauseEvery == 1 }

func (m *mix) close() {
	m.plain.close()
	m.repair.close()
}

func (e *encode) close() {
	if e.enc != nil {
		e.enc.Close()
		e.enc = nil
	}
}

// open reports whether the mix has an encoder.
func (m *mix) open() bool { return m.plain.enc != nil || m.repair.enc != nil }

func (m *mix) endTick() {
	m.wanted = false
	m.plain.endTick()
	m.repair.endTick()
}

func (e *encode) endTick() {
	e.used = e.packet != nil
	e.unused++
	if e.used || e.wanted {
		e.unused = 0
	}
	if e.unused == closeAfter {
		e.close()
	}
	e.packet, e.pause = nil, nil
	e.joined, e.fresh, e.wanted, e.whole = false, false, false, false
}

// make makes the packets of a mix's encode, as far as somebody needs them.
func (c *audioCore) make(m *mix, e *encode, pts time.Duration) {
	if !e.wanted {
		return
	}
	if m.paused() {
		e.pause = c.pausePacket(e, pts, m.pauseDue())
		if !e.whole {
			return
		}
	}
	e.packet = c.encode(e, &m.block, pts)
}

// noPacket stands for a tick in which those who take pauses get nothing.
var noPacket = &codec.Packet{}

// pausePacket answers the packet that says that nothing follows for a while: a
// frame of no bytes (RFC 6716, section 3.1), or noPacket.
func (c *audioCore) pausePacket(e *encode, pts time.Duration, due bool) *codec.Packet {
	if !due && !e.joined && !e.fresh {
		return noPacket
	}
	toc := e.toc
	if toc == 0 {
		toc = byte(31<<3 | (c.cfg.Channels-1)<<2) // CELT, full band, 20 ms
	}
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, Data: []byte{toc},
		PTS: pts, Duration: pcm.Duration, KeyFrame: true,
	}
}

// encode makes one packet, or nil where the encoder fails.
func (c *audioCore) encode(e *encode, b *pcm.Block, pts time.Duration) *codec.Packet {
	if e.enc == nil {
		cfg := c.cfg.AudioEncoderConfig
		cfg.LossPercent = e.loss
		enc, err := c.room.rooms.cfg.Codecs.NewAudioEncoder(cfg)
		if err != nil {
			c.room.count.encodeErrors.Add(1)
			return nil
		}
		e.enc = enc
	}
	data, err := e.enc.Encode(c.scratch, b, e.joined || !e.used)
	if err != nil {
		c.room.count.encodeErrors.Add(1)
		return nil
	}
	c.room.count.audioEncodes.Add(1)
	if len(data) > 0 {
		e.toc = data[0] &^ 3
	}
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, Data: slices.Clone(data),
		PTS: pts, Duration: pcm.Duration, KeyFrame: true,
	}
}
