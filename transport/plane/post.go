package plane

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

const (
	// askKeyEvery is the least time between two requests for a key frame to one
	// camera, however many are asked for.
	askKeyEvery = 100 * time.Millisecond
	// maxLetters bounds what waits for the sender of one session.
	maxLetters = 64
)

// post carries what the reading side has for the sending side: the two never
// hold each other's lock.
type post struct {
	mu      sync.Mutex
	cameras []*camera
	waiting letters
}

// letters are worked off in one go.
type letters struct {
	nacks     []*rtcp.TransportLayerNack // of the client: packets to be sent again
	feedback  []*rtcp.TransportLayerCC   // of the client
	packets   []rtcp.Packet              // to be sent
	blocks    []rtcp.ReceptionReport     // of a report that is due
	reportDue bool
	keyFrame  bool // one is to be asked for
}

// camera is an inbound picture that can be asked for a key frame.
type camera struct {
	ssrc     uint32
	bound    bool
	pli, fir bool
	asked    time.Time
	firSeq   uint8
}

func (l *letters) empty() bool {
	return len(l.nacks) == 0 && len(l.feedback) == 0 && len(l.packets) == 0 && !l.reportDue && !l.keyFrame
}

// reset keeps the memory.
func (l *letters) reset() {
	clear(l.nacks)
	clear(l.feedback)
	clear(l.packets)
	l.nacks, l.feedback, l.packets, l.blocks = l.nacks[:0], l.feedback[:0], l.packets[:0], l.blocks[:0]
	l.reportDue, l.keyFrame = false, false
}

func (p *post) setCameras(c []*camera) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cameras = c
}

// bind tells the SSRC of a camera.
func (p *post) bind(c *camera, ssrc uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.ssrc, c.bound, c.asked = ssrc, true, time.Time{}
}

func (p *post) wantKeyFrame() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.keyFrame = true
}

func (p *post) nack(n *rtcp.TransportLayerNack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting.nacks) < maxLetters {
		p.waiting.nacks = append(p.waiting.nacks, n)
	}
}

func (p *post) acknowledge(f *rtcp.TransportLayerCC) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting.feedback) < maxLetters {
		p.waiting.feedback = append(p.waiting.feedback, f)
	}
}

func (p *post) send(packets ...rtcp.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting.packets) < maxLetters {
		p.waiting.packets = append(p.waiting.packets, packets...)
	}
}

func (p *post) report(blocks []rtcp.ReceptionReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.blocks = append(p.waiting.blocks[:0], blocks...)
	p.waiting.reportDue = true
}

// collect swaps the letters that wait with those that were worked off, and
// appends the requests for key frames.
func (p *post) collect(now time.Time, into *letters, sender uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.empty() {
		return
	}
	*into, p.waiting = p.waiting, *into
	if !into.keyFrame {
		return
	}
	for _, c := range p.cameras {
		if r := c.request(now, sender); r != nil {
			into.packets = append(into.packets, r)
		}
	}
}

// request answers the request for a key frame that the client takes (RFC 4585,
// section 6.3.1; RFC 5104, section 4.3.1), or nil where it takes none or was
// asked just now.
func (c *camera) request(now time.Time, sender uint32) rtcp.Packet {
	if !c.bound || !c.asked.IsZero() && now.Sub(c.asked) < askKeyEvery {
		return nil
	}
	c.asked = now
	switch {
	case c.pli:
		return &rtcp.PictureLossIndication{SenderSSRC: sender, MediaSSRC: c.ssrc}
	case c.fir:
		c.firSeq++
		return &rtcp.FullIntraRequest{
			SenderSSRC: sender, MediaSSRC: c.ssrc, FIR: []rtcp.FIREntry{{SSRC: c.ssrc, SequenceNumber: c.firSeq}},
		}
	}
	return nil
}
