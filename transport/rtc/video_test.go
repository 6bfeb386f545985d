package rtc

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/i420"
)

// camera is a videoIn with its decode goroutine and a sender that can be driven.
type camera struct {
	*videoIn
	t    *testing.T
	dec  *fakeVideo // the newest one made
	made int
	gate chan struct{} // where not nil, each decoding waits for it
	plis atomic.Int32
	seq  uint16
	ts   uint32
	id   uint16
	pool i420.Pool
	done chan struct{}
}

// gated is a decoder that waits.
type gated struct {
	*fakeVideo
	gate chan struct{}
}

func (g gated) Decode(f []byte) error { <-g.gate; return g.fakeVideo.Decode(f) }

func (g gated) DecodeInto(f []byte, dst *i420.Frame, fit i420.Fit) error {
	<-g.gate
	return g.fakeVideo.DecodeInto(f, dst, fit)
}

func newCamera(t *testing.T) *camera {
	c := &camera{t: t, done: make(chan struct{})}
	cfg := Config{Codecs: fakeCodecs(), Pool: &c.pool}.withDefaults()
	cfg.Codecs.NewVideoDecoder = func(w, h int) (VideoDecoder, error) {
		c.dec = &fakeVideo{}
		c.made++
		if c.gate != nil {
			return gated{c.dec, c.gate}, nil
		}
		return c.dec, nil
	}
	c.videoIn = newVideoIn(cfg, func() { c.plis.Add(1) })
	go func() { defer close(c.done); c.decodeAll() }()
	return c
}

// send pushes one frame and lets 33 ms pass.
func (c *camera) send(frame []byte) {
	c.sendAtOnce(frame)
	time.Sleep(33 * time.Millisecond)
}

func (c *camera) sendAtOnce(frame []byte) {
	payloads := cutVP8(frame, c.id)
	for i, p := range payloads {
		c.push(time.Now(), &rtp.Packet{
			Header: rtp.Header{SequenceNumber: c.seq, Timestamp: c.ts, Marker: i == len(payloads)-1}, Payload: p,
		})
		c.seq++
	}
	c.id = (c.id + 1) & 0x7fff
	c.ts += 2970
	synctest.Wait()
}

func (c *camera) end() {
	close(c.frames)
	<-c.done
	if n := c.pool.Live(); n != 0 {
		c.t.Errorf("%d pictures are still held", n)
	}
	if c.dec != nil && !c.dec.closed.Load() {
		c.t.Error("the decoder is open")
	}
}

// picture takes the newest and answers its size and mark, or zeros.
func (c *camera) picture() (w, h int, mark byte) {
	f := c.Latest(time.Now())
	if f == nil {
		return 0, 0, 0
	}
	defer f.Release()
	return f.Width, f.Height, f.Y[0]
}

func TestPictureHasTileSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		defer c.end()
		c.Show(320, 180, i420.Cover)
		c.send(keyFrame(1))
		c.send(deltaFrame(2))
		if w, h, mark := c.picture(); w != 320 || h != 180 || mark != 2 {
			t.Errorf("a picture of %dx%d, mark %d", w, h, mark)
		}
		if w, _, _ := c.picture(); w != 0 {
			t.Error("a picture was taken twice")
		}
		c.Show(160, 90, i420.Cover)
		c.send(deltaFrame(3))
		if w, h, mark := c.picture(); w != 160 || h != 90 || mark != 3 {
			t.Errorf("a picture of %dx%d, mark %d", w, h, mark)
		}
		time.Sleep(time.Second)
		if c.dec.redrawn.Load() != 0 {
			t.Error("a picture was drawn again though a new one had come")
		}
		c.Show(80, 44, i420.Cover)
		time.Sleep(2 * redrawAfter)
		if w, h, _ := c.picture(); w != 80 || h != 44 || c.dec.redrawn.Load() != 1 {
			t.Errorf("without a new frame a picture of %dx%d, redrawn %d times", w, h, c.dec.redrawn.Load())
		}
	})
}

