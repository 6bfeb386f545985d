package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errNoPerf is that this machine has no perf, or that it may not look.
var errNoPerf = errors.New("no profile, as perf (package linux-perf) cannot be used here")

// frame is one function of a stack.
type frame struct{ function, object string }

// work is a kind of work, and what tells it.
type work struct {
	name string
	is   func(frame) bool
}

// works are the kinds of work. A stack is of the first kind that one of its
// functions belongs to.
var works = []work{
	{"system calls that send or receive", func(f frame) bool {
		return f.kernel() && contains(f.function, "sys_sendm", "sys_recvm", "sys_sendto", "sys_recvfrom", "sys_write", "sys_read")
	}},
	{"kernel besides: waiting, waking, switching", frame.kernel},
	{"Opus", func(f frame) bool {
		return contains(f.object, "libopus") || contains(f.function, "opus_", "codec/opus.")
	}},
	{"SRTP", func(f frame) bool { return contains(f.function, "pion/srtp", "crypto/", "replaydetector") }},
	{"garbage collection", func(f frame) bool {
		return contains(f.function, "runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.gcAssist")
	}},
	{"jitter buffers", func(f frame) bool { return contains(f.function, "transport/jitter.") }},
	{"mixer", func(f frame) bool { return contains(f.function, "tutti/mixer") }},
	{"media plane and sessions", func(f frame) bool { return contains(f.function, "tutti/transport", "github.com/pion/") }},
	{"Go's scheduler", func(f frame) bool { return contains(f.function, "runtime.") }},
	{"all else", func(frame) bool { return true }},
}

// kernel reports whether the function is the kernel's or one of its modules'.
func (f frame) kernel() bool { return strings.HasPrefix(f.object, "[") && f.object != "[vdso]" }

func contains(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}

// workOf answers the index in works of what a stack, innermost function first,
// was doing.
func workOf(stack []frame) int {
	return slices.IndexFunc(works, func(w work) bool { return slices.ContainsFunc(stack, w.is) })
}

// profile tells where a process's CPU goes for a time: each kind of work with
// its share, the greatest first.
func profile(ctx context.Context, pid int, d time.Duration) (string, error) {
	dir, err := os.MkdirTemp("", "tutti-bench-perf-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "perf.data")
	out, err := exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-g", "-p", strconv.Itoa(pid), "-o", data,
		"--", "sleep", strconv.FormatFloat(d.Seconds(), 'f', 1, 64)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %w: %s", errNoPerf, err, out)
	}
	text, err := exec.CommandContext(ctx, "perf", "script", "-i", data, "-F", "ip,sym,dso").Output()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoPerf, err)
	}
	return shares(parseStacks(text)), nil
}

// shares writes how many of the stacks are of each kind.
func shares(stacks [][]frame) string {
	count := make([]int, len(works))
	for _, s := range stacks {
		count[workOf(s)]++
	}
	order := make([]int, len(works))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(count[b], count[a]) })
	var words []string
	for _, i := range order {
		if count[i] > 0 {
			words = append(words, fmt.Sprintf("%s %.0f %%", works[i].name, 100*float64(count[i])/float64(len(stacks))))
		}
	}
	return fmt.Sprintf("%s (%d samples)", strings.Join(words, ", "), len(stacks))
}

// parseStacks reads what perf script writes: for each sample a line for each
// function, address, name and (object), innermost first, and an empty line. Names
// may hold blanks.
func parseStacks(text []byte) (stacks [][]frame) {
	var stack []frame
	end := func() {
		if len(stack) > 0 {
			stacks = append(stacks, stack)
		}
		stack = nil
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			end()
			continue
		}
		_, rest, _ := strings.Cut(line, " ")
		function, object := rest, ""
		if i := strings.LastIndex(rest, " ("); i >= 0 {
			function, object = rest[:i], strings.TrimSuffix(rest[i+2:], ")")
		}
		stack = append(stack, frame{strings.TrimSpace(function), object})
	}
	end()
	return stacks
}
