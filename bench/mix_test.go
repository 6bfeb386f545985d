package main

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"
)

// What the part mix measures; what the tests do without being asked is small.
var (
	mixSeats = flag.Int("seats", 6, "seats of the room that TestMix measures")
	mixHeard = flag.Int("heard", 2, "how many of them talk")
	mixSound = flag.Duration("media", 3*time.Second, "how much sound it mixes")
)

// TestMix is the measurement of the part mix, which has virtual time from it.
func TestMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMixRoom(*mixSeats, *mixHeard)
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.measure(*mixSound)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
		ticks := int(*mixSound / (20 * time.Millisecond))
		if out.Ticks != ticks || out.Written != uint64(ticks**mixSeats) {
			t.Errorf("%d ticks, %d packets written, not %d and %d", out.Ticks, out.Written, ticks, ticks**mixSeats)
		}
		if want := uint64(ticks * *mixHeard); out.Decodes != want || out.Encodes != want+uint64(ticks) {
			t.Errorf("%d decodes and %d encodes of %d voices in %d ticks", out.Decodes, out.Encodes, *mixHeard, ticks)
		}
		if out.Room <= out.Bare/2 {
			t.Errorf("the room took %v, the codecs alone %v", out.Room, out.Bare)
		}
		if err := out.print(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParseMixed(t *testing.T) {
	m, err := parseMixed([]byte("warning: x\nmixed: {\"Ticks\":100,\"Room\":3000,\"Bare\":2000,\"Encodes\":400}\nPASS\n"))
	if err != nil || m.Ticks != 100 || m.Room != 3000 || m.media() != 2 || m.aTick(m.Encodes) != 4 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "PASS\n", "mixed: {", "mixed: {}", "mixed: {\"Ticks\":1}"} {
		if _, err := parseMixed([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