// TestHiddenCameraIsNotDecoded hides and shows a camera.
func TestHiddenCameraIsNotDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		defer c.end()
		c.send(keyFrame(1))
		for range 30 {
			c.send(deltaFrame(2))
		}
		if c.made != 0 {
			t.Error("a camera that nobody sees has a decoder")
		}
		if i := c.Info(); i.Width != 64 || i.Height != 48 || i.FPS < 28 || i.FPS > 32 {
			t.Errorf("the hidden camera is %+v", i)
		}
		asked := c.plis.Load()
		c.Show(64, 48, i420.Cover)
		synctest.Wait()
		if c.plis.Load() != asked+1 {
			t.Error("no key frame was asked for when the camera was shown")
		}
		c.send(deltaFrame(3))
		if c.made != 0 {
			t.Error("a decoder was given a frame that refers to nothing")
		}
		c.send(keyFrame(4))
		if _, _, mark := c.picture(); mark != 4 {
			t.Errorf("mark %d", mark)
		}
		c.send(deltaFrame(5))
		c.Show(0, 0, i420.Cover)
		synctest.Wait()
		if !c.dec.closed.Load() || c.pool.Live() != 0 {
			t.Error("a hidden camera keeps its decoder or picture")
		}
		// Shown again before any frame came: what refers to the old ones is not for
		// the new decoder.
		c.Show(64, 48, i420.Cover)
		c.send(deltaFrame(6))
		if c.made != 1 || c.refused.Load() != 0 {
			t.Errorf("%d decoders, %d frames refused", c.made, c.refused.Load())
		}
	})
}

// TestSlowDecoderDropsToKeyFrame holds the decoder while frames come.
func TestSlowDecoderDropsToKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		c.gate = make(chan struct{})
		c.Show(64, 48, i420.Cover)
		c.send(keyFrame(1))
		asked := c.plis.Load()
		time.Sleep(time.Second)
		for i := range 20 {
			c.send(deltaFrame(byte(i)))
		}
		if c.plis.Load() == asked {
			t.Error("no key frame was asked for")
		}
		close(c.gate)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := c.dec.decoded.Load(); n != 1+frameQueue {
			t.Errorf("%d frames were decoded, not one and the queue's %d", n, frameQueue)
		}
		if n := c.dec.drawn.Load(); n > 2 {
			t.Errorf("%d of the waiting frames were drawn, for one mailbox", n)
		}
		c.send(deltaFrame(50))
		c.send(keyFrame(51))
		if _, _, mark := c.picture(); mark != 51 {
			t.Errorf("after the gap comes mark %d", mark)
		}
		if n := c.dec.decoded.Load(); n != 1+frameQueue+1 {
			t.Errorf("%d frames were decoded: one after the gap was no key frame", n)
		}
		c.end()
	})
}

// TestKeyFrameRequestsAreBounded sends pictures that nothing can be made of.
func TestKeyFrameRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		defer c.end()
		c.Show(64, 48, i420.Cover)
		for range 300 { // 9.9 s
			c.send(deltaFrame(1))
		}
		if n := c.plis.Load(); n < 15 || n > 21 {
			t.Errorf("%d requests in 10 s", n)
		}
		if int(c.plis.Load()) != int(c.asked.Load()) {
			t.Errorf("%d requests, %d counted", c.plis.Load(), c.asked.Load())
		}
	})
}

// TestRefusedFrameIsCounted gives the decoder what it refuses.
func TestRefusedFrameIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		defer c.end()
		c.Show(64, 48, i420.Cover)
		c.send(keyFrame(1))
		c.picture()
		asked := c.plis.Load()
		time.Sleep(time.Second)
		c.send([]byte{0x11, 'b', 'a', 'd'})
		c.send(deltaFrame(2))
		if c.refused.Load() != 1 || c.plis.Load() != asked+1 {
			t.Errorf("%d refused, %d requests", c.refused.Load(), c.plis.Load()-asked)
		}
		if w, _, _ := c.picture(); w != 0 {
			t.Error("a picture came of a frame that refers to a refused one")
		}
		c.send(keyFrame(3))
		if _, _, mark := c.picture(); mark != 3 {
			t.Errorf("after the next key frame mark %d", mark)
		}
	})
}
