package opus

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"tutti/codec/pcm"
)

// pure answers how much of a block's left channel is a tone of that pitch, in
// dB over all the rest, and the tone's amplitude.
func pure(d []float32, channels int, hz float64) (snr, amplitude float64) {
	var re, im, all float64
	for i := range pcm.Samples {
		v := float64(d[i*channels])
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / pcm.Rate)
		re, im, all = re+v*cos, im+v*sin, all+v*v
	}
	power := 2 * (re*re + im*im) / pcm.Samples
	return db(power, all-power), 2 * math.Hypot(re, im) / pcm.Samples
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		cfg EncoderConfig
		snr float64
	}{
		{EncoderConfig{Channels: 1}, 20},
		{EncoderConfig{Channels: 2}, 20},
		{EncoderConfig{Channels: 1, BitrateBPS: 96000, Application: Audio, Complexity: 10}, 30},
		{EncoderConfig{Channels: 1, BitrateBPS: 96000, Application: LowDelay}, 30},
	} {
		e, d := newEncoder(t, c.cfg), newDecoder(t, c.cfg.Channels)
		var b pcm.Block
		b.SetChannels(c.cfg.Channels)
		var sum float64
		for i := range 100 {
			tone(&b, i, 450, 0.3) // nine periods a block
			p, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := d.Decode(p, b.Data()); err != nil || n != pcm.Samples {
				t.Fatalf("%d samples, %v", n, err)
			}
			snr, amplitude := pure(b.Data(), c.cfg.Channels, 450)
			if i >= 50 { // it has tuned in
				sum += snr / 50
				if math.Abs(amplitude-0.3) > 0.03 {
					t.Errorf("%+v: block %d: amplitude %.3f, want 0.3", c.cfg, i, amplitude)
				}
			}
		}
		if sum < c.snr {
			t.Errorf("%+v: %.1f dB", c.cfg, sum)
		}
	}
}

// TestIndependent lets a listener change from one encoder to another, whose
// mixes differ by one voice, and compares what it hears with what somebody
// hears who listened to the second all the time. A packet that is independent
// must halve the jolt at least.
func TestIndependent(t *testing.T) {
	jolt := func(independent bool) float64 {
		a, b := newEncoder(t, EncoderConfig{Channels: 1}), newEncoder(t, EncoderConfig{Channels: 1})
		changing, steady := newDecoder(t, 1), newDecoder(t, 1)
		var one, two, mix pcm.Block
		var heard, want [pcm.Samples]float32
		var signal, difference float64
		for i := range 400 {
			voice(&one, i, 0)
			voice(&two, i, 1)
			for k, v := range two.Data() {
				mix.Data()[k] = one.Data()[k] + v
			}
			at := i % 20 // the listener changes to b for the second half
			p, err := a.Encode(make([]byte, 0, MaxPacketBytes), &mix, at == 0)
			if err != nil {
				t.Fatal(err)
			}
			q, err := b.Encode(make([]byte, 0, MaxPacketBytes), &one, independent && at == 10)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := steady.Decode(q, want[:]); err != nil {
				t.Fatal(err)
			}
			if at >= 10 {
				p = q
			}
			if _, err := changing.Decode(p, heard[:]); err != nil {
				t.Fatal(err)
			}
			if at >= 11 && at <= 14 { // behind the cross-fade that any decoder makes
				s, d := energy(want[:], heard[:])
				signal, difference = signal+s, difference+d
			}
		}
		return db(difference, signal)
	}
	with, without := jolt(true), jolt(false)
	t.Logf("jolt %.1f dB with, %.1f dB without", with, without)
	if with > without-6 {
		t.Errorf("jolt %.1f dB with an independent packet, %.1f dB without", with, without)
	}
}

// TestIndependentIsForOnePacket checks that the encoder predicts again
// afterwards: the packets are the shorter for it.
func TestIndependentIsForOnePacket(t *testing.T) {
	size := func(independent func(i int) bool) (n int) {
		e := newEncoder(t, EncoderConfig{Channels: 1})
		var b pcm.Block
		for i := range 100 {
			voice(&b, i, 0)
			p, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, independent(i))
			if err != nil {
				t.Fatal(err)
			}
			if i > 50 {
				n += len(p)
			}
		}
		return n
	}
	never, once := size(func(int) bool { return false }), size(func(i int) bool { return i == 10 })
	always := size(func(int) bool { return true })
	if math.Abs(float64(once-never)) > 0.03*float64(never) {
		t.Errorf("%d bytes after one independent packet, %d without", once, never)
	}
	if math.Abs(float64(always-never)) < 0.05*float64(never) {
		t.Errorf("%d bytes of independent packets, %d of others: the test does not test", always, never)
	}
}

func TestSetBitrate(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Channels: 1, BitrateBPS: 64000})
	var b pcm.Block
	n := 0
	for _, want := range []int{64000, 16000, 32000} {
		if err := e.SetBitrate(want); err != nil {
			t.Fatal(err)
		}
		total := 0
		for range 100 {
			voice(&b, n, 0)
			n++
			p, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
			if err != nil {
				t.Fatal(err)
			}
			total += len(p) * 8 / 2
		}
		if total < want*6/10 || total > want*13/10 {
			t.Errorf("%d bit/s, want %d", total, want)
		}
	}
	for _, bad := range []int{-1, 0, 5999, 510001} {
		if err := e.SetBitrate(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("%d bit/s: %v", bad, err)
		}
	}
}

