package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/api/guest"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/transport/transporttest"
)

// visitor is somebody with sound alone who hums a tone all the time, stays in a
// room as the page's client does, and notes when others are heard.
type visitor struct {
	door *guest.Door
	hum  [][]byte // Opus packets of 20 ms, again and again
	quit context.CancelFunc
	left chan error

	playing atomic.Pointer[visit] // which session is listened to

	mu    sync.Mutex
	heard []time.Time // blocks with somebody else's sound that were played
}

// visit is one session of a visitor.
type visit struct {
	of     *visitor
	client *transporttest.Client
	place  guest.Place
	dec    *opus.Decoder // owned by the goroutine that reads the sound
	pcm    [opus.MaxSamples]float32
	last   atomic.Int64 // when sound came last, UnixNano
	quit   context.CancelFunc
	work   sync.WaitGroup
}

// visitRoom sends n visitors into a room and returns when each hears somebody.
func visitRoom(ctx context.Context, url, room string, n int) ([]*visitor, error) {
	var all []*visitor
	for i := range n {
		hum, err := tone(300 + 70*float64(i))
		if err != nil {
			return all, err
		}
		v := &visitor{hum: hum, left: make(chan error, 1), door: &guest.Door{
			Client: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}, Base: url, Room: room,
		}}
		stay, quit := context.WithCancel(context.Background())
		v.quit = quit
		go func() {
			v.left <- guest.Stay(stay, guest.Config{Door: v.door, Open: v.open, Play: v.play, Log: slog.New(slog.DiscardHandler)})
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
func tone(hz float64) ([][]byte, error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var packets [][]byte
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
		packets = append(packets, p)
	}
	return packets, nil
}

// open joins, and sends from then on.
func (v *visitor) open(ctx context.Context, resumes string) (guest.Session, error) {
	s := &visit{of: v}
	var err error
	if s.dec, err = opus.NewDecoder(1); err != nil {
		return nil, err
	}
	s.client, err = transporttest.NewClient(transporttest.ClientConfig{Audio: webrtc.RTPTransceiverDirectionSendrecv, OnAudio: s.hear})
	if err != nil {
		return nil, err
	}
	sending, quit := context.WithCancel(context.Background())
	s.quit = quit
	if err := s.connect(ctx, resumes); err != nil {
		s.Leave()
		return nil, err
	}
	s.work.Go(func() {
		every(sending, pcm.Duration, rand.N(pcm.Duration), func(n int) {
			_ = s.client.SendAudio(v.hum[n%len(v.hum)], pcm.Rate/50, -23)
		})
	})
	return s, nil
}

func (s *visit) connect(ctx context.Context, resumes string) error {
	offer, err := s.client.Offer(ctx)
	if err != nil {
		return err
	}
	if s.place, err = s.of.door.Join(ctx, guest.Offer{SDP: offer, Name: "visitor", Resumes: resumes}); err != nil {
		return err
	}
	if err := s.client.Answer(s.place.Answer); err != nil {
		return err
	}
	select {
	case <-s.client.Connected():
		return nil
	case <-s.client.Ended():
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
	}
	return errors.New("no media connection")
}

// Place, Ended, Heard and Leave are those of a guest.Session.
func (s *visit) Place() guest.Place     { return s.place }
func (s *visit) Ended() <-chan struct{} { return s.client.Ended() }
func (s *visit) Heard() time.Time       { return time.Unix(0, s.last.Load()) }

// Leave takes leave and frees everything.
func (s *visit) Leave() {
	s.quit()
	s.work.Wait()
	if s.place.Location != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_ = s.of.door.Leave(ctx, s.place.Location)
		cancel()
	}
	_ = s.client.Close()
}

func (v *visitor) play(s guest.Session) { v.playing.Store(s.(*visit)) }

// hear notes a packet of sound in which others can be heard, if it is played.
func (s *visit) hear(at time.Time, p *rtp.Packet) {
	s.last.Store(at.UnixNano())
	n, err := s.dec.Decode(p.Payload, s.pcm[:])
	if err != nil || s.of.playing.Load() != s {
		return
	}
	var sum float64
	for _, x := range s.pcm[:n] {
		sum += float64(x) * float64(x)
	}
	if math.Sqrt(sum/float64(max(n, 1))) < 0.02 { // one voice has 0.07
		return
	}
	s.of.mu.Lock()
	s.of.heard = append(s.of.heard, at)
	s.of.mu.Unlock()
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
