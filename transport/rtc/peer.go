package rtc

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/codec"
	"tutti/mixer"
)

// Peer is one client's session: its PeerConnection, what comes in and what
// goes out. Its methods may be called from any goroutine.
//
// Its life has one direction: Open admits it, start lets media flow once the
// client has connected, and whoever ends it does so by Participant.Leave, whose
// OnLeave begins the shutdown, once.
type Peer struct {
	key     key
	gateway *Gateway
	room    room
	role    mixer.Role
	log     *slog.Logger
	fan     *fanout
	ring    *ring

	audio *audioIn // nil where the client sends none
	video *videoIn
	// The outbound streams' places in Terms.Outbound, -1 where the client takes none.
	outAudio, outVideo int

	sent, received meter        // bytes
	seen           atomic.Bool  // a picture was queued
	keyFramesAsked atomic.Int64 // Unix time in nanoseconds of the last request for one
	reported       bool         // the first reports are sent; owned by the feeder

	// Of the sound that is sent. soundPT and takesRED are what was agreed on, set
	// before there is media; redundancy is how many earlier packets each carries.
	soundPT    uint8
	takesRED   bool
	redundancy atomic.Int32
	spurt      run // what was sent last; owned by the feeder

	done chan struct{}  // closed when everything of the peer is gone
	work sync.WaitGroup // its goroutines; added to only while it has not ended

	ice sync.Mutex // held while the ICE session is changed; taken before mu

	mu      sync.Mutex
	seat    seat   // nil before Join has answered
	doomed  string // the reason to leave that came before the seat
	ended   bool   // OnLeave was called
	started bool
	pc      *webrtc.PeerConnection
	media   media
	sub     subscription
	timer   *time.Timer // of JoinTimeout
	repair  repair
	offer   *offer
	answer  string
	etag    string
}

// Answer is the SDP answer with all of the gateway's candidates.
func (p *Peer) Answer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answer
}

// ETag is the strong, quoted entity tag of the present ICE session (RFC 9725,
// section 4.3.1); a restart changes it.
func (p *Peer) ETag() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.etag
}

// Done is closed when the session has ended and nothing of it is left.
func (p *Peer) Done() <-chan struct{} { return p.done }

// newETag answers a strong entity tag that nobody guesses.
func newETag() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf(`"%x"`, b)
}

func (g *Gateway) open(ctx context.Context, r room, req Request) (*Peer, error) {
	o, err := checkOffer(req.Offer, req.Role, g.cfg.MaxSDPBytes)
	if err != nil {
		return nil, err
	}
	p, err := g.newPeer(r, req, o)
	if err != nil {
		return nil, ErrSessionFailed.because("%w", err)
	}
	if err := g.admit(p); err != nil {
		return nil, err
	}
	if err := p.join(req); err != nil {
		g.forget(p)
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		p.leave("failed")
		<-p.done
		return nil, err
	}
	return p, nil
}

// newPeer makes what holds no resource but memory.
func (g *Gateway) newPeer(r room, req Request, o *offer) (*Peer, error) {
	p := &Peer{
		key: key{r.ID(), req.ID}, gateway: g, room: r, role: req.Role, offer: o,
		log:  g.cfg.Logger.With("room", r.ID(), "participant", req.ID),
		done: make(chan struct{}),
	}
	p.ring = newRing(p.ready)
	p.outAudio, p.outVideo = o.streams()
	if o.audio.sends {
		var err error
		if p.audio, err = newAudioIn(g.cfg.Codecs); err != nil {
			return nil, err
		}
	}
	if o.video.sends {
		p.video = newVideoIn(g.cfg, p.askKeyFrame)
	}
	return p, nil
}

// join takes the seat in the room.
func (p *Peer) join(req Request) error {
	cfg := mixer.JoinConfig{ID: req.ID, Name: req.Name, Role: req.Role, Link: p.linkStats, OnLeave: p.end}
	if p.audio != nil { // a nil *audioIn must not become an AudioIn
		cfg.Audio = p.audio
	}
	if p.video != nil {
		cfg.Video = p.video
	}
	p.fan = p.gateway.joinFanout(p.key.room)
	s, err := p.room.Join(cfg)
	if err != nil {
		p.gateway.leaveFanout(p.key.room, p.fan)
		return err
	}
	p.mu.Lock()
	p.seat = s
	doomed := p.doomed
	p.mu.Unlock()
	if doomed != "" {
		s.Leave(doomed)
	}
	return nil
}

// leave ends the participant, and with it the session.
func (p *Peer) leave(reason string) {
	p.mu.Lock()
	s := p.seat
	if s == nil && p.doomed == "" {
		p.doomed = reason
	}
	p.mu.Unlock()
	if s != nil {
		s.Leave(reason)
	}
}

// end is the participant's OnLeave: the room touches nothing of ours any more.
func (p *Peer) end(reason string) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	p.mu.Unlock()
	p.log.Info("session ended", "reason", reason)
	go p.shutdown() // the gateway waits for it by forget
}

