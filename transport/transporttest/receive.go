package transporttest

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

func (c *Client) onTrack(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	c.work.Go(func() { c.readReports(r) })
	if t.Kind() == webrtc.RTPCodecTypeAudio {
		c.work.Go(func() { c.read(t, 0, c.cfg.OnAudio) })
		return
	}
	c.videoSSRC.Store(uint32(t.SSRC()))
	frames := assembler{client: c}
	c.work.Go(func() {
		c.read(t, 1, func(at time.Time, p *rtp.Packet) {
			if c.cfg.OnVideo != nil {
				c.cfg.OnVideo(at, p)
			}
			frames.push(at, p)
		})
	})
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

// assembler joins the packets of frames that come in order, and leaves out what
// was overtaken or is not whole. It belongs to one goroutine.
type assembler struct {
	client *Client
	next   uint16 // the sequence number that continues the frame
	whole  bool   // the frame at hand lacks nothing so far
	frame  []byte
}

func (a *assembler) push(at time.Time, p *rtp.Packet) {
	var vp8 codecs.VP8Packet
	part, err := vp8.Unmarshal(p.Payload)
	if err != nil {
		a.whole = false
		return
	}
	switch {
	case vp8.S == 1 && vp8.PID == 0:
		a.frame, a.whole = append(a.frame[:0], part...), true
	case !a.whole || p.SequenceNumber != a.next:
		a.whole = false
		return
	default:
		a.frame = append(a.frame, part...)
	}
	a.next = p.SequenceNumber + 1
	if !p.Marker {
		return
	}
	a.whole = false
	a.client.frames.Add(1)
	if a.client.cfg.OnFrame != nil {
		a.client.cfg.OnFrame(at, p.Timestamp, a.frame)
	}
}
