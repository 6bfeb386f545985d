package mixer

import (
	"slices"
	"time"

	"tutti/codec"
	"tutti/codec/i420"
)

// keyFrameEvery is the shortest time between two key frames: requests that
// come within it share one.
const keyFrameEvery = 250 * time.Millisecond

// rung is the one encoder of a rendition, with a goroutine of its own, so that
// a slow encoder skips frames and holds up nobody.
type rung struct {
	room    *Room
	cfg     videoConfig
	mail    chan composed // the newest canvas not yet encoded
	ended   chan struct{}
	lastKey time.Duration // PTS of the last key frame
}

// composed is a canvas on its way to an encoder.
type composed struct {
	frame *i420.Frame
	pts   time.Duration
}

func startRung(r *Room, cfg videoConfig) *rung {
	g := &rung{room: r, cfg: cfg, mail: make(chan composed, 1), ended: make(chan struct{}), lastKey: -keyFrameEvery}
	go g.run()
	return g
}

// close ends the encoder after what it has begun. It is called by the owner of
// offer, once.
func (g *rung) close() {
	close(g.mail)
	<-g.ended
}

// offer takes over a reference to a canvas; the newest wins.
func (g *rung) offer(f *i420.Frame, pts time.Duration) {
	for {
		select {
		case g.mail <- composed{f, pts}:
			return
		default:
		}
		select {
		case old := <-g.mail:
			old.frame.Release()
			g.room.count.videoSkipped.Add(1)
		default:
		}
	}
}

// wanted reports whether a subscriber waits for a key frame, so that even a
// canvas that did not change must be encoded.
func (g *rung) wanted(sc *scene) bool {
	return slices.ContainsFunc(sc.videoSubs, func(s *Subscription) bool { return s.wantKey.Load() })
}

func (g *rung) run() {
	defer close(g.ended)
	enc, err := g.room.rooms.cfg.Codecs.NewVideoEncoder(g.cfg.VideoEncoderConfig)
	if err != nil {
		g.room.count.encodeErrors.Add(1)
	} else {
		defer enc.Close()
	}
	for m := range g.mail {
		if enc != nil {
			g.encode(enc, m)
		}
		m.frame.Release()
	}
}

// encode makes one access unit and gives it to every subscriber; to those who
// have had none yet only if it is a key frame.
func (g *rung) encode(enc VideoEncoder, m composed) {
	sc := g.room.scene.Load()
	key := false
	if m.pts-g.lastKey >= keyFrameEvery {
		for _, s := range sc.videoSubs {
			key = s.wantKey.Swap(false) || key
		}
	}
	data, isKey, err := enc.Encode(m.frame, m.pts, key)
	if err != nil {
		g.room.count.encodeErrors.Add(1)
	}
	if err != nil || len(data) == 0 {
		if key { // it is owed still
			for _, s := range sc.videoSubs {
				s.wantKey.Store(true)
			}
		}
		return
	}
	g.room.count.videoEncodes.Add(1)
	if isKey {
		g.lastKey = m.pts
		g.room.count.keyFrames.Add(1)
	}
	p := &codec.Packet{
		Kind: codec.Video, Codec: codec.VP8, Data: slices.Clone(data), KeyFrame: isKey,
		PTS: m.pts, Duration: g.cfg.frameTime(1), Width: g.cfg.Width, Height: g.cfg.Height,
	}
	for _, s := range sc.videoSubs {
		if s.started = s.started || isKey; s.started {
			s.writeVideo(p)
		}
	}
}
