package mixer

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tutti/codec"
	"tutti/codec/pcm"
	"tutti/mixer/audio"
)

// fence lets control wait until a loop has left its present tick. The loop
// holds it during a tick and loads the scene within, so that after pass it can
// only see the scene that was current when pass was called, or a newer one.
type fence struct{ mu sync.Mutex }

func (f *fence) pass() {
	f.mu.Lock()
	//lint:ignore SA2001 the passing is the point
	f.mu.Unlock()
}

// The audio loop's patience.
const (
	lateAfter = 5 * time.Millisecond   // a block that begins later than this is counted
	jumpAfter = 200 * time.Millisecond // further behind, blocks are jumped over instead of caught up
)

// audioLoop is the shell around audioCore: it owns the timer.
type audioLoop struct {
	cfg   audioConfig
	fence fence
	stop  context.CancelFunc
	ended chan struct{}
}

// startAudio starts a loop as soon as the one before has ended.
func startAudio(r *Room, cfg audioConfig, before <-chan struct{}) *audioLoop {
	ctx, stop := context.WithCancel(context.Background())
	l := &audioLoop{cfg: cfg, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		wait(before)
		l.run(ctx, r)
	}()
	return l
}

func (l *audioLoop) run(ctx context.Context, r *Room) {
	core := newAudioCore(r, l.cfg)
	defer core.close()
	block := int64(time.Since(r.created)/pcm.Duration) + 1
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := r.created.Add(time.Duration(block) * pcm.Duration)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		switch late := now.Sub(due); {
		case late > jumpAfter:
			skip := int64(late / pcm.Duration)
			r.count.audioSkipped.Add(uint64(skip))
			block += skip
		case late > lateAfter:
			r.count.audioLate.Add(1)
		}
		l.fence.mu.Lock()
		core.tick(now, r.scene.Load(), time.Duration(block)*pcm.Duration)
		l.fence.mu.Unlock()
		block++
	}
}

// voice is the audio loop's own state of one participant; control and API read
// its atomics.
type voice struct {
	in       AudioIn
	election audio.Voice
	block    pcm.Block
	gain     float32 // at the end of the last block
	talking  bool    // elected, or fading out: has a mix of its own
	heard    bool    // block contributes to the sum of this tick

	level    atomic.Uint64 // math.Float64bits of the envelope, in dBov
	speaking atomic.Bool
	blocks   [Origins]atomic.Uint64
}

func (v *voice) shown() (dbov float64, speaking bool) {
	bits := v.level.Load()
	if bits == 0 {
		return pcm.SilenceDBOV, false
	}
	return math.Float64frombits(bits), v.speaking.Load()
}

// mix is one sum with its limiter and its encoder.
type mix struct {
	enc     AudioEncoder
	limiter audio.Limiter
	packet  *codec.Packet // of this tick, nil until somebody needs it
	used    bool          // in the tick before
	joined  bool          // somebody comes from another encoder in this tick
}

// audioCore mixes; owned by the audio loop.
type audioCore struct {
	room    *Room
	cfg     audioConfig
	choice  audio.Election
	floor   audio.Speaker
	full    mix
	sum     pcm.Block
	work    pcm.Block
	scratch []byte
	voices  []*audio.Voice
	mixes   map[*voice]*mix // those that are not full
	version uint64          // of the scene last seen
}

// maxOpusPacket is the largest packet that an encoder may make: what fits into
// one datagram at any rate that a room can be set to.
const maxOpusPacket = 1275

func newAudioCore(r *Room, cfg audioConfig) *audioCore {
	return &audioCore{room: r, cfg: cfg, scratch: make([]byte, 0, maxOpusPacket), mixes: map[*voice]*mix{}}
}

func (c *audioCore) close() {
	c.full.close()
	for _, m := range c.mixes {
		m.close()
	}
	if sc := c.room.scene.Load(); sc != nil {
		c.setSpeaker(nil, sc)
	}
}

