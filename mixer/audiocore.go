package mixer

import (
	"slices"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/audio"
)

// audioCore mixes; owned by the audio loop.
type audioCore struct {
	room    *Room
	cfg     audioConfig
	choice  audio.Election
	floor   audio.Speaker
	full    *mix
	sum     pcm.Block
	work    pcm.Block
	scratch []byte
	voices  []*audio.Voice
	present []*voice // of the scene last seen
	leaving []*voice // were heard in the tick before and are not in the scene any more
	mixes   []*mix   // those that are not full, of everybody who was heard lately
	version uint64   // of the scene last seen
	parts   int      // how many voices and announcements are in the sum of this tick
	quiet   bool     // nobody was near being heard in this tick
	rested  bool     // until this tick

	pausedAt time.Duration // PTS of the last packet of a pause
}

// maxOpusPacket is the largest packet that an encoder may make: what fits into
// one datagram at any rate that a room can be set to.
const maxOpusPacket = 1275

func newAudioCore(r *Room, cfg audioConfig) *audioCore {
	return &audioCore{room: r, cfg: cfg, scratch: make([]byte, 0, maxOpusPacket), full: newMix(nil)}
}

func (c *audioCore) close() {
	c.full.close()
	for _, m := range c.mixes {
		m.close()
	}
	c.setSpeaker(nil, c.room.scene.Load())
}

// tick makes the block that begins at pts from what the scene's seats have at
// now, and gives every subscriber its packet. It answers for how many blocks
// nothing will have to be done at the most unless somebody wakes the loop; rested
// says that it did so until now.
func (c *audioCore) tick(now time.Time, sc *scene, pts time.Duration, rested bool) (rest int) {
	c.rested = rested
	c.room.count.audioBlocks.Add(1)
	if sc.version != c.version {
		c.enter(sc)
	}
	c.quiet = true
	c.listen(now, sc)
	c.choice.Elect(now, c.voices, sc.maxTalkers)
	if c.floor.Observe(now, c.voices) {
		c.setSpeaker(c.floor.Current(), sc)
	}
	c.sum.SetChannels(c.cfg.Channels)
	c.sum.Clear()
	c.parts = 0
	c.collect(now, sc)
	c.announce(sc)
	c.serve(sc, pts)
	return c.rest(sc, pts)
}

// pass lets a block pass that the loop has rested through.
func (c *audioCore) pass(now time.Time, sc *scene) {
	c.room.count.audioBlocks.Add(1)
	c.full.silent++
	for i := range sc.seats {
		if v := sc.seats[i].voice; v != nil {
			v.in.Skip(now)
		}
	}
}

// rest answers how long there will be nothing to do: where all is silent, until
// the next packet of the pause is due.
func (c *audioCore) rest(sc *scene, pts time.Duration) int {
	if !c.quiet || !c.full.paused() || len(sc.announcements) > 0 || len(c.leaving) > 0 {
		return 0
	}
	for i := range sc.audience {
		if a := &sc.audience[i]; a.sub.cfg.Continuous || a.deaf != a.sub.deaf || a.sub.source == nil {
			return 0
		}
	}
	if c.full.silent < pauseAfter+3 {
		return 0
	}
	return max(0, pauseEvery-1-int((pts-c.pausedAt)/pcm.Duration))
}

// enter takes over what a new scene asks for.
func (c *audioCore) enter(sc *scene) {
	c.version = sc.version
	c.floor.Trigger, c.floor.Hold = sc.speakerTrigger, sc.speakerHold
	if sc.speakerHold == 0 { // none, where the zero value means the default
		c.floor.Hold = -1
	}
	before := c.present
	c.present = nil
	for i := range sc.seats {
		if v := sc.seats[i].voice; v != nil {
			v.configure(AudioInConfig{c.cfg.Channels, sc.minDelay, sc.maxDelay})
			c.present = append(c.present, v)
		}
	}
	for _, v := range before {
		if !slices.Contains(c.present, v) {
			c.retire(v)
		}
	}
}

// retire closes the encoders of one who has left, and lets the voice fade.
func (c *audioCore) retire(v *voice) {
	if v.own != nil {
		v.own.close()
		c.mixes = slices.DeleteFunc(c.mixes, func(m *mix) bool { return m == v.own })
		v.own = nil
	}
	if v.heard && v.gain != 0 {
		c.leaving = append(c.leaving, v)
	}
}

