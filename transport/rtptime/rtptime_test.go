package rtptime

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSequenceAroundTheWrap(t *testing.T) {
	var s Sequence
	for i, c := range []struct {
		seq  uint16
		want int64
	}{
		{65533, 65533},
		{65535, 65535},
		{65534, 65534},
		{1, 65537},
		{0, 65536},
		{65532, 65532},
		{2, 65538},
		{32769, 98305},
		{2, 65538},
		{32768, 98304},
		{0, 131072},
		{65535, 131071},
	} {
		if got := s.Unwrap(c.seq); got != c.want {
			t.Fatalf("step %d: %d became %d, not %d", i, c.seq, got, c.want)
		}
	}
}

// A packet from before the first is numbered below it.
func TestSequenceBeforeTheFirst(t *testing.T) {
	var s Sequence
	s.Unwrap(0)
	if got := s.Unwrap(65535); got != -1 {
		t.Errorf("%d", got)
	}
	if got := s.Unwrap(1); got != 1 {
		t.Errorf("%d", got)
	}
}

// Whatever the order within half the range of the newest, every number comes out
// as it was before it was cut to 16 or 32 bits.
func TestPropertyUnwrapUndoesTheCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Sequence
		var ts Timestamps
		high := rapid.Int64Range(0, math.MaxUint16).Draw(t, "first")
		highTS := rapid.Int64Range(0, math.MaxUint32).Draw(t, "first timestamp")
		s.Unwrap(uint16(high))
		ts.Unwrap(uint32(highTS))
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			n := high + rapid.Int64Range(-32768, 32767).Draw(t, "step")
			if got := s.Unwrap(uint16(n)); got != n {
				t.Fatalf("%d became %d", n, got)
			}
			high = max(high, n)
			m := highTS + rapid.Int64Range(math.MinInt32, math.MaxInt32).Draw(t, "ticks")
			if got := ts.Unwrap(uint32(m)); got != m {
				t.Fatalf("timestamp %d became %d", m, got)
			}
			highTS = max(highTS, m)
		}
	})
}

func TestPropertyTicksAndDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{8000, 44100, 48000, 90000}).Draw(t, "rate")
		n := rapid.Int64Range(-1<<45, 1<<45).Draw(t, "ticks")
		d := Duration(n, rate)
		if got := Ticks(d, rate); got != n {
			t.Fatalf("%d ticks are %v are %d ticks", n, d, got)
		}
		if off := d.Seconds() - float64(n)/float64(rate); math.Abs(off) > 1e-9+math.Abs(d.Seconds())*1e-12 {
			t.Fatalf("%d ticks are %v", n, d)
		}
	})
}

func TestNTPKnownMoments(t *testing.T) {
	for _, c := range []struct {
		t   time.Time
		ntp uint64
	}{
		{time.Unix(0, 0), 2208988800 << 32},
		{time.Date(2004, 9, 27, 3, 18, 4, 500_000_000, time.UTC), 0xc50204ec_80000000},
		{time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC), 0xffffffff_00000000},
		{time.Date(2036, 2, 7, 6, 28, 17, 250_000_000, time.UTC), 0x00000001_40000000},
	} {
		if got := NTP(c.t); got != c.ntp {
			t.Errorf("%v is %x, not %x", c.t, got, c.ntp)
		}
		if got := Time(c.ntp); !got.Equal(c.t) {
			t.Errorf("%x is %v, not %v", c.ntp, got, c.t)
		}
	}
}

func TestPropertyNTPThereAndBack(t *testing.T) {
	lo, hi := time.Date(1968, 1, 21, 0, 0, 0, 0, time.UTC), time.Date(2104, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		m := time.Unix(rapid.Int64Range(lo.Unix(), hi.Unix()).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		if got := Time(NTP(m)); !got.Equal(m) {
			t.Fatalf("%v became %v", m, got)
		}
	})
}

// FuzzTime: every NTP timestamp but those of the last nanosecond is kept to 2^-30 s.
func FuzzTime(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(math.MaxUint64))
	f.Add(uint64(1<<63 - 1))
	f.Fuzz(func(t *testing.T, ntp uint64) {
		if diff := int64(NTP(Time(ntp)) - ntp); diff < -4 || diff > 4 {
			t.Fatalf("%x became %x", ntp, NTP(Time(ntp)))
		}
	})
}

func TestMiddle(t *testing.T) {
	if got := MiddleNTP(0x12345678_9abcdef0); got != 0x56789abc {
		t.Errorf("%x", got)
	}
	if got := FromMiddle(0x00018000); got != 1500*time.Millisecond {
		t.Errorf("%v", got)
	}
	for d, want := range map[time.Duration]uint32{-1: 0, time.Second: 65536, 250 * time.Millisecond: 16384, 20 * time.Hour: math.MaxUint32} {
		if got := ToMiddle(d); got != want {
			t.Errorf("%v is %d, not %d", d, got, want)
		}
	}
}

func TestClockFollowsReports(t *testing.T) {
	c := NewClock(48000)
	if _, ok := c.Wall(5); ok {
		t.Error("a time before the first report")
	}
	if _, ok := c.RTP(time.Now()); ok {
		t.Error("a timestamp before the first report")
	}
	noon := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	c.Report(NTP(noon), 1<<32-24000)
	check := func(ts uint32, want time.Time) {
		t.Helper()
		got, ok := c.Wall(ts)
		if !ok || got.Sub(want).Abs() > time.Microsecond {
			t.Errorf("%d is %v, not %v", ts, got, want)
		}
		if back, ok := c.RTP(want); !ok || back != ts {
			t.Errorf("%v is %d, not %d", want, back, ts)
		}
	}
	check(0, noon.Add(500*time.Millisecond))
	check(1<<32-48000, noon.Add(-500*time.Millisecond))
	c.Report(NTP(noon.Add(5*time.Second)), 216048) // a millisecond off
	check(216000, noon.Add(4999*time.Millisecond))
	c.Report(NTP(noon.Add(3*time.Second)), 7) // overtaken
	c.Report(0, 7)                            // no clock
	check(216000, noon.Add(4999*time.Millisecond))
	c.Report(NTP(noon.Add(-time.Hour)), 0) // set anew
	check(48000, noon.Add(-time.Hour+time.Second))
	c.Reset()
	if _, ok := c.Wall(0); ok {
		t.Error("a time after the reset")
	}
}