// shutdown gives back everything, in this order: what writes into the ring, the
// ring, the media, the connection, the goroutines that its end ends.
func (p *Peer) shutdown() {
	p.mu.Lock()
	sub, way, pc, timer := p.sub, p.media, p.pc, p.timer
	p.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if sub != nil {
		sub.Close()
	}
	p.ring.close()
	if way != nil {
		way.close()
	}
	if p.video != nil {
		close(p.video.frames)
	}
	if pc != nil {
		if err := pc.GracefulClose(); err != nil {
			p.log.Debug("closing the connection", "error", err)
		}
	}
	p.work.Wait()
	p.gateway.leaveFanout(p.key.room, p.fan)
	p.gateway.forget(p)
}

// spawn runs fn in a goroutine that the shutdown waits for, and answers false
// where the peer has ended. A panic in it ends this peer and no other.
func (p *Peer) spawn(name string, fn func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		defer func() {
			if r := recover(); r != nil {
				p.panicked(name, r)
			}
		}()
		fn()
	}()
	return true
}

// panicked ends the peer one of whose goroutines panicked.
func (p *Peer) panicked(name string, reason any) {
	p.gateway.panics.Add(1)
	p.log.Error("a goroutine of the session panicked", "goroutine", name, "panic", reason, "stack", string(debug.Stack()))
	p.leave("failed")
}

// way answers the media, nil before there is any.
func (p *Peer) way() media {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.media
}

// ready says that the ring has something.
func (p *Peer) ready() {
	if m := p.way(); m != nil {
		m.ready()
	}
}

// start lets media flow: the client has connected. pion may say so again after
// an ICE restart.
func (p *Peer) start() {
	p.mu.Lock()
	first := !p.started && !p.ended && p.seat != nil
	p.started = p.started || first
	if first && p.timer != nil {
		p.timer.Stop()
	}
	s, way := p.seat, p.media
	p.mu.Unlock()
	if !first {
		return
	}
	if err := way.start(); err != nil {
		p.log.Warn("media could not start", "error", err)
		p.leave("failed")
		return
	}
	if p.video != nil && !p.spawn("decode", p.video.decodeAll) {
		return
	}
	s.Activate()
	cfg := mixer.SubscribeConfig{Sink: p, Audio: p.outAudio >= 0, Video: p.outVideo >= 0}
	if !cfg.Audio && !cfg.Video {
		return
	}
	if p.audio != nil {
		cfg.Without = p.key.participant
	}
	sub, err := p.room.Subscribe(cfg)
	if err != nil {
		p.leave("failed") // the room closes
		return
	}
	p.mu.Lock()
	late := p.ended
	if !late {
		p.sub = sub
	}
	p.mu.Unlock()
	if late {
		sub.Close()
	}
}

// stateChanged follows the connection; pion calls it in a goroutine of its own.
func (p *Peer) stateChanged(s webrtc.PeerConnectionState) {
	p.log.Debug("connection", "state", s.String())
	switch s {
	case webrtc.PeerConnectionStateConnected:
		p.start()
	case webrtc.PeerConnectionStateFailed:
		p.leave("connection_lost")
	case webrtc.PeerConnectionStateClosed:
		p.leave("disconnected")
	}
}

// requestKeyFrame asks the room for a key frame, at most once in askEvery.
func (p *Peer) requestKeyFrame() {
	now := time.Now().UnixNano()
	last := p.keyFramesAsked.Load()
	if now-last < int64(askEvery) || !p.keyFramesAsked.CompareAndSwap(last, now) {
		return
	}
	p.mu.Lock()
	sub := p.sub
	p.mu.Unlock()
	if sub != nil {
		sub.RequestKeyFrame()
	}
}

// linkStats answers what the API shows of the connection.
func (p *Peer) linkStats() mixer.LinkStats {
	now := time.Now()
	s := mixer.LinkStats{
		SentBPS: 8 * p.sent.perSecond(now), ReceivedBPS: 8 * p.received.perSecond(now),
	}
	p.mu.Lock()
	way, sub := p.media, p.sub
	lost, level := p.repair.lost, p.repair.level
	p.mu.Unlock()
	s.SentLossPercent = 100 * lost
	switch {
	case level > 0 && p.takesRED:
		s.Repair = "red"
	case level > 0:
		s.Repair = "fec"
	}
	if way != nil {
		s.RTT = way.link().RoundTrip
	}
	if sub != nil && p.seen.Load() {
		s.Rendition, s.Codec = sub.Rendition(), codec.VP8
	}
	if p.audio != nil {
		b := p.audio.buf.Stats()
		s.JitterMS, s.BufferedMS = milliseconds(b.Jitter), milliseconds(b.Buffered)
		s.TargetMS, s.DriftPPM = milliseconds(b.Target), b.DriftPPM
		s.PacketsLost, s.PacketsLate, s.PacketsReceived = b.Lost, b.Late, b.Received
	}
	if p.video != nil {
		s.FramesRefused, s.KeyFrameRequests = p.video.refused.Load(), p.video.asked.Load()
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
