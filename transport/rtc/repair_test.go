package rtc

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"tutti/mixer"
	"tutti/transport/plane"
	"tutti/transport/transporttest"
	"tutti/transport/transporttest/badlink"
)

// TestRepairLevels plays scripts of reports, one every five seconds about 250
// packets, and watches what is done.
func TestRepairLevels(t *testing.T) {
	many := func(lost float64, n int) []float64 { return slices.Repeat([]float64{lost}, n) }
	for name, c := range map[string]struct {
		reports []float64
		depths  []int // as they change
	}{
		"none":            {many(0, 20), []int{0}},
		"little":          {many(0.01, 50), []int{0}},
		"at the edge":     {slices.Concat(many(0.021, 5), many(0.012, 30)), []int{1}},
		"little, and out": {slices.Concat(many(0.03, 5), many(0, 20)), []int{1, 0}},
		"five":            {many(0.05, 20), []int{2}},
		"thirty":          {many(0.30, 20), []int{3}},
		"a storm": {
			slices.Concat(many(0, 3), many(0.30, 5), many(0, 40)), []int{0, 3, 2, 1, 0},
		},
		"one spike, then calm": {slices.Concat([]float64{0, 0.5}, many(0, 40)), []int{0, 3, 2, 1, 0}},
	} {
		r, at := repair{}, time.Unix(1000, 0)
		var depths []int
		var changed time.Time
		for _, lost := range c.reports {
			at = at.Add(5 * time.Second)
			before := r.depth()
			r.report(at, 250, lost)
			if len(depths) == 0 || depths[len(depths)-1] != r.depth() {
				depths = append(depths, r.depth())
			}
			if r.depth() < before {
				if at.Sub(changed) < repairHold {
					t.Errorf("%s: less after %v", name, at.Sub(changed))
				}
			}
			if r.depth() != before {
				changed = at
			}
		}
		if !slices.Equal(depths, c.depths) {
			t.Errorf("%s: %v, want %v", name, depths, c.depths)
		}
	}
}

// TestRepairIsSteady lets loss of each share happen by chance, for an hour: what
// is done changes seldom, and is never less than what the share calls for.
func TestRepairIsSteady(t *testing.T) {
	luck := rand.New(rand.NewPCG(1, 2))
	for share, least := range map[float64]int{0: 0, 0.03: 1, 0.05: 2, 0.10: 2, 0.20: 3, 0.30: 3} {
		r, at := repair{}, time.Unix(1000, 0)
		changes, under := 0, 0
		const reports = 3600 / 5
		for i := range reports {
			lost := 0
			for range 250 {
				if luck.Float64() < share {
					lost++
				}
			}
			at = at.Add(5 * time.Second)
			before := r.depth()
			r.report(at, 250, float64(lost)/250)
			if r.depth() != before {
				changes++
			}
			if i > 0 && r.depth() < least {
				under++
			}
		}
		if changes > reports/20 || under > reports/100 || share == 0 && changes > 0 {
			t.Errorf("%.0f %%: %d changes in an hour, %d times less than %d", 100*share, changes, under, least)
		}
	}
}

// Reports that say nothing or cannot be change nothing for long.
func TestRepairOddReports(t *testing.T) {
	var r repair
	at := time.Unix(1000, 0)
	r.report(at, 0, 1)
	r.report(at, -5, 1)
	if r.depth() != 0 || r.lost != 0 {
		t.Errorf("%+v", r)
	}
	r.report(at, 1<<30, 1)
	if r.depth() != 3 || r.lost > 1 {
		t.Errorf("%+v", r)
	}
}

// ear records the sound that a client is sent.
type ear struct {
	mu   sync.Mutex
	list []rtp.Packet
}

func (e *ear) hear(_ time.Time, p *rtp.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := *p
	c.Payload = bytes.Clone(p.Payload)
	e.list = append(e.list, c)
}

// since answers what came after the first n.
func (e *ear) since(n int) []rtp.Packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list[n:])
}

