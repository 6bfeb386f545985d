package demo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"tutti/api/guest"
)

// connection is one session: a peer connection and its place on the server. It
// is a guest.Session.
type connection struct {
	person           *person
	pc               *webrtc.PeerConnection
	audio, video     *webrtc.TrackLocalStaticRTP
	levelID          uint8 // of the level extension as negotiated; 0: not
	place            guest.Place
	connected, ended chan struct{}
	over             sync.Once    // guards ended
	keyFrame         atomic.Bool  // a key frame has been asked for
	heard            atomic.Int64 // when a packet came last, in nanoseconds since the script's start

	stop    context.CancelFunc // ends sending
	sending sync.WaitGroup
}

// connect offers, joins and takes the answer. What it answers must be left.
func (p *person) connect(ctx context.Context, resumes string) (*connection, error) {
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c := &connection{person: p, pc: pc, connected: make(chan struct{}), ended: make(chan struct{}), stop: func() {}}
	if err := c.negotiate(ctx, resumes); err != nil {
		c.Leave()
		return nil, err
	}
	return c, nil
}

func (c *connection) negotiate(ctx context.Context, resumes string) error {
	c.watch()
	microphone, err := c.addTracks()
	if err != nil {
		return err
	}
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("make an offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("take the offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.place, err = c.person.door.Join(ctx, guest.Offer{
		SDP: c.pc.LocalDescription().SDP, Name: c.person.name, Resumes: resumes,
	})
	if err != nil {
		return err
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.place.Answer}); err != nil {
		return fmt.Errorf("take the answer: %w", err)
	}
	for _, e := range microphone.GetParameters().HeaderExtensions {
		if e.URI == sdp.AudioLevelURI {
			c.levelID = uint8(e.ID)
		}
	}
	return nil
}

// watch closes connected and ended when the connection gets there, and reads
// whatever comes in, as pion answers nothing for a track that nobody reads.
func (c *connection) watch() {
	var once sync.Once
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(c.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			c.end()
		}
	})
	c.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		buf := make([]byte, 1500)
		for {
			if _, _, err := t.Read(buf); err != nil {
				return
			}
			c.heard.Store(int64(time.Since(c.person.start)))
		}
	})
}

// addTracks adds microphone and camera, and answers the microphone's sender.
func (c *connection) addTracks() (*webrtc.RTPSender, error) {
	var err error
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	if c.audio, err = webrtc.NewTrackLocalStaticRTP(opus, "microphone", "person"); err != nil {
		return nil, err
	}
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	if c.video, err = webrtc.NewTrackLocalStaticRTP(vp8, "camera", "person"); err != nil {
		return nil, err
	}
	microphone, err := c.pc.AddTrack(c.audio)
	if err != nil {
		return nil, err
	}
	camera, err := c.pc.AddTrack(c.video)
	if err != nil {
		return nil, err
	}
	go c.readFeedback(microphone)
	go c.readFeedback(camera)
	return microphone, nil
}

// readFeedback reads RTCP until the sender ends, which is also what makes pion
// answer NACKs, and notes that a key frame is wanted (RFC 4585, section 6.3.1;
// RFC 5104, section 4.3.1).
func (c *connection) readFeedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				c.keyFrame.Store(true)
			}
		}
	}
}

// begin sends from now on, until the connection is left.
func (c *connection) begin() {
	c.heard.Store(int64(time.Since(c.person.start)))
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.sending.Go(func() {
		if err := c.person.send(ctx, c); err != nil {
			c.person.log.Debug("sending has ended", "error", err)
			c.end()
		}
	})
}

// end says that the connection has failed.
func (c *connection) end() { c.over.Do(func() { close(c.ended) }) }

// Place implements guest.Session.
func (c *connection) Place() guest.Place { return c.place }

// Ended implements guest.Session.
func (c *connection) Ended() <-chan struct{} { return c.ended }

// Heard implements guest.Session.
func (c *connection) Heard() time.Time { return c.person.start.Add(time.Duration(c.heard.Load())) }

// Leave leaves the room, if it was joined, and frees everything.
func (c *connection) Leave() {
	c.stop()
	c.sending.Wait()
	if c.place.Location != "" {
		// The context of the demo has ended by now, most likely.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := c.person.door.Leave(ctx, c.place.Location); err != nil && ctx.Err() == nil {
			c.person.log.Debug("could not take leave", "error", err)
		}
	}
	if err := c.pc.GracefulClose(); err != nil {
		c.person.log.Debug("the connection did not close", "error", err)
	}
}
