package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/transport/transporttest"
)

// beeps finds the beginnings of beeps in a stream of Opus packets.
type beeps struct {
	dec   *opus.Decoder
	pcm   [opus.MaxSamples]float32
	quiet int // samples since the last loud one

	mu    sync.Mutex
	found []time.Time
}

func newBeeps() (*beeps, error) {
	dec, err := opus.NewDecoder(1)
	return &beeps{dec: dec, quiet: pcm.Rate}, err
}

// hear decodes a packet that came, or went, at that time.
func (b *beeps) hear(at time.Time, payload []byte) {
	n, err := b.dec.Decode(payload, b.pcm[:])
	if err != nil {
		return
	}
	for i, s := range b.pcm[:n] {
		if math.Abs(float64(s)) < 0.15 {
			b.quiet++
			continue
		}
		if b.quiet > pcm.Rate/10 {
			b.mu.Lock()
			b.found = append(b.found, at.Add(time.Duration(i)*time.Second/pcm.Rate))
			b.mu.Unlock()
		}
		b.quiet = 0
	}
}

func (b *beeps) times() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Time(nil), b.found...)
}

// beepPackets encodes half a second: a beep of 10 ms, then silence.
func beepPackets() ([][]byte, error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 64000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var packets [][]byte
	for n := range 25 {
		var b pcm.Block
		if n == 5 {
			for i := range 480 {
				b.Data()[i] = float32(0.8 * math.Sin(2*math.Pi*1000*float64(i)/pcm.Rate))
			}
		}
		p, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// measureDelay sends beeps and hears when they come back in the mix. The
// sender's packets fall anywhere between the server's ticks, so that many
// senders are needed.
func measureDelay(ctx context.Context, o options) error {
	packets, err := beepPackets()
	if err != nil {
		return err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	out, err := newBeeps()
	if err != nil {
		return err
	}
	ear, err := join(ctx, s, "bench", "whep", transporttest.ClientConfig{
		Audio:   webrtc.RTPTransceiverDirectionRecvonly,
		OnAudio: func(at time.Time, p *rtp.Packet) { out.hear(at, p.Payload) },
	}, nil)
	if err != nil {
		return err
	}
	defer ear.leave()
	var delays series
	for range 5 * o.runs {
		d, err := beepDelays(ctx, s, packets, out)
		if err != nil {
			return err
		}
		delays = append(delays, d...)
	}
	if len(delays) == 0 {
		return errors.New("no beep came back")
	}
	fmt.Fprintln(o.out, "From the packet in to the packet out, the beep's place in each packet counted; loopback, a room of two.")
	fmt.Fprintf(o.out, "The sender's packets fall anywhere between the server's ticks (%d sessions).\n\n", 5*o.runs)
	fmt.Fprintln(o.out, "| beeps | median ms | p95 ms |\n|---|---|---|")
	fmt.Fprintf(o.out, "| %d | %s | %.0f |\n", len(delays), delays.show(0), delays.percentile(95))
	return nil
}

// beepDelays lets one sender beep for five seconds and answers the delays in
// ms.
func beepDelays(ctx context.Context, s *server, packets [][]byte, out *beeps) (series, error) {
	in, err := newBeeps()
	if err != nil {
		return nil, err
	}
	p, err := join(ctx, s, "bench", "whip", transporttest.ClientConfig{Audio: webrtc.RTPTransceiverDirectionSendonly}, nil)
	if err != nil {
		return nil, err
	}
	defer p.leave()
	before := len(out.times())
	beeping, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	every(beeping, pcm.Duration, rand.N(pcm.Duration), func(n int) {
		b := packets[n%len(packets)]
		in.hear(time.Now(), b)
		_ = p.client.SendAudio(b, pcm.Samples, -20)
	})
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return nil, err
	}
	var delays series
	sent := in.times()
	for _, came := range out.times()[before:] {
		for i := len(sent) - 1; i >= 0; i-- { // the last one sent before it came
			if d := came.Sub(sent[i]); d >= 0 {
				delays = append(delays, float64(d)/1e6)
				break
			}
		}
	}
	return delays, nil
}

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
		for i := range b.Data() {
			b.Data()[i] = float32(random.NormFloat64() * 0.0003)
		}
		p, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			return nil, err
		}
		packets = append(packets, speech.Packet{Opus: p, LevelDBOV: b.Level()})
	}
	return packets, nil
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
	noise, err := roomNoise()
	if err != nil {
		return outcome{}, err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return outcome{}, err
	}
	defer s.stop()
	if err := sleep(ctx, time.Second); err != nil {
		return outcome{}, err
	}
	idle, err := s.used()
	if err != nil {
		return outcome{}, err
	}
	var all []*person
	for i := range crowd {
		voice := noise
		if i < talkers {
			if voice, err = talk(i); err != nil {
				return outcome{}, err
			}
		}
		p, err := join(ctx, s, "bench", "participants",
			transporttest.ClientConfig{Audio: webrtc.RTPTransceiverDirectionSendrecv}, nil)
		if err != nil {
			return outcome{}, err
		}
		defer p.leave()
		p.send(voice, nil, rand.N(pcm.Duration))
		all = append(all, p)
	}
	if err := sleep(ctx, warmUp); err != nil {
		return outcome{}, err
	}
	before := packets(all)
	share, err := s.over(ctx, o.seconds)
	if err != nil {
		return outcome{}, err
	}
	now, err := s.used()
	return outcome{
		cpu: share, anon: now.anon - idle.anon, rss: now.rss - idle.rss,
		fps: float64(packets(all)-before) / crowd / o.seconds.Seconds(),
	}, err
}

func packets(all []*person) (n uint64) {
	for _, p := range all {
		n += p.client.Counts().AudioPackets
	}
	return n
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
