package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"tutti/codec/opus"
	"tutti/codec/pcm"
)

const (
	// A song begins with what is not judged: the jitter buffer and the codecs
	// find their way.
	songBegins = 5 * time.Second
	songLasts  = 60 * time.Second
	// Then packets are dropped on purpose, and it goes on for a while.
	songDrops = songBegins + songLasts + 2*time.Second
	songEnds  = songDrops + 2*time.Second
	dropped   = 5 // packets; one alone is concealed too well to be heard
)

// TestToneForAMinute sends a tone through a room for a minute over real sockets.
// What comes out has no gap, no click and no repeated block. Then packets are
// dropped on purpose, which has to be noticed.
//
// On a busy machine packets are late. One that is late may cost two faults: it is
// concealed, and its delay is given back by a drop. Without one there may be none.
func TestToneForAMinute(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.call(http.MethodPut, "/v1/rooms/r", smallRoom); err != nil {
		t.Fatal(err)
	}
	p, listener := s.enter(t, "r", "participants", "Singer"), s.enter(t, "r", "whep", "Listener")
	o := sing(t, p)
	until(t, songEnds+patience, func() string {
		if n, _ := listener.counts(); time.Duration(n)*pcm.Duration < songEnds-time.Second {
			return fmt.Sprintf("%v of sound were heard", time.Duration(n)*pcm.Duration)
		}
		return ""
	})
	p.hangUp()
	ticks := s.metric(t, "tutti_audio_blocks_late_total")

	if wrong := listener.wrong(t, s); len(wrong) > 0 || listener.lost > 0 {
		t.Errorf("%d packets were lost, %v", listener.lost, wrong)
	}
	listener.mu.Lock()
	defer listener.mu.Unlock()
	after := func(d time.Duration) time.Time { return o.begin.Add(d) }
	song := faultsOf(listener.sound, listener.between(after(songBegins), after(songBegins+songLasts)))
	late := o.late + int(ticks)
	t.Logf("%d faults; %d packets were sent late, %.0f ticks of the server were late", len(song), o.late, ticks)
	if len(song) > 2*late {
		t.Errorf("the song has %d faults, and only %d packets were late: %v", len(song), late, song)
	}
	coda := faultsOf(listener.sound, listener.between(after(songDrops), after(songEnds)))
	if len(coda) == 0 {
		t.Errorf("that %d packets were dropped is not noticed", dropped)
	}
}

// performance is what a singer did.
type performance struct {
	begin time.Time
	late  int // packets that were sent late, since the machine was busy
}

// sing sends the tone until the person leaves.
func sing(t *testing.T, p *person) *performance {
	t.Helper()
	encoder, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, BitrateBPS: 64000, Application: opus.Audio})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	o := &performance{begin: time.Now()}
	p.sending.Go(func() {
		defer encoder.Close()
		beat(ctx, func(n int, late time.Duration) {
			if late > 5*time.Millisecond {
				o.late++
			}
			packet, err := encoder.Encode(make([]byte, 0, opus.MaxPacketBytes), tone(singerHz, n), false)
			at := time.Duration(n) * pcm.Duration
			switch {
			case at >= songDrops && at < songDrops+dropped*pcm.Duration:
				p.DropAudio(pcm.Samples)
			case err == nil:
				err = p.SendAudio(packet, pcm.Samples, toneLevel)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("the singer cannot send: %v", err)
				cancel()
			}
		})
	})
	return o
}
