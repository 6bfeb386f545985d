package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/assets/speech"
	"tutti/transport/transporttest"
)

// person is a real WebRTC client in a room.
type person struct {
	client *transporttest.Client
	server *server
	path   string // of the session
	work   sync.WaitGroup
	quit   context.CancelFunc
}

// join offers through a door, participants, whip or whep, and waits until media
// may flow. posting, if not nil, is called just before the offer is posted.
func join(ctx context.Context, s *server, room, door string, cfg transporttest.ClientConfig, posting func()) (*person, error) {
	c, err := transporttest.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	p := &person{client: c, server: s}
	if err := p.negotiate(ctx, room, door, posting); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return p, nil
}

func (p *person) negotiate(ctx context.Context, room, door string, posting func()) error {
	offer, err := p.client.Offer(ctx)
	if err != nil {
		return err
	}
	if posting != nil {
		posting()
	}
	answer, header, err := p.server.call(ctx, http.MethodPost, "/v1/rooms/"+room+"/"+door, "application/sdp", []byte(offer))
	if err != nil {
		return err
	}
	p.path = header.Get("Location")
	if err := p.client.Answer(string(answer)); err != nil {
		return err
	}
	select {
	case <-p.client.Connected():
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("not connected within ten seconds")
	}
}

// both is what a participant with camera offers.
func both() transporttest.ClientConfig {
	return transporttest.ClientConfig{
		Audio: webrtc.RTPTransceiverDirectionSendrecv, Video: webrtc.RTPTransceiverDirectionSendrecv,
	}
}

// send plays packets of speech and, if there are any, frames of a picture in a
// loop, each at its time, until leave.
func (p *person) send(voice []speech.Packet, frames [][]byte, phase time.Duration) {
	ctx, quit := context.WithCancel(context.Background())
	p.quit = quit
	if len(voice) > 0 {
		p.work.Go(func() {
			every(ctx, 20*time.Millisecond, phase, func(n int) {
				v := voice[n%len(voice)]
				_ = p.client.SendAudio(v.Opus, 960, int(v.LevelDBOV))
			})
		})
	}
	if len(frames) > 0 {
		p.work.Go(func() {
			var next int
			var wanted uint64
			every(ctx, time.Second/30, phase, func(int) {
				if w := p.client.Counts().KeyFramesWanted; w != wanted { // a clip has one, at its beginning
					wanted, next = w, 0
				}
				_ = p.client.SendVideo(frames[next%len(frames)], time.Second/30)
				next++
			})
		})
	}
}

// every calls fn with 0, 1, 2... at even times.
func every(ctx context.Context, d, phase time.Duration, fn func(int)) {
	start := time.Now().Add(phase)
	for n := 0; ; n++ {
		if sleep(ctx, time.Until(start.Add(time.Duration(n)*d))) != nil {
			return
		}
		fn(n)
	}
}

// leave ends the session as a client does.
func (p *person) leave() {
	if p.quit != nil {
		p.quit()
	}
	p.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _, _ = p.server.call(ctx, http.MethodDelete, p.path, "", nil)
	_ = p.client.Close()
}

// talk answers a voice without its pauses, so that whoever sends it talks all
// the time.
func talk(i int) ([]speech.Packet, error) {
	names := speech.Names()
	v, err := speech.Load(names[i%len(names)])
	if err != nil {
		return nil, err
	}
	var packets []speech.Packet
	for _, s := range v.Sentences {
		packets = append(packets, v.Packets[s.From:s.To]...)
	}
	return packets, nil
}
