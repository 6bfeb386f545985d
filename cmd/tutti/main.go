// Command tutti is a media mixing server: everybody in a room sends one sound
// and one picture and receives one sound and one picture. tutti help tells its
// commands; serve is the server.
//
// Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration,
// which one line names.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	done = iota
	failed
	misused
)

func main() { os.Exit(run(os.Args[1:])) }

// run runs the command that the arguments name and answers the exit code.
func run(args []string) int {
	// The first signal ends what runs in good order; the second has its usual
	// effect, and ends the program now.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	var c cli
	parser, err := kong.New(&c, kong.Name("tutti"), kong.Description(description), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic(err) // the tags of cli are wrong
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "tutti: %v (tutti --help tells more)\n", err)
		return misused
	}
	err = command.Run(&c.globals)
	if err == nil {
		return done
	}
	fmt.Fprintln(os.Stderr, "tutti:", err)
	if key := new(KeyError); errors.As(err, &key) {
		return misused
	}
	return failed
}
