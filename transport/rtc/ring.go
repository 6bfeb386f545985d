package rtc

import (
	"sync"

	"tutti/codec"
)

// How much waits for a peer's turn to send: 640 ms of sound and half a second
// of pictures at 30 a second. Who is further behind has lost the moment.
const (
	ringAudio = 32
	ringVideo = 16
)

// item is one access unit to be sent.
type item struct {
	packet   *codec.Packet
	payloads [][]byte // of a picture; sound is its packet's data
}

// ring is the bounded queue of one peer. Pushing never blocks: sound that is too
// much pushes out the oldest, a picture that is too much is dropped with all up
// to the next key frame. One goroutine pops; sound goes first.
type ring struct {
	ready func() // something was pushed; called without the lock, must not block

	mu           sync.Mutex
	audio        [ringAudio]item
	video        [ringVideo]item
	audioAt      int // index of the oldest
	audioN       int
	videoAt      int
	videoN       int
	waitKey      bool // no picture passes but a key frame
	askKey       bool // a key frame is to be asked for
	closed       bool
	droppedAudio uint64
	droppedVideo uint64
}

// newRing answers a ring that begins with a key frame.
func newRing(ready func()) *ring { return &ring{ready: ready, waitKey: true} }

// pushAudio queues a packet of sound.
func (r *ring) pushAudio(p *codec.Packet) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	if r.audioN == ringAudio {
		r.audioAt, r.audioN = (r.audioAt+1)%ringAudio, r.audioN-1
		r.droppedAudio++
	}
	r.audio[(r.audioAt+r.audioN)%ringAudio] = item{packet: p}
	r.audioN++
	r.mu.Unlock()
	r.ready()
}

// pushVideo queues a picture. cut is called only for one that is taken.
func (r *ring) pushVideo(p *codec.Packet, cut func(*codec.Packet) [][]byte) {
	if !r.takes(p) {
		r.ready() // a key frame may have to be asked for
		return
	}
	payloads := cut(p)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.video[(r.videoAt+r.videoN)%ringVideo] = item{p, payloads}
	r.videoN++
	r.mu.Unlock()
	r.ready()
}

// takes reports whether the picture fits, and keeps account of the gap if not.
// There is one pusher, so what fits now fits still when it is pushed.
func (r *ring) takes(p *codec.Packet) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return false
	case r.waitKey && !p.KeyFrame:
		r.droppedVideo++
		return false
	case r.videoN == ringVideo:
		r.droppedVideo++
		r.waitKey, r.askKey = true, true
		return false
	}
	r.waitKey = false
	return true
}

// pop answers the next access unit.
func (r *ring) pop() (it item, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.audioN > 0 {
		it = r.audio[r.audioAt]
		r.audio[r.audioAt] = item{}
		r.audioAt, r.audioN = (r.audioAt+1)%ringAudio, r.audioN-1
		return it, true
	}
	if r.videoN > 0 {
		it = r.video[r.videoAt]
		r.video[r.videoAt] = item{}
		r.videoAt, r.videoN = (r.videoAt+1)%ringVideo, r.videoN-1
		return it, true
	}
	return item{}, false
}

// wantsKeyFrame reports, once for each gap, that a key frame is to be asked for:
// not before there is room for one.
func (r *ring) wantsKeyFrame() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := r.askKey && r.videoN < ringVideo
	if want {
		r.askKey = false
	}
	return want
}

// close empties the ring; nothing is taken after.
func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.audio, r.video = [ringAudio]item{}, [ringVideo]item{}
	r.audioN, r.videoN = 0, 0
	r.mu.Unlock()
}
