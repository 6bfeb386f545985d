package jitter

import "time"

// Pop answers what is to be played at now, when the caller has played all it
// popped before. A caller that takes 20 ms a tick pops until it has as much, and
// fills up with silence after Early and Empty.
func (b *Buffer) Pop(now time.Time) (Packet, Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out != nil {
		b.free = append(b.free, b.out)
		b.out = nil
	}
	at := now.Sub(b.epoch)
	for {
		if !b.playing {
			if b.held == 0 {
				return Packet{}, Empty
			}
			s := b.first()
			if at < b.due(s) {
				return Packet{}, Early
			}
			b.start(s)
		}
		if p, st, ok := b.step(at); ok {
			return p, st
		}
	}
}

// start begins a spurt of sound with the packet s.
func (b *Buffer) start(s *slot) {
	if b.begun {
		b.stats.Lost += uint64(s.seq - b.turn)
	}
	b.begun, b.playing, b.paused = true, true, false
	b.turn, b.turnTS, b.turnWire = s.seq, s.media, s.wire
	b.samples = s.samples
	b.credit, b.concealed = 0, 0
}

// step looks at the packet whose turn it is. It answers false where it moved on
// without anything to play.
func (b *Buffer) step(at time.Duration) (Packet, Status, bool) {
	s := b.at(b.turn)
	switch {
	case b.held == 0:
		return b.starve(at)
	case !s.held:
		return b.bridge(at)
	case s.media-b.turnTS >= MinSamples && at < b.due(s):
		// The sender paused and says so in the timestamp: a new spurt.
		b.playing = false
		return Packet{}, Early, true
	}
	return b.play(at, s), Ready, true
}

// play hands out the packet s.
func (b *Buffer) play(at time.Duration, s *slot) Packet {
	p := Packet{
		Seq: uint16(s.seq), Timestamp: s.wire, Samples: int(s.samples),
		Payload: s.payload, Wait: b.wait(at, s.media), DriftPPM: b.drift.ppm,
		tick: int(b.tick()),
	}
	p.Over = p.Wait - b.slack()
	b.turn, b.turnTS, b.turnWire = s.seq+1, s.media+s.samples, s.wire+uint32(s.samples)
	b.samples = s.samples
	b.credit, b.concealed = 0, 0
	b.paused = len(s.payload) <= dtxPayload
	b.out = b.release(s)
	b.stats.Played++
	b.stats.Wait = p.Wait
	return p
}

// starve answers for a buffer that ran empty: concealment, for the packet may
// only be late, and then silence, for the sender seems to have paused. The turn
// stays where it is, so that a late packet is still played and delay grows.
func (b *Buffer) starve(at time.Duration) (Packet, Status, bool) {
	if b.paused || span(b.concealed) >= b.cfg.Conceal {
		b.playing = false
		return Packet{}, Empty, true
	}
	return b.hold(at, min(b.samples, b.tick())), Lost, true
}

// bridge answers for a packet that is missing while a later one is there.
func (b *Buffer) bridge(at time.Duration) (Packet, Status, bool) {
	s := b.first()
	missing, gap := s.seq-b.turn, s.media-b.turnTS
	length := min(b.samples, gap/missing)
	switch {
	case length < MinSamples:
		// No media time lies between the two: nothing to conceal.
		b.stats.Lost += uint64(missing)
		b.turn, b.turnTS, b.turnWire, b.credit = s.seq, s.media, s.wire, 0
		return Packet{}, Empty, false
	case b.credit >= length:
		// Its time was concealed while it was waited for.
		b.credit -= length
		b.lose(length)
		return Packet{}, Empty, false
	case span(b.concealed) >= b.cfg.Conceal:
		// Too long to invent: silence until the next packet is due.
		b.playing = false
		return Packet{}, Early, at < b.due(s)
	case b.credit == 0 && b.wait(at, b.turnTS) < b.slack():
		// Not due by the target: it may yet come, and delay has to grow anyway.
		return b.hold(at, min(length, b.tick())), Lost, true
	}
	p := b.conceal(at, length-b.credit)
	if b.credit == 0 && missing == 1 {
		b.next = append(b.next[:0], s.payload...)
		p.Next = b.next
	}
	b.credit = 0
	b.lose(length)
	return p, Lost, true
}

// hold answers concealment that does not pass the turn.
func (b *Buffer) hold(at time.Duration, samples int64) Packet {
	p := b.conceal(at, samples)
	b.credit += samples
	return p
}

// conceal answers what is to be invented.
func (b *Buffer) conceal(at time.Duration, samples int64) Packet {
	b.concealed += samples
	b.stats.Concealed++
	return Packet{Seq: uint16(b.turn), Timestamp: b.turnWire, Samples: int(samples), Wait: b.wait(at, b.turnTS)}
}

// lose moves the turn beyond a missing packet of that length.
func (b *Buffer) lose(samples int64) {
	b.stats.Lost++
	b.turn++
	b.turnTS += samples
	b.turnWire += uint32(samples)
}

// wait answers how long after its earliest possible arrival the sound at media
// is played.
func (b *Buffer) wait(at time.Duration, media int64) time.Duration {
	return at - span(media) - b.varies.base()
}

// due answers when the packet s may begin a spurt: when it has waited for the
// slack, at the latest counted from its own arrival, whatever has since become
// of the base.
func (b *Buffer) due(s *slot) time.Duration {
	return min(b.varies.base()+span(s.media), s.arrived) + b.slack()
}

// slack answers how long a packet has to wait for the target to be met.
func (b *Buffer) slack() time.Duration { return max(0, b.target()-span(b.line.samples)) }

// target answers how much sound is to be there when a packet is played: that
// packet, what the caller takes at a time if that is more, and the variation.
func (b *Buffer) target() time.Duration {
	unit := max(span(b.line.samples), b.cfg.Tick)
	t := max(b.cfg.Floor, unit+b.varies.spread()+b.cfg.Margin)
	return min(t, b.cfg.Max-b.cfg.Tick)
}

// tick answers Config.Tick in samples.
func (b *Buffer) tick() int64 { return int64(b.cfg.Tick) * Rate / int64(time.Second) }
