package webm_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/codec"
	"tutti/transport/webm"
)

const ms = time.Millisecond

func sound(at int) *codec.Packet {
	return &codec.Packet{
		Kind: codec.Audio, Codec: codec.Opus, PTS: time.Duration(at) * ms,
		Duration: 20 * ms, KeyFrame: true, Data: []byte{0xFC, 1, 2},
	}
}

func picture(at int, key bool) *codec.Packet {
	return &codec.Packet{
		Kind: codec.Video, Codec: codec.VP8, PTS: time.Duration(at) * ms,
		Duration: 40 * ms, KeyFrame: key, Width: 320, Height: 180, Data: make([]byte, 1000),
	}
}

// pull answers what a timeline hands out, as "a20 v40".
func pull(l *webm.Timeline) (out []string) {
	for {
		p, at, ok := l.Next()
		if !ok {
			return out
		}
		k := "a"
		if p.Kind == codec.Video {
			k = "v"
		}
		out = append(out, fmt.Sprint(k, at.Milliseconds()))
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTimelineBeginsWithAKeyFrame(t *testing.T) {
	l := webm.NewTimeline(true, 0)
	for _, at := range []int{1000, 1020, 1040, 1060} {
		l.Push(sound(at))
	}
	l.Push(picture(1000, false))
	want(t, pull(l))
	// The key frame of 1040 comes when the sound of its time was there long ago.
	l.Push(picture(1040, true))
	want(t, pull(l), "v0", "a0")
	l.Push(picture(1080, false))
	l.Push(sound(1080))
	want(t, pull(l), "a20", "v40", "a40")
}

// An audio loop that is late makes the sound of a time after the key frame that
// lies behind it: it lies before the beginning, and is dropped.
func TestTimelineBeginsWithAKeyFrameThatIsAheadOfTheSound(t *testing.T) {
	l := webm.NewTimeline(true, 0)
	l.Push(picture(1040, true))
	for _, at := range []int{1000, 1020, 1040, 1060} {
		l.Push(sound(at))
	}
	l.Push(picture(1080, false))
	l.Push(sound(1080))
	want(t, pull(l), "v0", "a0", "a20", "v40", "a40")
}

func TestTimelineDoesNotWaitForever(t *testing.T) {
	l := webm.NewTimeline(true, 100*ms)
	l.Push(picture(0, true))
	var got []string
	for at := 0; at <= 140; at += 20 {
		l.Push(sound(at))
		got = append(got, pull(l)...)
	}
	want(t, got, "v0", "a0", "a20", "a40")
	l.Push(picture(10, false)) // far too late: out of order, but not lost
	want(t, pull(l), "v10")
}

func TestPauseIsCutOut(t *testing.T) {
	l := webm.NewTimeline(true, 0)
	l.Push(picture(0, true))
	l.Push(sound(0))
	l.Push(sound(20))
	l.Pause()
	want(t, pull(l), "v0", "a0", "a20")
	if l.End() != 40*ms {
		t.Errorf("the clock stands at %v", l.End())
	}
	l.Push(sound(5000))
	l.Push(picture(5000, false))
	want(t, pull(l))
	if cut := l.Push(picture(5040, true)); cut != 5000*ms {
		t.Errorf("cut %v, want 5 s", cut)
	}
	l.Push(sound(5040))
	want(t, pull(l), "v40", "a40")
}

func TestTimelineKeepsEverythingInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := webm.NewTimeline(true, 400*ms)
		late := rapid.IntRange(0, 300).Draw(t, "late")
		gap := rapid.IntRange(1, 5).Draw(t, "frames between pictures")
		type arrival struct {
			at int
			p  *codec.Packet
		}
		var all []arrival
		for n := 0; n < 100; n++ {
			all = append(all, arrival{n * 20, sound(n * 20)})
			if n%gap == 0 {
				all = append(all, arrival{n*20 + late, picture(n*20, n == 0)})
			}
		}
		slices.SortStableFunc(all, func(a, b arrival) int { return a.at - b.at })
		var before time.Duration
		count := 0
		take := func() {
			for {
				_, at, ok := l.Next()
				if !ok {
					return
				}
				if at < before {
					t.Fatalf("%v after %v", at, before)
				}
				before = at
				count++
			}
		}
		for _, a := range all {
			l.Push(a.p)
			take()
		}
		l.Pause()
		take()
		if count != len(all) {
			t.Fatalf("%d of %d came out", count, len(all))
		}
	})
}
