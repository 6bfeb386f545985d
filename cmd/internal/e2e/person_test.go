package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
	"tutti/transport/transporttest"
)

// person is a client in Go: sends a tone and a flat picture, as far as its door
// lets it, and receives with ears and eyes that miss nothing.
type person struct {
	*transporttest.Client
	*receiver
	s        *server
	location string // of the session
	stop     context.CancelFunc
	sending  sync.WaitGroup
	once     sync.Once
	left     error
}

// The directions of the three doors.
var doors = map[string]webrtc.RTPTransceiverDirection{
	"participants": webrtc.RTPTransceiverDirectionSendrecv,
	"whip":         webrtc.RTPTransceiverDirectionSendonly,
	"whep":         webrtc.RTPTransceiverDirectionRecvonly,
}

// enter lets a person in through a door and waits until media may flow. It
// sends nothing yet. The person has left when the test ends.
func (s *server) enter(t *testing.T, room, door, name string) *person {
	t.Helper()
	p, err := s.admit(t, room, door, url.Values{"name": {name}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// admit is enter for whoever expects to be refused, from any goroutine of the test.
func (s *server) admit(t *testing.T, room, door string, query url.Values) (*person, error) {
	p, err := newPerson(t, s, door)
	if err != nil {
		return nil, err
	}
	if err := p.negotiate(t.Context(), room+"/"+door+"?"+query.Encode()); err != nil {
		return nil, err
	}
	select {
	case <-p.Connected():
		return p, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("not connected after %v", patience)
	}
}

// newPerson answers somebody who has not come in yet, and who has left when the
// test ends.
func newPerson(t *testing.T, s *server, door string) (*person, error) {
	ears, err := newReceiver()
	if err != nil {
		return nil, err
	}
	p := &person{s: s, receiver: ears, stop: func() {}}
	p.Client, err = transporttest.NewClient(transporttest.ClientConfig{
		Net: s.net, Audio: doors[door], Video: doors[door], OnAudio: p.onAudio, OnFrame: p.onFrame,
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = p.leave() }) // whoever has left before knows the error
	return p, nil
}

func (p *person) negotiate(ctx context.Context, door string) error {
	offer, err := p.Offer(ctx)
	if err != nil {
		return err
	}
	req, err := p.s.request(http.MethodPost, "/v1/rooms/"+door, strings.NewReader(offer))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/sdp")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("the offer is answered %s: %s", res.Status, answer)
	}
	p.location = res.Header.Get("Location")
	return p.Answer(string(answer))
}

// leave ends the session by DELETE, then the client.
func (p *person) leave() error {
	p.once.Do(func() {
		p.hangUp()
		if _, err := p.s.call(http.MethodDelete, p.location, nil); err != nil {
			p.left = err
		}
		if err := p.Close(); err != nil {
			p.left = err
		}
		p.receiver.close()
	})
	return p.left
}

// vanish closes the client's connection and tells the API nothing.
func (p *person) vanish() error {
	p.once.Do(func() {
		p.hangUp()
		p.left = p.Close()
		p.receiver.close()
	})
	return p.left
}

// hangUp stops sending.
func (p *person) hangUp() {
	p.stop()
	p.sending.Wait()
}

// send sends somebody's tone and colour until the person leaves.
func (p *person) send(t *testing.T, who identity) {
	t.Helper()
	p.perform(t, who, [][]byte{flatFrame(t, who.colour)}, 5)
}

// perform sends somebody's tone, and frames over and over, one each time that
// so many blocks of sound have gone, until the person leaves.
func (p *person) perform(t *testing.T, who identity, film [][]byte, every int) {
	t.Helper()
	encoder, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 64000, Application: opus.Audio})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	p.sending.Go(func() {
		defer encoder.Close()
		beat(ctx, func(n int, _ time.Duration) {
			packet, err := encoder.Encode(make([]byte, 0, opus.MaxPacketBytes), tone(who.tone, n), false)
			if err == nil {
				err = p.SendAudio(packet, pcm.Samples, toneLevel)
			}
			if err == nil && n%every == 0 {
				err = p.SendVideo(film[n/every%len(film)], time.Duration(every)*pcm.Duration)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("%s cannot send: %v", who.name, err)
				cancel()
			}
		})
	})
}

// beat calls do for each block of 20 ms when it is due, or as much later as it
// is told, and makes up for that.
func beat(ctx context.Context, do func(n int, late time.Duration)) {
	begin := time.Now()
	for n := 0; ; n++ {
		due := begin.Add(time.Duration(n) * pcm.Duration)
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
			do(n, time.Since(due))
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

const (
	toneAmplitude = 0.1
	toneLevel     = -23 // dBov of a sine of that amplitude
)

// tone answers the nth block of a sine.
func tone(hz float64, n int) *pcm.Block {
	b := new(pcm.Block)
	for i := range b.Data() {
		b.Data()[i] = toneAmplitude * float32(math.Sin(2*math.Pi*hz*float64(n*pcm.Samples+i)/pcm.Rate))
	}
	return b
}

// flatFrame answers a key frame of one colour.
func flatFrame(t *testing.T, c colour) []byte {
	t.Helper()
	picture := i420.New(320, 180)
	picture.Fill(color.RGBA{byte(c[0]), byte(c[1]), byte(c[2]), 255})
	encoder, err := vpx.NewEncoder(vpx.EncoderConfig{Width: 320, Height: 180, FPS: 10, BitrateBPS: 300000})
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	frame, key, err := encoder.Encode(picture, 0, true)
	if err != nil || !key {
		t.Fatalf("encode a flat picture: key frame %v, %v", key, err)
	}
	return bytes.Clone(frame) // the library's memory is gone with the encoder
}
