package main

import (
	"context"
	"fmt"
	"time"
)

const (
	failoverRooms  = 5
	failoverPeople = 4 // in each
)

// pinned lets rooms whose name begins with a node's go there, as long as it is
// there, and all others anywhere.
const pinned = `rules:
  - name: at-a
    match: {room: "a-*"}
    pool: {require: {host: a}}
    on_empty: next
  - name: anywhere
`

// measureFailover kills a node with five rooms and twenty people, again and
// again, and notes when each of them hears others again.
func measureFailover(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"a", "b", "c"}, rules: pinned})
	if err != nil {
		return err
	}
	defer c.stop()
	var again series
	for n := range o.kills {
		one, err := c.killOnce(ctx, n)
		if err != nil {
			return fmt.Errorf("killing %d: %w", n+1, err)
		}
		again = append(again, one...)
	}
	fmt.Fprintf(o.out, "A node with %d rooms of %d people with sound is killed (SIGKILL), %d times; the rooms go to two other nodes. From the\nkill until each of them hears others again, by what its client plays.\n\n", failoverRooms, failoverPeople, o.kills)
	fmt.Fprintf(o.out, "| sound again | median s | p95 s | worst s |\n|---|---|---|---|\n| %d people | %.2f | %.2f | %.2f |\n",
		len(again), again.median(), again.percentile(95), again.percentile(100))
	return nil
}

// killOnce lets people into fresh rooms on node a, kills it, and answers how
// long each was without sound, in seconds. Then the node is there again.
func (c *cluster) killOnce(ctx context.Context, n int) (series, error) {
	var people []*visitor
	defer func() { leaveAll(people) }()
	for r := range failoverRooms {
		room := fmt.Sprintf("a-%d-%d", n, r)
		if err := c.put(ctx, room, map[string]any{"empty_timeout_s": 5}); err != nil {
			return nil, err
		}
		some, err := c.visit(ctx, room, failoverPeople)
		people = append(people, some...)
		if err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, time.Second); err != nil {
		return nil, err
	}
	if at, err := c.roomsOn(ctx, "a"); err != nil || at < failoverRooms {
		return nil, fmt.Errorf("%d rooms are on the node: %w", at, err)
	}
	killed := time.Now()
	c.nodes["a"].kill()
	var took series
	for i, v := range people {
		// What was on its way when the process died is heard yet; nobody is back so soon.
		silent := killed.Add(100 * time.Millisecond)
		if err := v.await(ctx, silent, 15*time.Second); err != nil {
			return nil, fmt.Errorf("person %d: %w", i, err)
		}
		took = append(took, v.since(silent).Sub(killed).Seconds())
	}
	return took, c.startNode(ctx, "a")
}
