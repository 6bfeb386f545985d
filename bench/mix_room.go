package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tutti/assets/speech"
	"tutti/codec"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
)

// mixRoom is a room without a network: voices from memory, real codecs, and
// listeners who drop what they get. It notes what the mixer asks of libopus, so
// that libopus alone can do it again.
type mixRoom struct {
	rooms   *mixer.Rooms
	written atomic.Uint64 // packets

	mu               sync.Mutex // never waited for: who measures does so between two ticks
	calls            []opusCall
	blocks           []pcm.Block // of calls that encode
	used             int         // of blocks
	decodes, encodes uint64
	failed           error

	// bare is owned by who measures, but encoders, which is under mu.
	bare struct {
		decoders []*opus.Decoder // by seat
		encoders []*opus.Encoder // by number of the room's encoder
		block    pcm.Block
		scratch  []byte
	}
}

// opusCall is something that the mixer had libopus do.
type opusCall struct {
	packet      []byte // to decode; nil: block is encoded
	codec       int    // seat, or number of the encoder
	block       int
	independent bool
}

// newMixRoom fills a room; the first of its seats talk. Time is that of the
// calling goroutine.
func newMixRoom(seats, heard int) (*mixRoom, error) {
	m := &mixRoom{}
	m.bare.scratch = make([]byte, 0, opus.MaxPacketBytes)
	var err error
	if m.rooms, err = mixer.NewRooms(mixer.Config{Codecs: m}); err != nil {
		return nil, err
	}
	settings := mixer.DefaultSettings()
	settings.MaxParticipants = max(seats, settings.MaxParticipants)
	room, err := m.rooms.Create("bench", settings)
	if err != nil {
		return nil, err
	}
	noise, err := roomNoise()
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	for i := range seats {
		voice := noise
		if i < heard {
			if voice, err = talk(i); err != nil {
				return nil, errors.Join(err, m.close())
			}
		}
		if err := m.seat(room, i, voice); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

// seat lets somebody join.
func (m *mixRoom) seat(room *mixer.Room, i int, voice []speech.Packet) error {
	dec, err := opus.NewDecoder(1)
	if err != nil {
		return err
	}
	bare, err := opus.NewDecoder(1)
	if err != nil {
		return err
	}
	m.bare.decoders = append(m.bare.decoders, bare)
	p, err := room.Join(mixer.JoinConfig{
		ID: fmt.Sprintf("p%d", i), Role: mixer.Both,
		Audio: &memoryVoice{room: m, seat: i, voice: voice, began: time.Now(), dec: dec},
	})
	if err != nil {
		return err
	}
	p.Activate()
	_, err = room.Subscribe(mixer.SubscribeConfig{Sink: counter{&m.written}, Audio: true, Without: p.ID()})
	return err
}

func (m *mixRoom) close() error {
	return m.rooms.Close(context.Background())
}

// mixTurn is how long the room and libopus alone take turns: so short that both
// meet the same machine, so long that the change costs nothing.
const mixTurn = 5 // ticks

// measure lets the room mix, a turn of sound at a time, and libopus alone do the
// same after each.
func (m *mixRoom) measure(media time.Duration) (mixed, error) {
	// Between two ticks, so that none falls into what is not the room's time.
	time.Sleep(2*time.Second + pcm.Duration/2)
	if err := m.repeat(); err != nil {
		return mixed{}, err
	}
	var out mixed
	var before, after runtime.MemStats
	decodes, encodes, written := m.counts()
	runtime.ReadMemStats(&before)
	for out.Ticks < int(media/pcm.Duration) {
		start := ownCPU()
		time.Sleep(mixTurn * pcm.Duration)
		between := ownCPU()
		if err := m.repeat(); err != nil {
			return mixed{}, err
		}
		out.Room, out.Bare = out.Room+between-start, out.Bare+ownCPU()-between
		out.Ticks += mixTurn
	}
	runtime.ReadMemStats(&after)
	out.Allocations = after.Mallocs - before.Mallocs // libopus alone allocates nothing
	out.Decodes, out.Encodes, out.Written = m.counts()
	out.Decodes, out.Encodes, out.Written = out.Decodes-decodes, out.Encodes-encodes, out.Written-written
	return out, nil
}

func (m *mixRoom) counts() (decodes, encodes, written uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.decodes, m.encodes, m.written.Load()
}

// repeat does with bare codecs what the mixer did since the last time.
func (m *mixRoom) repeat() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return fmt.Errorf("a voice of the room: %w", m.failed)
	}
	for _, c := range m.calls {
		var err error
		if c.packet != nil {
			_, err = m.bare.decoders[c.codec].Decode(c.packet, m.bare.block.Data())
		} else {
			_, err = m.bare.encoders[c.codec].Encode(m.bare.scratch, &m.blocks[c.block], c.independent)
		}
		if err != nil {
			return fmt.Errorf("bare libopus: %w", err)
		}
	}
	m.calls, m.used = m.calls[:0], 0
	return nil
}

