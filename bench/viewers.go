package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"

	"tutti/bench/load"
	"tutti/transport/transporttest"
)

// viewers is how many watch one room.
const viewers = 300

// viewersRoom is a room whose one rendition is a picture of 300 kbit/s.
var viewersRoom = map[string]any{
	"canvas":           map[string]any{"width": 480, "height": 270, "fps": 15},
	"renditions":       []any{map[string]any{"name": "low", "width": 480, "height": 270, "fps": 15, "bitrate_bps": 300_000}},
	"max_participants": 2 * viewers,
}

// audience is what one run has shown.
type audience struct {
	one, all float64 // CPU of the server with one viewer and with all of them, s per s
	own      float64 // of the clients, with all of them
	anon     float64 // MiB that all but the first have added
	stats    load.Stats
	took     time.Duration
}

// measureViewers fills a room with people who only watch.
func measureViewers(ctx context.Context, o options) error {
	clips, err := makeClips(ctx, o)
	if err != nil {
		return err
	}
	var all []audience
	for range o.runs {
		a, err := watch(ctx, o, clips[0])
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	fmt.Fprintf(o.out, "One person sends VP8 640x360@30 at 600 kbit/s and speech; the room makes VP8 480x270@15 at 300 kbit/s and Opus of it, which %d WHEP viewers receive.\n", viewers)
	fmt.Fprintf(o.out, "CPU of a viewer: what the server uses with %d of them less what it uses with one, by %d.\n", viewers, viewers-1)
	fmt.Fprintln(o.out, "Lost: gaps in the sequence numbers that a viewer receives. Late: over 100 ms later, by the kernel's clock, than the packet's timestamp")
	fmt.Fprintln(o.out, "and the fastest packet of the same stream allow (RFC 5481, section 4.2); that counts the encoder's time for a picture too.")
	fmt.Fprintln(o.out)
	showAudience(o, all)
	return nil
}

func showAudience(o options, all []audience) {
	var cpu, one, own, memory, sound, picture, bits, least series
	for _, a := range all {
		s, per := a.stats, float64(a.stats.Clients)*a.took.Seconds()
		cpu, one, own = append(cpu, 100*(a.all-a.one)/(viewers-1)), append(one, 100*a.one), append(own, a.own)
		memory = append(memory, 1024*a.anon/(viewers-1))
		sound, picture = append(sound, float64(s.Sound.Packets)/per), append(picture, float64(s.Picture.Packets)/per)
		bits = append(bits, 8*float64(s.Picture.Bytes)/per/1000)
		least = append(least, float64(s.Sound.Least)/a.took.Seconds())
	}
	fmt.Fprintln(o.out, "| what | outcome |\n|---|---|")
	row := func(what, outcome string) { fmt.Fprintf(o.out, "| %s | %s |\n", what, outcome) }
	row("CPU a viewer, % of a core", cpu.show(3))
	row("memory a viewer, KiB", memory.show(0))
	row("server with one viewer, % of a core", one.show(1))
	row("packets/s of sound, of pictures at each", sound.show(1)+", "+picture.show(1))
	row("packets/s of sound at the viewer that got fewest", least.show(1))
	row("pictures as SRTP, kbit/s", bits.show(0))
	row("CPU of all viewers and of the person, cores", own.show(2))
	showTimes(row, "sound", all, func(s load.Stats) load.Received { return s.Sound })
	showTimes(row, "pictures", all, func(s load.Stats) load.Received { return s.Picture })
	var dropped uint64
	for _, a := range all {
		dropped += a.stats.Dropped
	}
	row("of the lost, dropped at the viewers' own sockets, all runs", fmt.Sprint(dropped))
}

// showTimes writes what was lost and late of one kind, over all runs.
func showTimes(row func(what, outcome string), name string, all []audience, of func(load.Stats) load.Received) {
	var packets, lost, late uint64
	var p50, p99, p999, slowest series
	for _, a := range all {
		r := of(a.stats)
		packets, lost, late = packets+r.Packets, lost+r.Lost, late+r.Late
		p50, p99 = append(p50, ms(r.P50)), append(p99, ms(r.P99))
		p999, slowest = append(p999, ms(r.P999)), append(slowest, ms(r.Slowest))
	}
	row(name+": packets, lost, late in all runs", fmt.Sprintf("%d, %d, %d", packets, lost, late))
	row(name+": ms behind the fastest, median, p99, p99.9, most",
		p50.show(0)+", "+p99.show(0)+", "+p999.show(0)+", "+slowest.show(0))
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// watch measures one room, with one viewer first and then with all.
func watch(ctx context.Context, o options, clip string) (a audience, err error) {
	s, err := startServer(ctx, o)
	if err != nil {
		return a, err
	}
	defer s.stop()
	if err := s.put(ctx, "bench", viewersRoom); err != nil {
		return a, err
	}
	person, err := publish(ctx, s, clip)
	if err != nil {
		return a, err
	}
	defer person.leave()
	l, err := load.New(load.Config{Listen: true, Watch: true})
	if err != nil {
		return a, err
	}
	defer func() { _ = l.Close() }()
	if err := l.Add(ctx, 1, s.door("bench", "whep")); err != nil {
		return a, err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return a, err
	}
	if a.one, err = s.over(ctx, o.seconds); err != nil {
		return a, err
	}
	few, err := s.used()
	if err != nil {
		return a, err
	}
	if err := l.Add(ctx, viewers-1, s.door("bench", "whep")); err != nil {
		return a, err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return a, err
	}
	l.Reset()
	start, own := time.Now(), ownCPU()
	if a.all, err = s.over(ctx, o.seconds); err != nil {
		return a, err
	}
	a.stats, a.took = l.Stats(), time.Since(start)
	a.own = (ownCPU() - own).Seconds() / a.took.Seconds()
	many, err := s.used()
	a.anon = many.anon - few.anon
	return a, err
}

// publish lets one person send speech and a clip.
func publish(ctx context.Context, s *server, clip string) (*person, error) {
	frames, err := readClip(clip)
	if err != nil {
		return nil, err
	}
	voice, err := talk(0)
	if err != nil {
		return nil, err
	}
	p, err := join(ctx, s, "bench", "whip", transporttest.ClientConfig{
		Audio: webrtc.RTPTransceiverDirectionSendonly, Video: webrtc.RTPTransceiverDirectionSendonly,
	}, nil)
	if err != nil {
		return nil, err
	}
	p.send(voice, frames, 0)
	return p, nil
}
