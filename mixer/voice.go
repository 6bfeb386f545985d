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
// input is gone: that one backwards, fading, so that the voice of somebody who
// leaves in the middle of a word ends without a click.
func (v *voice) farewell() {
	d, channels := v.block.Data(), v.block.Channels()
	slices.Reverse(d)
	if channels == 2 { // the sides stay where they are
		for i := 0; i < len(d); i += 2 {
			d[i], d[i+1] = d[i+1], d[i]
		}
	}
	audio.Ramp(&v.block, 1, 0)
}
