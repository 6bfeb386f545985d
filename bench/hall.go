package main

import (
	"context"
	"fmt"
)

// hall is the number of people of the largest room of sound.
const hall = 400

// measureHall fills a room with as many as one machine carries together with
// their clients, and looks for what any of them misses.
func measureHall(ctx context.Context, o options) error {
	var all []window
	for range o.runs {
		w, err := hallOnce(ctx, o)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	fmt.Fprintf(o.out, "%d people send and receive sound alone, %d of them talk, the others send their room's noise, 50 packets/s each, each at times of its own. The clients (bench/load) run beside the server.\n", hall, talkers)
	fmt.Fprintln(o.out, "Lost: gaps in the sequence numbers that a client receives. Skips: packets that follow the one before by number, but not by timestamp.")
	fmt.Fprint(o.out, "Slowest: how much later than the fastest of its stream a packet came at worst, by the kernel's clock.\n\n")
	fmt.Fprintln(o.out, "| CPU of the server, cores | CPU a participant, % of a core | packets/s at each | least at one | lost | skips | clients with any | dropped at the clients' own sockets | p99.9, slowest, ms | sent over 10 ms late by the clients | CPU of all clients, cores |")
	fmt.Fprintln(o.out, "|---|---|---|---|---|---|---|---|---|---|---|")
	var cpu, share, rate, least, lost, skips, troubled, dropped, p999, slowest, late, own series
	for _, w := range all {
		in := w.stats.Sound
		cpu, share, own = append(cpu, w.cpu), append(share, 100*w.cpu/hall), append(own, w.own)
		rate, least = append(rate, w.rate()), append(least, w.least())
		lost, skips = append(lost, float64(in.Lost)), append(skips, float64(in.Skips))
		troubled, dropped = append(troubled, float64(in.Troubled)), append(dropped, float64(w.stats.Dropped))
		p999, slowest = append(p999, ms(in.P999)), append(slowest, ms(in.Slowest))
		late = append(late, float64(w.stats.SentLate))
	}
	fmt.Fprintf(o.out, "| %s | %s | %s | %s | %s | %s | %s | %s | %s, %s | %s | %s |\n", cpu.show(2), share.show(3), rate.show(2), least.show(2),
		lost.show(0), skips.show(0), troubled.show(0), dropped.show(0), p999.show(0), slowest.show(0), late.show(0), own.show(2))
	return nil
}

func hallOnce(ctx context.Context, o options) (window, error) {
	s, err := startServer(ctx, o)
	if err != nil {
		return window{}, err
	}
	defer s.stop()
	if err := s.put(ctx, "bench", map[string]any{"max_participants": hall}); err != nil {
		return window{}, err
	}
	return s.meeting(hall, s.door("bench", "participants")).hold(ctx, o)
}