func TestDTX(t *testing.T) {
	for _, dtx := range []bool{false, true} {
		e := newEncoder(t, EncoderConfig{Channels: 1, DTX: dtx})
		var b pcm.Block
		short := 0
		for range 100 {
			p, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
			if err != nil {
				t.Fatal(err)
			}
			if len(p) <= 2 {
				short++
			}
		}
		if dtx && short < 70 || !dtx && short > 10 {
			t.Errorf("DTX %v: %d of 100 packets of silence need not be sent", dtx, short)
		}
	}
}

func TestEncodeIntoShortBuffers(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Channels: 1})
	var b pcm.Block
	voice(&b, 7, 0)
	mem := bytes.Repeat([]byte{42}, 100)
	if _, err := e.Encode(mem[:0:10], &b, false); !errors.Is(err, ErrBuffer) {
		t.Errorf("ten bytes: %v", err)
	}
	if _, err := e.Encode(nil, &b, false); !errors.Is(err, ErrBuffer) {
		t.Errorf("no bytes: %v", err)
	}
	if !bytes.Equal(mem, bytes.Repeat([]byte{42}, 100)) {
		t.Error("written where nothing fits")
	}
	buf := make([]byte, 3, MaxPacketBytes)
	p, err := e.Encode(buf, &b, false)
	if err != nil || &p[0] != &buf[0] {
		t.Errorf("packet of %d bytes elsewhere than asked, %v", len(p), err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	e := newEncoder(t, EncoderConfig{Channels: 1})
	var b pcm.Block
	b.SetChannels(2)
	if _, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false); !errors.Is(err, ErrChannels) {
		t.Errorf("stereo: %v", err)
	}
	b.SetChannels(1)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		b.Clear()
		b.Data()[100] = float32(v)
		if _, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: %v", v, err)
		}
	}
	tone(&b, 0, 440, 1e6) // far too loud is only loud
	if _, err := e.Encode(make([]byte, 0, MaxPacketBytes), &b, false); err != nil {
		t.Error(err)
	}
}

func TestConfigOutOfBounds(t *testing.T) {
	for _, c := range []EncoderConfig{
		{},
		{Channels: 3},
		{Channels: 1, BitrateBPS: 5999},
		{Channels: 1, BitrateBPS: 510001},
		{Channels: 1, Complexity: 11},
		{Channels: 1, Complexity: -1},
		{Channels: 1, Application: 3},
		{Channels: 1, PacketLossPercent: 101},
		{Channels: 1, PacketLossPercent: -1},
	} {
		if _, err := NewEncoder(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, n := range []int{-1, 0, 3} {
		if _, err := NewDecoder(n); !errors.Is(err, ErrConfig) {
			t.Errorf("%d channels: %v", n, err)
		}
	}
}

func TestEncoderReset(t *testing.T) {
	used, fresh := newEncoder(t, EncoderConfig{Channels: 1}), newEncoder(t, EncoderConfig{Channels: 1})
	var b pcm.Block
	for i := range 20 {
		voice(&b, i, 1)
		if _, err := used.Encode(make([]byte, 0, MaxPacketBytes), &b, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := used.Reset(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		voice(&b, i, 0)
		p, err := used.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		q, err := fresh.Encode(make([]byte, 0, MaxPacketBytes), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p, q) {
			t.Fatalf("packet %d differs from a new encoder's", i)
		}
	}
}

func TestAllocations(t *testing.T) {
	e, d := newEncoder(t, EncoderConfig{Channels: 1, FEC: true, PacketLossPercent: 10}), newDecoder(t, 1)
	var b pcm.Block
	buf := make([]byte, 0, MaxPacketBytes)
	out := make([]float32, MaxSamples)
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		tone(&b, n, 440, 0.3)
		n++
		p, err := e.Encode(buf, &b, n%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		HasFEC(p)
		if err := d.Recover(p, out[:960]); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(p, out); err != nil {
			t.Fatal(err)
		}
		if err := d.Conceal(out[:960]); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
}

// BenchmarkEncode is one mix, at the default settings.
func BenchmarkEncode(b *testing.B) {
	e := newEncoder(b, EncoderConfig{Channels: 1})
	var blocks [50]pcm.Block
	for i := range blocks {
		voice(&blocks[i], i, 0)
	}
	buf := make([]byte, 0, MaxPacketBytes)
	n := 0
	for b.Loop() {
		if _, err := e.Encode(buf, &blocks[n%50], false); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkDecode is one talker.
func BenchmarkDecode(b *testing.B) {
	packets := speech(b, EncoderConfig{Channels: 1}, 50)
	d := newDecoder(b, 1)
	out := make([]float32, MaxSamples)
	n := 0
	for b.Loop() {
		if _, err := d.Decode(packets[n%50], out); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
