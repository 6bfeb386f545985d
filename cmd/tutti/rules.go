package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tutti/api/cluster"
	"tutti/api/router/rules"
)

// settling is how long after a router's start all nodes should have registered.
const settling = 10 * time.Second

// doubt says which labels rules ask for that none of the nodes has: a mistake,
// or nodes that are still to come.
func doubt(r *rules.Rules, nodes []*cluster.Node, log *slog.Logger) {
	var labels []map[string]string
	for _, n := range nodes {
		if n.Live != nil {
			labels = append(labels, n.Live.Labels)
		}
	}
	if unknown := r.Unknown(labels); len(unknown) > 0 {
		log.Warn("no node has a label that a rule asks for", "labels", unknown)
	}
}

// rulesFile is the file of a router's rules; without one any node takes any room.
type rulesFile struct {
	path string
	seen []fileVersion
}

// read answers the rules of the file.
func (f *rulesFile) read() (*rules.Rules, error) {
	if f.path == "" {
		return rules.Default(), nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	r, err := rules.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return r, nil
}

// openRules reads the rules for the first time.
func openRules(path string) (*rulesFile, *rules.Rules, error) {
	f := &rulesFile{path: path, seen: look([]string{path})}
	r, err := f.read()
	if err != nil {
		return nil, nil, &KeyError{Key: "router.rules", Reason: "cannot be used: " + oneLine(err)}
	}
	return f, r, nil
}

// follow gives the rules to set whenever the file changes, and at SIGHUP, until
// ctx ends. Rules that are wrong are logged, and those before them stay.
func (f *rulesFile) follow(ctx context.Context, set func(*rules.Rules), log *slog.Logger) {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	if f.path == "" {
		<-ctx.Done() // there is nothing to read again, but a signal ends nothing either
		return
	}
	follow(ctx, []string{f.path}, f.seen, hangUps, func() error {
		r, err := f.read()
		if err == nil {
			set(r)
		}
		return err
	}, log)
}
