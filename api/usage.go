package api

import (
	"sync"
	"syscall"
	"time"

	"tutti/api/cluster"
	"tutti/mixer"
)

// What things cost beside each other, in microseconds on a processor of 2026.
// The process' CPU is measured; these only divide it among the rooms, so their
// ratios matter alone. A picture that is encoded costs by its size, one of a
// camera is decoded straight to its tile and counted as of one size.
const (
	costOfBlock   = 30.0       // 20 ms of sound, decoded or concealed
	costOfMix     = 180.0      // 20 ms of sound, encoded
	costOfPicture = 1200.0     // of a camera, decoded and scaled
	costOfPixel   = 5.0 / 1000 // of the canvas, encoded (VP8 in real time)
	costOfDrawing = 0.4 / 1000 // of the canvas, drawn
)

const (
	// usageOver is the time over which CPU is averaged, usageEvery the least time
	// between two samples.
	usageOver  = 5 * time.Second
	usageEvery = 500 * time.Millisecond
)

// work answers what a room has done since it began, in the unit of the costs.
func work(s mixer.Stats, c mixer.Canvas) float64 {
	blocks := s.Blocks[mixer.Voice] + s.Blocks[mixer.Recovered] + s.Blocks[mixer.Concealed] + s.Blocks[mixer.Stretched]
	pixels := float64(c.Width * c.Height)
	return costOfBlock*float64(blocks) + costOfMix*float64(s.AudioEncodes) + costOfPicture*float64(s.Pictures) +
		pixels*(costOfPixel*float64(s.VideoEncodes)+costOfDrawing*float64(s.VideoFrames))
}

// usage measures what the process and its rooms cost. It may be used from any
// goroutine.
type usage struct {
	mu      sync.Mutex
	samples []sample // of the last seconds, the oldest first, at least one
}

// sample is what had been used at a time.
type sample struct {
	at   time.Time
	cpu  time.Duration
	work map[string]float64 // by room
}

func newUsage(now time.Time) *usage { return &usage{samples: []sample{{at: now, cpu: processCPU()}}} }

// measure answers the CPU of the last seconds and the rooms' shares of it, in
// milliseconds a second, from what had been used until now.
func (u *usage) measure(now sample) (cpu float64, costs map[string]float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.samples) > 1 && now.at.Sub(u.samples[1].at) >= usageOver {
		u.samples = u.samples[1:]
	}
	if now.at.Sub(u.samples[len(u.samples)-1].at) >= usageEvery {
		u.samples = append(u.samples, now)
	}
	from := u.samples[0]
	took := now.at.Sub(from.at)
	if took <= 0 {
		return 0, nil
	}
	cpu = float64((now.cpu - from.cpu).Milliseconds()) / took.Seconds()
	sum, done := 0.0, map[string]float64{}
	for room, w := range now.work {
		d := w - from.work[room]
		if d < 0 { // it began anew under its name
			d = w
		}
		done[room] = d
		sum += d
	}
	for room, d := range done {
		if done[room] = 0; sum > 0 {
			done[room] = cpu * d / sum
		}
	}
	return cpu, done
}

// processCPU answers the CPU that the process has used, in C too.
func processCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Usage answers what the node has to do, over the last five seconds.
func (h *host) Usage() cluster.Load {
	now := sample{at: h.s.cfg.Now(), cpu: processCPU(), work: map[string]float64{}}
	l := cluster.Load{Name: h.s.cfg.Node, At: now.at}
	for _, r := range h.s.cfg.Rooms.List() {
		stats := r.Stats()
		l.Participants += stats.Participants
		if _, moved := h.movedTo(r.ID()); moved {
			continue // its cost is the node's until it is gone, and no room's
		}
		l.Rooms++
		settings, _ := r.Settings()
		now.work[r.ID()] = work(stats, settings.Canvas)
	}
	l.CPU, l.Costs = h.usage.measure(now)
	return l
}
