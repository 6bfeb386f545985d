package rtc_test

import (
	"context"
	"errors"
	"image/color"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/codec/i420"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/codec/vpx"
	"tutti/mixer"
	"tutti/mixer/mixertest"
	"tutti/transport/rtc"
	"tutti/transport/transporttest"
)

// encoders are the real ones, as cmd/tutti fits them.
type encoders struct{}

func (encoders) NewAudioEncoder(c mixer.AudioEncoderConfig) (mixer.AudioEncoder, error) {
	return opus.NewEncoder(opus.EncoderConfig{Channels: c.Channels, BitrateBPS: c.BitrateBPS, FEC: true, PacketLossPercent: 5})
}

func (encoders) NewVideoEncoder(c mixer.VideoEncoderConfig) (mixer.VideoEncoder, error) {
	return vpx.NewEncoder(vpx.EncoderConfig{Width: c.Width, Height: c.Height, FPS: c.FPS, BitrateBPS: c.BitrateBPS, Speed: -12})
}

// picture translates what there is no picture for.
type picture struct{ *vpx.Decoder }

func translate(err error) error {
	if errors.Is(err, vpx.ErrNoPicture) {
		return rtc.ErrNoPicture
	}
	return err
}

func (p picture) Decode(f []byte) error { return translate(p.Decoder.Decode(f)) }

func (p picture) DecodeInto(f []byte, dst *i420.Frame, fit i420.Fit) error {
	return translate(p.Decoder.DecodeInto(f, dst, fit))
}

func (p picture) Picture(dst *i420.Frame, fit i420.Fit) error {
	return translate(p.Decoder.Picture(dst, fit))
}

func decoders() rtc.Codecs {
	return rtc.Codecs{
		NewAudioDecoder: func(n int) (rtc.AudioDecoder, error) { return opus.NewDecoder(n) },
		NewVideoDecoder: func(w, h int) (rtc.VideoDecoder, error) {
			d, err := vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: w, MaxHeight: h, MaxFrameBytes: 1 << 20})
			return picture{d}, err
		},
		AudioSamples: opus.SampleCount,
	}
}

// hall is a room with a gateway on a virtual network.
type hall struct {
	t       *testing.T
	net     *transporttest.Network
	rooms   *mixer.Rooms
	room    *mixer.Room
	gateway *rtc.Gateway
	pool    i420.Pool
}