// tick makes the block that begins at pts from what the scene's seats have at
// now, and gives every subscriber its packet.
func (c *audioCore) tick(now time.Time, sc *scene, pts time.Duration) {
	c.room.count.audioBlocks.Add(1)
	if sc.version != c.version {
		c.version = sc.version
		c.retire(sc)
	}
	c.listen(now, sc)
	c.choice.Elect(now, c.voices, sc.maxTalkers)
	if c.floor.Observe(now, c.voices) {
		c.setSpeaker(c.floor.Current(), sc)
	}
	c.collect(now, sc)
	c.serve(sc, pts)
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
		dbov, ok := v.in.Level(now)
		switch {
		case !v.in.Announces():
			dbov = c.decode(now, v)
		case !ok:
			dbov = pcm.SilenceDBOV
		}
		if s.muted {
			dbov = pcm.SilenceDBOV
		}
		v.election.Observe(now, dbov)
		v.level.Store(math.Float64bits(v.election.Level()))
		v.speaking.Store(!s.muted && v.election.Speaking(now))
		c.voices = append(c.voices, &v.election)
	}
}

// decode takes the block due now into v.block and answers its level.
func (c *audioCore) decode(now time.Time, v *voice) float64 {
	v.block.SetChannels(c.cfg.Channels)
	origin := v.in.ReadAudio(now, &v.block)
	v.blocks[origin].Add(1)
	c.room.count.blocks[origin].Add(1)
	v.heard = origin != Silence
	if !v.heard {
		return pcm.SilenceDBOV
	}
	return v.block.Level()
}

// collect decodes who is heard, fades who comes and goes, and sums.
func (c *audioCore) collect(now time.Time, sc *scene) {
	c.sum.SetChannels(c.cfg.Channels)
	c.sum.Clear()
	for i := range sc.seats {
		s := &sc.seats[i]
		v := s.voice
		if v == nil {
			continue
		}
		var target float32
		if v.election.Elected() && !s.muted {
			target = s.gain
		}
		v.talking = target != 0 || v.gain != 0
		if !v.talking {
			if v.in.Announces() {
				v.in.Skip(now)
			}
			v.heard = false
			continue
		}
		if v.in.Announces() {
			c.decode(now, v)
		}
		if v.heard {
			audio.Ramp(v.block.Data(), v.gain, target)
			audio.Add(c.sum.Data(), v.block.Data())
		}
		v.gain = target
	}
}

// serve gives each subscriber its packet: the full mix, encoded once for all
// who are not heard, or for who is heard a mix without its own voice.
func (c *audioCore) serve(sc *scene, pts time.Duration) {
	for _, s := range sc.audioSubs {
		if m := c.mixFor(s); m != nil && s.source != m {
			m.joined = m.joined || s.source != nil
		}
	}
	for _, s := range sc.audioSubs {
		if m := c.mixFor(s); m.packet == nil {
			m.packet = c.encode(m, s, pts)
		}
	}
	// Written at the end, all at once: a sink wakes its sender, and to wake them
	// one by one between two encodes costs more than the encodes do.
	for _, s := range sc.audioSubs {
		m := c.mixFor(s)
		s.source = m
		if m.packet != nil {
			s.writeAudio(m.packet)
		}
	}
	c.full.endTick()
	for _, m := range c.mixes {
		m.endTick()
	}
}

func (m *mix) close() {
	if m.enc != nil {
		m.enc.Close()
	}
}

func (m *mix) endTick() {
	m.used = m.packet != nil
	m.packet, m.joined = nil, false
}

// mixFor answers which mix a subscriber hears in this tick.
func (c *audioCore) mixFor(s *Subscription) *mix {
	if s.own == nil || s.own.voice == nil || !s.own.voice.talking {
		return &c.full
	}
	m := c.mixes[s.own.voice]
	if m == nil {
		m = &mix{}
		c.mixes[s.own.voice] = m
	}
	return m
}

// encode makes the packet of a mix, or nil where the encoder fails.
func (c *audioCore) encode(m *mix, s *Subscription, pts time.Duration) *codec.Packet {
	c.work.Copy(&c.sum)
	if m != &c.full && s.own.voice.heard {
		audio.Without(c.work.Data(), c.sum.Data(), s.own.voice.block.Data())
	}
	m.limiter.Process(c.work.Data())
	if m.enc == nil {
		enc, err := c.room.rooms.cfg.Codecs.NewAudioEncoder(c.cfg.AudioEncoderConfig)
		if err != nil {
			c.room.count.encodeErrors.Add(1)
			return nil
		}
		m.enc = enc
	}
	data, err := m.enc.Encode(c.scratch, &c.work, m.joined || !m.used)
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

// retire closes the encoders of those who have left.
func (c *audioCore) retire(sc *scene) {
	for v, m := range c.mixes {
		if !slices.ContainsFunc(sc.seats, func(s seat) bool { return s.voice == v }) {
			m.close()
			delete(c.mixes, v)
		}
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
