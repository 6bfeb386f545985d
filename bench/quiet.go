package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
)

// quietRooms is how many rooms of two are measured in which nobody says a word.
const quietRooms = 200

// measureQuiet fills many rooms with people who have stopped to talk.
func measureQuiet(ctx context.Context, o options) error {
	voice, err := fallSilent()
	if err != nil {
		return err
	}
	var cpu, in, rate, memory, own series
	for range o.runs {
		w, err := quietOnce(ctx, o, voice)
		if err != nil {
			return err
		}
		cpu, own = append(cpu, 100*w.cpu), append(own, w.own)
		in = append(in, float64(w.stats.Sent)/float64(w.stats.Clients)/w.took.Seconds())
		rate, memory = append(rate, w.rate()), append(memory, 1024*w.anon/float64(w.stats.Clients))
	}
	fmt.Fprintf(o.out, "%d rooms of two people with sound alone. Each has sent a second of its room's noise and then sends what Opus leaves of silence (DTX).\n\n", quietRooms)
	fmt.Fprintln(o.out, "| CPU of the server, % of a core | packets/s from each | packets/s to each | memory a participant, KiB | CPU of all clients, cores |\n|---|---|---|---|---|")
	fmt.Fprintf(o.out, "| %s | %s | %s | %s | %s |\n", cpu.show(1), in.show(2), rate.show(2), memory.show(0), own.show(2))
	return nil
}

func quietOnce(ctx context.Context, o options, voice []speech.Packet) (window, error) {
	s, err := startServer(ctx, o)
	if err != nil {
		return window{}, err
	}
	defer s.stop()
	m := s.meeting(2*quietRooms, func(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
		return s.door(fmt.Sprintf("room-%d", i/2), "participants")(ctx, i, offer)
	})
	m.voice = func(int) []speech.Packet { return voice }
	return m.hold(ctx, o)
}

// fallSilent encodes a second of a quiet room's noise, most of which the encoder
// takes for silence, and then ten minutes of nothing, as a muted microphone gives
// it, with discontinuous transmission.
func fallSilent() ([]speech.Packet, error) {
	const noisy, silent, whole = 50, 250, 10 * 60 * 50 // packets
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000, DTX: true})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	random := rand.New(rand.NewPCG(1, 2))
	var packets []speech.Packet
	for n := range noisy + silent {
		var b pcm.Block
		if n < noisy {
			addNoise(&b, random)
		}
		p, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			return nil, err
		}
		packets = append(packets, speech.Packet{Opus: p, LevelDBOV: b.Level()})
	}
	packets = unsent(packets)
	period, err := refresh(packets)
	if err != nil {
		return nil, err
	}
	for len(packets) < whole {
		packets = append(packets, packets[len(packets)-period])
	}
	return packets, nil
}

// unsent takes the Opus away from those packets that libwebrtc does not send: of
// packets of at most two bytes, which say nothing but that there is nothing (RFC
// 6716, section 2.1.9), the first in a row is sent alone.
func unsent(packets []speech.Packet) []speech.Packet {
	kept := append([]speech.Packet(nil), packets...)
	for i := 1; i < len(packets); i++ {
		if len(packets[i].Opus) <= 2 && len(packets[i-1].Opus) <= 2 {
			kept[i].Opus = nil
		}
	}
	return kept
}

// refresh answers after how many packets a silent stream repeats itself: from one
// full packet, which brings the noise up to date, to the next.
func refresh(packets []speech.Packet) (int, error) {
	last := -1
	for i := len(packets) - 1; i >= 0; i-- {
		if len(packets[i].Opus) <= 2 {
			continue
		}
		if last > i+1 {
			return last - i, nil
		}
		last = i
	}
	return 0, fmt.Errorf("opus made no pause of %d silent packets", len(packets))
}