// NewAudioEncoder implements mixer.Codecs as the server does (cmd/tutti).
func (m *mixRoom) NewAudioEncoder(c mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	cfg := opus.EncoderConfig{
		Channels: c.Channels, BitrateBPS: c.BitrateBPS, Application: opus.Audio,
		FEC: c.LossPercent > 0, PacketLossPercent: c.LossPercent,
	}
	enc, err := opus.NewEncoder(cfg)
	if err != nil {
		return nil, err
	}
	bare, err := opus.NewEncoder(cfg)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bare.encoders = append(m.bare.encoders, bare)
	return &notedEncoder{Encoder: enc, room: m, number: len(m.bare.encoders) - 1}, nil
}

// NewVideoEncoder implements mixer.Codecs: nobody looks.
func (m *mixRoom) NewVideoEncoder(mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	return nil, errors.New("there is no picture")
}

// notedEncoder notes what it encodes.
type notedEncoder struct {
	*opus.Encoder
	room   *mixRoom
	number int
}

// Encode implements mixer.AudioEncoder.
func (e *notedEncoder) Encode(dst []byte, b *pcm.Block, independent bool) ([]byte, error) {
	e.room.noteEncode(e.number, b, independent)
	return e.Encoder.Encode(dst, b, independent)
}

func (m *mixRoom) noteEncode(number int, b *pcm.Block, independent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == len(m.blocks) {
		m.blocks = append(m.blocks, pcm.Block{})
	}
	m.blocks[m.used].Copy(b)
	m.calls = append(m.calls, opusCall{codec: number, block: m.used, independent: independent})
	m.used++
	m.encodes++
}

// noteDecode notes a packet, and whether libopus refused it.
func (m *mixRoom) noteDecode(seat int, packet []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failed = err
		return
	}
	m.calls = append(m.calls, opusCall{packet: packet, codec: seat})
	m.decodes++
}

// memoryVoice is a mixer.AudioIn that plays packets in a loop, each at its time.
type memoryVoice struct {
	room  *mixRoom
	seat  int
	voice []speech.Packet
	began time.Time
	dec   *opus.Decoder
}

func (v *memoryVoice) due(now time.Time) *speech.Packet {
	return &v.voice[int(now.Sub(v.began)/pcm.Duration)%len(v.voice)]
}

// Level implements mixer.AudioIn.
func (v *memoryVoice) Level(now time.Time) (float64, bool) { return v.due(now).LevelDBOV, true }

// Announces implements mixer.AudioIn.
func (v *memoryVoice) Announces() bool { return true }

// ReadAudio implements mixer.AudioIn.
func (v *memoryVoice) ReadAudio(now time.Time, dst *pcm.Block) mixer.Origin {
	p := v.due(now)
	dst.SetChannels(1)
	_, err := v.dec.Decode(p.Opus, dst.Data())
	v.room.noteDecode(v.seat, p.Opus, err)
	if err != nil {
		return mixer.Silence
	}
	return mixer.Voice
}

// Skip implements mixer.AudioIn: what is not read at its time is gone.
func (v *memoryVoice) Skip(time.Time) {}

// Configure implements mixer.AudioIn.
func (v *memoryVoice) Configure(mixer.AudioInConfig) {}

// Notify implements mixer.AudioIn. Somebody always talks, so that the loop never
// rests.
func (v *memoryVoice) Notify(func()) {}

// counter is a mixer.Sink that counts packets and drops them.
type counter struct{ packets *atomic.Uint64 }

// WriteAudio implements mixer.Sink.
func (c counter) WriteAudio(*codec.Packet) { c.packets.Add(1) }

// WriteVideo implements mixer.Sink.
func (c counter) WriteVideo(*codec.Packet) {}