// listen lets every voice observe how loud its sender says it is. Those that
// do not say are decoded first.
func (c *audioCore) listen(now time.Time, sc *scene) {
	c.voices = c.voices[:0]
	for i := range sc.seats {
		s := &sc.seats[i]
		v := s.voice
		if v == nil {
			continue
		}
		v.heard = false
		v.announces = v.in.Announces()
		dbov, ok := v.in.Level(now)
		switch {
		case !v.announces:
			dbov = pcm.SilenceDBOV
			if c.decode(now, v); v.heard {
				dbov = v.block.Level()
				c.quiet = false
			}
		case !ok:
			dbov = pcm.SilenceDBOV
		}
		v.observe(now, dbov, s.muted)
		c.voices = append(c.voices, &v.election)
	}
}

// decode takes the block due now into v.block.
func (c *audioCore) decode(now time.Time, v *voice) {
	v.block.SetChannels(c.cfg.Channels)
	origin := v.in.ReadAudio(now, &v.block)
	v.blocks[origin].Add(1)
	c.room.count.blocks[origin].Add(1)
	v.heard = origin != Silence
}

// collect decodes who is heard, levels, fades who comes and goes, and sums.
func (c *audioCore) collect(now time.Time, sc *scene) {
	for _, v := range c.leaving {
		v.farewell()
		c.add(&v.block)
	}
	c.leaving = c.leaving[:0]
	for i := range sc.seats {
		s := &sc.seats[i]
		v := s.voice
		if v == nil {
			continue
		}
		wanted := v.election.Elected() && !s.muted
		c.take(now, v, wanted || v.gain != 0)
		c.quiet = c.quiet && !v.talking
		var target float32
		if wanted {
			target = s.gain * c.level(sc, v)
		}
		if v.heard {
			audio.Ramp(&v.block, v.gain, target)
			c.add(&v.block)
		}
		v.gain = target
	}
}

// take decodes the voice's block, or lets it pass.
func (c *audioCore) take(now time.Time, v *voice, sounding bool) {
	switch {
	case sounding && v.announces:
		c.decode(now, v)
	case v.announces:
		v.in.Skip(now)
	}
	v.heard = v.heard && sounding
	switch {
	case v.heard:
		v.lingers = ownAfter
	case sounding:
		v.lingers = max(0, v.lingers-1)
	default: // its end may be in the limiters still
		v.lingers = max(0, min(v.lingers, 2)-1)
	}
	was := v.talking
	v.talking = v.lingers > 0
	if v.talking && !was && v.own != nil { // it heard nothing meanwhile
		v.own.limiter.Continue(&c.full.limiter)
		v.own.silent = c.full.silent
	}
}

// ownAfter is for how many blocks one who pauses between words keeps the mix
// without its voice: half a second.
const ownAfter = 25

// level answers by how much the voice is to be raised to the common loudness.
func (c *audioCore) level(sc *scene, v *voice) float32 {
	if !sc.levelling {
		return 1
	}
	if v.heard {
		v.leveller.Observe(&v.block)
	}
	return v.leveller.Gain()
}

// add adds a block to the sum.
func (c *audioCore) add(b *pcm.Block) {
	audio.Add(c.sum.Data(), b.Data())
	c.parts++
}

// announce adds the announcements.
func (c *audioCore) announce(sc *scene) {
	for _, a := range sc.announcements {
		c.work.SetChannels(c.cfg.Channels)
		if a.read(&c.work) {
			c.add(&c.work)
		}
	}
}

// serve gives each subscriber its packet: of the full mix, encoded once for all
// who are not heard, or for who is heard of a mix without its own voice.
func (c *audioCore) serve(sc *scene, pts time.Duration) {
	for i := range sc.audience {
		a := &sc.audience[i]
		m := c.mixFor(a.sub)
		m.wanted = true
		if a.deaf || a.sub.deaf {
			continue
		}
		e := m.encodeFor(a.sub)
		e.wanted = true
		e.whole = e.whole || a.sub.cfg.Continuous
		if before := a.sub.source; before != e {
			e.joined = e.joined || before != nil
			e.fresh = e.fresh || before == nil
			c.prime(e, before)
			a.sub.source = e
		}
	}
	c.full.block.Copy(&c.sum)
	c.limit(c.full, c.parts > 0)
	for _, m := range c.mixes {
		if m.own.talking {
			c.without(m)
		}
	}
	c.makeAll(pts)
	// Written at the end, all at once: a sink wakes its sender, and to wake them
	// one by one between two encodes costs more than the encodes do.
	for i := range sc.audience {
		c.give(&sc.audience[i], pts)
	}
	c.full.endTick()
	for _, m := range c.mixes {
		m.endTick()
	}
	c.mixes = slices.DeleteFunc(c.mixes, c.expired)
}

