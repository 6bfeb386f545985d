package opus

import (
	"errors"
	"math"
	"testing"

	pion "github.com/pion/opus"

	"tutti/codec/pcm"
)

// TestAgainstAnotherDecoder decodes what is encoded here with pion's decoder,
// which shares no line with libopus, and compares.
func TestAgainstAnotherDecoder(t *testing.T) {
	for name, cfg := range map[string]EncoderConfig{
		"voice 16k":  {Channels: 1, BitrateBPS: 16000},
		"voice 32k":  {Channels: 1, BitrateBPS: 32000},
		"audio 64k":  {Channels: 1, BitrateBPS: 64000, Application: Audio},
		"stereo 64k": {Channels: 2, BitrateBPS: 64000, Application: Audio},
		"low delay":  {Channels: 1, BitrateBPS: 64000, Application: LowDelay},
	} {
		t.Run(name, func(t *testing.T) {
			other, err := pion.NewDecoderWithOutput(pcm.Rate, cfg.Channels)
			if err != nil {
				t.Fatal(err)
			}
			d := newDecoder(t, cfg.Channels)
			got, want := make([]float32, MaxSamples*2), make([]float32, MaxSamples*2)
			var signal, difference float64
			for i, p := range speech(t, cfg, 100) {
				n, err := d.Decode(p, got)
				if err != nil {
					t.Fatal(err)
				}
				m, err := other.DecodeToFloat32(p, want)
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				if n != m || n != pcm.Samples {
					t.Fatalf("packet %d: %d samples, the other has %d", i, n, m)
				}
				s, e := energy(got[:n*cfg.Channels], want)
				signal, difference = signal+s, difference+e
			}
			if snr := db(signal, difference); snr < 40 {
				t.Errorf("the decoders differ: %.0f dB", snr)
			}
		})
	}
}

