package main

import (
	"slices"
	"testing"
	"time"

	"tutti/assets/speech"
)

// TestBeeps finds the beeps in what beepPackets has made.
func TestBeeps(t *testing.T) {
	packets, err := beepPackets()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBeeps()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		b.hear(second(float64(n)/50), packets[n%len(packets)].Opus)
	}
	b.hear(second(9), nil) // damaged
	found := b.times()
	if len(found) != 4 {
		t.Fatalf("%d beeps, not 4: %v", len(found), found)
	}
	for i, at := range found {
		want := second(0.1 + 0.5*float64(i)) // and what the codec delays
		if d := at.Sub(want); d < 0 || d > 10*time.Millisecond {
			t.Errorf("beep %d is %v after its packet", i, d)
		}
	}
}

func TestEchoes(t *testing.T) {
	sent := []time.Time{second(1), second(1.5), second(2), second(2.5)}
	came := []time.Time{second(0.7), second(1.02), second(1.6), second(2.5), second(2.9)}
	var got series
	for _, e := range echoes(sent, came) {
		got = append(got, e.after)
	}
	if want := (series{20, 100, 0, 400}); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if got := delays(echoes(sent, came), second(1.5), second(2.5)); !slices.Equal(got, series{100}) {
		t.Errorf("from 1.5 on and before 2.5: %v", got)
	}
}

func TestSeries(t *testing.T) {
	s := series{4, 1, 3, 2}
	if s.median() != 2.5 || s.percentile(95) != 4 || s.percentile(50) != 2 || s.percentile(51) != 3 || s.percentile(1) != 1 {
		t.Errorf("%v %v %v %v", s.median(), s.percentile(95), s.percentile(50), s.percentile(51))
	}
	if got := s.show(1); got != "2.5 (1.0 to 4.0)" || s[0] != 4 {
		t.Errorf("%q, and %v", got, s)
	}
	if none := (series{}); none.median() != 0 || none.percentile(95) != 0 || none.show(1) != "-" {
		t.Error("figures of nothing")
	}
	if got := ratio(series{1, 4, 9}, series{2, 2}); !slices.Equal(got, series{0.5, 2}) {
		t.Errorf("ratios %v", got)
	}
}

// pauses writes a stream by the lengths of its packets; 0 is one that is not
// sent.
func pauses(lengths ...int) (packets []speech.Packet) {
	for _, n := range lengths {
		var p speech.Packet
		if n > 0 {
			p.Opus = make([]byte, n)
		}
		packets = append(packets, p)
	}
	return packets
}

func lengths(packets []speech.Packet) (list []int) {
	for _, p := range packets {
		list = append(list, len(p.Opus))
	}
	return list
}

func TestUnsent(t *testing.T) {
	made := pauses(40, 1, 1, 2, 1, 7, 1, 1, 3, 30)
	if got, want := lengths(unsent(made)), []int{40, 1, 0, 0, 0, 7, 1, 0, 3, 30}; !slices.Equal(got, want) {
		t.Errorf("%v is sent, not %v", got, want)
	}
	if len(made[2].Opus) == 0 {
		t.Error("the stream itself was changed")
	}
}

func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		want    int
	}{
		{[]int{40, 40, 1, 0, 0, 7, 1, 0, 0, 7, 1, 0}, 4},
		{[]int{40, 1, 0, 7, 1, 0, 0, 0, 7, 7, 7, 1}, 5}, // before a run of full ones
		{[]int{40, 40, 40}, 0},
		{[]int{1, 0, 0}, 0},
		{nil, 0},
	} {
		got, err := refresh(pauses(c.lengths...))
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%v repeats after %d, not %d; %v", c.lengths, got, c.want, err)
		}
	}
}

// TestFallSilent looks at the stream that a silent person sends.
func TestFallSilent(t *testing.T) {
	packets, err := fallSilent()
	if err != nil {
		t.Fatal(err)
	}
	if len(packets) != 30000 {
		t.Fatalf("%d packets are no ten minutes", len(packets))
	}
	for i, p := range packets[:50] {
		// The encoder takes such noise for silence after 200 ms.
		if i < 10 && len(p.Opus) < 3 || p.LevelDBOV > -65 || p.LevelDBOV < -75 {
			t.Fatalf("noise: packet %d has %d bytes, %v dBov", i, len(p.Opus), p.LevelDBOV)
		}
	}
	sent := 0
	for i, p := range packets[1000:] {
		if p.LevelDBOV != -127 {
			t.Fatalf("silence: packet %d has %v dBov", i, p.LevelDBOV)
		}
		if len(p.Opus) > 0 {
			sent++
		}
	}
	if rate := float64(sent) / (29000 / 50); rate < 2 || rate > 6 { // every 400 ms, one or two
		t.Errorf("%.1f packets/s in silence", rate)
	}
}
