package mixer

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"tutti/codec/pcm"
	"tutti/mixer/audio"
)

// voice is the audio loop's own state of one participant; control and API read
// its atomics.
type voice struct {
	in         AudioIn
	configured AudioInConfig
	election   audio.Voice
	leveller   audio.Leveller
	block      pcm.Block // what the voice adds to the sum of this tick, if heard
	gain       float32   // at the end of the last block
	announces  bool      // its sender says how loud it is
	heard      bool      // block contributes to the sum of this tick
	lingers    int       // for how many blocks more it is taken to talk
	talking    bool      // heard just now: has a mix of its own
	own        *mix      // nil until the voice was first heard

	level    atomic.Uint64 // math.Float64bits of the envelope, in dBov
	speaking atomic.Bool
	blocks   [Origins]atomic.Uint64
}

func (v *voice) shown() (dbov float64, speaking bool) {
	bits := v.level.Load()
	if bits == 0 {
		return pcm.SilenceDBOV, false
	}
	return math.Float64frombits(bits), v.speaking.Load()
}

// configure tells the input what the room asks of it, once.
func (v *voice) configure(c AudioInConfig) {
	if v.configured != c {
		v.configured = c
		v.in.Configure(c)
	}
}

// observe lets the election know how loud the voice is.
func (v *voice) observe(now time.Time, dbov float64, muted bool) {
	if muted {
		dbov = pcm.SilenceDBOV
	}
	v.election.Observe(now, dbov)
	v.level.Store(math.Float64bits(v.election.Level()))
	v.speaking.Store(!muted && v.election.Speaking(now))
}

// farewell leaves in the voice's block what follows on its last one when its
// input is gone: that one's end over and over, fading, so that the voice of
// somebody who leaves in the middle of a word ends without a click.
func (v *voice) farewell() {
	d, channels := v.block.Data(), v.block.Channels()
	from := len(d) - v.period()*channels
	last := slices.Clone(d[from:]) // seldom: somebody leaves
	for i := range d {
		d[i] = last[i%len(last)]
	}
	audio.Ramp(&v.block, 1, 0)
}

// period answers after how many frames the block's end was most like it is at
// its very end, over 1 ms: what comes after the one goes on smoothly after the
// other.
func (v *voice) period() int {
	const like, least = 48, 96
	d, channels := v.block.Data(), v.block.Channels()
	end := d[len(d)-like*channels:]
	best, period := float32(math.Inf(1)), least
	for lag := least; lag <= pcm.Samples-like; lag++ {
		off := float32(0)
		for i, s := range d[len(d)-(lag+like)*channels:][:len(end)] {
			off += (s - end[i]) * (s - end[i])
		}
		if off < best {
			best, period = off, lag
		}
	}
	return period
}
