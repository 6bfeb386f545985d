// Command bench measures what Tutti costs and how fast it is, beside the bare
// codecs, ffmpeg and Janus in the same run. It starts the server of bin/tutti
// on free loopback ports, puts real WebRTC clients into it, and reads what the
// server process used.
//
//	go run ./bench               everything, as Markdown on standard output
//	go run ./bench -only room    one part
//	go run ./bench -write        also into bench/results
//
// All load stays on this host, is bounded in count and time, and ends with the
// program. Where the kernel lets it, the load runs before other processes, since
// real clients have machines of their own. Janus (package janus) offers no
// loopback address; it and its clients use the host's own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the parts share.
type options struct {
	binary  string        // of tutti
	cache   string        // a folder for clips
	seconds time.Duration // of one measurement
	runs    int
	outage  time.Duration // how long the store is away
	fences  int           // how often a node is stopped or cut off
	kills   int           // how often a node dies
	out     io.Writer
}

// part is one table.
type part struct {
	name, about string
	run         func(context.Context, options) error
}

var parts = []part{
	{"room", "four people at 640x360@30 become one 720p stream", measureRoom},
	{"delay", "what the server adds to the sound's delay", measureDelay},
	{"joins", "from the offer to the first sound and picture", measureJoins},
	{"path", "a hundred on the media plane alone, and on pion's own path", measurePath},
	{"crowd", "fifty in a room of sound, three talking", measureCrowd},
	{"janus", "a hundred in a room of sound, three talking, beside Janus AudioBridge", measureJanus},
	{"hall", "four hundred in a room of sound, three talking", measureHall},
	{"quiet", "two hundred rooms of two who are silent", measureQuiet},
	{"mix", "the mixer alone, in virtual time, beside the bare libopus", measureMix},
	{"jitter", "packets that come in with 100 ms of jitter", measureJitter},
	{"repair", "speech to libwebrtc over a link that loses", measureRepair},
	{"viewers", "three hundred watch one room", measureViewers},
	{"hostile", "a hundred thousand hostile datagrams a second", measureHostile},
	{"idle", "a thousand empty rooms", measureIdle},
	{"hop", "what the router adds to a request, beside NginX and HAProxy", measureHop},
	{"failover", "a node dies with five rooms and twenty people", measureFailover},
	{"drain", "a node with ten live rooms is drained", measureDrain},
	{"rolling", "all nodes are replaced one after the other", measureRolling},
	{"leader", "the leader of three stores dies under requests", measureLeader},
	{"outage", "the only store is away for a while", measureOutage},
	{"fence", "a node is stopped or cut off for longer than its lease", measureFence},
	{"storm", "650 clients come back at once", measureStorm},
	{"placement", "simulated rooms on ten nodes, and what a decision takes", measurePlacement},
}

func main() {
	o := options{out: os.Stdout}
	only := flag.String("only", "", "comma-separated parts: "+names())
	write := flag.Bool("write", false, "write each part's table to bench/results as well")
	flag.StringVar(&o.binary, "tutti", "bin/tutti", "the program to measure")
	flag.StringVar(&o.cache, "cache", ".cache/bench", "folder for clips")
	flag.DurationVar(&o.seconds, "time", 20*time.Second, "length of one measurement")
	flag.IntVar(&o.runs, "runs", 3, "measurements of which the median counts")
	flag.DurationVar(&o.outage, "outage", time.Minute, "how long the store is away in outage")
	flag.IntVar(&o.kills, "kills", 50, "how often a node dies in failover")
	flag.IntVar(&o.fences, "fences", 200, "how often a node is stopped or cut off in fence")
	floor := flag.String("floor", "", "only run the bare codecs on these clips, and print their share: what room does by itself")
	path := flag.String("path", "", "only serve participants on plane or pion: what path does by itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *path != "" {
		if err := servePath(ctx, *path); err != nil {
			fmt.Fprintln(os.Stderr, "bench: path:", err)
			os.Exit(1)
		}
		return
	}
	if *floor != "" {
		share, err := bareCodecs(ctx, strings.Split(*floor, ","), o.seconds)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: bare codecs:", err)
			os.Exit(1)
		}
		fmt.Println(share)
		return
	}
	if err := runParts(ctx, o, *only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names() string {
	var list []string
	for _, p := range parts {
		list = append(list, p.name)
	}
	return strings.Join(list, ",")
}

func runParts(ctx context.Context, o options, only string, write bool) error {
	for _, name := range strings.Split(only, ",") {
		if name != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("no part %q; there are %s", name, names())
		}
	}
	for _, p := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		if err := runPart(ctx, o, p, write); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func runPart(ctx context.Context, o options, p part, write bool) error {
	var text strings.Builder
	o.out = io.MultiWriter(o.out, &text)
	fmt.Fprintf(o.out, "# %s: %s\n\n", p.name, p.about)
	fmt.Fprintf(o.out, "`make bench BENCH='-only %s -time %v -runs %d'`, %s, %d CPUs, %s, %s.\n",
		p.name, o.seconds, o.runs, cpu(), runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(o.out, "CPU is user and system time; figures are medians, in brackets least and most.\n\n")
	if err := p.run(ctx, o); err != nil {
		return err
	}
	fmt.Fprintln(o.out)
	if !write {
		return nil
	}
	return os.WriteFile(filepath.Join("bench", "results", p.name+".md"), []byte(text.String()), 0o644)
}

// cpu answers the processor's name.
func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// series is the outcomes of several runs.
type series []float64

func (s series) sorted() series {
	c := slices.Clone(s)
	slices.Sort(c)
	return c
}

// median answers the middle outcome, the mean of two where they are even.
func (s series) median() float64 {
	c := s.sorted()
	if len(c) == 0 {
		return 0
	}
	return (c[(len(c)-1)/2] + c[len(c)/2]) / 2
}

// percentile answers the smallest outcome that p percent do not exceed.
func (s series) percentile(p int) float64 {
	c := s.sorted()
	if len(c) == 0 {
		return 0
	}
	return c[min(len(c)-1, (len(c)*p+99)/100-1)]
}

// show writes median and range with so many digits.
func (s series) show(digits int) string {
	c := s.sorted()
	if len(c) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.median(), digits, c[0], digits, c[len(c)-1])
}

// ratio answers a/b pair by pair.
func ratio(a, b series) series {
	var r series
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]/b[i])
	}
	return r
}