func newHall(t *testing.T, link transporttest.Link) *hall {
	h := &hall{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.rooms, err = mixer.NewRooms(mixer.Config{Codecs: encoders{}})
	must(err)
	h.net, err = transporttest.NewNetwork(link)
	must(err)
	host, err := h.net.Host("10.0.0.1")
	must(err)
	s := mixer.DefaultSettings()
	s.Audio.Levelling = false // tones are to come out as loud as they went in
	s.Canvas = mixer.Canvas{Width: 320, Height: 180, FPS: 10, Background: "#000000"}
	s.Renditions[0] = mixer.Rendition{Name: "sd", Width: 320, Height: 180, FPS: 10, BitrateBPS: 300_000}
	h.room, err = h.rooms.Create("r1", s)
	must(err)
	h.gateway, err = rtc.New(rtc.Config{
		Listen: "10.0.0.1:7882", Net: host, Codecs: decoders(), Pool: &h.pool,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	must(err)
	return h
}

func (h *hall) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(h.rooms.Close(ctx), h.gateway.Close(ctx), h.net.Close()); err != nil {
		h.t.Error(err)
	}
	if n := h.pool.Live(); n != 0 {
		h.t.Errorf("%d pictures are still held", n)
	}
	if n := h.gateway.Panics(); n != 0 {
		h.t.Errorf("%d panics", n)
	}
}

// person is a client with a tone and a colour, an ear and an eye.
type person struct {
	*transporttest.Client
	t      *testing.T
	hz     float64
	colour color.RGBA
	stop   chan struct{}
	work   sync.WaitGroup

	mu    sync.Mutex
	sound []float32
	next  uint32 // the timestamp that is due
	dec   *opus.Decoder
	eye   *vpx.Decoder
	view  *i420.Frame
}

func (h *hall) enter(id, ip string, hz float64, c color.RGBA) *person {
	h.t.Helper()
	p := &person{t: h.t, hz: hz, colour: c, stop: make(chan struct{}), view: i420.New(320, 180)}
	var err error
	if p.dec, err = opus.NewDecoder(1); err != nil {
		h.t.Fatal(err)
	}
	if p.eye, err = vpx.NewDecoder(vpx.DecoderConfig{MaxWidth: 320, MaxHeight: 180, MaxFrameBytes: 1 << 20}); err != nil {
		h.t.Fatal(err)
	}
	host, err := h.net.Host(ip)
	if err != nil {
		h.t.Fatal(err)
	}
	p.Client, err = transporttest.NewClient(transporttest.ClientConfig{
		Net: host, Audio: webrtc.RTPTransceiverDirectionSendrecv, Video: webrtc.RTPTransceiverDirectionSendrecv,
		OnAudio: p.hear, OnFrame: p.see,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	offer, err := p.Offer(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	peer, err := h.gateway.Open(h.t.Context(), h.room, rtc.Request{ID: id, Name: id, Role: mixer.Both, Offer: offer})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := p.Answer(peer.Answer()); err != nil {
		h.t.Fatal(err)
	}
	<-p.Connected()
	p.work.Go(p.speak)
	p.work.Go(p.film)
	return p
}

func (p *person) leave() {
	close(p.stop)
	p.work.Wait()
	if err := p.Close(); err != nil {
		p.t.Error(err)
	}
	p.eye.Close()
}

func (p *person) hear(_ time.Time, packet *rtp.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out [960]float32
	for ; p.next != 0 && int32(packet.Timestamp-p.next) > 0; p.next += pcm.Samples { // lost on the way
		if p.dec.Conceal(out[:]) == nil {
			p.sound = append(p.sound, out[:]...)
		}
	}
	p.next = packet.Timestamp + pcm.Samples
	if n, err := p.dec.Decode(packet.Payload, out[:]); err == nil {
		p.sound = append(p.sound, out[:n]...)
	}
}

func (p *person) see(_ time.Time, _ uint32, frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.eye.DecodeInto(frame, p.view, i420.Fill); err != nil {
		p.t.Errorf("a frame that cannot be decoded: %v", err)
	}
}

// tone answers the usual level of a frequency in the last two seconds heard: the
// median of its tenths of a second, as a loss in one of them is no other tone.
func (p *person) tone(hz float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	const tenth = pcm.Rate / 10
	var levels []float64
	for end := len(p.sound); end >= tenth && len(levels) < 20; end -= tenth {
		levels = append(levels, mixertest.Goertzel(p.sound[end-tenth:end], hz))
	}
	slices.Sort(levels)
	return levels[len(levels)/2]
}

func (p *person) at(x, y int) color.RGBA {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view.At(x, y)
}

func (p *person) speak() {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 32000, FEC: true, PacketLossPercent: 5})
	if err != nil {
		p.t.Error(err)
		return
	}
	defer enc.Close()
	var b pcm.Block
	buf := make([]byte, 1500)
	tick := time.NewTicker(pcm.Duration)
	defer tick.Stop()
	for n := 0; ; {
		for i := range b.Data() {
			b.Data()[i] = float32(0.3 * math.Sin(2*math.Pi*p.hz*float64(n)/pcm.Rate))
			n++
		}
		packet, err := enc.Encode(buf, &b, false)
		if err == nil {
			err = p.SendAudio(packet, pcm.Samples, -14)
		}
		if err != nil {
			p.t.Error(err)
			return
		}
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

func (p *person) film() {
	enc, err := vpx.NewEncoder(vpx.EncoderConfig{Width: 160, Height: 90, FPS: 10, BitrateBPS: 200_000, Speed: -12})
	if err != nil {
		p.t.Error(err)
		return
	}
	defer enc.Close()
	f := i420.New(160, 90)
	f.Fill(p.colour)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var wanted uint64
	for n := 0; ; n++ {
		w := p.Counts().KeyFramesWanted
		data, _, err := enc.Encode(f, time.Duration(n)*100*time.Millisecond, n == 0 || w != wanted)
		wanted = w
		if err == nil && len(data) > 0 {
			err = p.SendVideo(data, 100*time.Millisecond)
		}
		if err != nil {
			p.t.Error(err)
			return
		}
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

func near(a, b color.RGBA) bool {
	d := func(x, y uint8) int { return int(math.Abs(float64(x) - float64(y))) }
	return d(a.R, b.R)+d(a.G, b.G)+d(a.B, b.B) < 90
}

// TestRoomOverLossyNetwork puts two people into a real room over a path that
// loses 5 %: each hears the other and not itself, sees both, and when one dies
// without a word the other notices nothing but an empty seat.
func TestRoomOverLossyNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, transporttest.Lossy)
		defer h.close()
		red, blue := color.RGBA{200, 30, 30, 255}, color.RGBA{30, 30, 200, 255}
		alice := h.enter("alice", "10.0.0.2", 440, red)
		defer alice.leave()
		bob := h.enter("bob", "10.0.0.3", 1000, blue)
		defer bob.leave()
		time.Sleep(8 * time.Second)

		for _, who := range []struct {
			p          *person
			own, other float64
		}{{alice, 440, 1000}, {bob, 1000, 440}} {
			own, other := who.p.tone(who.own), who.p.tone(who.other)
			t.Logf("the other's tone is at %.1f dBov, one's own at %.1f", other, own)
			if other < -17 || own > other-40 {
				t.Errorf("the other's tone is at %.1f dBov, one's own at %.1f", other, own)
			}
			if audio, video := who.p.Tracks(); audio != 1 || video != 1 {
				t.Errorf("%d tracks of sound and %d of pictures", audio, video)
			}
			_, tiles := h.room.Layout()
			if len(tiles) != 2 {
				t.Fatalf("%d tiles", len(tiles))
			}
			for _, tile := range tiles {
				x, y := (tile.Rect.Min.X+tile.Rect.Max.X)/2, (tile.Rect.Min.Y+tile.Rect.Max.Y)/2
				want := map[string]color.RGBA{"alice": red, "bob": blue}[tile.Seat]
				if got := who.p.at(x, y); !near(got, want) {
					t.Errorf("%s's tile is %v, not %v", tile.Seat, got, want)
				}
			}
		}

		h.net.Cut("10.0.0.3")
		died := time.Now()
		packets, longest, last := alice.Counts().AudioPackets, time.Duration(0), time.Now()
		for len(h.room.Participants()) > 1 {
			if time.Since(died) > 10*time.Second {
				t.Fatal("a dead client is still there after 10 s")
			}
			time.Sleep(10 * time.Millisecond)
			if n := alice.Counts().AudioPackets; n != packets {
				packets, last = n, time.Now()
			}
			longest = max(longest, time.Since(last))
		}
		// Who is alone hears silence, of which a packet comes every 400 ms, and one in
		// twenty is lost.
		if longest > time.Second {
			t.Errorf("alice heard nothing for %v", longest)
		}
		time.Sleep(2 * time.Second)
		if n := len(h.room.Participants()); n != 1 {
			t.Errorf("%d participants", n)
		}

		h.net.SetLink(transporttest.Clean) // nobody says it twice
		h.room.Close("test")
		select {
		case <-alice.Ended():
		case <-time.After(time.Second):
			t.Error("alice was not told that the room closed")
		}
	})
}

// TestRefusedOfferLeavesNothing offers what is refused by the gateway and by the
// room.
func TestRefusedOfferLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, transporttest.Clean)
		defer h.close()
		host, err := h.net.Host("10.0.0.2")
		if err != nil {
			t.Fatal(err)
		}
		c, err := transporttest.NewClient(transporttest.ClientConfig{Net: host, Audio: webrtc.RTPTransceiverDirectionSendrecv})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		offer, err := c.Offer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask := func(id, offer string, role mixer.Role) error {
			_, err := h.gateway.Open(t.Context(), h.room, rtc.Request{ID: id, Name: "x", Role: role, Offer: offer})
			return err
		}
		if err := ask("p1", offer, mixer.Both); err != nil {
			t.Fatal(err)
		}
		if err := ask("p1", offer, mixer.Both); !errors.Is(err, mixer.ErrParticipantExists) {
			t.Errorf("a second p1: %v", err)
		}
		if err := ask("no such id", offer, mixer.Both); err == nil {
			t.Error("took an invalid id")
		}
		if err := ask("p2", "v=0\r\n", mixer.Both); err == nil {
			t.Error("took nothing for an offer")
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.gateway.Open(done, h.room, rtc.Request{ID: "p3", Name: "x", Role: mixer.Both, Offer: offer}); err != nil {
			t.Logf("a caller that has gone away: %v", err)
		}
		h.room.Close("test")
		if err := ask("p4", offer, mixer.Both); !errors.Is(err, mixer.ErrRoomClosed) {
			t.Errorf("a closed room: %v", err)
		}
		time.Sleep(time.Second)
		if n := h.gateway.Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}
