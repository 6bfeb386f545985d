package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

const (
	simChaos = 14 * time.Second // of faults
	simHeal  = 15 * time.Second // by when all must be whole again
)

func newSimulation(seed uint64, out io.Writer) *simulation {
	s := &simulation{
		rng: rand.New(rand.NewPCG(seed, 1)), cut: map[link]int{}, counts: map[string]int{},
		checks: newSimChecks(), faults: true, lossy: 40, log: slog.DiscardHandler,
		now: time.Hour, // not at the beginning of the clock
	}
	if out != io.Discard {
		s.log = slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.String("t", (s.now - time.Hour).String())
			}
			return a
		}})
	}
	s.store = NewMemoryAt(func() time.Duration { return s.now })
	return s
}

// simulate runs one history.
func simulate(seed uint64, out io.Writer) (*simulation, error) {
	s := newSimulation(seed, out)
	for i := range 2 + s.rng.IntN(4) {
		s.machines = append(s.machines, &simMachine{name: fmt.Sprintf("n%d", i), role: NodeRole})
	}
	for i := range 1 + s.rng.IntN(3) {
		s.machines = append(s.machines, &simMachine{name: fmt.Sprintf("r%d", i), role: RouterRole})
	}
	for _, m := range s.machines {
		s.boot(m)
	}
	defer s.end()
	begin := s.now
	s.fault(begin + simChaos)
	if err := s.until(begin + simChaos + time.Millisecond); err != nil {
		return s, err
	}
	return s, s.heal()
}

// end ends all coroutines.
func (s *simulation) end() {
	for _, m := range s.machines {
		m.process.crash()
	}
}

// heal ends all faults, and waits until all is whole. One machine may stay off.
func (s *simulation) heal() error {
	s.faults = false
	if len(s.machines) > 3 && s.chance(2) {
		s.machines[0].process.crash()
	}
	for _, m := range s.machines {
		_, _ = s.store.Commit(context.Background(), nil, []Write{{Key: OrderKey(m.name)}})
	}
	end := s.now + simHeal
	for {
		if err := s.until(s.now + 200*time.Millisecond); err != nil {
			return err
		}
		err := s.whole()
		if err == nil {
			return nil
		}
		if s.now >= end {
			return fmt.Errorf("not whole after %v: %w", simHeal, err)
		}
	}
}

func simEnv(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// TestSimulation runs histories of a cluster in which everything fails.
// TUTTI_SIM_SEEDS says how many, TUTTI_SIM_FIRST from which on; TUTTI_SIM_SEED runs
// that one with its log.
func TestSimulation(t *testing.T) {
	if seed := simEnv("TUTTI_SIM_SEED", 0); seed != 0 {
		if _, err := simulate(seed, os.Stdout); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return
	}
	seeds := simEnv("TUTTI_SIM_SEEDS", 200)
	var next atomic.Uint64
	next.Store(simEnv("TUTTI_SIM_FIRST", 1) - 1)
	last := next.Load() + seeds
	total := make(chan map[string]int, seeds)
	t.Run("seeds", func(t *testing.T) {
		for w := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(w), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= last && !t.Failed(); seed = next.Add(1) {
					s, err := simulate(seed, io.Discard)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
					total <- s.counts
				}
			})
		}
	})
	close(total)
	counts := map[string]int{}
	for c := range total {
		for k, n := range c {
			counts[k] += n
		}
	}
	t.Log(counts)
	for _, k := range []string{
		"opened", "opened away", "restored", "taken", "moved out", "fenced", "away", "hold", "grant",
		"dead granted", "dead refused", "dead replaced",
	} {
		if counts[k] == 0 && seeds >= 100 && !t.Failed() {
			t.Errorf("in %d histories nothing was ever %q", seeds, k)
		}
	}
}

// A seed decides everything, so that a failure can be seen again.
func TestSimulationRepeatsItself(t *testing.T) {
	for seed := range uint64(3) {
		one, err := simulate(seed+1, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		two, err := simulate(seed+1, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if one.trace != two.trace {
			t.Errorf("seed %d: two runs differ", seed+1)
		}
	}
}
