package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	drainRooms  = 10
	drainPeople = 4 // in each
)

// measureDrain drains a node with ten live rooms, and looks how long each
// person hears nobody meanwhile.
func measureDrain(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{nodes: []string{"a", "b", "c"}, rules: pinned})
	if err != nil {
		return err
	}
	defer c.stop()
	var people []*visitor
	defer func() { leaveAll(people) }()
	for r := range drainRooms {
		room := fmt.Sprintf("a-%d", r)
		if err := c.put(ctx, room, map[string]any{"empty_timeout_s": 0}); err != nil {
			return err
		}
		some, err := c.visit(ctx, room, drainPeople)
		people = append(people, some...)
		if err != nil {
			return err
		}
	}
	var took, gaps series
	for range o.runs {
		one, err := c.drainOnce(ctx, people)
		if err != nil {
			return err
		}
		took = append(took, one)
		for _, v := range people {
			gaps = append(gaps, v.gap(v.begin(), time.Now()).Seconds()*1000)
		}
		if err := c.undrain(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.out, "A node with %d rooms of %d people with sound is drained, %d times; each time the rooms are on it again before.\nA gap is the longest time in which a person hears nobody else, in what their client plays.\n\n", drainRooms, drainPeople, o.runs)
	fmt.Fprintf(o.out, "| all rooms moved, s | gap median ms | gap p95 ms | worst ms | client errors |\n|---|---|---|---|---|\n| %s | %.0f | %.0f | %.0f | 0 |\n",
		took.show(1), gaps.median(), gaps.percentile(95), gaps.percentile(100))
	return nil
}

// begin answers when the visitor was heard first since the last forget.
func (v *visitor) begin() time.Time { return v.since(time.Time{}) }

// drainOnce answers how long it took until the node had no room left, in
// seconds.
func (c *cluster) drainOnce(ctx context.Context, people []*visitor) (float64, error) {
	if at, err := c.roomsOn(ctx, "a"); err != nil || at != drainRooms {
		return 0, fmt.Errorf("%d rooms are on the node: %w", at, err)
	}
	for _, v := range people {
		v.forget()
	}
	if err := sleep(ctx, time.Second); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := c.order(ctx, "a", "draining"); err != nil {
		return 0, err
	}
	for {
		at, err := c.roomsOn(ctx, "a")
		if err != nil {
			return 0, err
		}
		if at == 0 {
			break
		}
		if time.Since(start) > 90*time.Second {
			return 0, fmt.Errorf("%d rooms are on the node after 90 s", at)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	took := time.Since(start).Seconds()
	if err := sleep(ctx, 2*time.Second); err != nil { // until the last have moved on
		return 0, err
	}
	for i, v := range people {
		if err := v.await(ctx, time.Now(), 2*time.Second); err != nil {
			return 0, fmt.Errorf("person %d: %w", i, err)
		}
	}
	return took, nil
}

// undrain brings the rooms back to node a, by draining the others.
func (c *cluster) undrain(ctx context.Context) error {
	if err := c.order(ctx, "a", "active"); err != nil {
		return err
	}
	for _, other := range []string{"b", "c"} {
		if err := c.order(ctx, other, "draining"); err != nil {
			return err
		}
	}
	for range 600 {
		if at, err := c.roomsOn(ctx, "a"); err != nil || at == drainRooms {
			break
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	for _, other := range []string{"b", "c"} {
		if err := c.order(ctx, other, "active"); err != nil {
			return err
		}
	}
	return nil
}

// order tells the router what is wanted of a node.
func (c *cluster) order(ctx context.Context, node, state string) error {
	body := fmt.Appendf(nil, `{"state":%q}`, state)
	_, _, err := roundTrip(ctx, http.MethodPatch, c.url+"/v1/nodes/"+node, "application/merge-patch+json", body)
	return err
}

// roomsOn answers how many rooms the node itself says it has, those on their way
// out included.
func (c *cluster) roomsOn(ctx context.Context, node string) (int, error) {
	rooms, err := c.listRooms(ctx, c.nodes[node].url)
	return len(rooms), err
}
