package link

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// relays are what connects sides around the link.
type relays struct {
	work sync.WaitGroup // one for each in open

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]bool // listeners and connections
}

// Relay takes TCP connections at an address on one side and connects each to
// one on another (or the same) side, around the link, as if there were a good
// network besides: for what controls a test. It answers the address, whose port
// is chosen if it was 0, and ends with the link.
func (l *Link) Relay(on Side, address string, to Side, target string) (net.Addr, error) {
	ln, err := l.Listen(on, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("link: relay: %w", err)
	}
	r := &l.relays
	if !r.add(ln) {
		return nil, fmt.Errorf("link: relay: %w", net.ErrClosed)
	}
	go func() {
		defer r.done(ln)
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			if r.add(in) {
				go func() {
					defer r.done(in)
					l.connect(in, to, target)
				}()
			}
		}
	}()
	return ln.Addr(), nil
}

// dialWait is how long a relay tries to reach its target.
const dialWait = 5 * time.Second

// connect connects to the target and copies both ways until both ends have said
// all.
func (l *Link) connect(in net.Conn, to Side, target string) {
	ctx, cancel := context.WithTimeout(context.Background(), dialWait)
	defer cancel()
	out, err := l.DialContext(ctx, to, "tcp", target)
	if err != nil || !l.relays.add(out) {
		return // and in is closed
	}
	defer l.relays.done(out)
	var back sync.WaitGroup
	back.Go(func() { pour(in, out) })
	pour(out, in)
	back.Wait()
}

// pour copies from one connection to another and passes on its end.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
	} else if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // or the other has gone
	}
}

// add keeps what is to be closed with the link, until done is called with it. If
// the link is closed it closes it at once.
func (r *relays) add(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return false
	}
	if r.open == nil {
		r.open = map[io.Closer]bool{}
	}
	r.open[c] = true
	r.work.Add(1)
	return true
}

// done closes what was added.
func (r *relays) done(c io.Closer) {
	r.mu.Lock()
	delete(r.open, c)
	r.mu.Unlock()
	c.Close()
	r.work.Done()
}

// close closes all and waits until all are done.
func (r *relays) close() {
	r.mu.Lock()
	r.closed = true
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}
