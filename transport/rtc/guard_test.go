package rtc

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tutti/codec/i420"
	"tutti/mixer"
	"tutti/transport/transporttest"
)

// bomb is a decoder that panics.
type bomb struct{ fakeVideo }

func (*bomb) DecodeInto([]byte, *i420.Frame, i420.Fit) error { panic("boom") }

// TestPanicEndsOnePeer lets one peer's decoder panic beside another peer.
func TestPanicEndsOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, func(c *Config) {
			c.Codecs.NewVideoDecoder = func(int, int) (VideoDecoder, error) { return new(bomb), nil }
		})
		c, d := s.client(transporttest.ClientConfig{Video: sendRecv}), s.client(transporttest.ClientConfig{Video: sendRecv})
		defer c.Close()
		defer d.Close()
		s.join(c, "p1", mixer.Both)
		s.join(d, "p2", mixer.Both)
		s.room.seat(0).cfg.Video.Show(64, 48, i420.Cover)
		for range 5 {
			if err := c.SendVideo(keyFrame(1), 33*time.Millisecond); err != nil {
				break
			}
			time.Sleep(33 * time.Millisecond)
		}
		if reason := <-s.room.seat(0).left; reason != "failed" {
			t.Errorf("left for %q", reason)
		}
		time.Sleep(time.Second)
		if s.gateway.Panics() != 1 || s.gateway.Sessions() != 1 {
			t.Errorf("%d panics, %d sessions", s.gateway.Panics(), s.gateway.Sessions())
		}
		s.gateway.panics.Store(0) // they were meant
		s.close()
	})
}

// lingering has some time pass between a session's goodbye and its connection's
// end: pion as a client reads the two in goroutines of their own, and the end
// may have it throw away a goodbye that has come.
func (s *stage) lingering() {
	inner := s.gateway.newMedia
	s.gateway.newMedia = func(p *Peer) (media, error) {
		m, err := inner(p)
		return slowToEnd{m}, err
	}
}

type slowToEnd struct{ media }

func (m slowToEnd) close() {
	m.media.close()
	time.Sleep(100 * time.Millisecond)
}

// TestKeyFrameRequestsReachTheRoom asks as a receiver does and by falling behind.
func TestKeyFrameRequestsReachTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		s.lingering()
		c := s.client(transporttest.ClientConfig{Audio: recvOnly, Video: recvOnly})
		defer c.Close()
		p := s.join(c, "p1", mixer.Viewer)
		s.eventually("subscribed", func() bool { return s.room.sub(0) != nil })
		sub := s.room.sub(0)
		if sub.cfg.Without != "" {
			t.Errorf("a viewer is without %s", sub.cfg.Without)
		}
		sub.cfg.Sink.WriteVideo(videoPacket(0, true, keyFrame(1)))
		time.Sleep(100 * time.Millisecond)
		for range 20 { // 1 s
			if err := c.RequestKeyFrame(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := sub.keyFrames.Load(); n != 2 {
			t.Errorf("20 requests in a second became %d", n)
		}
		time.Sleep(time.Second)
		p.ring.mu.Lock() // as an overflow leaves it
		p.ring.askKey = true
		p.ring.mu.Unlock()
		p.ready()
		time.Sleep(time.Second)
		if n := sub.keyFrames.Load(); n != 3 {
			t.Errorf("after an overflow %d requests", n)
		}
		s.room.seat(0).Leave("removed")
		<-c.Ended()
		time.Sleep(time.Second)
		if n := c.Counts().Goodbyes; n == 0 {
			t.Error("no goodbye")
		}
	})
}

// TestJoinRefused leaves nothing where the room says no, or yes and at once no.
func TestJoinRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		s.room.joinErr = mixer.ErrRoomFull
		if _, err := s.gateway.open(t.Context(), s.room, Request{ID: "p1", Role: mixer.Both, Offer: sampleOffer}); !errors.Is(err, mixer.ErrRoomFull) {
			t.Errorf("a full room: %v", err)
		}
		if s.gateway.Sessions() != 0 || len(s.gateway.fans) != 0 {
			t.Error("something is left of a refused session")
		}
		// The room closes between Join and the answer.
		closing := &closingRoom{s.room}
		s.room.joinErr = nil
		if _, err := s.gateway.open(t.Context(), closing, Request{ID: "p1", Role: mixer.Both, Offer: sampleOffer}); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("a room that closes: %v", err)
		}
		if s.gateway.Sessions() != 0 || len(s.gateway.fans) != 0 {
			t.Error("something is left of a session that ended before it began")
		}
	})
}

// closingRoom lets everybody in and out again.
type closingRoom struct{ *fakeRoom }

func (r *closingRoom) Join(c mixer.JoinConfig) (seat, error) {
	s, err := r.fakeRoom.Join(c)
	s.Leave("closed")
	return s, err
}
