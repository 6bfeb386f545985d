package forward

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tutti/codec"
	"tutti/mixer"
)

const (
	// reportEvery is the interval of sender reports: the reduced minimum of RFC 3550,
	// section 6.2, for the bandwidth of a picture.
	reportEvery = time.Second
	// keyFrameEvery is how often a key frame is asked for, whoever wants it.
	keyFrameEvery = 500 * time.Millisecond
	// keyFrameUnasked is how often one is asked for on behalf of a receiver that never
	// did: many cannot, and would wait for a picture for ever.
	keyFrameUnasked = 2 * time.Second
	// refusedFor is how long a refusal makes a forwarder unreachable.
	refusedFor = 2 * time.Second
	// writeWithin bounds one write to a network that takes nothing.
	writeWithin = time.Second
)

// forwarder is one that runs.
type forwarder struct {
	m     *Manager
	room  room
	is    Running // never written
	after time.Duration
	queue *queue

	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	silent   atomic.Bool // it goes on elsewhere: no BYE

	// Owned by the goroutine of run.
	sub     subscription
	outputs []*output
	asked   time.Time // for a key frame

	wantsKey    atomic.Bool  // the receiver does
	lastRefused atomic.Int64 // in ns of Unix time
	packets     atomic.Uint64
	bytes       atomic.Uint64
	refusals    atomic.Uint64
	stopped     atomic.Uint64
	requests    atomic.Uint64
}

func newForwarder(m *Manager, rm room, is Running) *forwarder {
	return &forwarder{m: m, room: rm, is: is, queue: newQueue(), stop: make(chan struct{}), done: make(chan struct{})}
}

// open opens the sockets.
func (f *forwarder) open() error {
	c, err := f.is.SRTP.parse()
	if err != nil {
		return err
	}
	cname := newCNAME()
	for _, k := range []struct {
		kind codec.Kind
		port int
	}{{codec.Audio, f.is.AudioPort}, {codec.Video, f.is.VideoPort}} {
		if k.port == 0 {
			continue
		}
		o, err := newOutput(k.kind, f.is.Address, k.port, f.is.RTCPMux, cname, c)
		for err == nil && len(f.outputs) > 0 && o.ssrc == f.outputs[0].ssrc { // one key for both: RFC 3711, section 9.1
			o.close()
			o, err = newOutput(k.kind, f.is.Address, k.port, f.is.RTCPMux, cname, c)
		}
		if err != nil {
			f.closeSockets()
			return err
		}
		f.outputs = append(f.outputs, o)
	}
	return nil
}

// newCNAME answers a name for one forwarder alone (RFC 7022, section 4.2).
func newCNAME() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (f *forwarder) closeSockets() {
	for _, o := range f.outputs {
		o.close()
	}
}

// subscribe takes a place in the room.
func (f *forwarder) subscribe() (err error) {
	f.sub, err = f.room.subscribe(mixer.SubscribeConfig{
		Sink: f.queue, Audio: f.is.AudioPort != 0, Video: f.is.VideoPort != 0, Rendition: f.is.Rendition, Continuous: true,
	})
	return err
}

// run sends until the room closes or the forwarder is stopped.
func (f *forwarder) run() {
	defer close(f.done)
	defer f.m.forget(f)
	defer f.end(f.listen())
	if !f.enter() {
		return
	}
	f.asked = time.Now() // the first picture is a key frame
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		select {
		case <-f.queue.ready:
			f.drain()
		case now := <-report.C:
			f.report(now, false)
		case <-f.stop:
			return
		case <-f.room.Done():
			return
		}
		f.askKeyFrame(time.Now())
	}
}

// enter subscribes one that goes on from elsewhere, when it is its turn.
func (f *forwarder) enter() bool {
	if f.sub != nil {
		return true
	}
	if f.after > 0 {
		turn := time.NewTimer(f.after)
		defer turn.Stop()
		select {
		case <-turn.C:
		case <-f.stop:
			return false
		case <-f.room.Done():
			return false
		}
	}
	if err := f.subscribe(); err != nil {
		f.m.cfg.Logger.Error("forwarder does not go on", "room", f.room.ID(), "forwarder", f.is.ID, "error", err)
		return false
	}
	return true
}

