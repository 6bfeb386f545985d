package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is one run of tutti under measurement.
type process struct {
	cmd  *exec.Cmd
	told chan string // the last lines of its log, read when it has ended
}

// startProcess starts a command of tutti and waits until it says that it is
// ready.
func startProcess(ctx context.Context, o options, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, o.binary, args...), told: make(chan string, 1)}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 15 * time.Second
	logs, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s (make build makes it): %w", o.binary, err)
	}
	ready := make(chan error, 2)
	go func() {
		lines, last := bufio.NewScanner(logs), []string(nil)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "msg=ready") {
				ready <- nil
			}
			last = append(last[max(0, len(last)-19):], lines.Text())
		}
		p.told <- strings.Join(last, "\n")
		ready <- errors.New("it ended")
	}()
	select {
	case err = <-ready:
	case <-time.After(20 * time.Second):
		err = errors.New("it took over twenty seconds")
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("tutti %s was not ready: %w: %s", args[0], err, <-p.told)
	}
	return p, nil
}

// stop ends the process in good order.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// end ends the process in good order, and answers an error where it does not end
// so in time.
func (p *process) end(within time.Duration) error {
	late := time.AfterFunc(within, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	p.stop()
	if state := p.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("it ended with %v", state)
	}
	return nil
}

// kill ends it as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) used() (usage, error) { return used(p.cmd.Process.Pid) }

// over measures the process's CPU over a time, in seconds per second.
func (p *process) over(ctx context.Context, d time.Duration) (float64, error) {
	before, err := p.used()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := p.used()
	return (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds(), err
}
