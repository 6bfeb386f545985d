package opus

import "testing"

// TestSampleCount writes RFC 6716, table 2, out: milliseconds of a frame for
// each of the 32 configurations.
func TestSampleCount(t *testing.T) {
	table := [32]float64{
		10, 20, 40, 60, 10, 20, 40, 60, 10, 20, 40, 60, // SILK NB, MB, WB
		10, 20, 10, 20, // hybrid SWB, FB
		2.5, 5, 10, 20, 2.5, 5, 10, 20, 2.5, 5, 10, 20, 2.5, 5, 10, 20, // CELT NB, WB, SWB, FB
	}
	for config, ms := range table {
		frame := int(ms * 48)
		for stereo := range 2 {
			toc := byte(config<<3 | stereo<<2)
			check(t, []byte{toc}, frame)
			check(t, []byte{toc | 1, 0}, 2*frame)
			check(t, []byte{toc | 2, 0, 0}, 2*frame)
			check(t, []byte{toc | 3}, 0)
			for m := range 64 {
				check(t, []byte{toc | 3, 0xc0 | byte(m)}, m*frame)
			}
			if got := Channels([]byte{toc}); got != 1+stereo {
				t.Errorf("%08b: %d channels", toc, got)
			}
		}
	}
	check(t, nil, 0)
	if Channels(nil) != 0 {
		t.Error("an empty packet has channels")
	}
}

func check(t *testing.T, packet []byte, want int) {
	t.Helper()
	got, ok := SampleCount(packet)
	if valid := want > 0 && want <= 5760; ok != valid || ok && got != want {
		t.Errorf("%x: %d, %v; want %d", packet, got, ok, want)
	}
}

func TestHasFEC(t *testing.T) {
	for _, channels := range []int{1, 2} {
		with := speech(t, EncoderConfig{Channels: channels, BitrateBPS: 24000 * channels, FEC: true, PacketLossPercent: 20}, 100)
		without := speech(t, EncoderConfig{Channels: channels, BitrateBPS: 24000 * channels}, 100)
		n := 0
		for i := range with {
			if HasFEC(with[i]) {
				n++
			}
			if HasFEC(without[i]) {
				t.Errorf("%d channels: packet %d has FEC that nobody asked for", channels, i)
			}
		}
		if n < 50 { // only where there is speech
			t.Errorf("%d channels: %d of 100 packets have FEC", channels, n)
		}
	}
	for _, p := range [][]byte{nil, {0}, {0x08 | 3}, {0x08 | 3, 0x81}, {0x08 | 3, 0x41, 255, 255}, {0x08 | 2}, {0x08 | 2, 255}, {0x08 | 3, 0x82, 0}, {0xf8, 0xff}} {
		if HasFEC(p) {
			t.Errorf("%x has FEC", p)
		}
	}
	// Stereo has flags for the side channel behind those for the middle: for
	// 20 ms activity, FEC, activity, FEC; for 60 ms three activities each.
	for _, c := range []struct {
		packet []byte
		want   bool
	}{
		{[]byte{0x0c, 0x40}, true},
		{[]byte{0x0c, 0x10}, true},
		{[]byte{0x0c, 0xaf}, false},
		{[]byte{0x1c, 0x10}, true},
		{[]byte{0x1c, 0x01}, true},
		{[]byte{0x1c, 0xee}, false},
		{[]byte{0x08, 0x10}, false},
		{[]byte{0x18, 0x10}, true},
		{[]byte{0x18, 0xef}, false},
	} {
		if got := HasFEC(c.packet); got != c.want {
			t.Errorf("%x: FEC %v", c.packet, got)
		}
	}
	// The same first frame behind each of the ways to count frames.
	frame := []byte{0x40, 1, 2, 3} // voice activity off, FEC on
	for _, head := range [][]byte{{0x08}, {0x08 | 1}, {0x08 | 2, 4}, {0x08 | 3, 0x02}, {0x08 | 3, 0x82, 4}, {0x08 | 3, 0x42, 3}, {0x08 | 3, 0xc2, 255, 1, 4}} {
		if !HasFEC(append(head, frame...)) {
			t.Errorf("%x: FEC not seen", head)
		}
	}
}
