package webm_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tutti/codec"
	"tutti/transport/webm"
)

// all empties a queue.
func all(q *webm.Queue) (out []webm.Entry) {
	for {
		e, ok := q.Pop()
		if !ok {
			return out
		}
		out = append(out, e)
	}
}

func TestSlowDiskDropsPicturesUpToAKeyFrame(t *testing.T) {
	q := webm.NewQueue(10_000, true, webm.DropVideo)
	q.WriteVideo(picture(0, true))
	for at := 40; at < 800; at += 40 {
		q.WriteVideo(picture(at, false))
		q.WriteAudio(sound(at))
	}
	if q.WantsKeyFrame() {
		t.Error("a key frame is wanted while the queue is full")
	}
	q.WriteVideo(picture(800, true)) // full: not even this one
	queued := all(q)
	if !q.WantsKeyFrame() {
		t.Error("no key frame is wanted")
	}
	q.WriteVideo(picture(840, false))
	q.WriteVideo(picture(880, true))
	q.WriteVideo(picture(920, false))
	var last time.Duration
	sounds := 0
	for _, e := range queued {
		if e.Packet.Kind == codec.Video {
			last = e.Packet.PTS
		} else {
			sounds++
		}
	}
	if sounds != 19 {
		t.Errorf("%d of 19 packets of sound are left", sounds)
	}
	rest := all(q)
	if len(rest) != 2 || rest[0].Packet.PTS != 880*ms {
		t.Fatalf("goes on with %v", rest)
	}
	if rest[0].LostFrom != last+40*ms || rest[0].Lost != 880*ms-rest[0].LostFrom {
		t.Errorf("lost %v from %v on; the last picture was %v", rest[0].Lost, rest[0].LostFrom, last)
	}
	if rest[1].Lost != 0 || q.WantsKeyFrame() {
		t.Error("still lost")
	}
}

func TestSlowReaderIsBroughtToThePresent(t *testing.T) {
	q := webm.NewQueue(10_000, true, webm.DropAll)
	q.WriteVideo(picture(0, true))
	for at := 0; at < 800; at += 40 {
		q.WriteAudio(sound(at))
		q.WriteVideo(picture(at, false))
	}
	q.WriteVideo(picture(800, true))
	q.WriteAudio(sound(800))
	got := all(q)
	if got[0].Mark != webm.Cleared {
		t.Fatalf("%+v", got)
	}
	// The sound of the key frame's time came before it and is there.
	pictures := 0
	for _, e := range got[1:] {
		if e.Packet.Kind == codec.Video {
			pictures++
		}
		if e.Packet.Kind == codec.Video && e.Packet.PTS != 800*ms || e.Packet.PTS < 320*ms {
			t.Errorf("%v %v is left", e.Packet.Kind, e.Packet.PTS)
		}
	}
	if pictures != 1 {
		t.Errorf("%d pictures are left", pictures)
	}
	if q.Dropped() == 0 || q.Bytes() != 0 {
		t.Errorf("dropped %d, %d bytes left", q.Dropped(), q.Bytes())
	}
}

func TestQueueStaysBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]webm.Overflow{webm.DropVideo, webm.DropAll}).Draw(t, "mode")
		const limit = 8000
		q := webm.NewQueue(limit, true, mode)
		decodable := false // by what came out so far
		var audio, video time.Duration
		for n := range rapid.IntRange(1, 300).Draw(t, "steps") {
			at := n * 20
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0, 1:
				q.WriteAudio(sound(at))
			case 2, 3:
				q.WriteVideo(picture(at, false))
			case 4:
				q.WriteVideo(picture(at, true))
			case 5:
				q.Pause()
			case 6:
				q.Resume()
			case 7:
				e, ok := q.Pop()
				if !ok {
					continue
				}
				if e.Packet == nil {
					decodable = decodable && e.Mark == webm.Paused
					continue
				}
				if e.Packet.Kind == codec.Audio {
					if e.Packet.PTS < audio {
						t.Fatal("sound out of order")
					}
					audio = e.Packet.PTS
					continue
				}
				if e.Packet.KeyFrame {
					decodable = true
				} else if decodable && e.Lost > 0 {
					t.Fatal("goes on without a key frame")
				}
				if e.Packet.PTS < video {
					t.Fatal("pictures out of order")
				}
				video = e.Packet.PTS
			}
			if q.Bytes() > limit+limit/4 || q.Bytes() < 0 {
				t.Fatalf("%d bytes wait", q.Bytes())
			}
		}
	})
}

func TestWritingToAQueueAllocatesNothing(t *testing.T) {
	q := webm.NewQueue(1<<20, true, webm.DropVideo)
	a, v := sound(0), picture(0, true)
	n := testing.AllocsPerRun(1000, func() {
		q.WriteAudio(a)
		q.WriteVideo(v)
		q.Pop()
		q.Pop()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	small := webm.NewQueue(2000, true, webm.DropVideo)
	if n := testing.AllocsPerRun(1000, func() { small.WriteVideo(v); small.WriteAudio(a) }); n != 0 {
		t.Errorf("%v allocations in a full queue", n)
	}
}
