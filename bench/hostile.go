package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/assets/speech"
	"tutti/bench/load"
)

// The attack.
const (
	hostileRate = 100_000          // datagrams a second
	hostileTime = 10 * time.Second // at most
	hostileLate = 40 * time.Millisecond
)

// siege is what was seen while a server was left in peace and attacked by turns.
type siege struct {
	calm, under []moments
	after       series        // MiB of memory five seconds after each attack
	took        time.Duration // of all attacks
	attack      *attack
}

// moments is what was seen in one span of time.
type moments struct {
	took     time.Duration
	cpu      float64 // s per s
	peak     usage   // the most memory
	stats    load.Stats
	dropped  uint64             // by the kernel at the server's socket
	counters map[string]float64 // by how much they have grown
}

// measureHostile lets two people talk to each other while a third floods the
// server's media port.
func measureHostile(ctx context.Context, o options) error {
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	l, victims, err := talkToEachOther(ctx, s)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if err := sleep(ctx, warmUp); err != nil {
		return err
	}
	var g siege
	if g.attack, err = newAttack(s.media, victims); err != nil {
		return err
	}
	defer g.attack.close()
	for range o.runs {
		if err := g.round(ctx, s, l, min(o.seconds, hostileTime)); err != nil {
			return err
		}
	}
	g.show(o)
	return nil
}

// round leaves the server in peace for a while and then attacks it.
func (g *siege) round(ctx context.Context, s *server, l *load.Load, span time.Duration) error {
	calm, err := during(ctx, s, l, func() { _ = sleep(ctx, span) })
	if err != nil {
		return err
	}
	under, err := during(ctx, s, l, func() { g.took += g.attack.run(ctx, hostileRate, span) })
	if err != nil {
		return err
	}
	g.calm, g.under = append(g.calm, calm), append(g.under, under)
	if err := sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	now, err := s.used()
	g.after = append(g.after, now.anon)
	return err
}

// talkToEachOther lets two clients talk and listen, and overhears them.
func talkToEachOther(ctx context.Context, s *server) (*load.Load, []*victim, error) {
	var voices [2][]speech.Packet
	victims := []*victim{{}, {}}
	for i := range voices {
		var err error
		if voices[i], err = talk(i); err != nil {
			return nil, nil, err
		}
	}
	l, err := load.New(load.Config{
		Voice:  func(i int) []speech.Packet { return voices[i] },
		Listen: true, Feedback: true, Late: hostileLate,
		OnSent: func(i int, b []byte) { victims[i].note(b) },
	})
	if err != nil {
		return nil, nil, err
	}
	enter := s.door("bench", "participants")
	err = l.Add(ctx, len(victims), func(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
		answer, leave, err := enter(ctx, i, offer)
		victims[i].overhear(offer, answer)
		return answer, leave, err
	})
	if err != nil {
		_ = l.Close()
		return nil, nil, err
	}
	for i, v := range victims {
		v.client = l.Client(i)
	}
	return l, victims, nil
}

// during observes the server and the two while something happens, and two
// seconds longer, in which the last reports come.
func during(ctx context.Context, s *server, l *load.Load, happens func()) (m moments, err error) {
	before, err := s.counters(ctx)
	if err != nil {
		return m, err
	}
	dropped, err := udpDrops(s.media.Port())
	if err != nil {
		return m, err
	}
	used, err := s.used()
	if err != nil {
		return m, err
	}
	l.Reset()
	start := time.Now()
	quit, peak := make(chan struct{}), make(chan usage)
	go s.watchMemory(quit, peak)
	happens()
	now, err := s.used()
	m.cpu = (now.cpu - used.cpu).Seconds() / time.Since(start).Seconds()
	_ = sleep(ctx, 2*time.Second)
	close(quit)
	m.peak, m.stats, m.took = <-peak, l.Stats(), time.Since(start)
	if err != nil {
		return m, err
	}
	after, err := udpDrops(s.media.Port())
	if err != nil {
		return m, err
	}
	m.dropped = after - dropped
	if m.counters, err = s.counters(ctx); err != nil {
		return m, err
	}
	for name := range m.counters {
		m.counters[name] -= before[name]
	}
	return m, ctx.Err()
}

// watchMemory answers the most memory that was seen until quit.
func (s *server) watchMemory(quit <-chan struct{}, peak chan<- usage) {
	var most usage
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if now, err := s.used(); err == nil {
			most.rss, most.anon = max(most.rss, now.rss), max(most.anon, now.anon)
		}
		select {
		case <-quit:
			peak <- most
			return
		case <-tick.C:
		}
	}
}

// counters answers the server's own figures by their names and labels.
func (s *server) counters(ctx context.Context) (map[string]float64, error) {
	b, _, err := s.call(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, "tutti_") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = v
		}
	}
	return all, nil
}

// udpDrops answers how many datagrams the kernel has dropped since the sockets
// on that port were full: the last column of /proc/net/udp.
func udpDrops(port uint16) (uint64, error) {
	b, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0, err
	}
	var sum uint64
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 13 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		n, err := strconv.ParseUint(f[len(f)-1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/net/udp: %w", err)
		}
		sum += n
	}
	return sum, nil
}

