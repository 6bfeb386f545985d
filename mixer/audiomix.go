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
	own     *voice // whose is left out; nil for the full one
	limiter audio.Limiter
	block   pcm.Block // limited; that of the tick before until this one's is made
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
	block  *pcm.Block    // what it encodes
	primed bool          // in this tick

	pausedAt time.Duration // of the last packet of a pause
}

func newMix(own *voice) *mix {
	m := &mix{own: own}
	m.plain.block, m.repair.block = &m.block, &m.block
	return m
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
	e.joined, e.fresh, e.wanted, e.whole, e.primed = false, false, false, false, false
}

// make makes the packets of a mix's encode, as far as somebody needs them.
func (c *audioCore) make(m *mix, e *encode, pts time.Duration) {
	if !e.wanted {
		return
	}
	if m.paused() {
		e.pause = c.pausePacket(e, m.silent-pauseAfter, pts)
		if !e.whole {
			return
		}
	}
	e.packet = c.encode(e, pts)
}

// noPacket stands for a tick in which those who take pauses get nothing.
var noPacket = &codec.Packet{}

// pausePacket answers what those get who take pauses in the nth block of one:
// first two frames that say that there is no sound at all, so that what decoders
// make up afterwards is silence too; then, every pauseEvery blocks or when the loop
// has rested, a frame of no bytes, which says that nothing follows for a while (RFC
// 6716, sections 3.1 and 4.3.2; RFC 7587, section 3.1.3). Who comes from elsewhere
// gets the former at once.
func (c *audioCore) pausePacket(e *encode, n int, pts time.Duration) *codec.Packet {
	toc := byte(31<<3 | (c.cfg.Channels-1)<<2) // CELT, full band, 20 ms
	data := []byte{toc}
	switch {
	case n <= 2 || e.joined:
		data = append(data, 0xff, 0xfe) // the flag of silence, and the entropy coder's end
	case n == 3 || e.fresh || c.rested || pts-e.pausedAt >= pauseEvery*pcm.Duration:
	default:
		return noPacket
	}
	e.pausedAt, c.pausedAt = pts, pts
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, Data: data, PTS: pts, Duration: pcm.Duration, KeyFrame: true,
	}
}

// encode makes one packet, or nil where the encoder fails.
func (c *audioCore) encode(e *encode, pts time.Duration) *codec.Packet {
	if !c.open(e) {
		return nil
	}
	data, err := e.enc.Encode(c.scratch, e.block, e.joined || !e.used)
	if err != nil {
		c.room.count.encodeErrors.Add(1)
		return nil
	}
	c.room.count.audioEncodes.Add(1)
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, Data: slices.Clone(data),
		PTS: pts, Duration: pcm.Duration, KeyFrame: true,
	}
}

// open makes the encoder where there is none yet.
func (c *audioCore) open(e *encode) bool {
	if e.enc != nil {
		return true
	}
	cfg := c.cfg.AudioEncoderConfig
	cfg.LossPercent = e.loss
	enc, err := c.room.rooms.cfg.Codecs.NewAudioEncoder(cfg)
	if err != nil {
		c.room.count.encodeErrors.Add(1)
		return false
	}
	e.enc = enc
	return true
}

// prime lets an encoder that goes on after a while, or is new, hear what one who
// comes to it has heard last: a packet overlaps with the one before it and begins
// with what the encoder has kept back, so that what is left there from another
// time would be heard. before is nil for one who has heard nothing.
func (c *audioCore) prime(e, before *encode) {
	heard := before != nil && before.used
	if e.used || e.primed || !heard && e.enc == nil || !c.open(e) {
		return
	}
	e.primed = true
	block := &c.work
	if heard {
		block = before.block
	} else {
		block.SetChannels(c.cfg.Channels)
		block.Clear()
	}
	if _, err := e.enc.Encode(c.scratch, block, false); err != nil {
		c.room.count.encodeErrors.Add(1)
	}
}