// TestLossIsRepaired has two clients lose a fifth of the room's sound: one that
// takes redundancy gets it, for the other the room is asked for in-band FEC.
// When the loss is over both go back.
func TestLossIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		host, ip := s.host()
		var heard ear
		c := s.client(transporttest.ClientConfig{Net: host, Audio: recvOnly, RED: true, OnAudio: heard.hear})
		defer c.Close()
		p := s.join(c, "p1", mixer.Viewer)
		plainHost, plainIP := s.host()
		plain := s.client(transporttest.ClientConfig{Net: plainHost, Audio: recvOnly})
		defer plain.Close()
		s.join(plain, "p2", mixer.Viewer)
		s.eventually("both are subscribed", func() bool { return s.room.sub(1) != nil })

		n := 0
		play := func(d time.Duration) []rtp.Packet {
			from := len(heard.since(0))
			for end := n + int(d/(20*time.Millisecond)); n < end; n++ {
				for i := range 2 {
					s.room.sub(i).cfg.Sink.WriteAudio(audioPacket(n, byte(n), byte(n>>8)))
				}
				time.Sleep(20 * time.Millisecond)
			}
			return heard.since(from)
		}
		lose := func(share float64) {
			for _, to := range []string{ip, plainIP} {
				if err := s.net.Set(serverIP, to, badlink.Conditions{Delay: time.Millisecond, Loss: share}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, packet := range play(5 * time.Second) {
			if packet.PayloadType != 111 || len(packet.Payload) != 2 {
				t.Fatalf("without a loss: %+v", packet)
			}
		}
		lose(0.2)
		play(5 * time.Second)
		if got := checkCarried(t, play(10*time.Second)); got < 0.98 {
			t.Errorf("%.3f of the sound came", got)
		}
		if link := p.linkStats(); link.Repair != "red" || link.SentLossPercent < 10 || link.SentLossPercent > 35 {
			t.Errorf("the link is %+v", link)
		}
		if a, b := s.room.sub(0).loss.Load(), s.room.sub(1).loss.Load(); a != 0 || b < 10 {
			t.Errorf("in-band FEC for %d and %d %%", a, b)
		}
		if link := s.room.seat(1).cfg.Link(); link.Repair != "fec" || link.SentLossPercent < 10 {
			t.Errorf("the link is %+v", link)
		}
		lose(0)
		play(2 * time.Minute)
		for _, packet := range play(time.Second) {
			if packet.PayloadType != 111 {
				t.Fatalf("after the loss: %+v", packet)
			}
		}
		if b := s.room.sub(1).loss.Load(); b != 0 {
			t.Errorf("in-band FEC for %d %% after the loss", b)
		}
		if link := p.linkStats(); link.Repair != "" || link.SentLossPercent > 1 {
			t.Errorf("the link is %+v", link)
		}
	})
}

// checkCarried checks that packets carry those before them once more, and answers
// which share of the sound came at all.
func checkCarried(t *testing.T, packets []rtp.Packet) float64 {
	t.Helper()
	came := map[uint16][]byte{}
	take := func(seq uint16, payload []byte) {
		if had, ok := came[seq]; ok && !bytes.Equal(had, payload) {
			t.Errorf("packet %d is %x and %x", seq, had, payload)
		}
		came[seq] = payload
	}
	for i, p := range packets {
		if p.PayloadType != 63 {
			t.Fatalf("packet %d is %v", i, p.Header)
		}
		var memory [redBlocks]redBlock
		blocks, err := splitRED(p.Payload, &memory)
		if err != nil || len(blocks) < 3 {
			t.Fatalf("packet %d: %d blocks, %v", i, len(blocks), err)
		}
		for k, b := range blocks {
			back := len(blocks) - 1 - k
			if b.pt != 111 || b.offset != uint32(back)*960 {
				t.Fatalf("packet %d: block %d is %+v", i, k, b)
			}
			take(p.SequenceNumber-uint16(back), b.payload)
		}
	}
	first, last := packets[0].SequenceNumber, packets[len(packets)-1].SequenceNumber
	return float64(len(came)) / float64(last-first+1+2)
}

// TestAnswerDescribesSound checks the sound of answers: Opus first, redundancy
// where it was offered, and what the room wants of both.
func TestAnswerDescribesSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, transporttest.Clean, nil)
		defer s.close()
		for i, c := range []struct {
			red, stereo bool
			want        string
		}{
			{false, false, "minptime=10;useinbandfec=1;usedtx=1"},
			{true, false, "minptime=10;useinbandfec=1;usedtx=1"},
			{true, true, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"},
		} {
			s.room.stereo = c.stereo
			client := s.client(transporttest.ClientConfig{Audio: sendRecv, RED: c.red})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			offer, err := client.Offer(ctx)
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.gateway.open(ctx, s.room, Request{ID: string(rune('a' + i)), Role: mixer.Both, Offer: offer})
			if err != nil {
				t.Fatal(err)
			}
			m := section1(t, strings.ReplaceAll(p.Answer()[strings.Index(p.Answer(), "m=audio"):], "\r\n", "\n"))
			formats := "111"
			if c.red {
				formats = "111 63"
			}
			if got := strings.Join(m.MediaName.Formats, " "); got != formats {
				t.Errorf("formats %s, want %s", got, formats)
			}
			var lines []string
			for _, a := range m.Attributes {
				if a.Key == "fmtp" {
					lines = append(lines, a.Value)
				}
			}
			want := []string{"111 " + c.want}
			if c.red {
				want = append(want, "63 111/111")
			}
			if !slices.Equal(lines, want) {
				t.Errorf("%q, want %q", lines, want)
			}
			if p.takesRED != c.red || p.soundPT != 111 {
				t.Errorf("redundancy %v, payload type %d", p.takesRED, p.soundPT)
			}
			if err := client.Answer(p.Answer()); err != nil {
				t.Error(err)
			}
			cancel()
			client.Close()
		}
	})
}

// Only what is said of the sound counts for the sound.
func TestReportsOfPictures(t *testing.T) {
	p := &Peer{outAudio: 0, outVideo: 1, takesRED: true}
	p.heardOf(plane.Reception{Stream: 1, At: time.Unix(1, 0), Expected: 500, Lost: 0.5})
	if p.redundancy.Load() != 0 {
		t.Error("pictures that are lost make sound redundant")
	}
}
