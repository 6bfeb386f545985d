package opus

import (
	"math"
	"testing"

	"tutti/codec/pcm"
	"tutti/mixer"
)

var _ mixer.AudioEncoder = (*Encoder)(nil)

// delay is libopus' look-ahead in samples for VoIP and Audio (6.5 ms).
const delay = 312

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

func TestAllocations(t *testing.T) {
	e, d := newEncoder(t, EncoderConfig{Channels: 1, FEC: true, PacketLossPercent: 10}), newDecoder(t, 1)
	var b pcm.Block
	buf := make([]byte, 0, MaxPacketBytes)
	out := make([]float32, MaxSamples)
	n := 0
	for _, independent := range []bool{false, true} {
		if got := testing.AllocsPerRun(50, func() {
			tone(&b, n, 440, 0.3)
			n++
			p, err := e.Encode(buf, &b, independent)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Recover(p, out[:960]); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Decode(p, out); err != nil {
				t.Fatal(err)
			}
			if err := d.Conceal(out[:960]); err != nil {
				t.Fatal(err)
			}
			if HasFEC(p) && SampleCountOK(p) {
				return
			}
		}); got != 0 {
			t.Errorf("independent %v: %v allocations a packet", independent, got)
		}
	}
	if err := d.Reset(); err != nil {
		t.Fatal(err)
	}
}

func SampleCountOK(p []byte) bool { _, ok := SampleCount(p); return ok }