func (g *siege) show(o options) {
	sent := g.attack.total()
	fmt.Fprintf(o.out, "Two people talk to each other; by turns the server is left in peace and flooded from this machine, %d times on end the same server.\n", len(g.under))
	fmt.Fprintf(o.out, "%d hostile datagrams were sent, %.0f a second; %d a second were asked for.\n", sent, float64(sent)/g.took.Seconds(), hostileRate)
	fmt.Fprintln(o.out, "What is sent in a talker's name comes from its own address and port; all else from a new address for each datagram.")
	fmt.Fprintf(o.out, "Late: over %v later than the packet's timestamp and the fastest packet of the stream allow.\n\n", hostileLate)
	fmt.Fprintln(o.out, "| hostile datagrams | sent |\n|---|---|")
	for i, w := range weapons {
		fmt.Fprintf(o.out, "| %s | %d |\n", w.name, g.attack.sent[i])
	}
	fmt.Fprintln(o.out, "\n| what | in peace | under attack |\n|---|---|---|")
	g.showSound(o)
	g.row(o, "CPU of the server, cores", 2, func(m moments) float64 { return m.cpu })
	g.row(o, "memory of the server at most, MiB (its own, not its code)", 1, func(m moments) float64 { return m.peak.anon })
	g.sum(o, "dropped by the kernel at the server's full socket, in all", func(m moments) float64 { return float64(m.dropped) })
	fmt.Fprint(o.out, "\nMemory five seconds after each attack, MiB:")
	for _, mib := range g.after {
		fmt.Fprintf(o.out, " %.1f", mib)
	}
	fmt.Fprintln(o.out, ".")
	g.showCounters(o, sent)
}

// row writes median and range over the turns.
func (g *siege) row(o options, what string, digits int, of func(moments) float64) {
	all := func(list []moments) (s series) {
		for _, m := range list {
			s = append(s, of(m))
		}
		return s
	}
	fmt.Fprintf(o.out, "| %s | %s | %s |\n", what, all(g.calm).show(digits), all(g.under).show(digits))
}

// sum writes the sum over the turns.
func (g *siege) sum(o options, what string, of func(moments) float64) {
	fmt.Fprintf(o.out, "| %s | %.0f | %.0f |\n", what, total(g.calm, of), total(g.under, of))
}

func total(list []moments, of func(moments) float64) (sum float64) {
	for _, m := range list {
		sum += of(m)
	}
	return sum
}

// showSound writes what the two heard and what the server heard of them.
func (g *siege) showSound(o options) {
	g.row(o, "packets/s that each hears", 1, func(m moments) float64 {
		return float64(m.stats.Sound.Packets) / float64(m.stats.Clients) / m.took.Seconds()
	})
	g.sum(o, "packets lost on the way to them, in all", func(m moments) float64 { return float64(m.stats.Sound.Lost) })
	g.sum(o, "packets late, in all", func(m moments) float64 { return float64(m.stats.Sound.Late) })
	g.row(o, "ms behind the fastest, p99", 0, func(m moments) float64 { return ms(m.stats.Sound.P99) })
	g.row(o, "ms behind the fastest, most", 0, func(m moments) float64 { return ms(m.stats.Sound.Slowest) })
	g.sum(o, "packets that they sent, in all", func(m moments) float64 { return float64(m.stats.Sent) })
	g.sum(o, "of those, missed by the server, as it reports", func(m moments) float64 { return float64(m.stats.LostThere) })
	g.sum(o, "sent over 10 ms late, since the clients had no CPU", func(m moments) float64 { return float64(m.stats.SentLate) })
	for _, origin := range []string{"voice", "recovered", "concealed", "stretched", "silence"} {
		name := `tutti_audio_blocks_total{origin="` + origin + `"}`
		g.sum(o, "blocks of their sound in the mixer: "+origin, func(m moments) float64 { return m.counters[name] })
	}
}

// showCounters writes which of the server's counters the attack has moved: those
// that grew more than in peace by a hundredth of what was sent.
func (g *siege) showCounters(o options, sent uint64) {
	moved := map[string]float64{}
	var sum float64
	for name := range g.under[0].counters {
		of := func(m moments) float64 { return m.counters[name] }
		if more := total(g.under, of) - total(g.calm, of); more > float64(sent)/100 {
			moved[name] = more
			if strings.Contains(name, "_refused_total") || strings.HasSuffix(name, "_passed_total") {
				sum += more
			}
		}
	}
	if len(moved) == 0 {
		fmt.Fprintln(o.out, "\nNo counter of /metrics tells of the attack.")
		return
	}
	fmt.Fprintln(o.out, "\n| counter | grew by |\n|---|---|")
	for _, name := range slices.SortedFunc(maps.Keys(moved), func(a, b string) int { return cmp.Compare(moved[b], moved[a]) }) {
		fmt.Fprintf(o.out, "| `%s` | %.0f |\n", name, moved[name])
	}
	dropped := total(g.under, func(m moments) float64 { return float64(m.dropped) })
	fmt.Fprintf(o.out, "\nRefused or passed to ICE, which drops them: %.0f, with the %.0f that the kernel dropped %.1f %% of what was sent.\n",
		sum, dropped, 100*(sum+dropped)/float64(sent))
}
