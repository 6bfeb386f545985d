package audio

import (
	"math"
	"testing"

	"tutti/codec/pcm"
)

func sine(block []float32, amplitude float64, from int) {
	for i := range block {
		block[i] = float32(amplitude * math.Sin(2*math.Pi*1000/pcm.Rate*float64(from+i)))
	}
}

// Both channels of a frame have one gain, and from frame to frame it moves by a
// 960th of the whole way.
func TestRampHasNoStep(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		var b pcm.Block
		b.SetChannels(channels)
		for i := range b.Data() {
			b.Data()[i] = 1
		}
		Ramp(&b, 0, 0.5)
		last := float32(0)
		for i := 0; i < len(b.Data()); i += channels {
			frame := b.Data()[i : i+channels]
			if frame[0] != frame[channels-1] {
				t.Fatalf("the channels of frame %d differ: %g", i/channels, frame)
			}
			if s := frame[0]; s-last > 0.5/pcm.Samples*1.01 || s < last {
				t.Fatalf("%d channels: a step of %g at frame %d", channels, s-last, i/channels)
			}
			last = frame[0]
		}
		if math.Abs(float64(last)-0.5) > 1e-4 {
			t.Errorf("%d channels: ends at %g", channels, last)
		}
	}
}

func TestMixMinus(t *testing.T) {
	sum, a, b, out := make([]float32, 960), make([]float32, 960), make([]float32, 960), make([]float32, 960)
	sine(a, 0.3, 0)
	sine(b, 0.2, 7)
	Add(sum, a)
	Add(sum, b)
	Without(out, sum, a)
	for i := range out {
		if math.Abs(float64(out[i]-b[i])) > 1e-6 {
			t.Fatalf("sample %d: %g, want %g", i, out[i], b[i])
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var l Limiter
	var block, sum pcm.Block
	if got := testing.AllocsPerRun(100, func() {
		Ramp(&block, 0, 1)
		Add(sum.Data(), block.Data())
		Without(block.Data(), sum.Data(), block.Data())
		l.Process(&block)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
