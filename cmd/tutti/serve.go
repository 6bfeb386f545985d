package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"tutti/api/cluster"
)

// gcPercent lets the garbage collector run twice as often as Go's default: what
// a room keeps is pictures, tens of megabytes that hold no pointers, and the
// loops allocate so little that the CPU does not notice. GOGC has the last word.
const gcPercent = 50

// serve runs the server, by itself or as a node of a cluster, until ctx ends, and
// then in good order to its end.
func serve(ctx context.Context, c Config, clustered bool, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	checks := c.keyChecks()
	if clustered {
		checks = append(checks, c.memberChecks(cluster.NodeRole)...)
	}
	if err := first(checks); err != nil {
		return err
	}
	for _, f := range c.Fonts {
		if _, err := os.Stat(f); err != nil {
			log.Warn("a font is missing; names may lack letters", "font", f)
		}
	}
	encrypted, err := encryption(ctx, c.TLS, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return taken("http", c.HTTP, err)
	}
	n, err := newNode(c, listener.Addr(), clustered, log)
	if err != nil {
		return errors.Join(taken("udp", c.UDP, err), listener.Close())
	}
	if c.Dev {
		log.Warn("this is for development: whoever reaches this machine's loopback needs no token")
	}
	served := make(chan error, 1)
	go func() { served <- serveHTTP(n.http, listener, encrypted) }()
	if err = n.join(ctx); err == nil {
		log.Info("ready", "http", listener.Addr().String(), "page", c.page(listener.Addr()),
			"udp", strings.Join(n.gateway.Addresses(), ","), "node", c.nodeName(), "data", c.Data)
		err = n.wait(ctx, served, log)
	}
	err = errors.Join(err, n.shutdown(time.Duration(c.DrainS)*time.Second, log))
	log.Info("stopped")
	return err
}

// join takes the node's place in its cluster, if it is of one.
func (n *node) join(ctx context.Context) error {
	if n.member == nil {
		return nil
	}
	n.member.run()
	return n.member.joined(ctx)
}

// wait waits until ctx ends, and then lets the rooms move away where there is a
// cluster; or until something has ended by itself, and answers why.
func (n *node) wait(ctx context.Context, served <-chan error, log *slog.Logger) error {
	var failed <-chan error
	if n.member != nil {
		failed = n.member.failed
	}
	select {
	case err := <-served:
		return err
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if n.member != nil {
		n.member.moveAway(func() int { return len(n.rooms.List()) })
	}
	log.Info("draining; a second signal ends now", "within_s", n.drainS)
	return nil
}

// taken says in plain words that an address belongs to another program.
func taken(key, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is taken by another program; stop it, or set another address: %w", key, address, err)
	}
	return err
}

// page answers the address of the web page as somebody on this machine types
// it.
func (c *Config) page(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return c.scheme() + net.JoinHostPort(host, port) + "/"
}

// shutdown ends the node within a time, of which each step may take a share:
// all steps run, whatever becomes of those before them, and the first error
// wins.
func (n *node) shutdown(within time.Duration, log *slog.Logger) error {
	n.rooms.Drain(true) // not ready from here on, and everybody is told why
	if n.member != nil {
		n.leaveCluster(log)
	}
	var first error
	for _, step := range []struct {
		name  string
		share time.Duration // in tenths
		run   func(context.Context) error
	}{
		{"close the rooms", 3, n.rooms.Close},
		{"complete the recordings", 3, n.recordings.Close},
		{"end the forwarders", 1, n.forwarders.Close},
		{"close the sessions", 1, n.gateway.Close},
		{"close http", 2, n.closeHTTP},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), within*step.share/10)
		err := step.run(ctx)
		cancel()
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", step.name, err)
		log.Error("shutdown", "error", err)
		if first == nil {
			first = err
		}
	}
	return first
}

// leaveCluster closes what rooms are left, so that other nodes may have them.
func (n *node) leaveCluster(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), n.member.config.lease())
	defer cancel()
	if err := n.member.leave(ctx); err != nil {
		log.Warn("this node's place in the cluster ends with its lease", "error", err)
	}
}

// closeHTTP ends the streams, which a server waits for, then lets the other
// requests end, and gives up what they read from.
func (n *node) closeHTTP(ctx context.Context) error {
	n.api.Close()
	err := n.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, n.http.Close())
	}
	return errors.Join(err, n.sounds.folder.Close())
}
