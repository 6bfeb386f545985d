package forward

import (
	"sync"

	"tutti/codec"
)

// How much waits for the network: 640 ms of sound and half a second of pictures
// at 30 a second.
const (
	queueAudio = 32
	queueVideo = 16
)

// queue is the bounded queue of one forwarder. Pushing never blocks and
// allocates nothing: sound that is too much pushes out the oldest, a picture
// that is too much is dropped with all up to the next key frame. One goroutine
// pops; sound goes first.
type queue struct {
	ready chan struct{} // has room for one: something was pushed

	mu      sync.Mutex
	audio   [queueAudio]*codec.Packet
	video   [queueVideo]*codec.Packet
	audioAt int // index of the oldest
	audioN  int
	videoAt int
	videoN  int
	waitKey bool // no picture passes but a key frame
	askKey  bool // a key frame is to be asked for
	dropped uint64
}

// newQueue answers a queue that begins with a key frame.
func newQueue() *queue { return &queue{ready: make(chan struct{}, 1), waitKey: true} }

// WriteAudio takes a packet of sound from the room.
func (q *queue) WriteAudio(p *codec.Packet) {
	q.mu.Lock()
	if q.audioN == queueAudio {
		q.audioAt, q.audioN = (q.audioAt+1)%queueAudio, q.audioN-1
		q.dropped++
	}
	q.audio[(q.audioAt+q.audioN)%queueAudio] = p
	q.audioN++
	q.mu.Unlock()
	q.wake()
}

// WriteVideo takes a picture from the room.
func (q *queue) WriteVideo(p *codec.Packet) {
	q.mu.Lock()
	switch {
	case q.waitKey && !p.KeyFrame:
		q.dropped++
		q.askKey = true
	case q.videoN == queueVideo:
		q.dropped++
		q.waitKey, q.askKey = true, true
	default:
		q.waitKey = false
		q.video[(q.videoAt+q.videoN)%queueVideo] = p
		q.videoN++
	}
	q.mu.Unlock()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop answers the next packet, or nil.
func (q *queue) pop() (p *codec.Packet) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.audioN > 0:
		p, q.audio[q.audioAt] = q.audio[q.audioAt], nil
		q.audioAt, q.audioN = (q.audioAt+1)%queueAudio, q.audioN-1
	case q.videoN > 0:
		p, q.video[q.videoAt] = q.video[q.videoAt], nil
		q.videoAt, q.videoN = (q.videoAt+1)%queueVideo, q.videoN-1
	}
	return p
}

// wantsKeyFrame reports that a key frame is waited for, and that there is room
// for one.
func (q *queue) wantsKeyFrame() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	want := q.askKey && q.waitKey && q.videoN < queueVideo
	if want || !q.waitKey {
		q.askKey = false
	}
	return want
}

func (q *queue) droppedSoFar() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
