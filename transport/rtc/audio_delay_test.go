package rtc

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tutti/codec/pcm"
	"tutti/mixer"
	"tutti/transport/plane"
)

const ms = time.Millisecond

// toneDecoder decodes a packet, which holds its number and its milliseconds, to
// its part of an endless tone, and goes on with it over a loss.
type toneDecoder struct {
	hz       float64
	channels int
	at       int // of the tone, in samples
}

func (d *toneDecoder) Decode(payload []byte, out []float32) (int, error) {
	n := int(payload[0]) * 48
	d.at = int(binary.BigEndian.Uint32(payload[1:])) * n
	return n, d.Conceal(out[:n*d.channels])
}

func (d *toneDecoder) Recover(_ []byte, out []float32) error { return d.Conceal(out) }

func (d *toneDecoder) Conceal(out []float32) error {
	for i := range out {
		// The second channel is half as loud.
		out[i] = float32(.5 * math.Sin(2*math.Pi*d.hz*float64(d.at+i/d.channels)/pcm.Rate) / float64(1+i%d.channels))
	}
	d.at += len(out) / d.channels
	return nil
}

// hum is somebody who sounds a tone without end, over a network.
type hum struct {
	hz       float64
	length   time.Duration // of a packet
	channels int
	ppm      float64
	// way answers how long a packet is under way that was sent then; lost ones take
	// no time at all.
	way func(sent time.Duration) (d time.Duration, ok bool)
	// phase is when the first block is due.
	phase time.Duration
}

// heardBlock is what was played at a time.
type heardBlock struct {
	at, delay time.Duration
	origin    mixer.Origin
	sound     []float32
}

// listen plays the hum for so long.
func (c hum) listen(t testing.TB, d time.Duration) (*audioIn, []heardBlock) {
	t.Helper()
	dec := &toneDecoder{hz: c.hz, channels: c.channels}
	codecs := fakeCodecs()
	codecs.NewAudioDecoder = func(channels int) (AudioDecoder, error) { dec.channels = channels; return dec, nil }
	a, err := newAudioIn(codecs)
	if err != nil {
		t.Fatal(err)
	}
	a.Configure(mixer.AudioInConfig{Channels: c.channels, MaxDelay: 400 * ms})
	type packet struct {
		arrives time.Duration
		packet  plane.Packet
	}
	var on []packet
	epoch := time.Unix(1000, 0)
	sent := func(n float64) time.Duration { return time.Duration(n * float64(c.length) / (1 + c.ppm/1e6)) }
	for n := 0; sent(float64(n)) < d; n++ {
		way, ok := c.way(sent(float64(n)))
		if !ok {
			continue
		}
		at := sent(float64(n+1)) + way
		payload := binary.BigEndian.AppendUint32([]byte{byte(c.length / ms)}, uint32(n))
		header := rtp.Header{SequenceNumber: uint16(n), Timestamp: uint32(n * int(c.length/ms) * 48)}
		on = append(on, packet{at, plane.Packet{Packet: rtp.Packet{Header: header, Payload: payload}, At: epoch.Add(at)}})
	}
	slices.SortStableFunc(on, func(a, b packet) int { return cmp.Compare(a.arrives, b.arrives) })
	var out []heardBlock
	var block pcm.Block
	for now := c.phase; now < d; now += pcm.Duration {
		for ; len(on) > 0 && on[0].arrives <= now; on = on[1:] {
			a.push(&on[0].packet)
		}
		origin := a.ReadAudio(epoch.Add(now), &block)
		if origin == mixer.Silence {
			block.SetChannels(c.channels)
			block.Clear()
		}
		played := dec.at - (a.have - a.pos) // of the tone, until the block's end
		out = append(out, heardBlock{now, now + pcm.Duration - sent(float64(played)/float64(c.length/ms*48)), origin, slices.Clone(block.Data())})
	}
	return a, out
}

// residual answers how far the sound departs from a tone, as mixertest.Clicks
// does, on each channel.
func residual(blocks []heardBlock, channels int, hz float64) (worst float64, when time.Duration) {
	k := 2 * math.Cos(2*math.Pi*hz/pcm.Rate)
	var before [2][2]float64
	for n, b := range blocks {
		for i, s := range b.sound {
			x := &before[i%channels]
			if r := math.Abs(float64(s) - k*x[1] + x[0]); n > 0 && r > worst {
				worst, when = r, b.at
			}
			x[0], x[1] = x[1], float64(s)
		}
	}
	return worst, when
}