// TestRecover loses every fifth packet. What the next packet carries of it
// must be far nearer to it than what the decoder makes up.
func TestRecover(t *testing.T) {
	packets := speech(t, EncoderConfig{Channels: 1, BitrateBPS: 32000, FEC: true, PacketLossPercent: 20}, 200)
	whole, fec, plc := newDecoder(t, 1), newDecoder(t, 1), newDecoder(t, 1)
	var want, got [pcm.Samples]float32
	var signal, recovered, concealed float64
	for i, p := range packets {
		if _, err := whole.Decode(p, want[:]); err != nil {
			t.Fatal(err)
		}
		if i%5 != 4 || i < 10 || i+1 == len(packets) {
			for _, d := range []*Decoder{fec, plc} {
				if _, err := d.Decode(p, got[:]); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if err := fec.Recover(packets[i+1], got[:]); err != nil {
			t.Fatal(err)
		}
		s, d := energy(want[:], got[:])
		signal, recovered = signal+s, recovered+d
		if err := plc.Conceal(got[:]); err != nil {
			t.Fatal(err)
		}
		_, d = energy(want[:], got[:])
		concealed += d
	}
	r, c := db(signal, recovered), db(signal, concealed)
	t.Logf("recovered to %.1f dB, concealed to %.1f dB", r, c)
	if r < c+6 {
		t.Errorf("recovered to %.1f dB, concealed to %.1f dB", r, c)
	}
}

// TestConceal loses everything after a steady tone: at first it goes on, and
// then it fades.
func TestConceal(t *testing.T) {
	e, d := newEncoder(t, EncoderConfig{Channels: 1}), newDecoder(t, 1)
	var b pcm.Block
	var p []byte
	var err error
	for i := range 25 {
		tone(&b, i, 300, 0.3)
		if p, err = e.Encode(make([]byte, 0, MaxPacketBytes), &b, false); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(p, b.Data()); err != nil {
			t.Fatal(err)
		}
	}
	heard := b.Level()
	for i := range 50 {
		if err := d.Conceal(b.Data()); err != nil {
			t.Fatal(err)
		}
		if i == 0 && math.Abs(b.Level()-heard) > 8 {
			t.Errorf("level jumps from %.0f to %.0f dBov", heard, b.Level())
		}
	}
	if b.Level() > heard-30 {
		t.Errorf("after a second of loss still %.0f dBov", b.Level())
	}
}

// TestDurations decodes packets of all durations and lets all be lost.
func TestDurations(t *testing.T) {
	p := speech(t, EncoderConfig{Channels: 1, Application: Audio, BitrateBPS: 32000}, 3)[2]
	if p[0]&3 != 0 {
		t.Fatalf("packet with code %d", p[0]&3)
	}
	for _, channels := range []int{1, 2} {
		d := newDecoder(t, channels)
		for m := 1; m <= 6; m++ { // up to 120 ms: m frames of equal size
			long := []byte{p[0] | 3, byte(m)}
			for range m {
				long = append(long, p[1:]...)
			}
			want := m * pcm.Samples
			room := make([]float32, MaxSamples*2+1)
			for i := range room {
				room[i] = 42
			}
			n, err := d.Decode(long, room[:want*channels])
			if err != nil || n != want {
				t.Fatalf("%d frames: %d samples, %v", m, n, err)
			}
			untouched(t, room[want*channels:])
			if _, err := d.Decode(long, room[:want*channels-1]); !errors.Is(err, ErrBuffer) {
				t.Errorf("%d frames in a short buffer: %v", m, err)
			}
		}
		for n := 120; n <= MaxSamples; n += 120 {
			room := make([]float32, MaxSamples*2+1)
			for i := range room {
				room[i] = 42
			}
			if err := d.Conceal(room[:n*channels]); err != nil {
				t.Fatalf("conceal %d: %v", n, err)
			}
			if err := d.Recover(p, room[:n*channels]); err != nil {
				t.Fatalf("recover %d: %v", n, err)
			}
			untouched(t, room[n*channels:])
		}
		for _, n := range []int{0, 1, 119, 121, MaxSamples + 120} {
			room := make([]float32, n*channels)
			if err := d.Conceal(room); !errors.Is(err, ErrBuffer) {
				t.Errorf("conceal %d: %v", n, err)
			}
			if err := d.Recover(p, room); !errors.Is(err, ErrBuffer) {
				t.Errorf("recover %d: %v", n, err)
			}
		}
	}
}

// untouched checks what lies beyond the length, within the capacity.
func untouched(t *testing.T, rest []float32) {
	t.Helper()
	for i, v := range rest {
		if v != 42 {
			t.Fatalf("written %d values beyond the length", i+1)
		}
	}
}

// TestOtherChannels decodes stereo to mono and mono to stereo.
func TestOtherChannels(t *testing.T) {
	for _, from := range []int{1, 2} {
		same, other := newDecoder(t, from), newDecoder(t, 3-from)
		a, b := make([]float32, pcm.Samples*from), make([]float32, pcm.Samples*(3-from))
		for _, p := range speech(t, EncoderConfig{Channels: from, BitrateBPS: 64000, Application: Audio}, 20) {
			if Channels(p) != from {
				t.Fatalf("packet of %d channels from %d", Channels(p), from)
			}
			if _, err := same.Decode(p, a); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Decode(p, b); err != nil {
				t.Fatal(err)
			}
		}
		left := func(s []float32, ch int) []float32 {
			var out []float32
			for i := 0; i < len(s); i += ch {
				out = append(out, s[i])
			}
			return out
		}
		if s, d := energy(left(a, from), left(b, 3-from)); db(s, d) < 25 {
			t.Errorf("from %d channels: %.0f dB", from, db(s, d))
		}
	}
}

func TestReset(t *testing.T) {
	packets := speech(t, EncoderConfig{Channels: 1}, 30)
	used, fresh := newDecoder(t, 1), newDecoder(t, 1)
	var a, b [pcm.Samples]float32
	for _, p := range packets {
		if _, err := used.Decode(p, a[:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := used.Reset(); err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		if _, err := used.Decode(p, a[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := fresh.Decode(p, b[:]); err != nil {
			t.Fatal(err)
		}
		if a != b {
			t.Fatalf("packet %d sounds otherwise than in a new decoder", i)
		}
	}
}

func FuzzOpusDecode(f *testing.F) {
	good := speech(f, EncoderConfig{Channels: 1, FEC: true, PacketLossPercent: 20}, 12)
	for _, p := range good[8:] {
		f.Add(p, false)
	}
	f.Add(speech(f, EncoderConfig{Channels: 2, Application: Audio}, 4)[3], true)
	f.Add([]byte{0xff, 0x3f, 1, 2, 3}, true)
	f.Add([]byte{0x08}, false)
	f.Fuzz(func(t *testing.T, p []byte, stereo bool) {
		channels := 1
		if stereo {
			channels = 2
		}
		d := newDecoder(t, channels)
		room := make([]float32, MaxSamples*channels+1)
		room[len(room)-1] = 42
		want, valid := SampleCount(p)
		HasFEC(p)
		n, err := d.Decode(p, room[:len(room)-1])
		if err == nil && (!valid || n != want) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d samples, %v; the header says %d, %v", n, err, want, valid)
		}
		if err := d.Recover(p, room[:pcm.Samples*channels]); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if err := d.Conceal(room[:pcm.Samples*channels]); err != nil {
			t.Fatal(err)
		}
		untouched(t, room[len(room)-1:])
		if n, err := d.Decode(good[8], room); err != nil || n != pcm.Samples {
			t.Fatalf("a good packet afterwards: %d samples, %v", n, err)
		}
	})
}