// mixFor answers which mix a subscriber hears in this tick.
func (c *audioCore) mixFor(s *Subscription) *mix {
	if s.own == nil || s.own.voice == nil || !s.own.voice.talking {
		return c.full
	}
	v := s.own.voice
	if v.own == nil {
		v.own = newMix(v)
		v.own.limiter.Continue(&c.full.limiter)
		v.own.silent = c.full.silent
		c.mixes = append(c.mixes, v.own)
	}
	return v.own
}

// without makes what one hears who is heard. The voice that is taken out is as it
// was added, and what of it is still within the limiter was taken out before.
func (c *audioCore) without(m *mix) {
	v, others := m.own, c.parts > 0
	m.block.SetChannels(c.cfg.Channels)
	switch {
	case !v.heard:
		m.block.Copy(&c.sum)
	case c.parts > 1:
		audio.Without(m.block.Data(), c.sum.Data(), v.block.Data())
	default: // of what was alone in the sum not even the rounding is left
		m.block.Clear()
		others = false
	}
	c.limit(m, others)
}

// limit limits the mix's block of this tick.
func (c *audioCore) limit(m *mix, sound bool) {
	if sound {
		if m.paused() { // decoders that were in a pause go on from nothing
			m.plain.joined, m.repair.joined = true, true
		}
		m.silent = 0
	} else {
		m.silent++
	}
	if m.wanted {
		m.limiter.Process(&m.block)
	} else {
		m.limiter.Follow(&m.block)
	}
}

// makeAll encodes what is needed.
func (c *audioCore) makeAll(pts time.Duration) {
	c.make(c.full, &c.full.plain, pts)
	c.make(c.full, &c.full.repair, pts)
	for _, m := range c.mixes {
		c.make(m, &m.plain, pts)
		c.make(m, &m.repair, pts)
	}
}

// expired drops a mix that nobody has needed for a while.
func (c *audioCore) expired(m *mix) bool {
	if m.open() || m.plain.unused < closeAfter {
		return false
	}
	m.own.own = nil
	return true
}

// give writes a subscriber its packet.
func (c *audioCore) give(a *listener, pts time.Duration) {
	s := a.sub
	if a.deaf || s.deaf {
		c.turn(a, c.mixFor(s), pts)
		return
	}
	e := s.source
	p := e.packet
	if e.pause != nil && !s.cfg.Continuous {
		p = e.pause
	}
	if p != nil && p != noPacket {
		s.writeAudio(p)
	}
}

// turn leads a subscriber into being deaf and out of it, by an encode of its own
// in which the mix fades. Who is deaf is kept in a pause.
func (c *audioCore) turn(a *listener, m *mix, pts time.Duration) {
	s := a.sub
	if s.fading == nil {
		s.fading = &encode{block: &pcm.Block{}}
	}
	if a.deaf == s.deaf {
		c.stayDeaf(s, pts)
		return
	}
	var from, to float32 = 1, 0
	if s.deaf {
		from, to = 0, 1
	}
	s.fading.used, s.fading.primed = false, false
	if !s.deaf {
		c.prime(s.fading, s.source)
	}
	s.fading.block.Copy(&m.block)
	audio.Ramp(s.fading.block, from, to)
	s.deaf, s.deafFor, s.source = a.deaf, 0, s.fading
	if p := c.encode(s.fading, pts); p != nil {
		s.writeAudio(p)
	}
	s.fading.close()
	s.fading.used = true // what it encoded last is what was heard last
}

// stayDeaf keeps who is deaf in a pause.
func (c *audioCore) stayDeaf(s *Subscription, pts time.Duration) {
	s.deafFor++
	if p := c.pausePacket(s.fading, s.deafFor, pts); p != noPacket {
		s.writeAudio(p)
	}
}

// setSpeaker tells the room who has the floor.
func (c *audioCore) setSpeaker(v *audio.Voice, sc *scene) {
	id, event := "", Event{Type: ActiveSpeakerChanged}
	for i := range sc.seats {
		if s := &sc.seats[i]; v != nil && s.voice != nil && &s.voice.election == v {
			id = s.id
			event.Participant = &ParticipantRef{ID: s.id, Name: s.name, Role: Both}
		}
	}
	if c.room.activeSpeaker() == id {
		return
	}
	c.room.speaker.Store(&id)
	if id != "" {
		go c.room.emit(event) // rare; the loop waits for nobody
	}
}
