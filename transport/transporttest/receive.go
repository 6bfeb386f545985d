package transporttest

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"tutti/transport/jitter"
)

func (c *Client) onTrack(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	c.spawn(func() { c.readReports(r) })
	if t.Kind() == webrtc.RTPCodecTypeAudio {
		c.spawn(func() { c.read(t, 0, c.cfg.OnAudio) })
		return
	}
	c.videoSSRC.Store(uint32(t.SSRC()))
	eye := eye{client: c, frames: jitter.NewAssembler(jitter.AssemblerConfig{})}
	c.spawn(func() { c.read(t, 1, eye.push) })
}

func (c *Client) read(t *webrtc.TrackRemote, kind int, tell func(time.Time, *rtp.Packet)) {
	buf := make([]byte, 1500)
	var p rtp.Packet
	for {
		n, _, err := t.Read(buf)
		if err != nil {
			return
		}
		if p.Unmarshal(buf[:n]) != nil || len(p.Payload) == 0 {
			continue
		}
		c.counts[kind].Add(1)
		if tell != nil {
			tell(time.Now(), &p)
		}
	}
}

func (c *Client) readReports(r *webrtc.RTPReceiver) {
	for {
		packets, _, err := r.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.SenderReport:
				c.reports.Add(1)
			case *rtcp.Goodbye:
				c.goodbyes.Add(1)
			}
		}
	}
}

// askEvery is the least time between two requests for a key frame.
const askEvery = 500 * time.Millisecond

// eye makes frames of packets as a browser does: it waits for what is sent
// again, and asks for a key frame where it cannot go on. It belongs to one
// goroutine.
type eye struct {
	client *Client
	frames *jitter.Assembler
	asked  time.Time
}

func (e *eye) push(at time.Time, p *rtp.Packet) {
	if e.client.cfg.OnVideo != nil {
		e.client.cfg.OnVideo(at, p)
	}
	e.frames.Push(at, p)
	for f, ok := e.frames.Pop(at); ok; f, ok = e.frames.Pop(at) {
		e.client.frames.Add(1)
		if e.client.cfg.OnFrame != nil {
			e.client.cfg.OnFrame(at, uint32(f.Timestamp), f.Data)
		}
	}
	if e.frames.NeedKeyFrame() && at.Sub(e.asked) >= askEvery {
		e.asked = at
		_ = e.client.RequestKeyFrame() // the next packet asks again
	}
}
