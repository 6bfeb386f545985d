package audio

import (
	"math"
	"slices"
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

// Whatever the length, against the loop that is obviously right.
func TestSumsOfAnyLength(t *testing.T) {
	for n := range 40 {
		a, b, sum, rest := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		sine(a, 0.3, 3)
		sine(b, 0.2, 7)
		copy(sum, a)
		Add(sum, b)
		Without(rest, sum, b)
		scaled := slices.Clone(a)
		scale(scaled, 0.5)
		for i := range n {
			if sum[i] != a[i]+b[i] || rest[i] != sum[i]-b[i] || scaled[i] != a[i]*0.5 {
				t.Fatalf("%d samples: %g, %g and %g at %d", n, sum[i], rest[i], scaled[i], i)
			}
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
		l.Follow(&block)
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkMix(b *testing.B) {
	var x, y, z pcm.Block
	fill(&x, 0, tone(440, 1e-3))
	fill(&y, 0, tone(1000, 1e-3))
	b.Run("Add", func(b *testing.B) {
		for b.Loop() {
			Add(z.Data(), x.Data())
		}
	})
	b.Run("Without", func(b *testing.B) {
		for b.Loop() {
			Without(z.Data(), y.Data(), x.Data())
		}
	})
	for channels := 1; channels <= 2; channels++ {
		x.SetChannels(channels)
		fill(&x, 0, tone(440, 1e-3))
		b.Run(map[int]string{1: "Ramp/mono", 2: "Ramp/stereo"}[channels], func(b *testing.B) {
			for b.Loop() {
				Ramp(&x, 0.9, 1.1)
				x.Data()[0] = 1
			}
		})
		b.Run(map[int]string{1: "Level/mono", 2: "Level/stereo"}[channels], func(b *testing.B) {
			for b.Loop() {
				Ramp(&x, 0.9, 0.9)
				Ramp(&x, 1/0.9, 1/0.9)
			}
		})
	}
}
