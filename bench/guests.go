package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"tutti/api/guest"
	"tutti/assets/speech"
	"tutti/bench/load"
	"tutti/codec/opus"
	"tutti/codec/pcm"
)

// visitor is somebody with sound alone who hums a tone all the time, stays in a
// room as the page's client does, and notes when others are heard.
type visitor struct {
	quit context.CancelFunc
	left chan error
	dec  *opus.Decoder // owned by the thread that reads the sound
	pcm  [opus.MaxSamples]float32

	mu    sync.Mutex
	plays int         // sessions that were listened to so far
	heard []time.Time // blocks with somebody else's sound that were played
}

// newCrowd answers a load whose clients hum, each another tone.
func newCrowd() (*load.Load, error) {
	var hums [][]speech.Packet
	for i := range 16 {
		hum, err := tone(300 + 70*float64(i))
		if err != nil {
			return nil, err
		}
		hums = append(hums, hum)
	}
	return load.New(load.Config{Listen: true, Voice: func(i int) []speech.Packet { return hums[i%len(hums)] }})
}

// visitRoom sends n visitors into a room and returns when each hears somebody.
func visitRoom(ctx context.Context, crowd *load.Load, url, room string, n int) ([]*visitor, error) {
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	var all []*visitor
	for range n {
		v := &visitor{left: make(chan error, 1)}
		var err error
		if v.dec, err = opus.NewDecoder(1); err != nil {
			return all, err
		}
		stay, quit := context.WithCancel(context.Background())
		v.quit = quit
		go func() {
			v.left <- crowd.Follow(stay, load.Visitor{
				Door: &guest.Door{Client: client, Base: url, Room: room}, Name: "visitor",
				OnSound: v.hear, OnPlay: v.played, Log: slog.New(slog.DiscardHandler),
			})
		}()
		all = append(all, v)
	}
	begin := time.Now()
	for i, v := range all {
		if err := v.await(ctx, begin, 20*time.Second); err != nil {
			return all, fmt.Errorf("visitor %d of %s: %w", i, room, err)
		}
	}
	return all, nil
}

// leaveAll ends visits, all at once.
func leaveAll(all []*visitor) {
	var work sync.WaitGroup
	for _, v := range all {
		v.quit()
		work.Go(func() { <-v.left })
	}
	work.Wait()
}

// tone answers a second of a sine as Opus packets.
func tone(hz float64) ([]speech.Packet, error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var packets []speech.Packet
	for n := range 50 {
		var b pcm.Block
		for i := range b.Data() {
			t := float64(n*len(b.Data())+i) / pcm.Rate
			b.Data()[i] = float32(0.1 * math.Sin(2*math.Pi*math.Round(hz)*t))
		}
		p, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			return nil, err
		}
		packets = append(packets, speech.Packet{Opus: p, LevelDBOV: -23})
	}
	return packets, nil
}

// hear notes a packet of sound in which others can be heard.
func (v *visitor) hear(at time.Time, payload []byte) {
	n, err := v.dec.Decode(payload, v.pcm[:])
	if err != nil {
		return
	}
	var sum float64
	for _, x := range v.pcm[:n] {
		sum += float64(x) * float64(x)
	}
	if math.Sqrt(sum/float64(max(n, 1))) < 0.02 { // one voice has 0.07
		return
	}
	v.mu.Lock()
	v.heard = append(v.heard, at)
	v.mu.Unlock()
}

func (v *visitor) played(time.Time, string) {
	v.mu.Lock()
	v.plays++
	v.mu.Unlock()
}

// sessions answers how many the visitor has listened to.
func (v *visitor) sessions() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.plays
}

// since answers when others were heard first after a time; zero: not yet.
func (v *visitor) since(t time.Time) time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, at := range v.heard {
		if at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// gap answers the longest time between two blocks with others' sound, from
// start to end.
func (v *visitor) gap(start, end time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, longest := start, time.Duration(0)
	for _, at := range v.heard {
		if at.Before(start) || at.After(end) {
			continue
		}
		longest = max(longest, at.Sub(last))
		last = at
	}
	return max(longest, end.Sub(last))
}

// forget drops what was heard so far.
func (v *visitor) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard = nil
}

// await waits until others are heard after a time.
func (v *visitor) await(ctx context.Context, after time.Time, within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end); {
		if !v.since(after).IsZero() {
			return nil
		}
		select {
		case err := <-v.left:
			v.left <- err
			return fmt.Errorf("gave up: %w", err)
		default:
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("heard nobody for %v", within)
}
