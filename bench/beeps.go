package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"tutti/assets/speech"
	"tutti/bench/load"
	"tutti/codec/opus"
	"tutti/codec/pcm"
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
func beepPackets() ([]speech.Packet, error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 64000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var packets []speech.Packet
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
		packets = append(packets, speech.Packet{Opus: p, LevelDBOV: -20})
	}
	return packets, nil
}

// echo is a beep that came back.
type echo struct {
	sent  time.Time
	after float64 // ms
}

// echoes finds for each beep that came the last one sent before it, both in
// order. What came before the first was sent is nobody's.
func echoes(sent, came []time.Time) (list []echo) {
	for _, c := range came {
		for i := len(sent) - 1; i >= 0; i-- {
			if d := c.Sub(sent[i]); d >= 0 {
				list = append(list, echo{sent[i], ms(d)})
				break
			}
		}
	}
	return list
}

// delays answers those of beeps that were sent from one time on and before
// another.
func delays(all []echo, from, to time.Time) (s series) {
	for _, e := range all {
		if !e.sent.Before(from) && e.sent.Before(to) {
			s = append(s, e.after)
		}
	}
	return s
}

// measureDelay sends beeps and hears when they come back in the mix. The
// sender's packets fall anywhere between the server's ticks, so that many
// senders are needed.
func measureDelay(ctx context.Context, o options) error {
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	out, err := newBeeps()
	if err != nil {
		return err
	}
	noise, err := roomNoise()
	if err != nil {
		return err
	}
	others, err := load.New(load.Config{
		Listen: true, Feedback: true,
		Voice: func(int) []speech.Packet { return noise },
		OnSound: func(i int, at time.Time, payload []byte) {
			if i == 0 {
				out.hear(at, payload)
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = others.Close() }()
	if err := others.Add(ctx, people-1, s.door("bench", "participants")); err != nil {
		return err
	}
	var all series
	for range 5 * o.runs {
		d, err := beepDelays(ctx, s, out)
		if err != nil {
			return err
		}
		all = append(all, d...)
	}
	if len(all) == 0 {
		return errors.New("no beep came back")
	}
	fmt.Fprintf(o.out, "From the packet in to the packet out, the beep's place in each packet counted; loopback, a room of %d, of whom one beeps, the others send their room's noise.\n", people)
	fmt.Fprintf(o.out, "The sender's packets fall anywhere between the server's ticks (%d sessions).\n\n", 5*o.runs)
	fmt.Fprintln(o.out, "| beeps | median ms | p95 ms |\n|---|---|---|")
	fmt.Fprintf(o.out, "| %d | %s | %.0f |\n", len(all), all.show(0), all.percentile(95))
	return nil
}

// beepDelays lets one more person beep for five seconds and answers the delays
// in ms.
func beepDelays(ctx context.Context, s *server, out *beeps) (series, error) {
	packets, err := beepPackets()
	if err != nil {
		return nil, err
	}
	in, err := newBeeps()
	if err != nil {
		return nil, err
	}
	l, err := load.New(load.Config{
		Listen: true, Feedback: true,
		Voice:  func(int) []speech.Packet { return packets },
		OnSaid: func(_ int, at time.Time, payload []byte) { in.hear(at, payload) },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	start := time.Now()
	if err := l.Add(ctx, 1, s.door("bench", "participants")); err != nil {
		return nil, err
	}
	if err := sleep(ctx, 5500*time.Millisecond); err != nil {
		return nil, err
	}
	return delays(echoes(in.times(), out.times()), start, time.Now()), nil
}
