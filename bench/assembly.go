package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"tutti/assets/speech"
	"tutti/bench/load"
)

// assembly is the number of people of the large room of sound.
const assembly = 100

// voices answers what the people of a room of sound send: some talk all the
// time, the others send their room's noise.
func voices() (func(i int) []speech.Packet, error) {
	noise, err := roomNoise()
	if err != nil {
		return nil, err
	}
	var talk3 [talkers][]speech.Packet
	for i := range talk3 {
		if talk3[i], err = talk(i); err != nil {
			return nil, err
		}
	}
	return func(i int) []speech.Packet {
		if i < talkers {
			return talk3[i]
		}
		return noise
	}, nil
}

// door answers how the clients of a load enter a room, by participants, whip or
// whep.
func (s *server) door(room, door string) load.Join { return s.enter(room, door, func(string) {}) }

// enter is door, and told the path of each session.
func (s *server) enter(room, door string, told func(path string)) load.Join {
	return func(ctx context.Context, _ int, offer string) (string, func(context.Context), error) {
		answer, header, err := s.call(ctx, http.MethodPost, "/v1/rooms/"+room+"/"+door, "application/sdp", []byte(offer))
		if err != nil {
			return "", nil, err
		}
		path := header.Get("Location")
		told(path)
		leave := func(ctx context.Context) { _, _, _ = s.call(ctx, http.MethodDelete, path, "", nil) }
		return string(answer), leave, nil
	}
}

// window is what one server did for those who met there in one measurement.
type window struct {
	cpu   float64 // s per s
	own   float64 // of the clients
	anon  float64 // MiB over the idle server
	stats load.Stats
	took  time.Duration
	where string // the server's CPU went, where the meeting asks for it
}

// rate is in packets a second at each client.
func (w window) rate() float64 {
	return float64(w.stats.Sound.Packets) / float64(w.stats.Clients) / w.took.Seconds()
}

// least is in packets a second at the client that got fewest.
func (w window) least() float64 { return float64(w.stats.Sound.Least) / w.took.Seconds() }

// measureJanus puts the same clients with the same packets into Tutti and into
// Janus' AudioBridge. Both together would need more than two cores, so they
// take turns, and are compared turn by turn.
func measureJanus(ctx context.Context, o options) error {
	var ours, theirs []window
	for i := range o.runs {
		w, err := tuttiAssembly(ctx, o, i == o.runs-1)
		if err != nil {
			return fmt.Errorf("tutti: %w", err)
		}
		ours = append(ours, w)
		if w, err = janusAssembly(ctx, o); err != nil {
			return fmt.Errorf("janus: %w", err)
		}
		theirs = append(theirs, w)
	}
	fmt.Fprintf(o.out, "%d people send and receive sound alone, %d of them talk, the others send their room's noise, 50 packets/s each, each at times of its own.\n", assembly, talkers)
	fmt.Fprintf(o.out, "Debian's Janus with a room at 48 kHz and its defaults; by turns Tutti and Janus, %v each. The clients (bench/load) are the same.\n\n", o.seconds)
	fmt.Fprintln(o.out, "| server | CPU a participant, % of a core | memory a participant, KiB | packets/s at each | least at one | lost | sent over 10 ms late by the clients | CPU of all clients, cores |")
	fmt.Fprintln(o.out, "|---|---|---|---|---|---|---|---|")
	showWindows(o, "Tutti", ours)
	showWindows(o, "Janus AudioBridge", theirs)
	var cpu, packet series
	for i := range ours {
		cpu = append(cpu, ours[i].cpu/theirs[i].cpu)
		packet = append(packet, ours[i].cpu/ours[i].rate()/(theirs[i].cpu/theirs[i].rate()))
	}
	fmt.Fprintf(o.out, "\nRatio of CPU, turn by turn: %s; for a packet that came: %s.\n", cpu.show(3), packet.show(3))
	fmt.Fprintf(o.out, "Where Tutti's CPU goes, in %v after its last turn: %s.\n", o.seconds, ours[len(ours)-1].where)
	fmt.Fprintln(o.out, "A server with less than 50 packets/s at each does not keep up: it is compared for less work than it was asked for.")
	return nil
}

func showWindows(o options, name string, all []window) {
	var cpu, own, memory, rate, least, lost, late series
	for _, w := range all {
		n := float64(w.stats.Clients)
		cpu, own, memory = append(cpu, 100*w.cpu/n), append(own, w.own), append(memory, 1024*w.anon/n)
		rate, least = append(rate, w.rate()), append(least, w.least())
		lost, late = append(lost, float64(w.stats.Sound.Lost)), append(late, float64(w.stats.SentLate))
	}
	fmt.Fprintf(o.out, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
		cpu.show(3), memory.show(0), rate.show(2), least.show(2), lost.show(0), late.show(0), own.show(2))
}

func tuttiAssembly(ctx context.Context, o options, profiled bool) (window, error) {
	s, err := startServer(ctx, o)
	if err != nil {
		return window{}, err
	}
	defer s.stop()
	m := s.meeting(assembly, s.door("bench", "participants"))
	m.profiled = profiled
	return m.hold(ctx, o)
}

func janusAssembly(ctx context.Context, o options) (window, error) {
	here, err := hostAddress()
	if err != nil {
		return window{}, err
	}
	j, err := startJanus(ctx)
	if err != nil {
		return window{}, err
	}
	defer j.stop()
	return meeting{people: assembly, pid: j.cmd.Process.Pid, at: here, join: j.join}.hold(ctx, o)
}

// meeting is people with sound alone who come to a server.
type meeting struct {
	people int
	pid    int        // of the server's process
	at     netip.Addr // where it takes media
	join   load.Join
	voice  func(i int) []speech.Packet // nil: voices
	// profiled has the server profiled when it has been measured, since that costs it
	// something.
	profiled bool
}

// meeting answers one at this server.
func (s *server) meeting(people int, join load.Join) meeting {
	return meeting{people: people, pid: s.cmd.Process.Pid, at: s.media.Addr(), join: join}
}

// hold lets them come, and measures the server.
func (m meeting) hold(ctx context.Context, o options) (w window, err error) {
	if err := sleep(ctx, time.Second); err != nil {
		return w, err
	}
	idle, err := used(m.pid)
	if err != nil {
		return w, err
	}
	if m.voice == nil {
		if m.voice, err = voices(); err != nil {
			return w, err
		}
	}
	l, err := load.New(load.Config{Local: m.at, Voice: m.voice, Listen: true, Feedback: true})
	if err != nil {
		return w, err
	}
	defer func() { _ = l.Close() }()
	if err := l.Add(ctx, m.people, m.join); err != nil {
		return w, err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return w, err
	}
	l.Reset()
	before, err := used(m.pid)
	if err != nil {
		return w, err
	}
	start, own := time.Now(), ownCPU()
	if err := sleep(ctx, o.seconds); err != nil {
		return w, err
	}
	after, err := used(m.pid)
	w.stats, w.took = l.Stats(), time.Since(start)
	w.own = (ownCPU() - own).Seconds() / w.took.Seconds()
	w.cpu, w.anon = (after.cpu-before.cpu).Seconds()/w.took.Seconds(), after.anon-idle.anon
	if err != nil || !m.profiled {
		return w, err
	}
	w.where, err = profile(ctx, m.pid, o.seconds)
	if errors.Is(err, errNoPerf) {
		w.where, err = err.Error(), nil
	}
	return w, err
}
