package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/transport/transporttest"
)

// measureJoins joins a room of three talkers twenty times over.
func measureJoins(ctx context.Context, o options) error {
	clips, err := makeClips(ctx, o)
	if err != nil {
		return err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	for i := range 3 {
		frames, err := readClip(clips[i])
		if err != nil {
			return err
		}
		voice, err := talk(i)
		if err != nil {
			return err
		}
		p, err := join(ctx, s, "bench", "participants", both(), nil)
		if err != nil {
			return err
		}
		defer p.leave()
		p.send(voice, frames, 0)
	}
	if err := sleep(ctx, warmUp); err != nil {
		return err
	}
	var sound, picture series
	for range 20 {
		a, v, err := joinOnce(ctx, s)
		if err != nil {
			return err
		}
		sound, picture = append(sound, a.Seconds()*1000), append(picture, v.Seconds()*1000)
	}
	fmt.Fprintln(o.out, "Twenty joins, one after the other, of a room with three people; from the POST of the offer.")
	fmt.Fprintln(o.out, "\n| first | median ms | p95 ms |\n|---|---|---|")
	fmt.Fprintf(o.out, "| packet of sound | %s | %.0f |\n", sound.show(0), sound.percentile(95))
	fmt.Fprintf(o.out, "| whole picture | %s | %.0f |\n", picture.show(0), picture.percentile(95))
	return nil
}

// joinOnce answers how long the first sound and the first picture took.
func joinOnce(ctx context.Context, s *server) (sound, picture time.Duration, err error) {
	heard, seen := make(chan time.Time, 1), make(chan time.Time, 1)
	first := func(ch chan time.Time, at time.Time) {
		select {
		case ch <- at:
		default:
		}
	}
	cfg := both()
	cfg.OnAudio = func(at time.Time, _ *rtp.Packet) { first(heard, at) }
	cfg.OnFrame = func(at time.Time, _ uint32, _ []byte) { first(seen, at) }
	var start time.Time
	p, err := join(ctx, s, "bench", "participants", cfg, func() { start = time.Now() })
	if err != nil {
		return 0, 0, err
	}
	defer p.leave()
	for range 2 {
		select {
		case at := <-heard:
			sound = at.Sub(start)
			heard = nil
		case at := <-seen:
			picture = at.Sub(start)
			seen = nil
		case <-time.After(10 * time.Second):
			return 0, 0, errors.New("no sound or no picture within ten seconds")
		}
	}
	return sound, picture, nil
}

// The crowd.
const (
	crowd   = 50
	talkers = 3
)

// roomNoise encodes a second of a quiet room's noise, as a client without
// discontinuous transmission sends it.
func roomNoise() ([]speech.Packet, error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	random := rand.New(rand.NewPCG(1, 2))
	var packets []speech.Packet
	for range 50 {
		var b pcm.Block
		addNoise(&b, random)
		p, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			return nil, err
		}
		packets = append(packets, speech.Packet{Opus: p, LevelDBOV: b.Level()})
	}
	return packets, nil
}

// addNoise fills a block with what a quiet room sounds like, at -70 dBov.
func addNoise(b *pcm.Block, random *rand.Rand) {
	for i := range b.Data() {
		b.Data()[i] = float32(random.NormFloat64() * 0.0003)
	}
}

// measureCrowd fills a room of sound.
func measureCrowd(ctx context.Context, o options) error {
	var share, memory, rate series
	for range o.runs {
		c, err := crowdOnce(ctx, o)
		if err != nil {
			return err
		}
		share, memory, rate = append(share, 100*c.cpu/crowd), append(memory, c.anon/crowd), append(rate, c.fps)
	}
	fmt.Fprintf(o.out, "%d people send and receive sound alone, %d of them talk, the others send their room's noise, 50 packets/s each.\n\n", crowd, talkers)
	fmt.Fprintln(o.out, "| CPU a participant, % of a core | memory a participant, MiB | packets/s at each |\n|---|---|---|")
	fmt.Fprintf(o.out, "| %s | %s | %s |\n", share.show(2), memory.show(2), rate.show(1))
	return nil
}

func crowdOnce(ctx context.Context, o options) (outcome, error) {
	voice, err := voices()
	if err != nil {
		return outcome{}, err
	}
	enter := func(s *server, i int) (*person, error) {
		p, err := join(ctx, s, "bench", "participants",
			transporttest.ClientConfig{Audio: webrtc.RTPTransceiverDirectionSendrecv}, nil)
		if err != nil {
			return nil, err
		}
		p.send(voice(i), nil, rand.N(pcm.Duration))
		return p, nil
	}
	return peopled(ctx, o, crowd, enter, func(c transporttest.Counts) uint64 { return c.AudioPackets })
}

// measureIdle fills a server with rooms that nobody is in.
func measureIdle(ctx context.Context, o options) error {
	const rooms = 1000
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	for i := range rooms {
		if err := s.put(ctx, fmt.Sprintf("room-%d", i), struct{}{}); err != nil {
			return err
		}
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	var share series
	for range o.runs {
		c, err := s.over(ctx, o.seconds)
		if err != nil {
			return err
		}
		share = append(share, 100*c)
	}
	now, err := s.used()
	fmt.Fprintf(o.out, "| rooms | CPU, %% of a core | memory of the process, MiB |\n|---|---|---|\n| %d | %s | %.0f |\n",
		rooms, share.show(2), now.rss)
	return err
}
