package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	outageRate  = 50 // requests a second
	outageRooms = 20
	killedStore = 5 // times
)

// measureLeader kills the leader of three stores under requests, and looks
// whether those for known rooms fail and how long new rooms take.
func measureLeader(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"a", "b"}, apart: 3})
	if err != nil {
		return err
	}
	defer c.stop()
	for r := range outageRooms {
		if err := c.put(ctx, fmt.Sprintf("known-%d", r), map[string]any{"empty_timeout_s": 0}); err != nil {
			return err
		}
	}
	var known, made series
	failed := 0
	for n := range killedStore {
		leader, err := c.leader(ctx)
		if err != nil {
			return err
		}
		killed := time.AfterFunc(3*time.Second, c.stores[leader].kill)
		a, b, bad := c.ask(ctx, fmt.Sprint(n), 8*time.Second)
		killed.Stop()
		known, made, failed = append(known, a...), append(made, b...), failed+bad
		if err := c.startStore(ctx, leader); err != nil {
			return err
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.out, "%d requests a second for known rooms and 5 for new ones, for 8 s; after 3 s the leader of three stores is killed (SIGKILL); %d times.\n\n", outageRate, killedStore)
	fmt.Fprintf(o.out, "| requests | number | failed | median ms | p99 ms | slowest ms |\n|---|---|---|---|---|---|\n")
	fmt.Fprintf(o.out, "| for known rooms | %d | %d | %.1f | %.1f | %.1f |\n", len(known)+failed, failed, known.median(), known.percentile(99), known.percentile(100))
	fmt.Fprintf(o.out, "| new rooms | %d | %d | %.1f | %.1f | %.1f |\n", len(made), 0, made.median(), made.percentile(99), made.percentile(100))
	return nil
}

// leader answers which store leads.
func (c *cluster) leader(ctx context.Context) (int, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: c.storeAt, DialTimeout: 2 * time.Second, Context: ctx})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for i, url := range c.storeAt {
		s, err := client.Status(ctx, url)
		if err != nil {
			return 0, err
		}
		if s.Leader == s.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no store leads")
}

// ask makes requests for a while, each when it is due, and answers how long
// those for known and for new rooms took, in milliseconds, and how many for known
// rooms failed. A new room that is refused for the moment is asked for again, as
// clients do; its time goes on.
func (c *cluster) ask(ctx context.Context, prefix string, d time.Duration) (known, made series, failed int) {
	var mu sync.Mutex
	var work sync.WaitGroup
	start := time.Now()
	for n := range int(d.Seconds() * outageRate) {
		due := start.Add(time.Duration(n) * time.Second / outageRate)
		if sleep(ctx, time.Until(due)) != nil {
			break
		}
		work.Go(func() {
			_, _, err := roundTrip(ctx, http.MethodGet, fmt.Sprintf("%s/v1/rooms/known-%d", c.url, n%outageRooms), "", nil)
			took := float64(time.Since(due)) / float64(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				return
			}
			known = append(known, took)
		})
		if n%10 != 0 {
			continue
		}
		work.Go(func() {
			for c.put(ctx, fmt.Sprintf("new-%s-%d", prefix, n), map[string]any{"empty_timeout_s": 1}) != nil && ctx.Err() == nil && time.Since(due) < 30*time.Second {
				_ = sleep(ctx, 50*time.Millisecond)
			}
			took := float64(time.Since(due)) / float64(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			made = append(made, took)
		})
	}
	work.Wait()
	return known, made, failed
}

// measureOutage stops the only store for -outage, and looks whether anybody
// notices.
func measureOutage(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"a", "b", "c"}, apart: 1})
	if err != nil {
		return err
	}
	defer c.stop()
	var people []*visitor
	defer func() { leaveAll(people) }()
	for r := range 6 {
		room := fmt.Sprintf("known-%d", r)
		if err := c.put(ctx, room, map[string]any{"empty_timeout_s": 0}); err != nil {
			return err
		}
		some, err := c.visit(ctx, room, 2)
		people = append(people, some...)
		if err != nil {
			return err
		}
	}
	for _, v := range people {
		v.forget()
	}
	begin := time.Now()
	c.stores[0].kill()
	if err := sleep(ctx, o.outage/2); err != nil {
		return err
	}
	joined := time.Now()
	late, err := c.visit(ctx, "known-0", 2)
	people = append(people, late...)
	if err != nil {
		return fmt.Errorf("join a known room: %w", err)
	}
	joins := time.Since(joined)
	made := time.Now()
	fresh, err := c.visit(ctx, "new-0", 2)
	people = append(people, fresh...)
	if err != nil {
		return fmt.Errorf("join a new room: %w", err)
	}
	news := time.Since(made)
	if err := sleep(ctx, time.Until(begin.Add(o.outage))); err != nil {
		return err
	}
	back := time.Now()
	if err := c.startStore(ctx, 0); err != nil {
		return err
	}
	whole, err := c.whole(ctx, 7)
	if err != nil {
		return err
	}
	end := time.Now()
	var gaps series
	for _, v := range people[:12] {
		gaps = append(gaps, v.gap(v.begin(), end).Seconds()*1000)
	}
	fmt.Fprintf(o.out, "The only store is killed for %v, with 6 rooms of 2 people on 3 nodes. Halfway two more join one of these rooms, and two a new one.\n\n", o.outage)
	fmt.Fprintf(o.out, "| longest time in which anybody heard nobody, ms | two join a known room, s | a new one, s | processes restarted | whole again after its start, s |\n|---|---|---|---|---|\n")
	fmt.Fprintf(o.out, "| %.0f | %.2f | %.2f | 0 | %.1f |\n", gaps.percentile(100), joins.Seconds(), news.Seconds(), whole.Sub(back).Seconds())
	return nil
}

// whole waits until all nodes are active and so many rooms are in the
// directory, and answers when that was; every process must be the one that was
// started.
func (c *cluster) whole(ctx context.Context, rooms int) (time.Time, error) {
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		nodes, _, err := roundTrip(ctx, http.MethodGet, c.url+"/v1/nodes", "", nil)
		if err != nil {
			return time.Time{}, err
		}
		client, err := clientv3.New(clientv3.Config{Endpoints: c.storeAt, DialTimeout: 2 * time.Second, Context: ctx})
		if err != nil {
			return time.Time{}, err
		}
		got, err := client.Get(ctx, "/tutti/1/rooms/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		_ = client.Close()
		if err == nil && int(got.Count) >= rooms && strings.Count(string(nodes), `"state":"active"`) == len(c.nodes) {
			return time.Now(), c.alive()
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, errors.New("the cluster is not whole after a minute")
}

// alive answers an error where a node or the router has ended.
func (c *cluster) alive() error {
	for name, n := range c.nodes {
		if _, err := n.used(); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	_, err := c.router.used()
	return err
}
