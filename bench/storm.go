package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tutti/bench/load"
)

const (
	stormPeople = 650
	stormRate   = 100 // sessions a second that the router lets in
)

// measureStorm lets 650 clients of one room come back at once, as when their
// node died, and looks when all are back, how many were let in a second, and what
// another room noticed.
func measureStorm(ctx context.Context, o options) error {
	c, err := startCluster(ctx, o, clusterOptions{
		nodes: []string{"a", "b", "c"}, rules: apart,
		set: []string{fmt.Sprintf("router.sessions_per_s=%d", stormRate), fmt.Sprintf("router.tenant_sessions_per_s=%d", stormRate)},
	})
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.put(ctx, "quiet", map[string]any{}); err != nil {
		return err
	}
	if err := c.put(ctx, "a-hall", map[string]any{"max_participants": 1000, "empty_timeout_s": 0}); err != nil {
		return err
	}
	others, err := c.visit(ctx, "quiet", 3)
	defer func() { leaveAll(others) }()
	if err != nil {
		return err
	}
	crowd, err := load.New(load.Config{Listen: true, Joining: stormPeople})
	if err != nil {
		return err
	}
	defer crowd.Close()
	s := &storm{url: c.url}
	for _, v := range others {
		v.forget()
	}
	before, err := c.lateBlocks(ctx, "b")
	if err != nil {
		return err
	}
	start := time.Now()
	if err := crowd.Add(ctx, stormPeople, s.join); err != nil {
		return err
	}
	end := time.Now()
	after, err := c.lateBlocks(ctx, "b")
	if err != nil {
		return err
	}
	var gaps series
	for _, v := range others {
		gaps = append(gaps, v.gap(v.begin(), end).Seconds()*1000)
	}
	fmt.Fprintf(o.out, "%d clients offer to join one room at the same time, over a router that lets %d sessions a second in; whoever is refused\ncomes back when Retry-After says.\n\n", stormPeople, stormRate)
	fmt.Fprintf(o.out, "| all in after, s | most let in within a second | refused with Retry-After | blocks of another room mixed over 5 ms late, of | longest silence there, ms |\n|---|---|---|---|---|\n")
	fmt.Fprintf(o.out, "| %.1f | %d | %d | %.0f of %.0f | %.0f |\n", end.Sub(start).Seconds(), s.most(), s.refused, after.late-before.late, after.all-before.all, gaps.percentile(100))
	return nil
}

// apart is one node for the crowd and one for the room that is to notice nothing.
const apart = `rules:
  - name: crowd
    match: {room: "a-*"}
    pool: {require: {host: a}}
  - name: quiet
    pool: {require: {host: b}}
`

// blocks are what a node has mixed.
type blocks struct{ all, late float64 }

// lateBlocks reads a node's counters.
func (c *cluster) lateBlocks(ctx context.Context, node string) (blocks, error) {
	body, _, err := roundTrip(ctx, http.MethodGet, c.nodes[node].url+"/metrics", "", nil)
	if err != nil {
		return blocks{}, err
	}
	var b blocks
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "tutti_audio_ticks_total":
			b.all += n
		case "tutti_audio_blocks_late_total", "tutti_audio_blocks_skipped_total":
			b.late += n
		}
	}
	return b, nil
}

// storm counts who is let in when.
type storm struct {
	url string

	mu      sync.Mutex
	in      []time.Time
	refused int
}

func (s *storm) join(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/rooms/a-hall/whep", nil)
		if err != nil {
			return "", nil, err
		}
		answer, location, wait, err := postOffer(r, offer)
		if err != nil {
			return "", nil, err
		}
		if wait == 0 {
			s.mu.Lock()
			s.in = append(s.in, time.Now())
			s.mu.Unlock()
			return answer, func(ctx context.Context) {
				_, _, _ = roundTrip(ctx, http.MethodDelete, s.url+location, "", nil)
			}, nil
		}
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
		if err := sleep(ctx, wait+rand.N(500*time.Millisecond)); err != nil {
			return "", nil, err
		}
	}
}

// most answers how many were let in within any second.
func (s *storm) most() int {
	most, from := 0, 0
	for to := range s.in {
		for s.in[to].Sub(s.in[from]) >= time.Second {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// postOffer posts an offer and answers the answer and the session's place, or
// how long to wait where the server asks for that.
func postOffer(r *http.Request, offer string) (answer, location string, wait time.Duration, err error) {
	body, header, err := roundTrip(r.Context(), r.Method, r.URL.String(), "application/sdp", []byte(offer))
	if err == nil {
		return string(body), header.Get("Location"), 0, nil
	}
	s, no := strconv.Atoi(header.Get("Retry-After"))
	if no != nil {
		return "", "", 0, errors.Join(err, no)
	}
	return "", "", time.Duration(max(s, 1)) * time.Second, nil
}
