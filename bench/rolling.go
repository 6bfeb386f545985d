package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	rollingRooms  = 6
	rollingPeople = 3 // in each
)

// patientWithNode is how long a node that is told to end may take to move its
// rooms and end; its own limit is cluster.drain_s, a minute.
const patientWithNode = 90 * time.Second

// replaced is what a node's replacement took.
type replaced struct {
	rooms       int     // that were on it
	ended, back float64 // seconds from the signal until the process had ended and until its successor was ready
	gaps        series  // the longest of each person in those rooms, in ms
}

// measureRolling replaces all nodes of a cluster one after the other, as an
// upgrade does, while people are in their rooms.
func measureRolling(ctx context.Context, o options) error {
	nodes := []string{"a", "b", "c"}
	c, err := startCluster(ctx, o, clusterOptions{nodes: nodes})
	if err != nil {
		return err
	}
	defer c.stop()
	people := map[string][]*visitor{}
	defer func() {
		for _, some := range people {
			leaveAll(some)
		}
	}()
	for r := range rollingRooms {
		room := fmt.Sprintf("r-%d", r)
		if err := c.put(ctx, room, map[string]any{"empty_timeout_s": 0}); err != nil {
			return err
		}
		people[room], err = c.visit(ctx, room, rollingPeople)
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(o.out, "Each of %d nodes is told to end (SIGTERM), waited for and started again, %d times, while %d rooms of %d people with sound\ngo on. Times are from the signal. A gap is the longest time in which a person whose room was there hears nobody else, in what\ntheir client plays; nobody's visit ended.\n\n", len(nodes), o.runs, rollingRooms, rollingPeople)
	fmt.Fprintf(o.out, "| node | rooms | ended after s | replaced after s | gap median ms | gap p95 ms | worst ms |\n|---|---|---|---|---|---|---|\n")
	var all series
	for range o.runs {
		for _, name := range nodes {
			r, err := c.replace(ctx, name, people)
			if err != nil {
				return fmt.Errorf("node %s: %w", name, err)
			}
			all = append(all, r.gaps...)
			fmt.Fprintf(o.out, "| %s | %d | %.1f | %.1f | %s |\n", name, r.rooms, r.ended, r.back, r.gaps.gapCells())
		}
	}
	fmt.Fprintf(o.out, "| all | | | | %s |\n", all.gapCells())
	return nil
}

// gapCells writes gaps in ms as three cells of a table.
func (s series) gapCells() string {
	if len(s) == 0 {
		return "- | - | -"
	}
	return fmt.Sprintf("%.0f | %.0f | %.0f", s.median(), s.percentile(95), s.percentile(100))
}

// replace ends a node in good order, starts it again, and looks how everybody
// fared meanwhile. people are by room.
func (c *cluster) replace(ctx context.Context, name string, people map[string][]*visitor) (replaced, error) {
	here, err := c.listRooms(ctx, c.nodes[name].url)
	if err != nil {
		return replaced{}, err
	}
	for _, some := range people {
		for _, v := range some {
			v.forget()
		}
	}
	if err := sleep(ctx, time.Second); err != nil {
		return replaced{}, err
	}
	r, start := replaced{rooms: len(here)}, time.Now()
	if err := c.nodes[name].end(patientWithNode); err != nil {
		return r, err
	}
	r.ended = time.Since(start).Seconds()
	if err := c.startNode(ctx, name); err != nil {
		return r, err
	}
	r.back = time.Since(start).Seconds()
	if err := sleep(ctx, 2*time.Second); err != nil { // until the last have moved on
		return r, err
	}
	for room, some := range people {
		for i, v := range some {
			if err := v.await(ctx, time.Now(), 2*time.Second); err != nil {
				return r, fmt.Errorf("person %d of %s: %w", i, room, err)
			}
		}
	}
	for _, room := range here {
		for _, v := range people[room] {
			r.gaps = append(r.gaps, v.gap(v.begin(), time.Now()).Seconds()*1000)
		}
	}
	if all, err := c.listRooms(ctx, c.url); err != nil || len(all) != len(people) {
		return r, errors.Join(err, fmt.Errorf("the rooms are now %v", all))
	}
	return r, nil
}

// listRooms answers the rooms that a node or the router tells of.
func (c *cluster) listRooms(ctx context.Context, url string) ([]string, error) {
	body, _, err := roundTrip(ctx, http.MethodGet, url+"/v1/rooms?page_size=500", "", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Rooms []struct {
			ID string `json:"id"`
		} `json:"rooms"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range list.Rooms {
		ids = append(ids, r.ID)
	}
	return ids, nil
}
