package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a View waits before it asks a store again that did not answer.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
)

// Boottime reads the clock that all of the cluster's deadlines are told by: the
// time since the machine started. It is not set by anybody, and goes on while
// the machine or the process sleeps.
func Boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("cluster: " + err.Error()) // every Linux since 2.6.39 has it
	}
	return time.Duration(t.Nano())
}

// Run reads the store and watches it until ctx ends, and answers why that ended.
// When the store is lost, it asks again, each time later, at most a second.
func (v *View) Run(ctx context.Context) error {
	whole, lost, wait := true, false, firstRetry
	for {
		err := v.follow(ctx, whole, func() {
			if lost {
				v.log.Info("the store is back", "revision", v.Revision())
			}
			whole, lost, wait = false, false, firstRetry
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		whole = whole || errors.Is(err, ErrCompacted)
		if !lost {
			lost = true
			v.log.Warn("the store is lost", "error", err)
		}
		pause := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
		wait = min(2*wait, lastRetry)
	}
}

// follow reads what the view lacks and watches until the store is lost. there is
// called at each sign of life.
func (v *View) follow(ctx context.Context, whole bool, there func()) error {
	if err := v.catchUp(ctx, whole); err != nil {
		return err
	}
	there()
	return v.store.Watch(ctx, Prefix, v.Revision(), func(u Update) bool {
		v.sign()
		v.update(u)
		there()
		return ctx.Err() == nil
	})
}

// catchUp reads the store: all of it, or only its revision, to see that it is
// still the same store.
func (v *View) catchUp(ctx context.Context, whole bool) error {
	prefix := Prefix
	if !whole {
		prefix = Prefix + "none/"
	}
	entries, revision, err := v.store.Read(ctx, prefix)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	if whole {
		v.replace(entries, revision)
	} else if known := v.Revision(); revision < known {
		return fmt.Errorf("the store is at revision %d, but was at %d: %w", revision, known, ErrCompacted)
	}
	v.sign()
	select {
	case <-v.ready:
	default:
		close(v.ready)
	}
	return nil
}

func (v *View) sign() { v.contact.Store(int64(max(1, v.now()))) }

// finish publishes what a batch changed, gives the lock back, logs and tells the
// subscribers.
func (v *View) finish(b *batch) {
	if b.rooms {
		v.byID.Store(nil)
	}
	if len(b.names) > 0 {
		v.publish(b.names)
	}
	v.mu.Unlock()
	for _, err := range b.skipped {
		v.log.Warn("an entry of the store is skipped", "error", err)
	}
	for _, c := range b.told {
		for _, f := range v.subscribers {
			f(c)
		}
	}
}

// publish makes the nodes of the given names anew, in new slices.
func (v *View) publish(names map[string]bool) {
	all := make([]*Node, 0, len(v.parts))
	for _, n := range *v.all.Load() {
		if !names[n.Member.Name] {
			all = append(all, n)
		}
	}
	for name := range names {
		if n := v.node(name); n != nil {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *Node) int { return strings.Compare(a.Member.Name, b.Member.Name) })
	var nodes []*Node
	for _, n := range all {
		if n.Member.Role == NodeRole {
			nodes = append(nodes, n)
		}
	}
	v.all.Store(&all)
	v.nodes.Store(&nodes)
}

// node makes a Node of what is known of a name; nil if it neither is a member nor
// lives.
func (v *View) node(name string) *Node {
	p := v.parts[name]
	if p == nil || p.member == nil && p.live == nil {
		return nil
	}
	n := &Node{
		MemberModified: p.memberModified, Live: p.live, LiveModified: p.liveModified,
		Load: p.load, Order: p.order, OrderModified: p.orderModified,
	}
	if p.member != nil {
		n.Member = *p.member
	} else {
		n.Member = Member{Name: name, Role: p.live.Role, Address: p.live.Address, Since: p.live.Since, Incarnation: p.live.Incarnation}
	}
	i := n.Member.Incarnation
	if p.live != nil {
		i = p.live.Incarnation
	}
	_, n.Dead = v.deaths[deathOf{name, i}]
	return n
}
