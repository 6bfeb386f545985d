package jitter

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// sound is one packet on its way through a simulated network. Its payload names
// its index and is then padded.
type sound struct {
	index   int
	sent    time.Duration // when its first sample was recorded
	arrives time.Duration
	seq     uint16
	ts      uint32
	samples int
	size    int
}

// speech answers n packets of the given duration, on a perfect network, from a
// sender whose clock is ppm fast.
func speech(n int, length time.Duration, ppm float64) []sound {
	s := make([]sound, n)
	samples := int(length * Rate / time.Second)
	for i := range s {
		sent := time.Duration(float64(i) * float64(length) / (1 + ppm/1e6))
		s[i] = sound{
			index: i, sent: sent, arrives: sent, samples: samples, size: 40,
			seq: uint16(65000 + i), ts: uint32(1<<32-48000) + uint32(i*samples),
		}
	}
	return s
}

// network changes when packets arrive; a packet it answers false for is lost.
func network(s []sound, f func(*sound) bool) []sound {
	var out []sound
	for _, p := range s {
		if f(&p) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b sound) int { return cmp.Compare(a.arrives, b.arrives) })
	return out
}

// heard is one answer of Pop that lasts.
type heard struct {
	at      time.Duration // when it is played
	status  Status
	index   int // of the packet played, or named by Next; -1 for none
	samples int
	// stretched is by how much the packet was shortened, lengthened where negative.
	stretched int
}

// listen runs a buffer on the packets, ticking every 20 ms from phase on until
// the end, and answers all that was heard.
func listen(t testing.TB, b *Buffer, in []sound, phase, end time.Duration) []heard {
	t.Helper()
	epoch := time.Unix(1_700_000_000, 0)
	var out []heard
	rest := 0 // samples popped beyond the tick
	i := 0
	stretched := time.Duration(-1)
	var rate Steering
	var ppm, fraction float64
	buf := make([]byte, MaxPayload)
	for now := phase; now < end; now += 20 * ms {
		for ; i < len(in) && in[i].arrives <= now; i++ {
			p := in[i]
			binary.BigEndian.PutUint64(buf, uint64(p.index)^0x5555)
			b.Push(epoch.Add(p.arrives), p.seq, p.ts, p.samples, buf[:p.size])
			if s := b.Stats(); s.Buffered > b.cfg.Max {
				t.Fatalf("at %v: %v buffered, more than %v", now, s.Buffered, b.cfg.Max)
			}
		}
		for rest < 960 {
			p, st := b.Pop(epoch.Add(now))
			h := heard{at: now + span(int64(rest)), status: st, index: -1, samples: p.Samples}
			if st == Ready || p.Next != nil {
				h.index = int(binary.BigEndian.Uint64(append(p.Payload, p.Next...)) ^ 0x5555)
			}
			if st == Empty || st == Early {
				rest = 960
				out = append(out, h)
				break
			}
			if p.Samples <= 0 {
				t.Fatalf("at %v: %v of %d samples", now, st, p.Samples)
			}
			filled := rest
			rest += p.Samples
			if st == Ready {
				n := stretch(p.Excess(filled), p.Samples, now, &stretched)
				if rest -= n; n != 0 {
					h.stretched = n
				}
				ppm = rate.Follow(&p, filled)
			}
			fraction += float64(rest-filled) * ppm / 1e6
			rest -= int(fraction)
			fraction -= math.Trunc(fraction)
			out = append(out, h)
		}
		rest -= 960
	}
	return out
}

// stretch answers by how much a caller that can cut out single periods of 8 ms,
// the more seldom the less there is to win, shortens a packet.
func stretch(excess, samples int, now time.Duration, last *time.Duration) int {
	const period = 8 * Rate / 1000
	every := 40 * ms
	if excess > 0 {
		every = min(max(1200*ms*300/time.Duration(excess), every), 500*ms)
	}
	if *last >= 0 && now-*last < every {
		return 0
	}
	n := max(min(excess, period, samples-MinSamples), -period)
	if n >= 0 && n < MinSamples {
		return 0
	}
	*last = now
	return n
}

// score sums up what was heard.
type score struct {
	count      [4]int
	afterStart [4]int // once the first packet was played
	delays     []time.Duration
	order      []int
}

// judge scores what was heard of the packets as they were sent.
func judge(t testing.TB, hs []heard, sent []sound) score {
	t.Helper()
	var s score
	begun := false
	for _, h := range hs {
		s.count[h.status]++
		if h.status == Ready {
			begun = true
			s.order = append(s.order, h.index)
			s.delays = append(s.delays, h.at-sent[h.index].sent)
		}
		if begun {
			s.afterStart[h.status]++
		}
	}
	for i := 1; i < len(s.order); i++ {
		if s.order[i] <= s.order[i-1] {
			t.Fatalf("packet %d played after %d", s.order[i], s.order[i-1])
		}
	}
	return s
}

// at answers the share q of sorted spans.
func quantileOf(d []time.Duration, q float64) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// random answers a source of its own for a test.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }

// delayed lets a packet arrive later.
func delayed(f func(*sound) time.Duration) func(*sound) bool {
	return func(p *sound) bool { p.arrives += f(p); return true }
}