// listen hears what the receiver of pictures says; the answer waits until nobody
// does any more.
func (f *forwarder) listen() (wait func()) {
	var hearers sync.WaitGroup
	c, _ := f.is.SRTP.parse() // it was, once
	for _, o := range f.outputs {
		if o.kind != codec.Video {
			continue
		}
		conns := []*net.UDPConn{o.rtp}
		if o.rtcp != o.rtp {
			conns = append(conns, o.rtcp)
		}
		for _, conn := range conns {
			open, err := c.context()
			if err != nil {
				continue // the same was made for sending
			}
			hearers.Go(func() { f.hear(conn, open, o.ssrc, f.keyFrameWanted) })
		}
	}
	return hearers.Wait
}

// end leaves the room, says goodbye and closes the sockets.
func (f *forwarder) end(hearers func()) {
	if f.sub != nil {
		f.sub.Close()
	}
	if !f.silent.Load() {
		f.report(time.Now(), true)
	}
	f.closeSockets()
	f.stopNow()
	hearers()
}

func (f *forwarder) stopNow() { f.stopOnce.Do(func() { close(f.stop) }) }

// stopping reports whether its end was asked for.
func (f *forwarder) stopping() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// leave ends it without a word.
func (f *forwarder) leave() {
	f.silent.Store(true)
	f.stopNow()
}

// drain sends what waits.
func (f *forwarder) drain() {
	for p := f.queue.pop(); p != nil; p = f.queue.pop() {
		if f.silent.Load() { // whoever has it now sends it
			return
		}
		for _, o := range f.outputs {
			if o.kind != p.Kind {
				continue
			}
			first := !o.begun()
			if err := o.write(p, func(b []byte) { f.send(o.rtp, b, true) }); err != nil {
				f.m.cfg.Logger.Error("forwarder cannot send", "room", f.room.ID(), "forwarder", f.is.ID, "error", err)
				f.stopNow() // the key is used up (RFC 3711, section 9.2)
				return
			}
			if first {
				f.reportOf(o, time.Now(), false)
			}
		}
	}
}

func (f *forwarder) report(now time.Time, bye bool) {
	for _, o := range f.outputs {
		if o.begun() {
			f.reportOf(o, now, bye)
		}
	}
}

func (f *forwarder) reportOf(o *output, now time.Time, bye bool) {
	b, err := o.report(now, f.room.CreatedAt(), bye)
	if err != nil {
		f.m.cfg.Logger.Error("forwarder cannot report", "room", f.room.ID(), "forwarder", f.is.ID, "error", err)
		return
	}
	f.send(o.rtcp, b, false)
}

// send gives a datagram to the network, unless the gate is shut. A refusal that
// waits to be told is of an earlier one and takes its place, so it is tried
// twice.
func (f *forwarder) send(conn *net.UDPConn, b []byte, media bool) {
	if !f.m.cfg.Gate() {
		f.stopped.Add(1)
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeWithin)) // fails only where closed, and so does Write
	_, err := conn.Write(b)
	if errors.Is(err, syscall.ECONNREFUSED) {
		f.refused()
		_, err = conn.Write(b)
	}
	switch {
	case err != nil:
		f.refused()
	case media:
		f.packets.Add(1)
		f.bytes.Add(uint64(len(b)))
	}
}

func (f *forwarder) refused() {
	f.refusals.Add(1)
	f.lastRefused.Store(time.Now().UnixNano())
}

func (f *forwarder) keyFrameWanted() {
	f.requests.Add(1)
	f.wantsKey.Store(true)
	f.queue.wake()
}

// askKeyFrame asks for a key frame where the receiver or the queue wants one, or
// the receiver cannot say, and not before the last one that was asked for is some
// time ago.
func (f *forwarder) askKeyFrame(now time.Time) {
	since := now.Sub(f.asked)
	if since < keyFrameEvery {
		return
	}
	wants := f.wantsKey.Swap(false) || f.is.VideoPort != 0 && f.requests.Load() == 0 && since >= keyFrameUnasked
	if f.queue.wantsKeyFrame() || wants {
		f.asked = now
		f.sub.RequestKeyFrame()
	}
}

// info answers the forwarder as it is now.
func (f *forwarder) info() Info {
	i := Info{Running: f.is, Room: f.room.ID(), State: Starting, Counts: f.counts()}
	switch {
	case time.Since(time.Unix(0, f.lastRefused.Load())) < refusedFor:
		i.State = Unreachable
	case i.Packets > 0:
		i.State = Active
	}
	return i
}

func (f *forwarder) counts() Counts {
	return Counts{
		Packets: f.packets.Load(), Bytes: f.bytes.Load(), Dropped: f.queue.droppedSoFar(), Refused: f.refusals.Load(),
		Stopped: f.stopped.Load(), KeyFrameRequests: f.requests.Load(),
	}
}