// A storm is left behind within ten seconds, and nobody hears how: a tone goes
// on as a tone, whatever the packets' length.
func TestStormEndsUnheard(t *testing.T) {
	for _, c := range []hum{
		{hz: 1000, length: 20 * ms, channels: 1},
		{hz: 1000, length: 20 * ms, channels: 2},
		{hz: 200, length: 10 * ms, channels: 1},
		{hz: 250, length: 60 * ms, channels: 1},
		{hz: 500, length: 120 * ms, channels: 2},
	} {
		r := rand.New(rand.NewPCG(4, 4))
		last := time.Duration(0)
		c.phase = 7 * ms
		c.way = func(sent time.Duration) (time.Duration, bool) {
			way := time.Duration(0)
			if sent > 5*time.Second && sent < 15*time.Second {
				way = time.Duration(r.Int64N(int64(350 * ms)))
			}
			last = max(last, sent+way) // in order
			return last - sent, true
		}
		a, heard := c.listen(t, 30*time.Second)
		calm := heard[200].delay // after 4 s
		var origins [mixer.Origins]int
		begin := 0
		for i, h := range heard {
			if h.at < time.Second {
				begin = i
			}
			if h.at > 15*time.Second {
				origins[h.origin]++
			}
			if h.at > 25*time.Second && (h.delay > calm+20*ms || h.origin != mixer.Voice) {
				t.Fatalf("%v Hz in %v: %v of delay at %v, %v before the storm; origin %v", c.hz, c.length, h.delay, h.at, calm, h.origin)
			}
		}
		if a.shortened.Load() < pcm.Rate/5 || origins[mixer.Stretched] == 0 {
			t.Errorf("%v Hz in %v: %d samples were taken out, blocks by origin %v", c.hz, c.length, a.shortened.Load(), origins)
		}
		if worst, when := residual(heard[begin:], c.channels, c.hz); worst > .004 {
			t.Errorf("%v Hz in %v: a residual of %.4f at %v", c.hz, c.length, worst, when)
		}
		t.Logf("%v Hz in %v: delay %v, at worst %v, blocks after it %v, %d samples out, %d in", c.hz, c.length, calm,
			slices.MaxFunc(heard, func(a, b heardBlock) int { return cmp.Compare(a.delay, b.delay) }).delay, origins, a.shortened.Load(), a.lengthened.Load())
	}
}

// A sender whose clock is off is followed without a click, and the delay stays.
func TestForeignClockIsFollowed(t *testing.T) {
	for _, ppm := range []float64{-500, 500} {
		for _, length := range []time.Duration{10 * ms, 20 * ms, 60 * ms} {
			c := hum{hz: 1000, length: length, channels: 1, ppm: ppm, phase: 13 * ms}
			r := rand.New(rand.NewPCG(4, 4))
			c.way = func(time.Duration) (time.Duration, bool) { return time.Duration(r.Int64N(int64(2 * ms))), true }
			a, heard := c.listen(t, 2*time.Minute)
			lo, hi := time.Hour, time.Duration(0)
			for _, h := range heard {
				if h.at > time.Minute {
					lo, hi = min(lo, h.delay), max(hi, h.delay)
					if h.origin != mixer.Voice {
						t.Fatalf("%v ppm in %v: origin %v at %v", ppm, length, h.origin, h.at)
					}
				}
			}
			if hi-lo > 10*ms {
				t.Errorf("%v ppm in %v: delay of %v to %v", ppm, length, lo, hi)
			}
			// The concealment of the first seconds does not know the pitch's drift.
			if worst, when := residual(heard[3000:], 1, c.hz); worst > .001 {
				t.Errorf("%v ppm in %v: a residual of %.4f at %v", ppm, length, worst, when)
			}
			t.Logf("%v ppm in %v: delay of %v to %v, drift %.1f ppm, %d samples out, %d in", ppm, length, lo, hi,
				a.buf.Stats().DriftPPM, a.shortened.Load(), a.lengthened.Load())
		}
	}
}
