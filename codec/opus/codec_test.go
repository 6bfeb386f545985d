package opus

import (
	"math"
	"sync"
	"testing"

	"tutti/codec/pcm"
	"tutti/mixer"
)

var _ mixer.AudioEncoder = (*Encoder)(nil)

// tone fills b with block n of a steady sine wave.
func tone(b *pcm.Block, n int, hz, amplitude float64) {
	d, ch := b.Data(), b.Channels()
	for i := range pcm.Samples {
		v := amplitude * math.Sin(2*math.Pi*hz*float64(n*pcm.Samples+i)/pcm.Rate)
		for c := range ch {
			d[i*ch+c] = float32(v)
		}
	}
}

func newEncoder(t testing.TB, cfg EncoderConfig) *Encoder {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func newDecoder(t testing.TB, channels int) *Decoder {
	t.Helper()
	d, err := NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// voice fills b with block n of something like a person; seed, 0 or 1, is who.
func voice(b *pcm.Block, n, seed int) {
	said := voices()[seed]
	from := n * pcm.Samples % len(said)
	d, ch := b.Data(), b.Channels()
	for i, v := range said[from : from+pcm.Samples] {
		for c := range ch {
			d[i*ch+c] = v
		}
	}
}

// voices are four seconds of two people: a buzz that glides in pitch through
// two formants, in syllables.
var voices = sync.OnceValue(func() (out [2][]float32) {
	for seed := range out {
		pitch := 110 + 40*float64(seed)
		var formants [24]float64
		for k := range formants {
			hz := pitch * float64(k+1)
			formants[k] = math.Exp(-math.Pow((hz-600)/300, 2)) + 0.5*math.Exp(-math.Pow((hz-1900)/500, 2))
		}
		for i := range 4 * pcm.Rate {
			t := float64(i) / pcm.Rate
			phase := 2 * math.Pi * (pitch*t + 3*math.Sin(2*math.Pi*0.75*t))
			syllable := 0.15 + 0.85*math.Pow(math.Sin(math.Pi*(2+0.25*float64(seed))*t), 2)
			var v float64
			for k, a := range formants {
				v += a * math.Sin(float64(k+1)*phase)
			}
			out[seed] = append(out[seed], float32(0.12*syllable*v))
		}
	}
	return out
})

// speech encodes n blocks of one voice.
func speech(t testing.TB, cfg EncoderConfig, n int) [][]byte {
	t.Helper()
	e := newEncoder(t, cfg)
	var b pcm.Block
	b.SetChannels(cfg.Channels)
	var out [][]byte
	for i := range n {
		voice(&b, i, 0)
		p, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// energy answers the sum of squares of a, and of a-b.
func energy(a, b []float32) (signal, difference float64) {
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		signal += float64(a[i]) * float64(a[i])
		difference += d * d
	}
	return signal, difference
}

func db(num, den float64) float64 { return 10 * math.Log10(max(num, 1e-12)/max(den, 1e-12)) }
