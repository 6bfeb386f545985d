package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// mixRooms are the rooms that the mixer is measured with.
var mixRooms = []struct{ seats, heard int }{{100, 3}, {1000, 8}}

// mixMedia is how much sound a run mixes for each second of measurement: in
// virtual time it takes less than a second.
const mixMedia = 6

// measureMix lets the mixer alone mix, and the bare codecs do what it asked of
// them.
func measureMix(ctx context.Context, o options) error {
	program, clean, err := buildMix(ctx)
	if err != nil {
		return err
	}
	defer clean()
	media := max(time.Second, (mixMedia * o.seconds).Truncate(time.Second)) // whole turns
	fmt.Fprintln(o.out, "Everybody sends real Opus from memory, some of them talk without a pause, the others send their room's noise; each takes its mix,")
	fmt.Fprintln(o.out, "which is counted and dropped. No network and no jitter buffer; virtual time (testing/synctest), so that the room goes as fast as one core does.")
	fmt.Fprintf(o.out, "After each %d ticks of the room, in the same process, libopus alone does once more what the mixer had it do: the same packets, the same\n", mixTurn)
	fmt.Fprintln(o.out, "blocks, in the same order. To keep those is a copy of each block, which counts as the mixer's work.")
	fmt.Fprintf(o.out, "Each run is %v of sound.\n\n", media)
	fmt.Fprintln(o.out, "| seats | talking | decodes, encodes a tick | mixer, CPU s per s of sound | bare libopus | ratio | allocations a tick | packets made a tick | packets/s to each |")
	fmt.Fprintln(o.out, "|---|---|---|---|---|---|---|---|---|")
	for _, r := range mixRooms {
		var all []mixed
		for range o.runs {
			m, err := runMix(ctx, program, r.seats, r.heard, media)
			if err != nil {
				return fmt.Errorf("%d seats: %w", r.seats, err)
			}
			all = append(all, m)
		}
		showMix(o, r.seats, r.heard, all)
	}
	return nil
}

func showMix(o options, seats, heard int, all []mixed) {
	var room, bare, decodes, encodes, allocations, rate series
	for _, m := range all {
		room, bare = append(room, m.Room.Seconds()/m.media()), append(bare, m.Bare.Seconds()/m.media())
		decodes, encodes = append(decodes, m.aTick(m.Decodes)), append(encodes, m.aTick(m.Encodes))
		allocations, rate = append(allocations, m.aTick(m.Allocations)), append(rate, float64(m.Written)/float64(seats)/m.media())
	}
	fmt.Fprintf(o.out, "| %d | %d | %s, %s | %s | %s | %s | %s | %.2f | %s |\n", seats, heard,
		decodes.show(2), encodes.show(2), room.show(4), bare.show(4), ratio(room, bare).show(3), allocations.show(2), encodes.median(), rate.show(1))
}

// buildMix builds the program that mixes: the package's test, as only a test may
// have virtual time.
func buildMix(ctx context.Context) (program string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "tutti-bench-mix-")
	if err != nil {
		return "", nil, err
	}
	program = filepath.Join(dir, "mix.test")
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./bench").CombinedOutput()
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("build the mixer's program: %w: %s", err, out), os.RemoveAll(dir))
	}
	return program, func() { _ = os.RemoveAll(dir) }, nil
}

// runMix measures one room in a process of its own.
func runMix(ctx context.Context, program string, seats, heard int, media time.Duration) (mixed, error) {
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestMix$", "-seats", strconv.Itoa(seats),
		"-heard", strconv.Itoa(heard), "-media", media.String())
	// On one processor: virtual time would have its goroutines change from one to
	// the other at each tick, as real time does not.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return mixed{}, fmt.Errorf("%w: %s", err, out)
	}
	return parseMixed(out)
}

// mixed is what a run of the mixer alone has shown.
type mixed struct {
	Ticks       int
	Room, Bare  time.Duration // CPU time of the process
	Decodes     uint64
	Encodes     uint64
	Allocations uint64
	Written     uint64 // packets, to all who listen
}

// media is how much sound that was, in seconds.
func (m mixed) media() float64 { return float64(m.Ticks) / 50 }

func (m mixed) aTick(n uint64) float64 { return float64(n) / float64(m.Ticks) }

// mixedMark begins the line on which a run says what it has shown.
const mixedMark = "mixed: "

// print writes that line.
func (m mixed) print() error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s%s\n", mixedMark, b)
	return err
}

// parseMixed finds that line in what a run has written.
func parseMixed(out []byte) (m mixed, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), mixedMark); ok {
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				return mixed{}, fmt.Errorf("what the mixer's program has said: %w", err)
			}
			if m.Ticks <= 0 || m.Bare <= 0 {
				return mixed{}, fmt.Errorf("the mixer's program has mixed nothing: %s", text)
			}
			return m, nil
		}
	}
	return mixed{}, fmt.Errorf("the mixer's program has not said what it measured: %s", out)
}
